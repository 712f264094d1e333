"""Processes that are stopped by a signal, with real ones."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest
import saltern_processes


@pytest.fixture
def family() -> Iterator[tuple[int, int]]:
    """A shell and the sleep that it waits for."""
    words = ["/bin/sh", "-c", "sleep 60 & echo $!; wait"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        child = int(parent.stdout.readline())
        try:
            yield parent.pid, child
        finally:
            for pid in (child, parent.pid):
                os.kill(pid, signal.SIGKILL)


def until(reached: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_unit_is_stopped_with_all_that_it_has_started(family: tuple[int, int]) -> None:
    parent, child = family
    pids = {"glance-api": parent, "memcached": 0}
    assert saltern_processes.why_halted(pids) == ""
    os.kill(parent, signal.SIGSTOP)
    until(lambda: saltern_processes._state(parent) == b"T")
    assert saltern_processes.why_halted(pids) == "", "its worker works on"
    os.kill(child, signal.SIGSTOP)
    until(lambda: saltern_processes.why_halted(pids))
    why = saltern_processes.why_halted(pids)
    assert why == "every process of glance-api is stopped by a signal (SIGSTOP)"
    os.kill(parent, signal.SIGCONT)
    until(lambda: not saltern_processes.why_halted(pids))


@pytest.mark.parametrize(
    ("name", "state", "why"),
    [("x", "T", "every"), ("x) S (", "T", "every"), ("x) T (", "S", ""), ("x", "t", "")],
)
def test_the_state_of_a_process_with_any_name(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, name: str, state: str, why: str
) -> None:
    monkeypatch.setattr(saltern_processes, "PROC", tmp_path)
    (tmp_path / "7").mkdir()
    (tmp_path / "7/stat").write_text(f"7 ({name}) {state} 1 7 7 0 -1")
    assert saltern_processes.why_halted({"a": 7}).startswith(why or "nothing") == bool(why)


def test_the_age_of_the_machine() -> None:
    said = subprocess.run(["ps", "-o", "etimes=", "-p", "1"], stdout=subprocess.PIPE, check=True)
    assert saltern_processes.since_boot() == pytest.approx(int(said.stdout), abs=2)


def test_who_has_ended_is_not_stopped(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, family: tuple[int, int]
) -> None:
    monkeypatch.setattr(saltern_processes, "PROC", tmp_path)
    assert saltern_processes.why_halted({"a": 7}) == ""
    (tmp_path / "7/task/7").mkdir(parents=True)
    (tmp_path / "7/stat").write_text("7 (a) T 1")
    (tmp_path / "7/task/7/children").symlink_to(tmp_path / "nowhere")
    assert saltern_processes.why_halted({"a": 7}), "its child went between two looks"
