"""``python -m tools.docs``: write ``docs/reference/`` and ``schema/rule.json`` anew."""

from __future__ import annotations

import json
import pathlib
import sys

ROOT = pathlib.Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "_utils"))

from saltern.reactor.grammar import SCHEMA  # noqa: E402 - it needs the path

from tools.docs import reference  # noqa: E402

# Before the reference, which is made from it.
(ROOT / "schema/rule.json").write_text(
    json.dumps(SCHEMA, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
)

for name, text in reference(ROOT).items():
    path = ROOT / "docs/reference" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    print(path.relative_to(ROOT))
