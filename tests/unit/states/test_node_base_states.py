"""hosts_file and debconf_answers states."""

from __future__ import annotations

import errno
import os
import pathlib
from typing import Any

import pytest
import support

hosts_file = support.load_module("_states", "hosts_file")
debconf_answers = support.load_module("_states", "debconf_answers")

SOURCE = "salt://common/files/debconf-answers.txt"


class FakeDebconf:
    """A database in a file, and the program that fills it."""

    def __init__(self, home: pathlib.Path) -> None:
        self.database = home / "config.dat"
        self.source = home / "answers.txt"
        self.source.write_text("keystone keystone/configure_db boolean false\n")
        self.cached: str | bool = str(self.source)
        self.retcode = 0
        self.calls = 0

    def run_all(self, argv: list[str], stdin: str, **kwargs: Any) -> dict[str, Any]:
        assert (argv, kwargs["python_shell"]) == (["debconf-set-selections"], False)
        self.calls += 1
        if self.retcode == 0:
            rows = [line.split() for line in stdin.splitlines()]
            self.database.write_text("".join(f"Name: {r[1]}\nValue: {r[3]}\n\n" for r in rows))
        return {"retcode": self.retcode, "stdout": "", "stderr": "locked"}


@pytest.fixture
def debconf(tmp_path: pathlib.Path) -> FakeDebconf:
    return FakeDebconf(tmp_path)


@pytest.fixture(params=[False, True], ids=["real", "test=True"])
def testmode(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def configure_loader_modules(
    debconf: FakeDebconf, testmode: bool, monkeypatch: pytest.MonkeyPatch
) -> dict[Any, Any]:
    monkeypatch.setattr(debconf_answers, "DATABASE", str(debconf.database))
    salt = {"cp.cache_file": lambda source: debconf.cached, "cmd.run_all": debconf.run_all}
    return {
        hosts_file: {"__opts__": {"test": testmode}},
        debconf_answers: {"__opts__": {"test": testmode}, "__salt__": salt},
    }


def test_names_are_written_once(tmp_path: pathlib.Path, testmode: bool) -> None:
    path = tmp_path / "hosts"
    path.write_text("127.0.1.1 ctl1\n")
    ret = hosts_file.managed(str(path), {"ctl1": "10.77.0.11"}, {"lab-internal": "10.77.0.10"})
    assert ret["result"] is (None if testmode else True)
    assert ("127.0.1.1" in path.read_text()) is testmode
    again = hosts_file.managed(str(path), {"ctl1": "10.77.0.11"}, {"lab-internal": "10.77.0.10"})
    assert again["changes"] == (ret["changes"] if testmode else {})
    assert [p.name for p in tmp_path.iterdir() if "hosts" in p.name] == ["hosts"]


def test_a_missing_file_is_made(tmp_path: pathlib.Path, testmode: bool) -> None:
    path = tmp_path / "hosts"
    hosts_file.managed(str(path), {"ctl1": "10.77.0.11"})
    assert path.exists() is not testmode


def test_a_file_that_is_a_mount_is_written_into(
    tmp_path: pathlib.Path, testmode: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(source: Any, target: Any) -> None:
        raise OSError(errno.EBUSY, "Device or resource busy")

    path = tmp_path / "hosts"
    path.write_text("127.0.0.1 localhost\n")
    monkeypatch.setattr(os, "replace", busy)
    ret = hosts_file.managed(str(path), {"ctl1": "10.77.0.11"})
    assert ret["result"] is (None if testmode else True)
    assert ("ctl1" in path.read_text()) is not testmode


def test_a_full_disk_is_reported(
    tmp_path: pathlib.Path, testmode: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(source: Any, target: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    ret = hosts_file.managed(str(tmp_path / "hosts"), {"ctl1": "10.77.0.11"})
    assert ret["result"] is (None if testmode else False)
    assert testmode or "No space left" in ret["comment"]
    assert hosts_file.__virtual__() == "hosts_file"


def test_answers_are_given_once(debconf: FakeDebconf, testmode: bool) -> None:
    ret = debconf_answers.managed("answers", SOURCE)
    assert ret["result"] is (None if testmode else True)
    assert ret["changes"] == {"keystone/configure_db": {"old": None, "new": "false"}}
    debconf_answers.managed("answers", SOURCE)
    assert debconf.calls == (0 if testmode else 1)


def test_a_missing_source_and_a_refusal_are_reported(debconf: FakeDebconf, testmode: bool) -> None:
    debconf.retcode = 1
    ret = debconf_answers.managed("answers", SOURCE)
    assert ret["result"] is (None if testmode else False)
    assert testmode or ret["comment"] == "debconf-set-selections: locked"
    debconf.cached = False
    assert "not on the master's file server" in debconf_answers.managed("a", SOURCE)["comment"]


def test_it_loads_on_debian(testmode: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    which = debconf_answers.salt.utils.path
    monkeypatch.setattr(which, "which", lambda name: None)
    assert debconf_answers.__virtual__()[0] is False
    monkeypatch.setattr(which, "which", lambda name: "/usr/bin/debconf-set-selections")
    assert debconf_answers.__virtual__() == "debconf_answers"
