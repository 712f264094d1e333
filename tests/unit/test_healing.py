"""Putting a service right, over a small systemd: look, act once, look again."""

from __future__ import annotations

import pathlib
import subprocess
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import saltern_healing as healing
import saltern_systemd
from saltern.reactor.watched import Unit
from saltern_healing import Busy, Fence, Patient, Refused

PATIENCE = 10.0


class Node:
    """Units with processes; ``sick`` ones run and do not answer, ``broken`` ones never start."""

    def __init__(self) -> None:
        self.units: dict[str, Unit] = {}
        self.modes: dict[str, str] = {}
        self.done: list[tuple[str, ...]] = []
        self.sick: set[str] = set()
        self.broken: set[str] = set()
        self.dies = False  # a moment after it was started
        self.loops = False  # ends as soon as it was started, by whomever
        self.refuses = False
        self.pid = 100

    def add(self, name: str, **facts: Any) -> None:
        known = {"load": "loaded", "active": "active", "sub": "running", "pid": 1, **facts}
        self.units[name] = Unit(name, **known)

    def show(self, names: list[str]) -> list[Unit]:
        return [self.units[name] for name in names]

    def look(self) -> dict[str, Any]:
        if self.loops:
            for name, unit in self.units.items():
                self.add(name, active="activating", sub="auto-restart", restarts=unit.restarts + 1)
        if self.dies and self.verbs():
            for name in self.units:
                self._start(name)
        bad = [name for name, unit in self.units.items() if not unit.up or name in self.sick]
        return {"status": "down" if bad else "ok", "reason": ", ".join(bad)}

    def run(self, argv: list[str], **how: Any) -> subprocess.CompletedProcess[str]:
        words = tuple(argv[1:])
        if self.refuses and "--no-block" in words:
            return subprocess.CompletedProcess(argv, 1, "", "Access denied")
        if words[0] == "show":
            mode = self.modes.get(words[-1].removesuffix(".service"), "control-group")
            return subprocess.CompletedProcess(argv, 0, f"{mode}\n", "")
        self.done.append(words)
        if words[0] == "reset-failed":
            for name in {word.removesuffix(".service") for word in words} & self.units.keys():
                self.units[name] = replace(self.units[name], restarts=0)
        if words[0] == "--no-block":
            for name in words[2:]:
                self._start(name.removesuffix(".service"))
        return subprocess.CompletedProcess(argv, 0, "", "")

    def _start(self, name: str) -> None:
        if name in self.broken:
            return
        self.sick.discard(name)
        self.pid += 1
        restarts = self.units[name].restarts
        self.add(name, pid=self.pid, restarts=restarts)

    def verbs(self) -> list[tuple[str, ...]]:
        return [words[1:] for words in self.done if words[0] == "--no-block"]


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Node:
    fake = Node()
    monkeypatch.setattr("subprocess.run", fake.run)
    monkeypatch.setattr(saltern_systemd, "show", fake.show)
    monkeypatch.setattr(healing, "POLL", 0.005)
    monkeypatch.setattr(healing, "STEADY", 0.05)
    return fake


def patient(node: Node, service: str = "neutron", **how: Any) -> Patient:
    return Patient(service, list(node.units), node.look, **how)


def heal(node: Node, service: str = "neutron", wait: float = 0.3, **how: Any) -> dict[str, Any]:
    return healing.restart(patient(node, service, **how), wait)


def test_what_works_is_not_touched(node: Node) -> None:
    node.add("neutron-api")
    found = heal(node)
    assert (found["before"], found["did"], found["after"]["status"]) == ("ok", "nothing", "ok")
    assert node.done == []


def test_what_is_degraded_is_not_touched(node: Node) -> None:
    node.add("neutron-api")
    look = lambda: {"status": "degraded", "reason": "2 of 3"}  # noqa: E731
    found = healing.restart(Patient("neutron", ["neutron-api"], look))
    assert (found["did"], found["after"]) == ("nothing", {"status": "degraded", "reason": "2 of 3"})
    assert node.done == []


def test_what_is_off_is_started_and_what_runs_beside_it_goes_on(node: Node) -> None:
    node.add("neutron-api", active="failed", sub="failed", pid=0)
    node.add("neutron-periodic-workers", pid=7)
    found = heal(node)
    assert (found["did"], found["after"]["status"]) == ("started", "ok")
    assert node.verbs() == [("start", "neutron-api.service")]
    assert ("reset-failed", "neutron-api.service") in node.done
    assert node.units["neutron-periodic-workers"].pid == 7


def test_what_systemd_is_about_to_start_again_is_restarted_now(node: Node) -> None:
    node.add("neutron-api", active="activating", sub="auto-restart", pid=0, restarts=4)
    assert heal(node)["did"] == "restarted"


def test_what_is_on_its_way_is_waited_for(node: Node) -> None:
    node.add("neutron-api", active="activating", sub="start", pid=0)
    found = heal(node, wait=0.02)
    assert (found["did"], found["after"]["status"]) == ("waited", "down")
    assert node.done == []


def test_what_runs_and_does_not_answer_is_killed(node: Node) -> None:
    node.add("neutron-api")
    node.add("neutron-periodic-workers", pid=7)
    node.sick = {"neutron-api"}
    found = heal(node)
    assert (found["did"], found["after"]["status"]) == ("restarted", "ok")
    assert ("kill", "--kill-whom=all", "--signal=KILL", "neutron-api.service") in node.done
    assert node.verbs() == [("restart", "neutron-api.service")]
    assert node.units["neutron-periodic-workers"].pid == 7


def test_the_children_of_a_unit_that_lets_them_live_are_not_killed(node: Node) -> None:
    node.add("libvirtd")
    node.modes["libvirtd"] = "process"
    node.sick = {"libvirtd"}
    heal(node, "libvirt")
    assert ("kill", "--kill-whom=main", "--signal=KILL", "libvirtd.service") in node.done


def test_a_member_of_a_quorum_is_only_ever_started(node: Node) -> None:
    node.add("mariadb", active="activating", sub="auto-restart", pid=0)
    node.add("galera-check")
    assert heal(node, "galera", quorum=True)["did"] == "started"
    assert node.verbs() == [("start", "mariadb.service")]


def test_a_member_that_hangs_is_restarted_by_its_own_module(node: Node) -> None:
    node.add("mariadb")
    node.sick = {"mariadb"}
    asked = []

    def member() -> None:
        asked.append(True)
        node.sick.clear()

    found = heal(node, "galera", quorum=True, member=member)
    assert (found["did"], found["after"]["status"], asked) == ("restarted", "ok", [True])
    assert node.done == []


def test_what_does_not_help_is_said(node: Node) -> None:
    node.add("neutron-api", active="failed", sub="failed", pid=0)
    node.broken = {"neutron-api"}
    found = heal(node, wait=0.05)
    assert (found["did"], found["after"]["status"]) == ("started", "down")
    assert 0.05 <= found["seconds"] < 2


def test_what_had_crashed_must_stay_up_for_a_while(node: Node) -> None:
    node.add("neutron-api", active="failed", sub="failed", pid=0, restarts=3)
    assert heal(node)["seconds"] >= 0.05


def test_what_keeps_crashing_is_not_called_well(node: Node) -> None:
    node.add("neutron-api", active="failed", sub="failed", pid=0, restarts=3)
    node.dies = True
    found = heal(node, wait=0.2)
    assert found["after"] == {
        "status": "down",
        "reason": "it answers, but does not keep running",
    }


def test_on_a_starved_machine_it_is_waited_for_longer(node: Node, starved: None) -> None:
    node.add("glance-api", active="activating", sub="start", pid=0)
    found = heal(node, wait=0.1)
    assert (found["did"], found["after"]["status"]) == ("waited", "down")
    assert found["seconds"] >= 0.4


@pytest.mark.parametrize("sub", ["failed", "start"])
def test_what_crashes_again_and_again_is_not_waited_for(node: Node, sub: str) -> None:
    """Five starts by systemd before do not count, two after ours do."""
    active = "failed" if sub == "failed" else "activating"
    node.add("neutron-api", active=active, sub=sub, pid=0, restarts=5)
    node.loops = True
    began = time.monotonic()
    found = heal(node, wait=PATIENCE)
    assert found["after"]["status"] == "down"
    assert time.monotonic() - began < PATIENCE / 2
    assert node.units["neutron-api"].restarts >= (0 if found["did"] != "waited" else 5) + 2


def test_old_restarts_of_what_is_not_acted_on_do_not_count(node: Node) -> None:
    node.add("neutron-api", active="failed", sub="failed", pid=0)
    node.add("neutron-periodic-workers", restarts=5)
    node.broken.add("neutron-api")
    assert heal(node, wait=0.3)["seconds"] >= 0.3


def test_a_refusal_has_systemd_s_words(node: Node) -> None:
    node.add("neutron-api", active="failed", sub="failed", pid=0)
    node.refuses = True
    with pytest.raises(Refused, match="Access denied"):
        heal(node)


def test_a_systemctl_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def hangs(argv: list[str], **how: Any) -> None:
        raise subprocess.TimeoutExpired(argv, 30)

    monkeypatch.setattr("subprocess.run", hangs)
    with pytest.raises(Refused, match="does not answer"):
        healing.systemctl("start", ["keystone"])


def test_old_restarts_are_forgiven_by_resetting_the_counter(node: Node) -> None:
    healing.forgive(["keystone"])
    assert node.done == [("reset-failed", "keystone.service")]


def test_one_at_a_time(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(healing, "POLL", 0.005)
    path = tmp_path / "run/heal.lock"
    with healing.alone(0, path):
        with pytest.raises(Busy), healing.alone(0.02, path):
            raise AssertionError("two at once")
        entered = threading.Event()

        def wait() -> None:
            with healing.alone(5, path):
                entered.set()

        thread = threading.Thread(target=wait)
        thread.start()
        time.sleep(0.02)
        assert not entered.is_set()
    assert entered.wait(5)
    thread.join()


def test_the_lock_is_on_the_node_s_own_path(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(healing, "LOCK", tmp_path / "heal.lock")
    with healing.alone(0):
        assert (tmp_path / "heal.lock").exists()


def test_an_older_master_is_shut_out_for_ever(tmp_path: pathlib.Path) -> None:
    fence = Fence(tmp_path / "saltern/epoch")
    admitted: Mapping[int, bool] = {epoch: fence.admits(epoch) for epoch in (3, 2, 5, 4)}
    assert admitted == {3: True, 2: False, 5: True, 4: False}
    assert Fence(tmp_path / "saltern/epoch").admits(5)
    assert not Fence(tmp_path / "saltern/epoch").admits(4)
