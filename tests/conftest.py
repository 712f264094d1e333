"""Fixtures shared by every kind of test. No fixture here starts a daemon or needs root."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from typing import Any

import pytest
import saltern_pressure
import support
from hypothesis import settings
from saltern.cloud import Cloud

# The same examples in every run: what fails here fails everywhere. To look for new ones, run
# pytest with --hypothesis-profile=default.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")


@pytest.fixture(autouse=True)
def calm(monkeypatch: pytest.MonkeyPatch) -> None:
    """How busy the machine is that runs the tests makes no difference to them."""
    monkeypatch.setattr(saltern_pressure, "PRESSURE", pathlib.Path("/none"))


@pytest.fixture
def starved(calm: None, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    """Every process waits for a core, by what the kernel says."""
    file = tmp_path / "pressure"
    file.write_text("some avg10=90.00 avg60=0.00 avg300=0.00 total=1\n")
    monkeypatch.setattr(saltern_pressure, "PRESSURE", file)


@pytest.fixture
def lab() -> Cloud:
    """The cloud of examples/lab.yaml with fake secrets."""
    return support.cloud("lab")


@pytest.fixture
def options(tmp_path: pathlib.Path) -> Callable[[str], dict[str, Any]]:
    """``options(example)``: of a minion that reads everything from this checkout."""
    return lambda name: support.minion_options(name, tmp_path)
