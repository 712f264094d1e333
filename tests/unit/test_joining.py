"""Who changes when nodes join, and how compute hosts are proven before they get instances."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import support
from fake_fleet import FakeFleet, Silent, fails
from saltern import fleet, joining
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


class Attempts:
    """Nodes of ``bad`` fail; who they are is said when ``named``."""

    def __init__(self, bad: Mapping[str, str], named: bool = True) -> None:
        self.bad, self.named = bad, named
        self.made: list[str] = []

    def __call__(self, nodes: Sequence[str]) -> list[str]:
        self.made.append("".join(nodes))
        said = [(node, self.bad[node]) for node in nodes if node in self.bad]
        return [f"{node}: {why}" if self.named else why for node, why in said]


@pytest.mark.parametrize(
    ("bad", "named", "made"),
    [
        ({}, True, ["abc"]),
        ({"b": "no disk"}, True, ["abc", "ac"]),
        ({"a": "no disk", "b": "no disk"}, True, ["abc", "c"]),
        ({"b": "no disk"}, False, ["abc", "a", "b", "c"]),
    ],
)
def test_the_others_go_on_without_who_fails(
    bad: dict[str, str], named: bool, made: list[str]
) -> None:
    attempt = Attempts(bad, named)
    assert joining.one_by_one(["a", "b", "c"], attempt) == {node: ["no disk"] for node in bad}
    assert attempt.made == made


@pytest.mark.parametrize(
    ("nodes", "named", "why", "made"),
    [
        ("b", True, "b: no disk", ["b"]),
        ("b", False, "no disk", ["b"]),
        ("ab", True, "a: no memory; b: no disk", ["ab"]),
        ("ab", False, "no memory; no disk", ["ab", "a", "b"]),
    ],
)
def test_where_nobody_is_left_all_is_told(
    nodes: str, named: bool, why: str, made: list[str]
) -> None:
    attempt = Attempts({"a": "no memory", "b": "no disk"}, named)
    with pytest.raises(fleet.Failed, match=f"^{why}$"):
        joining.one_by_one(list(nodes), attempt)
    assert attempt.made == made


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


STAMP = "of today"


def others(**handlers: Any) -> FakeFleet:
    return FakeFleet(
        **{
            "preflight__stamp": lambda n, k: STAMP,
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
    assert joining.introduce(work, ["cmp2"], STAMP) == []
    joining.name(work, ["cmp2"], LAB.nodes)
    leader = LAB.leader("nova-conductor")
    assert nodes.functions() == [
        "preflight.stamp",
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

    def stamp(node: str, kwargs: Mapping[str, Any]) -> Any:
        if node == leader:
            raise RuntimeError("did not answer")
        return STAMP

    def refresh(node: str, kwargs: Mapping[str, Any]) -> Any:
        if node in (leader, "lb2"):
            raise RuntimeError("did not answer")
        return True

    nodes = others(preflight__stamp=stamp, saltutil__refresh_pillar=refresh)
    work = a_join(nodes)
    assert joining.introduce(work, ["cmp2"], STAMP) == []
    joining.name(work, ["cmp2"], LAB.nodes)
    [mapped] = [asked for function, asked, _ in nodes.asked if function == "state.sls"]
    assert mapped != (leader,) and mapped[0] in LAB.nodes_running("nova-conductor")
    assert isinstance(work.report, Silent)
    assert [n for n in work.report.notes if n.startswith("lb2: names: did not answer")]
    assert "lb2" not in nodes.asked[-1][1], "who is away is not asked twice"


def test_without_any_conductor_the_join_says_so() -> None:
    nodes = others(preflight__stamp=fails("did not answer"), saltutil__sync_all=fails("no"))
    [reason] = joining.introduce(a_join(nodes), ["cmp2"], STAMP)
    assert "no nova-conductor to go on with" in reason and "state.sls" not in nodes.functions()
    nodes = others(saltutil__refresh_pillar=fails("no pillar"))
    assert joining.introduce(a_join(nodes), ["cmp2"], STAMP) != []


@pytest.mark.parametrize("said", ["of yesterday", "'preflight.stamp' is not available."])
def test_a_conductor_with_other_code_gets_todays_first(said: str) -> None:
    def stamp(node: str, kwargs: Mapping[str, Any]) -> Any:
        if "available" in said:
            raise RuntimeError(said)
        return said

    nodes = others(preflight__stamp=stamp)
    assert joining.introduce(a_join(nodes), ["cmp2"], STAMP) == []
    leader = LAB.leader("nova-conductor")
    assert [asked[:2] for asked in nodes.asked][:3] == [
        ("preflight.stamp", (leader,)),
        ("saltutil.sync_all", (leader,)),
        ("saltutil.refresh_pillar", (leader,)),
    ]


def test_a_host_that_cannot_be_mapped_fails_the_join() -> None:
    bad = {"x": {"__id__": "h", "__sls__": "nova", "result": False, "comment": "did not report"}}
    nodes = others(state__sls=lambda n, k: bad)
    with pytest.raises(fleet.Failed, match="did not report"):
        joining.introduce(a_join(nodes), ["cmp2"], STAMP)


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
    assert joining.introduce(work, ["a"], STAMP) == []
    joining.name(work, ["a"], ["a"])
    assert work.fleet.asked == []  # type: ignore[attr-defined]
