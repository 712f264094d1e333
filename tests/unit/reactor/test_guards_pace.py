"""How often and how fast: backoff, breaker and budgets."""

from __future__ import annotations

import pytest
from fake_decider import FakeDecider, guarded, wide
from saltern.cloud import Cloud
from saltern.reactor.rules import Budget


@pytest.fixture
def reactor(lab: Cloud) -> FakeDecider:
    return FakeDecider(lab)


def test_a_crash_loop_is_slowed_down_and_ends_at_the_breaker(reactor: FakeDecider) -> None:
    began = []
    told = []
    report = None
    for _ in range(60 * 10):
        body = {"service": "keystone", "status": "down"}
        report = report or reactor.report("service-failed", "ctl1", **body)
        made = reactor.ask(report)
        report = report if made.verdict == "wait" else None
        if made.verdict == "act":
            began.append(reactor.now)
            reactor.end()
            reactor.says("ctl1", "keystone", "ok")
        elif made.verdict == "human":
            told.append(made)
        reactor.now += 1
    waits = [b - a for a, b in zip(began, began[1:], strict=False)]
    assert waits == [1, 2, 4]
    assert len(told) == 1
    assert told[0].reasons[0] == (
        "4 actions did not help or did not last, the last was restart: no more until it has "
        "been well for 10 min"
    )


def test_the_breaker_closes_after_a_stable_time(reactor: FakeDecider) -> None:
    guarded(reactor, failures=1)
    assert reactor.says("ctl1", "keystone").verdict == "act"
    reactor.end()
    reactor.says("ctl1", "keystone", "ok")
    reactor.now += 500
    assert reactor.says("ctl1", "keystone").verdict == "human"
    reactor.says("ctl1", "keystone", "ok")
    reactor.now += 600
    assert reactor.says("ctl1", "keystone").verdict == "act"


def test_the_wait_before_the_next_action_is_told(reactor: FakeDecider) -> None:
    guarded(reactor, first=20)
    reactor.says("ctl1", "keystone")
    again = reactor.end(ok=False)
    assert again
    made = reactor.ask(again)
    assert (made.verdict, made.again_at) == ("wait", reactor.now + 20)
    assert made.reasons[0].endswith("did not help or did not last: the next comes in 20 s")
    assert made.operation == "reapply"


def test_one_trouble_has_a_budget(reactor: FakeDecider) -> None:
    guarded(reactor, target=Budget(2, 1000), stable=1, window=0)
    for _ in range(2):
        assert reactor.says("ctl1", "keystone").verdict == "act"
        reactor.end()
        reactor.now += 100
    made = reactor.says("ctl1", "keystone")
    assert (made.verdict, made.again_at) == ("wait", reactor.now + 800)
    assert "2 actions against it in 17 min are the most: the next in 13 min" in made.reasons[0]


def test_all_troubles_together_have_a_budget() -> None:
    reactor = guarded(wide(100), overall=Budget(30, 60))
    verdicts = []
    for n in range(50):
        reactor.now += 0.1
        verdicts.append(reactor.says(f"c{n}", "keystone").verdict)
        if reactor.running:
            reactor.end()
            reactor.says(f"c{n}", "keystone", "ok")
    assert verdicts == ["act"] * 30 + ["wait"] * 20
    made = reactor.ask(reactor.report("node-started", "c60"))
    assert made.verdict == "act"  # a look is not a restart
