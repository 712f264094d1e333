"""The lock of a cloud between processes: alone, or shared by small operations."""

from __future__ import annotations

import pathlib
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
from saltern import lock

HOLDER = """
import pathlib, sys
from saltern import lock
lock.hold(pathlib.Path(sys.argv[1]), "orch.deploy, pid 7")
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "saltern/lab.lock"


@pytest.fixture
def another(path: pathlib.Path) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    """Starts a process that holds the lock alone until it is killed."""
    started = []

    def start() -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={"PYTHONPATH": ":".join(sys.path)},
        )
        assert process.stdout and process.stdout.readline() == "held\n"
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_several_share_it_and_nobody_holds_it_alone_meanwhile(path: pathlib.Path) -> None:
    with lock.shared(path, "restart on ctl1"), lock.shared(path, "restart on ctl2"):
        assert lock.holder(path) == ""
        with pytest.raises(lock.Busy, match="lab.lock is held by restart on ctl2"):
            lock.hold(path, "orch.deploy")
    assert lock.hold(path, "orch.deploy")


def test_nobody_shares_what_another_process_holds(
    path: pathlib.Path, another: Callable[[], subprocess.Popen[str]]
) -> None:
    process = another()
    assert lock.holder(path) == "orch.deploy, pid 7"
    with pytest.raises(lock.Busy, match="orch.deploy, pid 7"), lock.shared(path, "restart"):
        pytest.fail("it was shared")
    process.kill()
    process.wait()
    assert lock.holder(path) == "", "a dead process holds nothing"
    with lock.shared(path, "restart"):
        assert path.read_text() == "restart"
    assert path.read_text() == ""


def test_a_look_at_a_lock_that_nobody_signed_does_not_take_it(path: pathlib.Path) -> None:
    with lock.shared(path, ""):
        assert lock.holder(path) == ""
    assert lock.holder(path.with_name("other.lock")) == ""


def test_a_look_leaves_the_signature_of_those_who_share_it(path: pathlib.Path) -> None:
    with lock.shared(path, "restart on ctl1"):
        assert lock.holder(path) == ""
        assert path.read_text() == "restart on ctl1"
