"""Fixtures shared by every kind of test. No fixture here starts a daemon or needs root."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from typing import Any

import pytest
import support
from saltern.cloud import Cloud


@pytest.fixture
def lab() -> Cloud:
    """The cloud of examples/lab.yaml with fake secrets."""
    return support.cloud("lab")


@pytest.fixture
def options(tmp_path: pathlib.Path) -> Callable[[str], dict[str, Any]]:
    """``options(example)``: of a minion that reads everything from this checkout."""
    return lambda name: support.minion_options(name, tmp_path)
