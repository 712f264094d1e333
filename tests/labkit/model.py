"""Changing the model that the lab uses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import yaml

from lab.paths import MODEL

#: What a test does to the model, and how it asks for that to be done.
Change = Callable[[dict[str, Any]], None]
Edit = Callable[[Change], None]


@contextmanager
def editing() -> Iterator[Edit]:
    """``edit(change)`` changes the model that the lab uses; afterwards it is as before."""
    original = MODEL.read_bytes()

    def edit(change: Change) -> None:
        model = yaml.safe_load(original)
        change(model)
        MODEL.write_text(yaml.safe_dump(model, sort_keys=False), encoding="utf-8")

    try:
        yield edit
    finally:
        MODEL.write_bytes(original)
