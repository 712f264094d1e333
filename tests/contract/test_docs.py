"""The reference says what the code says, today."""

from __future__ import annotations

import json
import re

import pytest
import support

from tools import docs

PAGES = docs.reference(support.ROOT)


@pytest.mark.parametrize("name", PAGES)
def test_the_reference_is_current(name: str) -> None:
    path = support.ROOT / "docs/reference" / name
    assert path.read_text() == PAGES[name], "run: python -m tools.docs"


def test_every_key_of_the_model_is_there() -> None:
    rules = json.loads((support.ROOT / "schema/cloud.json").read_text())
    for key, spec in rules["properties"].items():
        assert f"| `{key}`" in PAGES["model.md"]
        for inner in spec.get("properties", {}):
            assert f"| `{key}.{inner}`" in PAGES["model.md"]


def test_code_blocks_open_and_close() -> None:
    for name, text in PAGES.items():
        assert len(re.findall(r"^```", text, re.MULTILINE)) % 2 == 0, name


def test_a_docstring_becomes_markdown() -> None:
    text = "Say ``x``.\n\nCLI Example:\n\n.. code-block:: bash\n\n    salt a b.c\n\nMore."
    assert docs._markdown(text) == ("Say `x`.\n\nCLI Example:\n\n```bash\nsalt a b.c\n```\n\nMore.")
