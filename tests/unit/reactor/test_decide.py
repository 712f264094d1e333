"""What is done about a report: the ladder, copies, relapses."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fake_decider import RULES, FakeDecider
from saltern.cloud import Cloud
from saltern.reactor import decide
from saltern.reactor.terms import Fault

GONE, BACK = "saltern/scan/gone", "saltern/scan/back"


@pytest.fixture
def reactor(lab: Cloud) -> FakeDecider:
    return FakeDecider(lab)


def shadowed(reactor: FakeDecider) -> FakeDecider:
    reactor.rules = {name: replace(rule, mode="shadow") for name, rule in RULES.items()}
    return reactor


def test_a_lone_failed_service_is_restarted(reactor: FakeDecider) -> None:
    made = reactor.says("ctl1", "keystone", reason="exited with 1")
    assert (made.verdict, made.operation, made.rung) == ("act", "restart", 0)
    assert made.fault == Fault("ctl1", "service", "keystone")
    assert made.reasons == (
        "service keystone on ctl1: down, exited with 1 (the node, 0 s ago)",
        "restart is rung 1 of 3 (restart, reapply, isolate), and no guard rail objects",
    )


def test_a_hundred_copies_are_one_action(reactor: FakeDecider) -> None:
    verdicts = []
    for _ in range(100):
        reactor.now += 0.01
        verdicts.append(reactor.says("ctl1", "keystone").verdict)
    assert verdicts == ["act"] + ["ignore"] * 99
    assert "restart is at work on it for 1 s" in reactor.says("ctl1", "keystone").reasons[0]


def test_what_was_reported_before_an_action_ended_is_no_news(reactor: FakeDecider) -> None:
    reactor.says("ctl1", "keystone")
    reactor.now += 5
    late = reactor.report("service-failed", "ctl1", service="keystone", status="down")
    reactor.now += 1
    reactor.end()
    reactor.now += 60
    made = reactor.ask(late)
    assert made.verdict == "ignore" and "older than the end of restart" in made.reasons[0]
    assert "with success" in made.reasons[0]


def test_a_late_copy_waits_for_its_window_and_is_dropped_when_all_is_well(
    reactor: FakeDecider,
) -> None:
    reactor.says("ctl1", "keystone")
    reactor.now += 5
    reactor.end()
    reactor.now += 3
    late = reactor.report("service-failed", "ctl1", service="keystone", status="down")
    made = reactor.ask(late)
    assert (made.verdict, made.again_at) == ("wait", reactor.now + 7)
    assert "may be a late copy" in made.reasons[0]
    copy = reactor.says("ctl1", "keystone")
    assert copy.verdict == "ignore" and f"report {late.id} of the same" in copy.reasons[0]
    reactor.now += 7
    reactor.health("ctl1", "keystone", "ok")
    made = reactor.ask(late)
    assert made.verdict == "ignore" and made.resolves
    assert made.reasons == ("keystone is ok again since it was reported",)


def test_a_late_copy_that_is_bad_after_its_window_is_no_copy(reactor: FakeDecider) -> None:
    reactor.says("ctl1", "keystone")
    reactor.end()
    reactor.now += 3
    late = reactor.report("service-failed", "ctl1", service="keystone", status="down")
    assert reactor.ask(late).verdict == "wait"
    reactor.now += 10
    reactor.health("ctl1", "keystone", "down")
    made = reactor.ask(late)
    assert (made.verdict, made.operation) == ("act", "restart")
    assert "restart did not last 13 s ago" in made.reasons


def test_a_relapse_after_good_news_does_not_wait_for_the_window(reactor: FakeDecider) -> None:
    reactor.says("ctl1", "keystone")
    reactor.end()
    reactor.says("ctl1", "keystone", "ok")
    reactor.now += 2
    assert reactor.says("ctl1", "keystone").verdict == "act"


def test_what_does_not_help_is_not_tried_again(reactor: FakeDecider) -> None:
    made = reactor.says("ctl1", "keystone")
    tried = []
    while made.verdict == "act":
        tried.append(made.operation)
        reactor.now += 1
        again = reactor.end(ok=False)
        assert again is not None
        made = reactor.ask(again)
        while made.verdict == "wait":
            assert made.again_at is not None and made.again_at > reactor.now
            reactor.now = made.again_at
            made = reactor.ask(again)
    assert tried == ["restart", "reapply", "isolate"]
    assert made.verdict == "human"
    assert made.reasons[0] == "all of restart, reapply, isolate has been tried"
    assert made.severity == "warning"
    reactor.now += 120
    made = reactor.says("ctl1", "keystone")
    assert made.verdict == "ignore" and made.reasons[0] == "a human was told 2 min ago"


def test_an_isolated_service_is_still_broken(reactor: FakeDecider) -> None:
    again = None
    made = reactor.says("ctl1", "keystone", "looping")
    assert (made.operation, made.rung) == ("reapply", 1)
    reactor.now += 1
    again = reactor.end(ok=False)
    assert again
    reactor.now += 5
    assert reactor.ask(again).operation == "isolate"
    reactor.end(ok=True)
    reactor.now += 120
    assert reactor.says("ctl1", "keystone").verdict == "human"


def test_a_fault_that_comes_back_soon_goes_on_where_it_was(reactor: FakeDecider) -> None:
    reactor.says("ctl1", "keystone")
    reactor.now += 1
    again = reactor.end(ok=False)
    assert again
    reactor.now += 5
    assert reactor.ask(again).operation == "reapply"
    reactor.end(ok=True)
    reactor.says("ctl1", "keystone", "ok")
    reactor.now += 599
    made = reactor.says("ctl1", "keystone")
    assert (made.operation, made.rung) == ("reapply", 1)


def test_a_fault_that_comes_back_late_starts_at_the_first_rung(reactor: FakeDecider) -> None:
    reactor.says("ctl1", "keystone", "looping")
    reactor.end(ok=True)
    reactor.says("ctl1", "keystone", "ok")
    reactor.now += 601
    assert reactor.says("ctl1", "keystone").rung == 0


def test_stable_is_counted_from_when_it_was_well_not_from_the_last_action(
    reactor: FakeDecider,
) -> None:
    reactor.says("ctl1", "keystone")
    again = reactor.end(ok=False)
    assert again
    for _ in range(10):  # bad all the time: the scan says so every two minutes
        reactor.now += 120
        made = reactor.says("ctl1", "keystone")
        if made.verdict == "act":
            reactor.end(ok=False)
    assert made.verdict == "ignore" and "a human was told" in made.reasons[0]


def does_not_last(reactor: FakeDecider) -> None:
    """Keystone on ctl1 is restarted as often as the breaker lets it be."""
    for _ in range(4):
        assert reactor.says("ctl1", "keystone").verdict == "act"
        reactor.end()
        reactor.says("ctl1", "keystone", "ok")
        reactor.now += 20


def test_a_human_is_told_again_of_what_was_well_in_between(reactor: FakeDecider) -> None:
    does_not_last(reactor)
    assert reactor.says("ctl1", "keystone").verdict == "human"
    reactor.now += 60
    assert reactor.says("ctl1", "keystone", "ok").resolves
    reactor.now += 60
    assert reactor.says("ctl1", "keystone").verdict == "human", "they heard that it was over"
    reactor.now += 60
    assert reactor.says("ctl1", "keystone").verdict == "ignore"


def test_a_human_is_not_told_of_what_comes_and_goes_for_ever(reactor: FakeDecider) -> None:
    does_not_last(reactor)
    for _ in range(6):
        assert reactor.says("ctl1", "keystone").verdict == "human"
        reactor.now += 10
        assert reactor.says("ctl1", "keystone", "ok").resolves
        reactor.now += 5
        assert reactor.says("ctl1", "keystone").verdict == "human", "of the same incident"
        reactor.now += 5
        assert reactor.says("ctl1", "keystone", "ok").resolves
        reactor.now += 40
    again = reactor.report("service-failed", "ctl1", service="keystone", status="down")
    made = reactor.ask(again)
    assert made.verdict == "wait" and made.again_at == reactor.now + 600 - 6 * 60
    assert made.reasons[0] == "a human was told 45 s ago: the next time in 4 min"
    reactor.now = made.again_at
    assert reactor.ask(again).verdict == "human"


def test_good_news_ends_a_trouble_once(reactor: FakeDecider) -> None:
    made = reactor.says("ctl1", "keystone", "ok")
    assert (made.verdict, made.resolves) == ("ignore", False)
    reactor.says("ctl1", "keystone")
    reactor.end(ok=False)
    made = reactor.says("ctl1", "keystone", "ok")
    assert made.resolves and made.reasons == ("service keystone on ctl1 is over: the node says so",)
    assert not reactor.says("ctl1", "keystone", "ok").resolves


def test_a_waiting_report_is_done_with_when_good_news_come(reactor: FakeDecider) -> None:
    pause = reactor.pause("node=ctl1", 3600)
    waits = reactor.report("service-failed", "ctl1", service="keystone", status="down")
    assert reactor.ask(waits).verdict == "wait"
    reactor.now += 10
    assert reactor.says("ctl1", "keystone", "ok").resolves
    reactor.resume(pause)
    made = reactor.ask(waits)
    assert made.verdict == "ignore" and "it is over for" in made.reasons[0]


def test_scan_and_node_speak_of_the_same_trouble(reactor: FakeDecider) -> None:
    assert reactor.says("ctl1", "keystone").verdict == "act"
    found = reactor.report("service-drift", "ctl1", service="keystone", status="down")
    assert reactor.ask(found).verdict == "ignore"


def test_what_the_model_does_not_say_is_left_alone(reactor: FakeDecider) -> None:
    assert reactor.says("stranger", "keystone").reasons == ("stranger is not in the model",)
    made = reactor.says("cmp1", "keystone")
    assert made.reasons == ("cmp1 does not run keystone by the model",)
    assert reactor.says("cmp1", "nonsense").verdict == "ignore"
    assert not reactor.history.open()


def test_a_rule_that_is_off_does_nothing(reactor: FakeDecider) -> None:
    reactor.rules = {name: replace(rule, mode="off") for name, rule in RULES.items()}
    made = reactor.says("ctl1", "keystone")
    assert (made.verdict, made.reasons) == ("ignore", ("the rule service-failed is off",))


def test_what_is_neither_bad_nor_good_is_no_trouble(reactor: FakeDecider) -> None:
    made = reactor.ask(reactor.report("node-new", "cmp1", act="pend"))
    assert made.reasons == ("this is no trouble",)


def test_shadow_says_what_it_would_do_and_does_not(reactor: FakeDecider) -> None:
    made = shadowed(reactor).says("ctl1", "keystone")
    assert (made.verdict, made.operation) == ("shadow", "restart")
    assert made.reasons[0] == "in shadow: an armed rule would do restart now"
    reactor.now += 120
    made = reactor.says("ctl1", "keystone")
    assert made.reasons == ("in shadow: this was said 2 min ago",)
    reactor.says("ctl1", "keystone", "ok")
    reactor.now += 1
    assert reactor.says("ctl1", "keystone").verdict == "shadow"
    assert not reactor.history.fault(made.fault).actions


def test_shadow_tells_nobody(reactor: FakeDecider) -> None:
    made = shadowed(reactor).ask(reactor.report("report-overflow", "ctl1", dropped=3))
    assert made.verdict == "shadow" and "would tell a human" in made.reasons[0]


def test_a_rule_without_a_ladder_tells_a_human_once(reactor: FakeDecider) -> None:
    made = reactor.ask(reactor.report("report-overflow", "ctl1", dropped=3))
    assert made.verdict == "human"
    assert made.reasons[0] == "nothing is done about this without a human"
    assert "overflow on ctl1: A node had more to report" in made.reasons[1]
    reactor.now += 1
    assert reactor.ask(reactor.report("report-overflow", "ctl1", dropped=3)).verdict == "ignore"
    reactor.now += 601
    assert reactor.ask(reactor.report("report-overflow", "ctl1", dropped=3)).verdict == "human"


def test_a_silent_node_is_marked_and_a_human_told(reactor: FakeDecider) -> None:
    reactor.silence("cmp1")
    made = reactor.ask(reactor.report("node-gone", "cmp1", GONE, reason="nobody reaches it"))
    assert (made.verdict, made.operation, made.severity) == ("act", "mark_gone", "critical")
    reactor.end()
    reactor.now += 20
    assert reactor.ask(reactor.report("node-gone", "cmp1", GONE)).verdict == "human"
    made = reactor.ask(reactor.report("node-gone", "cmp1", BACK))
    assert made.resolves and made.reasons == ("gone on cmp1 is over: the scan says so",)


def test_a_node_of_which_only_the_minion_is_silent_keeps_its_work(reactor: FakeDecider) -> None:
    reactor.silence("cmp1")
    made = reactor.ask(reactor.report("node-gone", "cmp1", GONE, verdict="silent"))
    assert (made.verdict, made.operation) == ("human", "")


def test_a_trouble_of_the_whole_cloud_is_a_humans(reactor: FakeDecider) -> None:
    made = reactor.ask(reactor.report("node-gone", "", GONE, reason="this master is cut off"))
    assert made.verdict == "human" and made.fault == Fault("", "gone")
    assert "gone: this master is cut off" in made.reasons[1]
    assert reactor.ask(reactor.report("node-gone", "", BACK)).resolves


# -- nodes that started ------------------------------------------------------------------------


def test_a_node_that_started_is_looked_at_every_time(reactor: FakeDecider) -> None:
    for _ in range(5):
        made = reactor.ask(reactor.report("node-started", "ctl1"))
        assert (made.verdict, made.operation) == ("act", "look")
        reactor.end()
        reactor.now += 130


# -- questions --------------------------------------------------------------------------------


def test_the_other_members_of_a_quorum_are_asked_first(reactor: FakeDecider) -> None:
    rule = RULES["service-failed"]
    asked = {"ctl1": ["galera"], "ctl3": ["galera"]}
    for service, status, node, wanted in (
        ("galera", "down", "ctl2", asked),
        ("galera", "ok", "ctl2", {}),
        ("keystone", "down", "ctl2", {}),
        ("galera", "down", "stranger", {}),
    ):
        report = reactor.report("service-failed", node, service=service, status=status)
        assert decide.questions(rule, report, reactor.cloud) == wanted
    form = reactor.report("member-missing", "ctl2", service="galera")
    assert decide.questions(RULES["member-missing"], form, reactor.cloud) == {}
