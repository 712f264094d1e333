"""Who changes when nodes join, and how compute hosts are proven before they get instances."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import support
from fake_fleet import FakeFleet, Silent, fails
from fake_nova import FakeNova
from saltern import computes, fleet, joining
from saltern.cloud import Cloud
from saltern.deploy import Deployment
from saltern.values import functions

LAB = support.cloud("lab")
VALIDATOR = LAB.leader("nova-api")


# -- who has to change ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("example", "nodes"),
    [("lab", ["cmp2"]), ("large", ["cmp001", "cmp100"]), ("large", ["cmp050"])],
)
def test_nobody_else_changes_for_a_compute(example: str, nodes: list[str]) -> None:
    assert joining.others_told(support.cloud(example), nodes, functions()) == []


@pytest.mark.parametrize(
    ("example", "nodes", "why"),
    [
        ("lab", ["ctl3"], "galera on ctl3 is balanced"),
        ("lab", ["cmp2", "ctl3"], "galera on ctl3 is balanced"),
        ("lab", ["lb2"], "lb1 is told of them"),
        ("lab", ["cmp1", "cmp2"], "they are the first with their role"),
        ("large", ["mq2"], "rabbitmq on mq2 is a member of a cluster"),
        ("small", ["cmp1"], "is a member of a cluster|is balanced"),
    ],
)
def test_others_change_for_what_they_know_by_name(example: str, nodes: list[str], why: str) -> None:
    [first, *_] = joining.others_told(support.cloud(example), nodes, functions())
    assert any(word in first for word in why.split("|")), first


def test_only_what_may_come_later_is_left_out_of_the_comparison() -> None:
    told = {"digest": 1, "values": {"nova": {"hosts": [1], "config": 2}, "haproxy": {"x": 3}}}
    assert joining._now(told) == {"values": {"nova": {"config": 2}, "haproxy": {"x": 3}}}


def test_a_list_of_nodes_that_cannot_join() -> None:
    assert joining.strangers(LAB, ["cmp1", "cmp9"]) == [
        "cmp9: not in the model (pillar/cloud.yaml)"
    ]
    assert "nobody is named" in joining.strangers(LAB, [])[0]


def test_a_part_of_the_cloud_is_the_same_cloud() -> None:
    part = joining.part(LAB, ["cmp2", "ctl1"])
    assert part.nodes == ["ctl1", "cmp2"]
    assert part.nodes_running("galera") == LAB.nodes_running("galera")
    assert (part.waves, part.secrets) == (LAB.waves, LAB.secrets)


# -- asking --------------------------------------------------------------------------------------


def test_somebody_who_is_away_is_passed_over_and_an_error_is_an_answer() -> None:
    said = {"ctl1": "did not answer", "ctl2": "503 from Nova"}

    def handler(node: str, kwargs: Mapping[str, Any]) -> Any:
        raise RuntimeError(said[node])

    nodes = FakeFleet(x=handler)
    node, answer = joining.ask_one(nodes, ["ctl1", "ctl2", "ctl3"], "x", 5, {})
    assert (node, answer.ok, answer.value) == ("ctl2", False, "503 from Nova")
    assert joining.ask_one(nodes, [], "x", 5, {}) == ("", fleet.Answer(False, fleet.NO_ANSWER))


def test_the_leader_is_asked_first() -> None:
    assert joining.any_of(LAB, "nova-api")[0] == VALIDATOR
    assert sorted(joining.any_of(LAB, "nova-api")) == ["ctl1", "ctl2", "ctl3"]
    assert joining.any_of(Cloud({"name": "t", "nodes": {}}, {}), "nova-api") == []


# -- the others ----------------------------------------------------------------------------------


def a_join(nodes: FakeFleet, test: bool = False) -> Deployment:
    return Deployment(LAB, nodes, Silent(), test=test, only=["cmp2"])


def others(**handlers: Any) -> FakeFleet:
    return FakeFleet(
        **{
            "saltutil__sync_all": lambda n, k: {},
            "saltutil__refresh_pillar": lambda n, k: True,
            "state__sls_id": lambda n, k: {},
            **handlers,
        }
    )


def test_hosts_are_mapped_by_a_conductor_with_todays_pillar_and_names_go_to_the_others() -> None:
    changed = {"x": {"__id__": "hosts", "__sls__": "common", "changes": {"text": "new"}}}
    nodes = others(state__sls_id=lambda n, k: changed if n == "lb1" else {})
    work = a_join(nodes)
    assert joining.introduce(work, ["cmp2"]) == []
    joining.name(work, ["cmp2"], LAB.nodes)
    leader = LAB.leader("nova-conductor")
    assert nodes.functions() == [
        "saltutil.sync_all",
        "saltutil.refresh_pillar",
        "state.sls",
        "saltutil.refresh_pillar",
        "state.sls_id",
    ]
    assert nodes.asked[2][1] == (leader,)
    assert nodes.asked[2][2]["mods"] == "nova.discover"
    assert nodes.asked[2][2]["pillar"] == {"joining": ["cmp2"]}, "cmp1 may not be there yet"
    assert nodes.asked[4][1] == ("lb1", "lb2", "ctl1", "ctl2", "ctl3", "cmp1")
    assert work.changes == {"lb1": {"common: hosts": {"text": "new"}}}


def test_another_conductor_goes_on_when_the_leader_is_away() -> None:
    leader = LAB.leader("nova-conductor")

    def sync(node: str, kwargs: Mapping[str, Any]) -> Any:
        if node == leader:
            raise RuntimeError("did not answer")
        return {}

    def refresh(node: str, kwargs: Mapping[str, Any]) -> Any:
        if node in (leader, "lb2"):
            raise RuntimeError("did not answer")
        return True

    nodes = others(saltutil__sync_all=sync, saltutil__refresh_pillar=refresh)
    work = a_join(nodes)
    assert joining.introduce(work, ["cmp2"]) == []
    joining.name(work, ["cmp2"], LAB.nodes)
    [mapped] = [asked for function, asked, _ in nodes.asked if function == "state.sls"]
    assert mapped != (leader,) and mapped[0] in LAB.nodes_running("nova-conductor")
    assert isinstance(work.report, Silent)
    assert [n for n in work.report.notes if n.startswith("lb2: names: did not answer")]
    assert "lb2" not in nodes.asked[-1][1], "who is away is not asked twice"


def test_without_any_conductor_the_join_says_so() -> None:
    nodes = others(saltutil__sync_all=fails("did not answer"))
    [reason] = joining.introduce(a_join(nodes), ["cmp2"])
    assert "no nova-conductor to go on with" in reason and "state.sls" not in nodes.functions()
    nodes = others(saltutil__refresh_pillar=fails("no pillar"))
    assert joining.introduce(a_join(nodes), ["cmp2"]) != []


def test_a_host_that_cannot_be_mapped_fails_the_join() -> None:
    bad = {"x": {"__id__": "h", "__sls__": "nova", "result": False, "comment": "did not report"}}
    nodes = others(state__sls=lambda n, k: bad)
    with pytest.raises(fleet.Failed, match="did not report"):
        joining.introduce(a_join(nodes), ["cmp2"])


def test_names_that_could_not_be_written_are_told_and_no_obstacle() -> None:
    bad = {"x": {"__id__": "h", "__sls__": "c", "result": False, "comment": "read-only"}}
    work = a_join(others(state__sls_id=lambda n, k: bad if n == "lb1" else {}), test=True)
    joining.name(work, ["cmp2"], LAB.nodes)
    assert isinstance(work.report, Silent)
    assert work.report.notes == ["lb1: c: h: read-only (the next deploy brings them)"]


def test_who_has_not_joined_is_told_no_names() -> None:
    """It may not be there at all, and its own join brings them."""
    nodes = others()
    joining.name(a_join(nodes), ["cmp2"], ["lb1", "cmp2"])
    assert {asked for _, asked, _ in nodes.asked} == {("lb1",)}


def test_steps_after_a_service_of_their_own_run_where_it_runs() -> None:
    nodes = {
        n: {"roles": [n], "addresses": {"management": f"192.0.2.{i}"}} for i, n in enumerate("ab")
    }
    catalog = {"s": {"roles": ["a", "b"], "then": ["s.then"]}, "t": {"roles": ["a"], "then": ["t"]}}
    cloud = Cloud({"name": "t", "nodes": nodes}, catalog)
    assert joining._followers(cloud, ["b"]) == {"s": [("s.then", ["b"])]}
    alone = Cloud({"name": "t", "nodes": {"a": nodes["a"]}}, {"t": {"roles": ["a"]}})
    work = Deployment(alone, FakeFleet(), Silent())
    assert joining.introduce(work, ["a"]) == []
    joining.name(work, ["a"], ["a"])
    assert work.fleet.asked == []  # type: ignore[attr-defined]


# -- the trial -----------------------------------------------------------------------------------


def prove(nova: FakeNova, *hosts: str, **kwargs: Any) -> tuple[joining.Proof, Silent]:
    report = Silent()
    return joining.prove(LAB, nova.fleet(), report, list(hosts or nova.hosts), **kwargs), report


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
    joining.prove(LAB, nodes, Silent(), ["cmp1"])
    done = nodes.functions()
    assert done.index("nova_trial.release") < done.index("cloud_validation.clean")


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
    assert (proof, report.steps, len(nova.booted)) == (joining.Proof(), [], 1)


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


def test_the_host_that_fails_is_found_and_the_others_are_enabled() -> None:
    nova = FakeNova("cmp1", "cmp2", "cmp3")
    nova.bad = {"cmp2": "no lease"}
    proof, report = prove(nova)
    assert proof.proven == ["cmp1", "cmp3"]
    assert list(proof.failed) == ["cmp2"] and "no lease" in proof.failed["cmp2"]
    assert nova.booted == [("cmp1", "cmp2", "cmp3"), ("cmp1",), ("cmp2",), ("cmp3",)]
    assert not nova.hosts["cmp2"]["enabled"]
    assert nova.hosts["cmp2"]["reason"].startswith("saltern: canary failed: instance on cmp2:")
    assert nova.marked == {"cmp2"}, "placement would offer it"
    assert [note for note in report.notes if note.startswith("cmp2 stays disabled: ")]


def test_a_single_host_that_fails_is_not_tried_twice() -> None:
    nova = FakeNova("cmp1")
    nova.bad = {"cmp1": "no lease"}
    assert list(prove(nova)[0].failed) == ["cmp1"]
    assert nova.booted == [("cmp1",)]


def test_a_cause_that_is_no_hosts_own_is_not_looked_for_on_each() -> None:
    nova = FakeNova("cmp1", "cmp2")
    nova.broken = "image upload: no such file"
    proof, _ = prove(nova)
    assert proof.failed == dict.fromkeys(("cmp1", "cmp2"), "image upload: no such file")
    assert nova.booted == [("cmp1", "cmp2")]


def test_a_cloud_that_breaks_during_the_trial_enables_nobody_unproven() -> None:
    nova = FakeNova("cmp1", "cmp2", "cmp3")
    nova.bad = {"cmp2": "no lease"}
    nodes = nova.fleet()
    run = nodes.handlers["cloud_validation.run"]

    def breaking(node: str, kwargs: Mapping[str, Any]) -> Any:
        nova.broken = "token: 503" if len(nova.booted) == 2 else ""
        return run(node, kwargs)

    nodes.handlers["cloud_validation.run"] = breaking
    proof = joining.prove(LAB, nodes, Silent(), ["cmp1", "cmp2", "cmp3"])
    assert proof.proven == ["cmp1"]
    assert proof.failed == dict.fromkeys(("cmp2", "cmp3"), "token: 503")


@pytest.mark.parametrize(("cpu", "groups"), [("auto", [8, 8, 2]), ("qemu", [3] * 6)])
def test_many_hosts_are_tried_in_groups(cpu: str, groups: list[int]) -> None:
    """They fit into a quota; emulated instances of a lab share its few cores."""
    options = {**LAB.model["options"], "cpu": cpu}
    cloud = Cloud({**LAB.model, "options": options}, LAB.catalog, LAB.secrets)
    nova = FakeNova(*(f"cmp{n:02}" for n in range(18)))
    assert len(joining.prove(cloud, nova.fleet(), Silent(), list(nova.hosts)).proven) == 18
    assert [len(group) for group in nova.booted] == groups


def test_a_host_that_is_not_enabled_in_the_end_has_failed() -> None:
    nova = FakeNova("cmp1", "cmp2")
    nova.deaf = {"cmp1"}
    proof, _ = prove(nova)
    assert proof.proven == ["cmp2"]
    assert proof.failed == {"cmp1": "it passed, but could not be enabled: 503"}


@pytest.mark.parametrize("answers", [True, False])
def test_that_a_host_is_enabled_is_seen_by_asking_again(answers: bool) -> None:
    nova = FakeNova("cmp1")
    nodes = nova.fleet()
    nodes.handlers["nova_trial.release"] = lambda n, k: True  # it says so and does nothing
    if not answers:
        look = nodes.handlers["nova.services"]
        nodes.handlers["nova.services"] = lambda n, k: (
            fails("503")(n, k) if nova.booted else look(n, k)
        )
    proof = joining.prove(LAB, nodes, Silent(), ["cmp1"])
    assert proof.failed == {"cmp1": "it passed and was enabled, but Nova does not say so"}


def test_a_mark_that_cannot_be_taken_fails_the_trial() -> None:
    nova = FakeNova("cmp1")
    nodes = nova.fleet()
    nodes.handlers["nova_trial.allow"] = fails("placement on cmp1: 404")
    assert joining.prove(LAB, nodes, Silent(), ["cmp1"]).failed == {
        "cmp1": "placement on cmp1: 404"
    }
    assert nova.booted == []


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
    assert "no nova-api" in joining.prove(bare, FakeFleet(), Silent(), ["cmp1"]).failed["cmp1"]
    assert joining.prove(bare, FakeFleet(), Silent(), []) == joining.Proof()
