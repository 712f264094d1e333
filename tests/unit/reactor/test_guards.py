"""Each guard rail objects when it must, says why in words, and lets go when it can."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest
from fake_decider import FakeDecider, guarded, wide
from saltern.cloud import Cloud
from saltern.reactor import guards
from saltern.reactor.guards import span
from saltern.reactor.terms import Fault

NODES = ("ctl1", "ctl2", "ctl3")


@pytest.fixture
def reactor(lab: Cloud) -> FakeDecider:
    return FakeDecider(lab)


def test_spans_are_for_people() -> None:
    assert [span(s) for s in (-1, 4.4, 119, 120, 7100, 7200)] == [
        "0 s", "4 s", "119 s", "2 min", "118 min", "2 h",
    ]  # fmt: skip


# -- pauses -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scope", "held"),
    [
        ("cloud", True),
        ("node=ctl1", True),
        ("node=ctl2", False),
        ("role=controller", True),
        ("role=compute", False),
        ("service=keystone", True),
        ("service=glance", False),
        ("node=ctl1, service=keystone", True),
        ("node=ctl1,service=glance", False),
        ("node=ctl2,service=keystone", False),
        ("something else", True),  # what cannot be understood holds everything
    ],
)
def test_nothing_is_done_where_somebody_works(reactor: FakeDecider, scope: str, held: bool) -> None:
    pause = reactor.pause(scope, 100)
    report = reactor.report("service-failed", "ctl1", service="keystone", status="down")
    made = reactor.ask(report)
    assert made.verdict == ("wait" if held else "act")
    if held:
        assert made.reasons[0] == "paused by ann for 100 s more: disks"
        assert made.again_at == reactor.now + 30
        reactor.now += 80
        assert reactor.ask(report).again_at == reactor.now + 20
        reactor.now += 20
        assert reactor.ask(report).verdict == "act"
    reactor.resume(pause)


def test_a_pause_that_is_taken_back_holds_nothing(reactor: FakeDecider) -> None:
    reactor.resume(reactor.pause("cloud", 100))
    assert reactor.says("ctl1", "keystone").verdict == "act"


def test_a_pause_of_a_service_does_not_hold_a_node(reactor: FakeDecider) -> None:
    reactor.pause("service=nova-compute", 100)
    made = reactor.ask(reactor.report("node-gone", "cmp1", "saltern/scan/gone"))
    assert made.verdict == "act"


def test_nobody_is_called_out_of_a_maintenance(reactor: FakeDecider) -> None:
    reactor.pause("cloud", 100)
    made = reactor.ask(reactor.report("report-overflow", "ctl1", dropped=1))
    assert made.verdict == "wait"


# -- who is there -----------------------------------------------------------------------------


def test_a_node_that_has_not_joined_is_left_to_the_join(reactor: FakeDecider) -> None:
    reactor.know(joined=frozenset({"ctl2"}))
    made = reactor.says("ctl1", "keystone")
    assert (made.verdict, made.again_at) == ("ignore", None)
    assert made.reasons[0] == "ctl1 has not joined: a deploy or join will set it right"


def test_a_node_that_is_not_heard_of_is_not_worked_on(reactor: FakeDecider) -> None:
    reactor.silence("ctl1")
    made = reactor.says("ctl1", "keystone")
    assert (made.verdict, made.again_at) == ("wait", reactor.now + 10)
    assert "ctl1 does not answer" in made.reasons[0]


def test_operators_go_first(reactor: FakeDecider) -> None:
    reactor.know(busy="orch.deploy by ann")
    made = reactor.says("ctl1", "keystone")
    assert (made.verdict, made.again_at) == ("wait", reactor.now + 10)
    assert made.reasons[0] == "orch.deploy by ann is at work on the cloud"
    overflow = reactor.ask(reactor.report("report-overflow", "ctl1", dropped=1))
    assert overflow.verdict == "human"


# -- blast radius -----------------------------------------------------------------------------


def test_two_thirds_of_a_role_red_are_no_reason_to_act(reactor: FakeDecider) -> None:
    for node in NODES[:2]:
        reactor.health(node, "keystone", "down")
    made = reactor.says("ctl1", "keystone")
    assert made.verdict == "refuse" and made.fault == Fault("", "sick", "controller")
    assert made.reasons[0].startswith("2 of 3 nodes (controller) look sick: ctl1, ctl2. Look at ")
    waits = reactor.report("service-failed", "ctl2", service="keystone", status="down")
    assert reactor.ask(waits).verdict == "wait"
    reactor.health("ctl1", "glance", "down")
    reactor.health("ctl2", "glance", "hung")
    assert reactor.says("ctl2", "glance").verdict == "wait"  # the same trouble: nobody is told
    reactor.now += 30
    reactor.health("ctl1", "keystone", "ok")
    assert reactor.ask(waits).verdict == "act"


def test_an_outage_that_lasts_is_said_again_after_a_while(reactor: FakeDecider) -> None:
    reactor.silence("ctl2", "ctl3")
    assert reactor.says("ctl1", "keystone").verdict == "refuse"
    reactor.now += 599
    assert reactor.says("ctl1", "keystone").verdict == "wait"
    reactor.now += 2
    assert reactor.says("ctl1", "glance").verdict == "refuse"


@pytest.mark.parametrize(("times", "verdict"), [(1, "refuse"), (5, "refuse"), (6, "wait")])
def test_an_outage_that_is_back_is_told_unless_it_comes_and_goes_all_the_time(
    reactor: FakeDecider, times: int, verdict: str
) -> None:
    reactor.silence("ctl2", "ctl3")
    for _ in range(times):
        made = reactor.says("ctl1", "keystone")
        assert made.verdict == "refuse"
        reactor.now += 20
        reactor.note("resolved", fault=asdict(made.fault), why="the scan")
        reactor.now += 60
    assert reactor.says("ctl1", "keystone").verdict == verdict
    reactor.now += 1
    assert reactor.says("ctl1", "glance").verdict == "wait"


def test_what_was_reported_a_moment_ago_counts(reactor: FakeDecider) -> None:
    reactor.pause("node=ctl2", 5)
    assert reactor.says("ctl2", "keystone").verdict == "wait"
    assert reactor.says("ctl1", "keystone").verdict == "refuse"
    reactor.now += 1
    reactor.health("ctl2", "keystone", "ok")
    assert reactor.says("ctl1", "keystone").verdict == "act"


def test_degraded_copies_are_not_sick(reactor: FakeDecider) -> None:
    for node in NODES:
        reactor.health(node, "keystone", "degraded")
    assert reactor.says("ctl1", "keystone").verdict == "act"


def test_one_failed_service_makes_a_node_sick_for_its_own_group_only(reactor: FakeDecider) -> None:
    reactor.health("ctl1", "glance", "down")
    reactor.health("ctl2", "placement", "down")
    assert reactor.says("ctl3", "keystone").verdict == "act"


def test_most_nodes_silent_stop_everything(reactor: FakeDecider) -> None:
    reactor.silence("lb1", "lb2", "cmp1", "cmp2")
    made = reactor.says("ctl1", "keystone")
    assert made.verdict == "refuse" and made.fault == Fault("", "sick", "cloud")
    assert (
        "4 of 7 nodes (cloud) look sick: lb1, lb2, cmp1, cmp2. Look at what they "
        in (made.reasons[0])
    )
    assert reactor.ask(reactor.report("node-gone", "cmp1", "saltern/scan/gone")).verdict == "wait"


def test_two_nodes_are_no_group(reactor: FakeDecider) -> None:
    reactor.silence("lb2")
    reactor.health("lb2", "haproxy", "down")
    assert reactor.says("lb1", "haproxy").verdict == "act"


@pytest.mark.parametrize(("sick", "verdict"), [(54, "refuse"), (61, "act")])
def test_the_percentage_is_the_rules(sick: int, verdict: str) -> None:
    reactor = guarded(wide(10), sick=sick)
    for n in range(6):
        reactor.health(f"c{n}", "keystone", "down")
    assert reactor.says("c0", "keystone").verdict == verdict


def test_a_long_list_of_nodes_is_cut() -> None:
    reactor = wide(12)
    for n in range(12):
        reactor.health(f"c{n}", "keystone", "down")
    assert "c0, c1, c2, c3, c4 and 7 more" in reactor.says("c0", "keystone").reasons[0]


def test_nodes_that_have_not_joined_are_not_counted() -> None:
    reactor = wide(5)
    for n in (0, 1):
        reactor.health(f"c{n}", "keystone", "down")
    assert reactor.says("c0", "keystone").verdict == "act"
    reactor.end()
    reactor.know(joined=frozenset({"c0", "c1", "c2"}))
    assert reactor.says("c1", "keystone").verdict == "refuse"


def test_a_healthy_copy_is_admitted_although_another_is_sick(reactor: FakeDecider) -> None:
    reactor.health("ctl1", "keystone", "down")
    body = {"service": "keystone", "server": "ctl2", "balancer": "lb1"}
    for node in NODES[1:]:
        made = reactor.ask(reactor.report("backend-missing", node, **body))
        assert (made.verdict, made.operation) == ("act", "admit")


def test_never_more_than_a_minority_of_a_role_is_worked_on(reactor: FakeDecider) -> None:
    assert reactor.says("ctl1", "keystone").verdict == "act"
    made = reactor.says("ctl2", "glance")
    assert (made.verdict, made.again_at) == ("wait", reactor.now + 2)
    assert made.reasons[0] == (
        "work on ctl1 goes on: of 3 nodes with the role controller only a minority is touched"
    )
    assert reactor.says("cmp1", "nova-compute").verdict == "act"
    assert reactor.says("cmp2", "nova-compute").verdict == "wait"  # of two, one
    verdicts = [(some := wide()) and some.says(f"c{n}", "keystone").verdict for n in range(12)]
    assert verdicts == ["act"] * 12
    some = wide()
    services = ["keystone", "glance", "placement", "memcached", "neutron", "horizon"]
    verdicts = [some.says(f"c{n}", service).verdict for n, service in enumerate(services)]
    assert verdicts == ["act"] * 5 + ["wait"]


def test_one_action_at_a_time_on_a_node(reactor: FakeDecider) -> None:
    reactor.says("ctl1", "keystone")
    reactor.now += 3
    made = reactor.says("ctl1", "glance")
    assert (made.verdict, made.again_at) == ("wait", reactor.now + 2)
    assert made.reasons[0] == ("restart for service keystone on ctl1 goes on, it began 3 s ago")


# -- quorum -----------------------------------------------------------------------------------


def healthy(reactor: FakeDecider, *nodes: str, service: str = "galera", age: float = 0.0) -> None:
    for node in nodes:
        reactor.health(node, service, "ok", age)


def test_a_member_is_restarted_while_all_others_are_well(reactor: FakeDecider) -> None:
    healthy(reactor, "ctl2")
    reactor.health("ctl3", "galera", "degraded")  # it misses the one that is down
    made = reactor.says("ctl1", "galera")
    assert (made.verdict, made.operation) == ("act", "restart")


def test_a_second_member_is_never_restarted(reactor: FakeDecider) -> None:
    guarded(reactor, sick=101)
    healthy(reactor, "ctl2")
    reactor.health("ctl3", "galera", "down")
    made = reactor.says("ctl1", "galera")
    assert made.verdict == "refuse"
    assert made.reasons[0].startswith("galera could lose its quorum: ctl3 is down; ")
    reactor.now += 120
    healthy(reactor, "ctl2", "ctl3")
    assert reactor.says("ctl1", "galera").verdict == "act"


def test_old_news_of_the_others_are_none(reactor: FakeDecider) -> None:
    healthy(reactor, "ctl2")
    healthy(reactor, "ctl3", age=guards.FRESH + 1)
    report = reactor.report("service-failed", "ctl1", service="galera", status="down")
    made = reactor.ask(report)
    assert (made.verdict, made.again_at) == ("wait", reactor.now + 2)
    assert made.reasons[0] == "galera has a quorum, and nothing fresh is known of it on ctl3"
    reactor.now += 60
    healthy(reactor, "ctl3", age=guards.FRESH)
    made = reactor.ask(report)
    assert made.verdict == "refuse" and made.reasons[0].endswith("known of it on ctl2")


def test_nothing_may_run_on_the_other_members(reactor: FakeDecider) -> None:
    guarded(reactor, sick=101)
    healthy(reactor, "ctl2", "ctl3")
    assert reactor.says("ctl2", "keystone").verdict == "act"
    made = reactor.says("ctl1", "galera")
    assert made.verdict == "wait"
    assert made.reasons[0].startswith("galera has a quorum, and restart for service keystone on c")
    form = reactor.ask(reactor.report("member-missing", "ctl1", service="galera"))
    assert form.verdict == "wait"


def test_a_cluster_is_formed_when_most_members_are_down(reactor: FakeDecider) -> None:
    for node in NODES:
        reactor.health(node, "galera", "down")
    made = reactor.ask(reactor.report("member-missing", "ctl1", service="galera"))
    assert (made.verdict, made.operation) == ("act", "form")
    reactor.end()
    assert reactor.says("ctl1", "galera").verdict == "refuse"


def test_a_single_member_has_nobody_to_ask() -> None:
    assert wide(1).says("c0", "galera").verdict == "act"


def test_every_objection_is_told(reactor: FakeDecider) -> None:
    reactor.pause("cloud", 60)
    reactor.know(busy="orch.deploy by ann")
    reactor.silence("ctl1", "ctl2")
    made = reactor.says("ctl1", "keystone")
    assert made.verdict == "wait"
    assert [reason[:20] for reason in made.reasons] == [
        "paused by ann for 60",
        "service keystone on ",
        "ctl1 does not answer",
        "orch.deploy by ann i",
        "2 of 3 nodes (contro",
    ]


def test_every_guard_is_asked() -> None:
    made = {f for f in vars(guards).values() if callable(f) and _is_guard(f)}
    assert made == set(guards.GUARDS)


def _is_guard(function: Any) -> bool:
    returns = getattr(function, "__annotations__", {}).get("return")
    return returns == "Objection | None"
