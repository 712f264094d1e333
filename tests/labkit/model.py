"""Changing the model that the lab uses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

#: What a test does to the model, and how it asks for that to be done.
Change = Callable[[dict[str, Any]], None]
Edit = Callable[[Change], None]
