"""How compute hosts are proven before they get instances."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import support
from fake_fleet import FakeFleet, Silent, fails
from fake_nova import FakeNova
from saltern import computes, trials
from saltern.cloud import Cloud

LAB = support.cloud("lab")
VALIDATOR = LAB.leader("nova-api")


def prove(nova: FakeNova, *hosts: str, **kwargs: Any) -> tuple[trials.Proof, Silent]:
    report = Silent()
    return trials.prove(LAB, nova.fleet(), report, list(hosts or nova.hosts), **kwargs), report


def test_new_hosts_are_tried_side_by_side_and_enabled() -> None:
    nova = FakeNova("cmp1", "cmp2")
    proof, report = prove(nova)
    assert (proof.proven, proof.failed) == (["cmp1", "cmp2"], {})
    assert nova.booted == [("cmp1", "cmp2")]
    assert all(record["enabled"] for record in nova.hosts.values())
    assert report.steps == ["prove new computes"]
    assert set(nova.doers) == {VALIDATOR}
    assert nova.left == set()


def test_a_host_is_enabled_before_its_instance_is_removed() -> None:
    nova = FakeNova("cmp1")
    nodes = nova.fleet()
    trials.prove(LAB, nodes, Silent(), ["cmp1"])
    done = nodes.functions()
    assert done.index("nova_trial.prove") < done.index("cloud_validation.clean")


def test_a_host_whose_instance_cannot_be_removed_is_held_again() -> None:
    nova = FakeNova("cmp1", "cmp2")
    nova.sticky = "still there: server x"
    proof, report = prove(nova)
    why = "it passed, but its instance cannot be removed: still there: server x"
    assert (proof.proven, proof.failed) == ([], dict.fromkeys(("cmp1", "cmp2"), why))
    assert not any(record["enabled"] for record in nova.hosts.values())
    assert nova.marked == {"cmp1", "cmp2"} and f"cmp1 stays disabled: {why}" in report.notes


def test_a_second_proof_tries_nothing() -> None:
    nova = FakeNova("cmp1", "cmp2")
    prove(nova)
    proof, report = prove(nova)
    assert (proof, report.steps, len(nova.booted)) == (trials.Proof(), [], 1)


@pytest.mark.parametrize("reason", ["memory", None, ""])
def test_a_host_that_an_operator_disabled_is_never_tried(reason: str | None) -> None:
    nova = FakeNova("cmp1", "cmp2")
    nova.add("cmp1", reason)
    proof, report = prove(nova)
    assert (proof.proven, proof.failed, nova.booted) == (["cmp2"], {}, [("cmp2",)])
    assert nova.hosts["cmp1"] == {"host": "cmp1", "enabled": False, "reason": reason}
    assert report.notes[0].startswith("cmp1 stays disabled, as an operator wants it: ")


@pytest.mark.parametrize(
    "reason", [f"{computes.GONE} 2026", f"{computes.FAILED}x", computes.AUTOMATIC]
)
def test_a_host_that_was_held_by_us_is_tried_again(reason: str) -> None:
    nova = FakeNova("cmp1")
    nova.add("cmp1", reason)
    assert prove(nova)[0].proven == ["cmp1"]


def test_a_host_that_fails_is_held_and_the_others_are_enabled() -> None:
    nova = FakeNova("cmp1", "cmp2", "cmp3")
    nova.bad = {"cmp2": "address by DHCP: no lease"}
    proof, report = prove(nova)
    assert proof.proven == ["cmp1", "cmp3"]
    assert proof.failed == {"cmp2": "address by DHCP: no lease"}
    assert nova.booted == [("cmp1", "cmp2", "cmp3")]
    assert not nova.hosts["cmp2"]["enabled"]
    assert nova.hosts["cmp2"]["reason"] == "saltern: canary failed: address by DHCP: no lease"
    assert nova.marked == {"cmp2"}, "placement would offer it"
    assert nova.left == set(), "also what failed is removed"
    assert [note for note in report.notes if note.startswith("cmp2 stays disabled: ")]


def test_what_fails_for_all_enables_nobody() -> None:
    nova = FakeNova("cmp1", "cmp2")
    nova.broken = "no instance can be tried: no such file"
    proof, _ = prove(nova)
    assert proof.failed == dict.fromkeys(("cmp1", "cmp2"), nova.broken)
    assert nova.marked == {"cmp1", "cmp2"}


@pytest.mark.parametrize(("cpu", "together", "limit"), [("auto", 8, 1140), ("qemu", 3, 5640)])
def test_so_many_instances_at_a_time(cpu: str, together: int, limit: int) -> None:
    """They fit into a quota; emulated instances of a lab share its few cores."""
    options = {**LAB.model["options"], "cpu": cpu}
    cloud = Cloud({**LAB.model, "options": options}, LAB.catalog, LAB.secrets)
    nova = FakeNova(*(f"cmp{n:02}" for n in range(18)))
    nodes = nova.fleet()
    assert len(trials.prove(cloud, nodes, Silent(), list(nova.hosts)).proven) == 18
    assert (len(nova.booted), nova.together) == (1, together)
    [told] = [seconds for function, seconds in nodes.limits if function == "nova_trial.prove"]
    assert told == limit, "each of them may take its time"


@pytest.mark.parametrize("answers", [True, False])
def test_that_a_host_is_enabled_is_seen_by_asking_again(answers: bool) -> None:
    nova = FakeNova("cmp1")
    nodes = nova.fleet()
    enable = nodes.handlers["nova_trial.prove"]

    def lying(node: str, kwargs: Mapping[str, Any]) -> Any:
        answer = enable(node, kwargs)
        nova.add("cmp1", computes.AUTOMATIC)
        return answer

    nodes.handlers["nova_trial.prove"] = lying
    if not answers:
        look = nodes.handlers["nova.services"]
        nodes.handlers["nova.services"] = lambda n, k: (
            fails("503")(n, k) if nova.booted else look(n, k)
        )
    proof = trials.prove(LAB, nodes, Silent(), ["cmp1"])
    assert proof.failed == {"cmp1": "it passed and was enabled, but Nova does not say so"}


def test_a_dry_run_says_who_would_be_tried() -> None:
    nova = FakeNova("cmp1", "cmp2")
    nova.add("cmp2", None, enabled=True)
    proof, _ = prove(nova, test=True)
    assert (proof.waiting, proof.proven, nova.booted) == (["cmp1"], [], [])


def test_another_controller_tries_them_when_the_first_is_away() -> None:
    nova = FakeNova("cmp1")
    nova.silent = {VALIDATOR}
    assert prove(nova)[0].proven == ["cmp1"]
    assert VALIDATOR not in nova.doers


def test_without_nova_nobody_is_proven() -> None:
    nova = FakeNova("cmp1")
    nova.silent = set(LAB.nodes)
    assert "nova.services: did not answer" in prove(nova)[0].failed["cmp1"]
    assert prove(FakeNova(), "cmp1")[0].failed == {"cmp1": "Nova knows no such host"}
    bare = Cloud({"name": "t", "nodes": {}}, {})
    assert "no nova-api" in trials.prove(bare, FakeFleet(), Silent(), ["cmp1"]).failed["cmp1"]
    assert trials.prove(bare, FakeFleet(), Silent(), []) == trials.Proof()
