"""``python -m tools.docs``: write ``docs/reference/`` anew."""

from __future__ import annotations

import pathlib

from tools.docs import reference

ROOT = pathlib.Path(__file__).parents[2]

for name, text in reference(ROOT).items():
    path = ROOT / "docs/reference" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    print(path.relative_to(ROOT))
