"""healing: what the master calls on a node, over a node with a state of its own."""

from __future__ import annotations

import fcntl
import os
import pathlib
import time
from typing import Any

import pytest
import saltern_healing
import saltern_outbox
import saltern_systemd
import support
from salt.exceptions import CommandExecutionError
from saltern.reactor import outbox
from saltern.reactor.watched import Unit

module = support.load_module("_modules", "healing")

CLOUD = {
    "services": ["keystone", "galera"],
    "units": {
        "keystone": {"service": "keystone", "files": ["/etc/keystone/keystone.conf"]},
        "mariadb": {"service": "galera", "files": []},
    },
    "probes": {
        "keystone": {"kind": "http", "address": "10.0.0.1", "port": 5000, "path": "/"},
        "galera": {"kind": "galera", "address": "10.0.0.1", "members": ["ctl1", "ctl2"]},
    },
    "values": {"galera": {"check": {"port": 9200, "password": "SECRET"}}},
}


class Node:
    """Services with a health, a salt-minion, and what was started of systemd."""

    def __init__(self) -> None:
        self.health = {"keystone": "down", "galera": "down"}
        self.running = {"keystone": False, "mariadb": True}
        self.minion: dict[str, Any] = {"exists": True, "up": True, "started": time.time() - 100}
        self.restarting = False
        self.ran: list[list[str]] = []
        self.refuses = False

    def openstack_health(self, services: Any = None) -> dict[str, Any]:
        names = [services] if isinstance(services, str) else services or list(self.health)
        return {name: {"status": self.health[name], "reason": "", "seconds": 0.0} for name in names}

    def units(self, names: list[str]) -> list[Unit]:
        return [
            Unit(name, active="active" if self.running[name] else "failed", pid=1) for name in names
        ]

    def systemctl(self, verb: str, names: list[str]) -> None:
        if self.refuses:
            raise saltern_healing.Refused("Access denied")
        for name in names:
            self.running[name] = True
            self.health[CLOUD["units"][name]["service"]] = "ok"  # type: ignore[index]

    def restart_member(self) -> None:
        self.health["galera"] = "ok"

    def show(self, names: list[str]) -> dict[str, Any]:
        known = {
            module.RESTART: {"coming": self.restarting},
            module.MINION: {"coming": True, **self.minion},
        }
        return {name: known[name] for name in names}

    def run_all(self, argv: list[str], **how: Any) -> dict[str, Any]:
        assert how["python_shell"] is False
        self.ran.append(argv)
        self.restarting = not self.refuses
        return {"retcode": int(self.refuses), "stdout": "", "stderr": "no bus"}


@pytest.fixture
def node() -> Node:
    return Node()


@pytest.fixture
def pillar() -> dict[str, Any]:
    return {"cloud": CLOUD}


@pytest.fixture
def configure_loader_modules(
    node: Node, pillar: dict[str, Any], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> dict[Any, Any]:
    monkeypatch.setattr(module, "RUN", tmp_path / "run")
    monkeypatch.setattr(module, "PATIENCE", 0.0)
    monkeypatch.setattr(saltern_healing, "LOCK", tmp_path / "heal.lock")
    monkeypatch.setattr(saltern_healing, "POLL", 0.005)
    monkeypatch.setattr(saltern_healing, "systemctl", node.systemctl)
    monkeypatch.setattr(saltern_systemd, "show", node.units)
    (tmp_path / "run").mkdir()
    return {
        module: {
            "__salt__": {
                "openstack.health": node.openstack_health,
                "galera.restart_member": node.restart_member,
                "unit.show": node.show,
                "cmd.run_all": node.run_all,
            },
            "__pillar__": pillar,
            "__opts__": {
                "id": "ctl1",
                "cachedir": str(tmp_path / "cache"),
                "extension_modules": str(tmp_path / "ext"),
                "conf_file": str(tmp_path / "etc/minion"),
            },
            "__context__": {},
        }
    }


@pytest.fixture
def engine(tmp_path: pathlib.Path) -> pathlib.Path:
    """The engine's code, as it came with a sync just now."""
    path = tmp_path / "ext/engines/saltern_watch.py"
    path.parent.mkdir(parents=True)
    path.write_text("")
    return path


def test_a_restart_that_helps(node: Node) -> None:
    found = module.restart("keystone", wait=1)
    assert (found["before"], found["did"], found["after"]["status"]) == ("down", "started", "ok")
    assert module.__context__["retcode"] == 0


def test_a_restart_that_does_not_help_is_no_success(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saltern_healing, "systemctl", lambda verb, names: None)
    found = module.restart("keystone", wait=0.02)
    assert found["after"]["status"] == "down"
    assert module.__context__["retcode"] == 1


def test_a_member_that_hangs_is_given_to_its_module(node: Node) -> None:
    assert module.restart("galera", wait=1)["did"] == "restarted"
    assert node.health["galera"] == "ok"


def test_an_older_master_is_refused(node: Node) -> None:
    assert module.restart("keystone", epoch=7, wait=1)["did"] == "started"
    node.health["keystone"], node.running["keystone"] = "down", False
    found = module.restart("keystone", epoch=6)
    assert (found["did"], found["after"]["status"]) == ("refused", "down")
    assert not node.running["keystone"]
    assert module.restart("keystone", wait=1)["did"] == "started"  # a person


def test_what_is_not_here_is_not_restarted() -> None:
    with pytest.raises(CommandExecutionError, match="glance does not run on ctl1"):
        module.restart("glance")


def test_two_at_once_are_refused() -> None:
    with (
        saltern_healing.alone(0),
        pytest.raises(CommandExecutionError, match="another service is being put right"),
    ):
        module.restart("keystone")


def test_a_refusal_of_systemd_is_raised(node: Node) -> None:
    node.refuses = True
    with pytest.raises(CommandExecutionError, match="Access denied; next: systemctl status"):
        module.restart("keystone")


def test_looking_is_health(node: Node) -> None:
    assert module.look("keystone")["keystone"]["status"] == "down"
    assert set(module.look()) == {"keystone", "galera"}


def test_the_outbox_is_named_by_what_tells_nobody_its_epoch(tmp_path: pathlib.Path) -> None:
    home = pathlib.Path(module.__opts__["cachedir"]) / "saltern"
    assert module.outbox() is None
    store = saltern_outbox.Store(home / saltern_outbox.NAME)
    assert module.outbox() == outbox.digest(store.epoch)
    assert store.epoch not in module.outbox()
    store.close()
    (home / saltern_outbox.NAME).write_bytes(b"damaged" * 1000)
    assert module.outbox() is None


def test_the_share_has_no_secret() -> None:
    told = module.share()
    assert told["probes"]["galera"]["check"] == {"address": "10.0.0.1", "port": 9200, "path": "/"}
    assert "SECRET" not in repr(told)
    assert "files" not in told["units"]["keystone"]


@pytest.mark.parametrize("held", [{}, {"cloud": None}, {"cloud": {}}])
def test_without_a_pillar_the_next_step_is_said(
    pillar: dict[str, Any], held: dict[str, Any]
) -> None:
    pillar.clear()
    pillar.update(held)
    with pytest.raises(CommandExecutionError, match="saltutil.refresh_pillar"):
        module.share()


def test_a_minion_that_is_older_than_its_watch_is_restarted_once(
    node: Node, engine: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    assert module.watching_() == "off"
    assert module.arm(quiet=60) == "starting"
    [argv] = node.ran
    assert argv[:4] == ["systemd-run", "--quiet", "--collect", f"--unit={module.RESTART}"]
    assert argv[-4:] == [str(os.getpid()), str(tmp_path / "cache/proc"), "60", "alone"]
    assert module.arm() == "starting"  # it is under way
    with (tmp_path / "run/watch.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert module.watching_() == "starting"  # one that runs now will not for long
    node.restarting = False
    node.minion["started"] = time.time() + 1
    assert module.arm() == "starting"  # it has just started
    with (tmp_path / "run/watch.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert module.watching_() == "running"
        os.utime(engine)  # newer code takes over by itself
        assert module.arm() == "running"
    assert len(node.ran) == 1


@pytest.mark.parametrize(("jobs", "how"), [(["1"], "alone"), (["1", "2"], "")])
def test_a_minion_that_works_for_others_is_not_killed(
    node: Node, engine: pathlib.Path, tmp_path: pathlib.Path, jobs: list[str], how: str
) -> None:
    (tmp_path / "cache/proc").mkdir(parents=True)
    for job in jobs:
        (tmp_path / "cache/proc" / job).write_text("")
    assert module.arm() == "starting"
    assert node.ran[0][-2:] == ["0", how]


def test_who_waits_is_told_at_once_when_the_watch_runs(
    node: Node, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node.restarting = True
    began = time.monotonic()
    assert module.watching_(wait=0.3) == "starting"
    assert time.monotonic() - began >= 0.3
    with (tmp_path / "run/watch.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        monkeypatch.setattr(time, "sleep", lambda seconds: setattr(node, "restarting", False))
        assert module.watching_(wait=60) == "running"


def test_new_settings_need_a_restart_too(
    node: Node, engine: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    os.utime(engine, (1.0, 1.0))
    config = tmp_path / "etc/minion.d/saltern-watch.conf"
    config.parent.mkdir(parents=True)
    config.write_text("engines: [saltern_watch: {}]")
    assert module.config_folder() == str(config.parent)
    assert module.arm() == "starting"


def test_a_watch_that_ends_for_its_newer_code_is_waited_for(
    node: Node, engine: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.utime(engine, (1.0, 1.0))
    with (tmp_path / "run/watch.lock").open("a") as lock:
        monkeypatch.setattr(time, "sleep", lambda seconds: fcntl.flock(lock, fcntl.LOCK_EX))
        assert module.arm() == "running"
    assert node.ran == []


def test_a_watch_that_does_not_start_is_not_tried_for_ever(
    node: Node, engine: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "AGAIN_WITHIN", 0.1)
    os.utime(engine, (1.0, 1.0))
    with pytest.raises(CommandExecutionError, match="does not run although"):
        module.arm()
    assert node.ran == []


def test_without_code_there_is_nothing_to_restart_for(node: Node) -> None:
    with pytest.raises(CommandExecutionError, match=r"saltutil\.sync_all"):
        module.arm()


def test_a_minion_that_systemd_does_not_run(node: Node, engine: pathlib.Path) -> None:
    node.minion = {"exists": False, "up": False, "started": None}
    with pytest.raises(CommandExecutionError, match="restart it by hand"):
        module.arm()


def test_systemd_run_that_fails(node: Node, engine: pathlib.Path) -> None:
    node.refuses = True
    with pytest.raises(CommandExecutionError, match="systemd-run: no bus"):
        module.arm()


def test_where_nothing_may_be_locked_nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RUN", pathlib.Path("/nonexistent"))
    assert module.watching_() == "off"


def test_it_loads_where_units_can_be_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    assert module.__virtual__() == "healing"
    monkeypatch.delitem(module.__salt__, "unit.show")
    assert module.__virtual__()[0] is False
