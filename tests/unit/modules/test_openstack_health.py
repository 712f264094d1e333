"""openstack.health: fast, local, and the same truth whatever is gone."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
import support
from salt.exceptions import CommandExecutionError

module = support.load_module("_modules", "openstack_health")

USER = {"auth_url": "http://10.77.0.10:5000", "username": "glance", "password": "x"}


class FakeNode:
    """Units that run unless ``stopped``; probes that answer unless ``reasons`` says why not."""

    def __init__(self) -> None:
        self.stopped: set[str] = set()
        self.reasons: dict[str, str] = {}
        self.asked: list[str] = []
        self.heals_after: dict[str, int] = {}
        self.booted = 1e6
        self.galera: Any = {"healthy": True, "reasons": [], "warnings": []}

    def show(self, units: list[str]) -> dict[str, dict[str, Any]]:
        return {
            name: {
                "up": name not in self.stopped,
                "summary": "inactive (dead)" if name in self.stopped else "active (running)",
                "restarts": 0,
                "started": 1.0,
                "enabled": True,
                "pid": 0 if name in self.stopped else len(name),
            }
            for name in units
        }

    def ask(self, spec: dict[str, Any]) -> str | None:
        self.asked.append(spec["name"])
        left = self.heals_after.get(spec["name"])
        if left is not None:
            self.heals_after[spec["name"]] = left - 1
            if left <= 0:
                return None
        return self.reasons.get(spec["name"])

    def galera_status(self) -> Any:
        if isinstance(self.galera, Exception):
            raise self.galera
        return self.galera


@pytest.fixture
def node() -> FakeNode:
    return FakeNode()


@pytest.fixture
def pillar() -> dict[str, Any]:
    return {
        "cloud": {
            "services": ["galera", "keystone", "glance", "nova-conductor"],
            "units": {
                name: {"service": service, "files": []}
                for name, service in (
                    ("mariadb", "galera"),
                    ("keystone", "keystone"),
                    ("glance-api", "glance"),
                    ("nova-conductor", "nova-conductor"),
                )
            },
            "probes": {
                "galera": {"kind": "galera", "name": "galera"},
                "keystone": {"kind": "http", "name": "keystone"},
                "glance": {"kind": "http", "name": "glance", "read": "/v2/images"},
                "nova-conductor": {"kind": "unit", "name": "nova-conductor"},
            },
            "values": {"glance": {"sections": {"keystone_authtoken": USER}}},
        }
    }


@pytest.fixture
def configure_loader_modules(
    node: FakeNode, pillar: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> dict[Any, Any]:
    monkeypatch.setattr(module, "POLL", (0.001, 0.002))
    monkeypatch.setattr(module.saltern_probes, "ask", node.ask)
    monkeypatch.setattr(module.saltern_processes, "since_boot", lambda: node.booted)
    return {
        module: {
            "__salt__": {
                "unit.show": node.show,
                "unit.pending": lambda: {"keystone": {"files": ["/etc/keystone/keystone.conf"]}},
                "galera.status": node.galera_status,
                "cmd.run_all": lambda argv, **kwargs: {
                    "retcode": 1,
                    "stdout": "installed keystone 2:27.0.0-3\n",
                    "stderr": "no package nova-conductor",
                },
            },
            "__pillar__": pillar,
            "__opts__": {"id": "ctl1"},
            "__context__": {},
        }
    }


def statuses(found: dict[str, dict[str, Any]]) -> dict[str, str]:
    return {name: state["status"] for name, state in found.items()}


def test_all_is_well() -> None:
    found = module.health()
    assert set(statuses(found).values()) == {"ok"}
    assert module.__context__["retcode"] == 0
    assert all(state["reason"] == "" and state["seconds"] < 1 for state in found.values())


def test_a_stopped_unit_is_down_with_one_reason(node: FakeNode) -> None:
    node.stopped = {"keystone", "mariadb"}
    node.reasons["keystone"] = "Connection refused"
    found = module.health()
    assert found["keystone"]["reason"] == "keystone is inactive (dead)"
    assert statuses(found)["galera"] == "down"
    assert module.__context__["retcode"] == 1


def test_what_is_down_on_a_machine_that_just_booted_says_so(node: FakeNode) -> None:
    node.stopped, node.booted = {"keystone"}, 41.6
    found = module.health()
    assert found["keystone"]["booted"] == 42
    assert "booted" not in found["glance"]
    node.booted = module.verdicts.BOOTING
    assert "booted" not in module.health()["keystone"]


def test_a_starved_machine_boots_for_longer(node: FakeNode, starved: None) -> None:
    node.stopped, node.booted = {"keystone"}, 4 * module.verdicts.BOOTING - 1
    assert "booted" in module.health()["keystone"]
    node.booted += 1
    assert "booted" not in module.health()["keystone"]


def test_what_is_stopped_by_a_signal_is_down_and_nobody_waits_for_it(
    node: FakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, int]] = []
    over = threading.Event()

    def why_halted(pids: dict[str, int]) -> str:
        asked.append(pids)
        return "SIGSTOP" if {"keystone", "mariadb"} & pids.keys() else ""

    monkeypatch.setattr(module.saltern_processes, "why_halted", why_halted)
    monkeypatch.setattr(module.saltern_probes, "ask", lambda spec: over.wait(2))
    node.stopped = {"glance-api"}
    try:
        found = module.health(["galera", "keystone", "glance"])
    finally:
        over.set()
    assert found["keystone"] == {"status": "down", "reason": "SIGSTOP", "seconds": 0.0}
    assert found["galera"]["reason"] == "SIGSTOP", "its own module is not asked either"
    assert asked == [{"mariadb": 7}, {"keystone": 8}, {}]


def test_a_running_unit_that_does_not_answer_is_down(node: FakeNode) -> None:
    node.reasons["keystone"] = "10.77.0.11:5000 answers 500"
    assert module.health()["keystone"]["reason"] == "10.77.0.11:5000 answers 500"


@pytest.mark.parametrize(
    ("answer", "status", "words"),
    [
        ({"healthy": False, "reasons": ["non-Primary"], "warnings": []}, "down", "non-Primary"),
        ({"healthy": True, "reasons": [], "warnings": ["2 of 3"]}, "degraded", "2 of 3"),
        (CommandExecutionError("no socket"), "down", "galera.status: no socket"),
        (OSError(), "down", "galera.status: OSError"),
    ],
)
def test_what_another_module_knows_counts(
    node: FakeNode, answer: Any, status: str, words: str
) -> None:
    node.galera = answer
    assert module.health("galera")["galera"] == {
        "status": status,
        "reason": words,
        "seconds": pytest.approx(0, abs=1),
    }


def test_a_module_that_did_not_load_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(module.__salt__, "galera.status")
    assert "galera.status did not load" in module.health("galera")["galera"]["reason"]


def test_only_what_is_asked_and_runs_here_is_looked_at(node: FakeNode) -> None:
    assert list(module.health(services=["keystone", "haproxy"])) == ["keystone"]
    assert node.asked == ["keystone"]
    assert module.health("haproxy") == {}


def test_a_gate_waits_only_for_what_is_not_ok_and_looks_at_all_again(node: FakeNode) -> None:
    node.reasons["keystone"] = "starting"
    node.heals_after["keystone"] = 2
    found = module.health(wait=5)
    assert set(statuses(found).values()) == {"ok"}
    assert node.asked.count("glance") == 2
    assert node.asked.count("keystone") == 4


def test_a_gate_ends_with_the_last_truth(node: FakeNode) -> None:
    node.reasons["keystone"] = "never"
    started = time.monotonic()
    assert statuses(module.health(wait=0.05))["keystone"] == "down"
    assert time.monotonic() - started < 2


def test_a_probe_that_hangs_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GRACE", 0.0)
    monkeypatch.setattr(module.saltern_probes, "TIMEOUT", 0.05)
    monkeypatch.setattr(module.saltern_probes, "ask", lambda spec: time.sleep(3))
    started = time.monotonic()
    found = module.health(["keystone", "glance"])
    assert time.monotonic() - started < 1
    assert found["keystone"]["reason"] == "no answer within 0.05 s"


def test_a_deep_look_reads_with_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def token(url: str, request: str) -> tuple[str | None, str]:
        seen.append((url, "glance" in request))
        return "abc", ""

    monkeypatch.setattr(module.saltern_probes, "token", token)
    monkeypatch.setattr(module.saltern_probes, "read", lambda spec, token: f"{token} refused")
    found = module.health(deep=True)
    assert found["glance"]["reason"] == "abc refused"
    assert statuses(found)["keystone"] == "ok"
    assert seen == [(USER["auth_url"], True)]
    assert module.health("keystone", deep=True)["keystone"]["status"] == "ok"


def test_without_a_token_every_reader_is_down(
    pillar: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        module.saltern_probes, "token", lambda url, request: (None, "it answers 401")
    )
    found = module.health(deep=True)
    assert found["glance"]["reason"] == "no token from http://10.77.0.10:5000: it answers 401"
    pillar["cloud"]["values"] = {}
    assert "no service user" in module.health(deep=True)["glance"]["reason"]


def test_units_one_by_one(node: FakeNode) -> None:
    node.stopped = {"glance-api"}
    found = module.services()
    assert found["glance"]["glance-api"]["state"] == "inactive (dead)"
    assert found["keystone"]["keystone"]["pending"] == ["/etc/keystone/keystone.conf"]


def test_versions_and_the_release(pillar: dict[str, Any]) -> None:
    assert module.version() == {"release": "2025.1", "packages": {"keystone": "2:27.0.0-3"}}
    pillar["cloud"]["units"] = {}
    assert module.version() == {"release": None, "packages": {}}


def test_without_a_pillar_the_next_step_is_said(pillar: dict[str, Any]) -> None:
    del pillar["cloud"]
    with pytest.raises(CommandExecutionError, match="salt ctl1 saltutil.refresh_pillar"):
        module.health()
    assert module.__virtual__() == "openstack"
