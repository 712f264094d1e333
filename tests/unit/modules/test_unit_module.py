"""unit execution module over a small systemd that answers ``systemctl``."""

from __future__ import annotations

import os
import pathlib
import subprocess
import time
from typing import Any

import pytest
import support
from salt.exceptions import CommandExecutionError
from saltern import units

module = support.load_module("_modules", "unit")


class FakeSystemctl:
    """Processes with a start time; ``fails`` never come up, ``slow`` take a few looks."""

    def __init__(self) -> None:
        self.state: dict[str, dict[str, Any]] = {}
        self.asked: list[list[str]] = []
        self.fails: set[str] = set()
        self.slow: dict[str, int] = {}
        self.silent = False
        self.hangs = False
        self.refuses = ""
        self.pid = 100

    def add(self, name: str, started: float | None = None, **said: str) -> None:
        up = {"ActiveState": "active", "SubState": "running"} if started else {}
        self.state[name] = {
            "LoadState": "loaded",
            "UnitFileState": "enabled",
            "ActiveState": "inactive",
            "SubState": "dead",
            "Type": "notify",
            "NeedDaemonReload": "no",
            "MainPID": "1",
            "started": started,
            **up,
            **said,
        }

    def run(self, words: tuple[str, ...], **kwargs: Any) -> subprocess.CompletedProcess[str]:
        assert isinstance(words, tuple)
        assert kwargs["env"]["SYSTEMCTL_SKIP_SYSV"] == "1"
        if self.hangs:
            raise subprocess.TimeoutExpired(words, kwargs["timeout"])
        said = self.answer(list(words))
        return subprocess.CompletedProcess(words, said["retcode"], said["stdout"], said["stderr"])

    def answer(self, argv: list[str]) -> dict[str, Any]:
        self.asked.append(argv)
        if argv[0] == "journalctl":
            out = "" if argv[-2] == "-u" else "password = hunter2"
            return {"retcode": 0, "stdout": out, "stderr": ""}
        if self.silent or argv[1] == self.refuses:
            return {"retcode": 1, "stdout": "", "stderr": "Connection refused"}
        if argv[1] == "show":
            blocks = [self._show(name.removesuffix(".service")) for name in argv[len(units.SHOW) :]]
            return {"retcode": 0, "stdout": "\n\n".join(blocks), "stderr": ""}
        verb = argv[2] if argv[1] == "--no-block" else argv[1]
        if verb in ("start", "restart"):
            for name in argv[3:]:
                self._start(name.removesuffix(".service"), verb)
        return {"retcode": 0, "stdout": "", "stderr": ""}

    def _start(self, name: str, verb: str) -> None:
        unit = self.state[name]
        if name in self.fails:
            unit.update(ActiveState="failed", SubState="failed", Result="exit-code")
        elif name in self.slow:
            unit.update(ActiveState="activating" if verb == "start" else unit["ActiveState"])
        elif verb == "restart" or unit["ActiveState"] != "active":
            self._up(name)

    def _up(self, name: str) -> None:
        self.pid += 1
        self.state[name].update(
            ActiveState="active", SubState="running", MainPID=str(self.pid), started=time.time()
        )

    def _show(self, name: str) -> str:
        unit = self.state.get(name, {"LoadState": "not-found", "ActiveState": "inactive"})
        shown = {k: v for k, v in unit.items() if k != "started"}
        if unit.get("started"):
            shown["ExecMainStartTimestamp"] = (
                time.strftime("%a %Y-%m-%d %H:%M:%S", time.gmtime(unit["started"]))
                + f".{int(unit['started'] % 1 * 1e6):06d} UTC"
            )
        if name in self.slow:
            self.slow[name] -= 1
            if self.slow[name] <= 0:
                del self.slow[name]
                self._up(name)
        return "\n".join(f"{key}={value}" for key, value in shown.items())

    def verbs(self) -> list[str]:
        asked = [a for a in self.asked if a[0] == "systemctl" and a[1] != "show"]
        return [a[2] if a[1] == "--no-block" else a[1] for a in asked]


@pytest.fixture
def systemctl() -> FakeSystemctl:
    return FakeSystemctl()


@pytest.fixture
def pillar() -> dict[str, Any]:
    return {"cloud": {"units": {}}}


@pytest.fixture
def configure_loader_modules(
    systemctl: FakeSystemctl, pillar: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> dict[Any, Any]:
    monkeypatch.setattr(module, "POLL", (0.001, 0.001))
    monkeypatch.setattr("subprocess.run", systemctl.run)
    return {
        module: {
            "__pillar__": pillar,
            "__opts__": {"id": "ctl1"},
        }
    }


def test_nothing_asked_is_nothing_run(systemctl: FakeSystemctl) -> None:
    assert module.show() == {}
    assert systemctl.asked == []


def test_one_process_tells_about_all_units(
    systemctl: FakeSystemctl, pillar: dict[str, Any]
) -> None:
    systemctl.add("keystone", started=1795344063.25)
    pillar["cloud"]["units"] = {"keystone": {}, "ghost": {}}
    shown = module.show()
    assert len(systemctl.asked) == 1
    assert shown["keystone"]["up"] is True
    assert shown["ghost"]["summary"] == "no such unit"
    assert module.started_at("keystone") == {"keystone": {"pid": 1, "started": 1795344063.25}}


def test_a_silent_systemd_raises(systemctl: FakeSystemctl) -> None:
    systemctl.silent = True
    with pytest.raises(CommandExecutionError, match="does not answer for keystone"):
        module.show("keystone")


def test_a_systemd_that_hangs_raises(systemctl: FakeSystemctl) -> None:
    systemctl.hangs = True
    with pytest.raises(CommandExecutionError, match="systemctl show does not answer within 30 s"):
        module.show("keystone")


def test_what_runs_with_old_files_is_pending(
    systemctl: FakeSystemctl, pillar: dict[str, Any], tmp_path: pathlib.Path
) -> None:
    now = time.time()
    (tmp_path / "conf.d").mkdir()
    for name, age in (("old.conf", 100), ("new.conf", 1), ("conf.d/new", 1), ("conf.d", 100)):
        path = tmp_path / name
        if name != "conf.d":
            path.write_text("x")
        os.utime(path, (now - age, now - age))
    for unit in ("keystone", "glance-api", "apache2", "galera"):
        systemctl.add(unit, started=now - 50)
    systemctl.add("stopped")
    pillar["cloud"]["units"] = {
        "keystone": {"service": "keystone", "files": [f"{tmp_path}/n*.conf", "/no/such/file"]},
        "glance-api": {"service": "glance", "files": [f"{tmp_path}/conf.d"]},
        "apache2": {"service": "horizon", "files": [f"{tmp_path}/old.conf"]},
        "stopped": {"service": "keystone", "files": [f"{tmp_path}/new.conf"]},
        "galera": {"service": "galera", "files": []},
    }
    assert module.pending() == {
        "keystone": {"service": "keystone", "files": [f"{tmp_path}/new.conf"]},
        "glance-api": {"service": "glance", "files": [f"{tmp_path}/conf.d/new"]},
    }
    assert list(module.pending("glance,horizon")) == ["glance-api"]
    before = module.started_at()
    assert list(module.restart_pending(["keystone"])) == ["keystone"]
    after = module.started_at()
    assert {unit for unit in after if after[unit] != before[unit]} == {"keystone"}
    assert module.restart_pending(["keystone"]) == {}


def test_a_start_waits_for_the_slow_and_reads_changed_files_first(
    systemctl: FakeSystemctl,
) -> None:
    systemctl.add("slow", NeedDaemonReload="yes")
    systemctl.add("quick", ActiveState="failed")
    systemctl.slow["slow"] = 4
    started = module.start(["slow", "quick"])
    assert systemctl.verbs() == ["daemon-reload", "reset-failed", "start"]
    assert all(unit["started"] for unit in started.values())


def test_a_restart_waits_for_another_process(systemctl: FakeSystemctl) -> None:
    systemctl.add("slow", started=time.time() - 50)
    systemctl.slow["slow"] = 4
    assert module.restart("slow")["slow"]["pid"] == 101


def test_a_queued_start_is_not_waited_for(systemctl: FakeSystemctl) -> None:
    systemctl.add("slow")
    systemctl.slow["slow"] = 1000
    assert module.start("slow", wait=False)["slow"]["started"] is None


def test_a_unit_that_fails_says_why_without_secrets(systemctl: FakeSystemctl) -> None:
    systemctl.add("bad")
    systemctl.fails = {"bad"}
    with pytest.raises(CommandExecutionError) as caught:
        module.start("bad")
    message = str(caught.value)
    assert "bad: failed (failed), exit-code" in message
    assert "password = ***" in message
    assert "next: journalctl -u bad on ctl1" in message


def test_a_unit_that_takes_too_long_is_named(systemctl: FakeSystemctl) -> None:
    systemctl.add("slow")
    systemctl.slow["slow"] = 10**6
    with pytest.raises(CommandExecutionError, match=r"slow: not up after 0 s: activating"):
        module.start("slow", timeout=0)


def test_a_starved_machine_has_longer_to_start_a_unit(
    systemctl: FakeSystemctl, starved: None
) -> None:
    systemctl.add("slow")
    systemctl.slow["slow"] = 10**6
    with pytest.raises(CommandExecutionError, match=r"slow: not up after 1 s: activating"):
        module.start("slow", timeout=0.2)


@pytest.mark.parametrize("function", ["enable", "disable", "stop", "mask", "unmask"])
def test_each_verb_is_one_call_without_init_scripts(
    systemctl: FakeSystemctl, function: str
) -> None:
    systemctl.add("x")
    assert getattr(module, function)("x") is True
    assert systemctl.verbs() == [function]


def test_enabling_unmasks_first(systemctl: FakeSystemctl) -> None:
    systemctl.add("x", LoadState="masked", UnitFileState="masked")
    module.enable(["x"])
    assert systemctl.verbs() == ["unmask", "enable"]


def test_a_refusal_is_raised_with_systemd_s_words(systemctl: FakeSystemctl) -> None:
    systemctl.refuses = "daemon-reload"
    with pytest.raises(CommandExecutionError, match="daemon-reload: Connection refused"):
        module.reload_()


def test_it_loads_where_systemd_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.salt.utils.path, "which", lambda name: None)
    assert module.__virtual__()[0] is False
    monkeypatch.setattr(module.salt.utils.path, "which", lambda name: "/bin/systemctl")
    assert module.__virtual__() == "unit"
