"""The judge of the simulated days: it finds what it is shown, and lets pass what is right."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from fake_decider import START
from lossy_way import LATE, Rates, Way
from reactor_judge import AT_MOST, NEWS, PATIENCE, STABLE, TRIES, Judge, Truth
from reactor_weather import NEW, SHADOWED, a_cloud, tight_rules
from saltern.reactor.terms import Decision, Fault, Observed, Report, Status, Verdict

RULES = tight_rules(breaker=True)
GLANCE, GALERA = Fault("ctl1", "service", "glance"), Fault("ctl1", "service", "galera")


@pytest.fixture
def judge() -> Judge:
    """Of a cloud in which glance and galera have just failed on ctl1."""
    cloud = a_cloud(5)
    nodes = frozenset(cloud.nodes)
    truth = Truth(cloud, START, joined=nodes - {NEW}, accepted=nodes)
    truth.become(("ctl1", "glance"), "down")
    truth.become(("ctl1", "galera"), "down")
    return Judge(truth, RULES)


def decision(
    fault: Fault, operation: str = "restart", verdict: Verdict = "act", rule: str = "service-failed"
) -> Decision:
    return Decision(1, rule, fault, verdict, ("because",), operation)


def known(judge: Judge, age: float = 0.0) -> Observed:
    """All members of galera are well, by what was heard so long ago."""
    status = Status("ok", "", judge.truth.now - age)
    return Observed(services={f"ctl{n}": {"galera": status} for n in range(1, 6)})


def begins(judge: Judge, fault: Fault = GLANCE, operation: str = "restart") -> list[str]:
    return judge.begins(judge.begun, decision(fault, operation), known(judge))


@pytest.mark.parametrize("fault", [GLANCE, GALERA])
def test_what_is_right_passes(judge: Judge, fault: Fault) -> None:
    assert begins(judge, fault) == []
    assert not judge.wrong and judge.begun == 1 and not judge.for_nothing


def pause(truth: Truth) -> None:
    truth.pauses[1] = ("role=controller", truth.now + 1)


def lock(truth: Truth) -> None:
    truth.busy = "orch.deploy"


def silence(truth: Truth) -> None:
    truth.hush("ctl1", True)
    truth.now += NEWS + 1


def leave(truth: Truth) -> None:
    truth.joined -= {"ctl1"}


def mend(truth: Truth) -> None:
    truth.become(("ctl1", "glance"), "ok")
    truth.now += NEWS + 1


def spread(truth: Truth) -> None:
    for node in ("ctl2", "ctl3"):
        truth.become((node, "glance"), "down")
    truth.now += NEWS + 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (pause, "it is paused"),
        (lock, "orch.deploy holds the lock"),
        (silence, "the node is silent"),
        (leave, "the node has not joined"),
        (mend, "it has been well for 21 s"),
        (spread, "3 of 5 copies are sick"),
    ],
)
def test_it_counts_a_wrong_action(judge: Judge, change: Callable[[Truth], None], said: str) -> None:
    change(judge.truth)
    assert begins(judge) == [said]
    assert len(judge.wrong) == 1 and "restart for service glance on ctl1" in judge.wrong[0]


def test_what_could_not_be_known_yet_is_not_wrong(judge: Judge) -> None:
    for node in ("ctl2", "ctl3"):
        judge.truth.become((node, "glance"), "down")
    judge.truth.become(("ctl1", "glance"), "ok")
    judge.truth.now += LATE
    assert begins(judge) == [] and judge.for_nothing == 1


def test_what_mended_itself_unheard_is_not_wrong(judge: Judge) -> None:
    judge.truth.hush("ctl1", True)
    judge.truth.become(("ctl1", "glance"), "ok")
    judge.truth.now += 100
    judge.truth.hush("ctl1", False)
    assert begins(judge) == [] and judge.for_nothing == 1


def test_a_quorum_loses_one_member_at_a_time(judge: Judge) -> None:
    judge.truth.become(("ctl2", "galera"), "down")
    assert begins(judge, GALERA) == []
    judge.ended(0, ok=False)
    judge.truth.now += NEWS + 1
    assert begins(judge, GALERA) == ["another member, ctl2, is bad"]
    assert "another member, ctl1, is worked on" in begins(judge, Fault("ctl2", "service", "galera"))


@pytest.mark.parametrize("age", [11.0, None])
def test_a_quorum_is_known_freshly(judge: Judge, age: float | None) -> None:
    seen = Observed() if age is None else known(judge, age)
    found = judge.begins(0, decision(GALERA), seen)
    assert len(found) == 4 and "nothing good and fresh was known" in found[0]
    assert len(judge.wrong) == 1, "one action, whatever is wrong with it"


def test_one_action_at_a_time_on_a_node(judge: Judge) -> None:
    assert begins(judge) == []
    assert "another action is at work on the node" in begins(judge, GALERA)


def test_a_minority_of_a_role_is_worked_on(judge: Judge) -> None:
    for node in ("ctl1", "ctl2", "ctl3"):
        judge.truth.become((node, "keystone"), "down")
        found = begins(judge, Fault(node, "service", "keystone"))
        judge.truth.now += 60
    assert found == ["3 of 5 of controller would be worked on", "3 of 5 copies are sick"]


def test_budgets(judge: Judge) -> None:
    for _ in range(TRIES):
        assert begins(judge) == []
        judge.ended(judge.begun - 1, ok=False)
        judge.truth.now += 60
    assert begins(judge) == [f"it is number {TRIES + 1} within 600 s of {GLANCE}"]
    judge.ended(judge.begun - 1, ok=False)
    judge.truth.now += STABLE
    for number in range(1, AT_MOST + 2):
        judge.truth.become((f"cmp{number}", "libvirt"), "down")
        found = begins(judge, Fault(f"cmp{number}", "service", "libvirt"))
        judge.ended(judge.begun - 1, ok=True)
    assert found == [f"it is number {AT_MOST + 1} within 60 s of all"]


def test_one_report_is_one_action(judge: Judge) -> None:
    assert judge.begins(0, decision(GLANCE), Observed(), event=5) == []
    judge.ended(0, ok=True)
    judge.truth.now += 10
    found = judge.begins(1, decision(GLANCE), Observed(), event=5)
    assert found == ["it is the second one because of the same report"]


def test_joins_and_shadows(judge: Judge) -> None:
    new = Fault(NEW, "new")
    assert begins(judge, new, "join") == []
    judge.ended(0, ok=True)
    judge.truth.accepted -= {NEW}
    assert begins(judge, new, "join") == ["the key of the node is not accepted"]
    assert "the node has joined" in begins(judge, Fault("ctl1", "new"), "join")
    shadowed = decision(Fault("cmp1", "gone"), "mark_gone", rule=SHADOWED)
    assert judge.begins(9, shadowed, Observed()) == ["its rule may only watch"]


def patience(judge: Judge, seconds: float = PATIENCE + 1) -> int:
    """How many are left alone after so long."""
    for _ in range(int(seconds)):
        judge.truth.now += 1
        judge.watch()
    return len(judge.left_alone)


def test_a_fault_is_left_alone_once(judge: Judge) -> None:
    judge.truth.become(("ctl1", "galera"), "ok")
    assert patience(judge, PATIENCE - 1) == 0
    assert patience(judge) == 1
    assert patience(judge) == 1


def test_who_is_called_or_hindered_leaves_nothing_alone(judge: Judge) -> None:
    judge.decided(decision(GLANCE, verdict="human"))
    judge.truth.pauses[1] = ("service=galera", judge.truth.now + STABLE)
    assert patience(judge, STABLE) == 0
    assert patience(judge) == 1, "the pause is over"
    judge.over(GLANCE)
    assert patience(judge) == 2, "it was said to be over"


def test_a_call_for_a_group_stands_for_all_of_it(judge: Judge) -> None:
    judge.decided(decision(Fault("", "sick", "controller"), verdict="refuse"))
    assert patience(judge, 2 * PATIENCE) == 0
    judge.over(Fault("", "sick", "controller"))
    assert patience(judge, STABLE) == 0
    assert patience(judge) == 2


def test_nobody_is_called_again_too_soon(judge: Judge) -> None:
    judge.decided(decision(GLANCE, verdict="human"))
    judge.truth.now += STABLE
    judge.decided(decision(GLANCE, verdict="human"))
    assert not judge.told_again
    judge.truth.now += STABLE - 1
    judge.decided(decision(GLANCE, verdict="human"))
    assert len(judge.told_again) == 1 and judge.called == 3


def test_the_way_counts_what_it_does() -> None:
    way = Way(random.Random(1), Rates(lost=0.1, doubled=0.2, late=0.3))  # noqa: S311
    came, now = [], START
    for number in range(2000):
        report = Report(number, now, "t", "ctl1", "node", "service-failed", {})
        way.fire(report, now)
        came += way.arrived(now)
        now += 1
    assert way.fired == 2000
    came += way.arrived(now + LATE)
    assert len(came) == 2000 - way.lost + way.doubled
    assert 150 < way.lost < 250 and 300 < way.doubled < 420 and way.overtaken > 300
    assert sum(event.copy for event in came) == way.doubled
    assert len({event.number for event in came}) == 2000 - way.lost
