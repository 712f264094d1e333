"""ovs_db, hypervisor, nova_cell, nova_hosts states: act once, when needed, never in test mode."""

from __future__ import annotations

from typing import Any
from unittest.mock import create_autospec

import pytest
import support
from salt.exceptions import CommandExecutionError

STATES = {
    n: support.load_module("_states", n)
    for n in ("ovs_db", "hypervisor", "nova_cell", "nova_hosts")
}
MODULES = {n: support.load_module("_modules", n) for n in ("ovs_db", "hypervisor", "nova")}


class Fake:
    """A switch, a hypervisor and Nova's tables, as far as the states look at them."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.settings: dict[str, Any] = {
            "external_ids": {"system-id": "cmp1"},
            "other_config": {},
            "managers": [],
        }
        self.bridges: dict[str, Any] = {}
        self.known = "no"
        self.cells: dict[str, list[dict[str, str]]] = {}
        self.mapped: set[str] = set()

    def set_settings(
        self, external_ids: Any = None, other_config: Any = None, manager: Any = None
    ) -> bool:
        self.calls.append("set_settings")
        for column, values in (("external_ids", external_ids), ("other_config", other_config)):
            self.settings[column] |= {key: str(value) for key, value in values.items()}
        if manager:
            self.settings["managers"] = [manager]
        return True

    def add_bridge(self, name: str, datapath: str = "system", port: str | None = None) -> bool:
        self.calls.append("add_bridge")
        self.bridges[name] = {"datapath": datapath, "ports": [port] if port else []}
        return True

    def probe(self) -> bool:
        self.calls.append("probe")
        self.known = "soon"
        return True

    def create_cell(self, name: str, database: str, transport: str) -> str:
        self.calls.append("create_cell")
        self.cells[name] = [{"uuid": "u", "database": database, "transport": transport}]
        return ""

    def update_cell(self, uuid: str, name: str, database: str, transport: str) -> str:
        self.calls.append("update_cell")
        self.cells[name] = [{"uuid": uuid, "database": database, "transport": transport}]
        return ""

    def discover_hosts(self, hosts: Any = None, timeout: int = 60) -> list[str]:
        self.calls.append("discover_hosts")
        if "cmp9" in hosts:
            raise CommandExecutionError("nova-compute on cmp9 did not report")
        self.mapped |= set(hosts)
        return sorted(self.mapped)


@pytest.fixture
def fake() -> Fake:
    return Fake()


@pytest.fixture(params=[False, True], ids=["real", "test=True"])
def testmode(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def configure_loader_modules(fake: Fake, testmode: bool) -> dict[Any, Any]:
    answers = {
        "ovs_db.settings": lambda: fake.settings,
        "ovs_db.set_settings": fake.set_settings,
        "ovs_db.bridges": lambda: fake.bridges,
        "ovs_db.add_bridge": fake.add_bridge,
        "hypervisor.probed": lambda: fake.known,
        "hypervisor.probe": fake.probe,
        "nova.cells": lambda: fake.cells,
        "nova.create_cell": fake.create_cell,
        "nova.update_cell": fake.update_cell,
        "nova.mapped_hosts": lambda: sorted(fake.mapped),
        "nova.discover_hosts": fake.discover_hosts,
    }
    dunder = {
        name: create_autospec(
            getattr(MODULES[name.split(".")[0]], name.split(".")[1]), side_effect=answer
        )
        for name, answer in answers.items()
    }
    return {
        state: {"__opts__": {"test": testmode}, "__salt__": dunder} for state in STATES.values()
    }


CASES = [
    ("ovs_db", "settings", {"external_ids": {"a": 1}, "manager": "ptcp:1"}, "set_settings"),
    ("ovs_db", "settings", {"other_config": {"b": "x"}}, "set_settings"),
    ("ovs_db", "bridge", {"datapath": "netdev", "port": "eth2"}, "add_bridge"),
    ("ovs_db", "bridge", {}, "add_bridge"),
    ("hypervisor", "probed", {}, "probe"),
    ("nova_cell", "present", {"database": "d", "transport": "t"}, "create_cell"),
    ("nova_hosts", "mapped", {"hosts": ["cmp1", "cmp2"]}, "discover_hosts"),
]


@pytest.mark.parametrize(("state", "function", "args", "call"), CASES)
def test_it_acts_once_and_then_never_again(
    fake: Fake, testmode: bool, state: str, function: str, args: dict[str, Any], call: str
) -> None:
    first = getattr(STATES[state], function)("thing", **args)
    assert first["result"] is (None if testmode else True), first["comment"]
    assert first["changes"]
    assert fake.calls == ([] if testmode else [call])
    if not testmode:
        again = getattr(STATES[state], function)("thing", **args)
        assert again["result"] is True and again["changes"] == {}
        assert fake.calls == [call]


def test_a_cell_with_other_urls_is_updated_in_place(fake: Fake, testmode: bool) -> None:
    fake.cells["cell1"] = [{"uuid": "u1", "database": "old", "transport": "t"}]
    ret = STATES["nova_cell"].present("cell1", "d", "t")
    assert ret["result"] is (None if testmode else True)
    assert fake.calls == ([] if testmode else ["update_cell"])
    assert testmode or fake.cells["cell1"][0]["uuid"] == "u1"


def test_two_cells_of_one_name_need_a_person(fake: Fake, testmode: bool) -> None:
    fake.cells["cell1"] = [{"uuid": u, "database": "d", "transport": "t"} for u in ("u1", "u2")]
    ret = STATES["nova_cell"].present("cell1", "d", "t")
    assert ret["result"] is (None if testmode else False)
    assert testmode or "2 cells are called cell1 (u1, u2)" in ret["comment"]
    assert fake.calls == []


def test_a_compute_that_stays_silent_fails_the_state(fake: Fake, testmode: bool) -> None:
    ret = STATES["nova_hosts"].mapped("hosts", ["cmp9"])
    assert ret["result"] is (None if testmode else False)
    assert testmode or "cmp9 did not report" in ret["comment"]


@pytest.mark.parametrize("name", sorted(STATES))
def test_without_its_module_a_state_says_why(
    name: str, testmode: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert STATES[name].__virtual__() == name
    monkeypatch.setattr(STATES[name], "__salt__", {})
    loaded, why = STATES[name].__virtual__()
    assert loaded is False and "did not load" in why
