"""Fixtures shared by every kind of test. No fixture here starts a daemon or needs root."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from typing import Any

import pytest
import support
from hypothesis import settings
from saltern.cloud import Cloud

# The same examples in every run: what fails here fails everywhere. To look for new ones, run
# pytest with --hypothesis-profile=default.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")


@pytest.fixture
def lab() -> Cloud:
    """The cloud of examples/lab.yaml with fake secrets."""
    return support.cloud("lab")


@pytest.fixture
def options(tmp_path: pathlib.Path) -> Callable[[str], dict[str, Any]]:
    """``options(example)``: of a minion that reads everything from this checkout."""
    return lambda name: support.minion_options(name, tmp_path)
