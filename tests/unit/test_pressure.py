"""Whether the machine is starved, by what the kernel says."""

from __future__ import annotations

import pathlib

import pytest
import saltern_pressure


@pytest.mark.parametrize(
    ("text", "slower"),
    [
        ("some avg10=49.99 avg60=99.00 avg300=99.00 total=1\nfull avg10=0.00\n", 1.0),
        ("some avg10=50.00 avg60=0.00 avg300=0.00 total=1\n", saltern_pressure.SLOWER),
        ("some avg10=100.00 avg60=0.00 avg300=0.00 total=1\n", saltern_pressure.SLOWER),
        ("", 1.0),
        ("some avg60=99.00\n", 1.0),
        ("some avg10=x\n", 1.0),
    ],
)
def test_a_machine_whose_processes_wait_is_slower(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, text: str, slower: float
) -> None:
    file = tmp_path / "cpu"
    file.write_text(text)
    monkeypatch.setattr(saltern_pressure, "PRESSURE", file)
    assert saltern_pressure.slower() == slower


def test_a_kernel_that_does_not_say_it_is_never_starved(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saltern_pressure, "PRESSURE", tmp_path / "none")
    assert saltern_pressure.slower() == 1.0
