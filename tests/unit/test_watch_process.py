"""The process of the watch: one per node, as old as its code, and no longer than its minion."""

from __future__ import annotations

import json
import os
import pathlib
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import saltern_outbox
import saltern_watch_process as process
import support

PATIENCE = 20.0
CODE = support.ROOT / "_utils"


def until(reached: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not reached():
        assert time.monotonic() < deadline, "not reached"
        time.sleep(0.02)


class Site:
    """A node's folders, and processes that are ended with the test."""

    def __init__(self, home: pathlib.Path) -> None:
        self.home = home
        self.code = home / "utils"
        shutil.copytree(CODE, self.code, ignore=shutil.ignore_patterns("__pycache__"))
        self.options = {
            "id": "ctl1",
            "sock_dir": str(home),
            "hash_type": "sha256",
            "cachedir": str(home / "cache"),
            "run": str(home / "run"),
            "share": str(home / "watch.json"),
        }
        self.started: list[subprocess.Popen[str]] = []

    @property
    def argv(self) -> list[str]:
        words = json.dumps(self.options)
        return [sys.executable, str(self.code / "saltern_watch_process.py"), words]

    def start(self, *argv: str) -> subprocess.Popen[str]:
        began = subprocess.Popen(
            argv or self.argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.started.append(began)
        return began

    @property
    def outbox(self) -> pathlib.Path:
        return self.home / "cache/saltern/outbox.db"


@pytest.fixture
def site(tmp_path: pathlib.Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    for began in made.started:
        began.kill()
        began.communicate()


def test_there_is_one_and_the_next_takes_over_when_it_is_killed(site: Site) -> None:
    first = site.start()
    until(lambda: saltern_outbox.named(site.outbox.parent))  # SQLite breaks off what loses its file
    site.outbox.unlink()
    second = site.start()
    time.sleep(1.5)
    assert not site.outbox.exists(), "two at once"
    first.send_signal(signal.SIGKILL)
    until(site.outbox.exists)
    second.terminate()
    assert second.wait(PATIENCE) == -signal.SIGTERM


def test_it_ends_when_its_code_is_newer(site: Site) -> None:
    began = site.start()
    until(site.outbox.exists)
    with (site.code / "saltern/reactor/watching.py").open("a") as file:
        file.write("# newer\n")
    assert began.wait(PATIENCE) == 0
    assert began.stderr and "its code has changed" in began.stderr.read()


def test_what_it_says_is_there_when_it_says_it(site: Site) -> None:
    (site.home / "watch.json").write_text("[")
    began = site.start()
    assert began.stderr
    assert select.select([began.stderr], [], [], PATIENCE)[0], "it keeps it for its end"
    said = began.stderr.readline()
    assert said.startswith("[ERROR   ] saltern_watch: ") and "next: salt ctl1" in said


def test_it_ends_with_its_minion(site: Site) -> None:
    starts = (
        "import subprocess, sys; print(subprocess.Popen(sys.argv[1:]).pid, flush=True); input()"
    )
    minion = site.start(sys.executable, "-c", starts, *site.argv)
    assert minion.stdout
    watch = int(minion.stdout.readline())
    until(site.outbox.exists)
    minion.kill()
    try:
        _, said = minion.communicate(timeout=PATIENCE)  # the watch has the same stderr: to its end
    except subprocess.TimeoutExpired:
        os.kill(watch, signal.SIGKILL)
        raise
    assert "salt-minion is gone" in said


def test_it_loads_next_to_nothing_of_salt(site: Site) -> None:
    """Or each node would pay for a second minion."""
    program = "import sys, saltern_watch_process; print(*sorted(sys.modules))"
    said = subprocess.run(
        [sys.executable, "-c", program], cwd=site.code, capture_output=True, text=True, check=True
    )
    loaded = set(said.stdout.split())
    assert "saltern_watcher" in loaded
    assert not loaded & {"salt.config", "salt.loader", "salt.utils.event", "tornado", "zmq"}


def test_when_the_last_job_was(tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "proc"
    assert process.last_job(folder) == 0.0
    folder.mkdir()
    at = time.time() - 50
    os.utime(folder, (at, at))
    assert process.last_job(folder) == pytest.approx(time.monotonic() - 50, abs=5)
    (folder / "20261122").touch()
    os.utime(folder, (at, at))
    assert process.last_job(folder) == pytest.approx(time.monotonic(), abs=5)
    at = time.time() - 2 * process.JOB_MOST  # left behind by a job that was killed
    os.utime(folder, (at, at))
    assert process.last_job(folder) < time.monotonic() - process.JOB_MOST


class FakeLife:
    """A life that is over after a few questions."""

    def __init__(self, questions: int) -> None:
        self.left = questions

    def over(self) -> str:
        self.left -= 1
        return "" if self.left else "salt-minion is gone"


def test_who_waits_for_another_to_end_may_end_first(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "ALONE", 0.01)
    path = tmp_path / "watch.lock"
    with path.open("a") as first, path.open("a") as second:
        life: Any = FakeLife(3)
        assert process.become_the_only(first, life) == ""
        assert process.become_the_only(second, life) == "salt-minion is gone"


def test_a_sync_that_is_under_way_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    stamps = iter([{"a": (1, 1)}, {"a": (1, 1)}, {"a": (2, 1)}, {"a": (2, 2)}, {"a": (2, 2)}])
    monkeypatch.setattr(process, "stamp", lambda: next(stamps))
    life = process.Life()
    assert [life.over() for _ in range(4)] == ["", "", "", "its code has changed"]
