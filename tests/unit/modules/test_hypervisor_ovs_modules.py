"""hypervisor and ovs_db execution modules over a small machine."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import pytest
import support
from salt.exceptions import CommandExecutionError

hypervisor = support.load_module("_modules", "hypervisor")
ovs_db = support.load_module("_modules", "ovs_db")

TABLES: dict[str, Any] = {
    "Open_vSwitch": {
        "headings": ["external_ids", "other_config"],
        "data": [[["map", [["system-id", "cmp1"]]], ["map", []]]],
    },
    "Port": {
        "headings": ["_uuid", "name"],
        "data": [[["uuid", "p1"], "eth2"], [["uuid", "p2"], "br-provider"]],
    },
    "Bridge": {
        "headings": ["name", "datapath_type", "ports"],
        "data": [["br-provider", "", ["set", [["uuid", "p1"], ["uuid", "p2"]]]]],
    },
}


class Machine:
    """Answers the few commands that the modules run, and remembers them."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.fails = ""
        self.coming = False

    def run_all(self, argv: list[str], **_: Any) -> dict[str, Any]:
        self.asked.append(argv)
        if self.fails and self.fails in argv:
            return {"retcode": 1, "stdout": "", "stderr": "no such thing"}
        out = json.dumps(TABLES[argv[-1]]) if "list" in argv else ""
        return {
            "retcode": 0,
            "stdout": out if "get-manager" not in argv else "ptcp:1",
            "stderr": "",
        }

    def show(self, units: list[str]) -> dict[str, Any]:
        return {unit: {"coming": self.coming} for unit in units}


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def configure_loader_modules(machine: Machine) -> dict[Any, Any]:
    dunder = {"cmd.run_all": machine.run_all, "unit.show": machine.show}
    return {hypervisor: {"__salt__": dunder}, ovs_db: {"__salt__": dunder}}


def test_kvm_is_used_where_it_opens_and_nobody_forbids_it(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hypervisor, "KVM", str(tmp_path / "kvm"))
    assert hypervisor.virt()["virt_type"] == "qemu"
    (tmp_path / "kvm").touch()
    assert hypervisor.virt() == {"virt_type": "kvm", "cpu_mode": "host-model"}
    assert hypervisor.virt("qemu")["cpu_mode"] == "none"


@pytest.mark.parametrize("legacy", [True, False])
def test_control_groups_are_ours_when_they_can_be_written(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, legacy: bool
) -> None:
    monkeypatch.setattr(hypervisor, "CGROUPS", str(tmp_path))
    if legacy:
        (tmp_path / "cpu").mkdir()
    asked = []
    monkeypatch.setattr(hypervisor.os, "access", lambda path, mode: asked.append(str(path)))
    hypervisor.cgroups()
    assert asked == [str(tmp_path / "cpu") if legacy else str(tmp_path)]


def test_what_libvirt_knows(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, machine: Machine
) -> None:
    monkeypatch.setattr(hypervisor, "CAPABILITIES", str(tmp_path))
    assert hypervisor.probed() == "no"
    machine.coming = True
    assert hypervisor.probed() == "soon"
    machine.coming = False
    (tmp_path / "a.xml").touch()
    assert hypervisor.probed() == "yes"


def test_probing_is_not_waited_for(machine: Machine) -> None:
    assert hypervisor.probe() is True
    assert "--no-block" in machine.asked[0]
    machine.fails = "systemd-run"
    with pytest.raises(CommandExecutionError, match="no such thing"):
        hypervisor.probe()


def test_settings_of_the_switch(machine: Machine) -> None:
    assert ovs_db.settings() == {
        "external_ids": {"system-id": "cmp1"},
        "other_config": {},
        "managers": ["ptcp:1"],
    }


def test_settings_are_set_quoted_and_only_those_given(machine: Machine) -> None:
    ovs_db.set_settings(external_ids={"ovn-remote": "tcp:a,tcp:b"}, manager="ptcp:6640")
    assert machine.asked[0][-1] == 'external_ids:ovn-remote="tcp:a,tcp:b"'
    assert machine.asked[1][-2:] == ["set-manager", "ptcp:6640"]
    machine.asked.clear()
    assert ovs_db.set_settings() is True and not machine.asked


def test_bridges_without_their_own_ports(machine: Machine) -> None:
    assert ovs_db.bridges() == {"br-provider": {"datapath": "system", "ports": ["eth2"]}}


def test_a_bridge_with_and_without_an_uplink(machine: Machine) -> None:
    ovs_db.add_bridge("br-x", datapath="netdev", port="eth9")
    ovs_db.add_bridge("br-y")
    assert machine.asked[0][-2:] == ["br-x", "eth9"]
    assert machine.asked[1][-1] == "datapath_type=system"


def test_a_switch_that_does_not_answer_says_where_to_look(machine: Machine) -> None:
    machine.fails = "ovs-vsctl"
    with pytest.raises(CommandExecutionError, match="journalctl -u ovsdb-server"):
        ovs_db.bridges()
