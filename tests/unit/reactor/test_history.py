"""The fold of the journal: what it answers, and that it does not grow."""

from __future__ import annotations

from typing import Any

import pytest
from fake_decider import START, FakeDecider
from saltern.cloud import Cloud
from saltern.reactor import history
from saltern.reactor.history import History
from saltern.reactor.rules import Budget
from saltern.reactor.terms import Fault

FAULT = Fault("ctl1", "service", "keystone")


@pytest.fixture
def reactor(lab: Cloud) -> FakeDecider:
    return FakeDecider(lab)


def decided(at: float, verdict: str, fault: Fault = FAULT, **changes: Any) -> dict[str, Any]:
    return {
        "kind": "decision",
        "at": at,
        "verdict": verdict,
        "report": 1,
        "fault": fault,
        **changes,
    }


def began(at: float, action: int = 1, fault: Fault = FAULT) -> dict[str, Any]:
    said = {"action": action, "operation": "restart", "rung": 0, "fault": fault}
    return {"kind": "began", "at": at, **said}


def ended(at: float, action: int = 1, ok: bool = True) -> dict[str, Any]:
    return {"kind": "ended", "at": at, "action": action, "ok": ok}


def folded(*records: dict[str, Any]) -> History:
    made = History()
    for record in records:
        made.apply(record)
    return made


def test_what_was_never_seen_has_an_empty_history() -> None:
    known = folded().fault(FAULT)
    assert (known.last, known.running, known.good, known.told) == (None, None, None, None)
    assert known.tries(START, 600) == 0


def test_an_action_runs_until_it_ends() -> None:
    made = folded(decided(START, "act"), began(START))
    [action] = made.running()
    assert made.fault(FAULT).running is action and not action.mended
    made.apply(ended(START + 9))
    assert made.running() == [] and made.fault(FAULT).running is None
    assert action.mended and made.fault(FAULT).good == START + 9 and made.open() == []


def test_a_failed_action_leaves_the_trouble_open() -> None:
    made = folded(decided(START, "act"), began(START), ended(START + 9, ok=False))
    assert [known.fault for known in made.open()] == [FAULT]


def test_an_end_without_a_beginning_and_unknown_kinds_are_passed_over() -> None:
    made = folded(ended(START), {"kind": "told", "at": START}, {"kind": "resolved", "at": START,
                  "fault": FAULT})  # fmt: skip
    assert made.running() == [] and made.open() == []


def test_a_record_from_the_file_is_the_same_as_one_from_memory() -> None:
    held = {"node": "ctl1", "kind": "service", "subject": "keystone"}
    assert history.fault_of(held) == history.fault_of(FAULT) == FAULT


def test_ignored_reports_of_nothing_leave_no_trace() -> None:
    made = folded(*(decided(START, "ignore", Fault("ctl1", "service", str(n))) for n in range(99)))
    assert made._faults == {}


def test_an_ignored_copy_says_that_the_trouble_is_still_there() -> None:
    made = folded(decided(START, "human"), decided(START + 500, "ignore"))
    assert made.fault(FAULT).stays(START + 1000, 600)
    made.apply(decided(START + 1200, "human"))
    assert made.fault(FAULT).stays(START + 1201, 600)
    made.apply({"kind": "resolved", "at": START + 1300, "fault": FAULT})
    made.apply(decided(START + 1400, "ignore"))  # a late copy does not undo the good news
    assert made.fault(FAULT).good == START + 1300


def test_a_waiting_report_that_is_given_up_stands_for_nobody() -> None:
    made = folded(decided(START, "wait", report=7))
    assert made.fault(FAULT).waiting == 7
    made.apply(decided(START, "ignore", report=8))
    assert made.fault(FAULT).waiting == 7
    made.apply(decided(START, "ignore", report=7))
    assert made.fault(FAULT).waiting == 0


def test_tries_are_counted_back_to_the_last_quiet_time() -> None:
    made = History()
    at = START
    for gap in (0, 700, 10, 10):
        at += gap
        for record in (decided(at, "act"), began(at, int(at)), ended(at, int(at))):
            made.apply(record)
    known = made.fault(FAULT)
    assert known.tries(at + 10, 600) == 3
    assert known.tries(at + 10, 5) == 0
    assert known.tries(at + 10, 1000) == 4
    assert known.tries(at + 600, 600) == 0


def test_what_began_before_the_oldest_record_counts_all_the_same() -> None:
    made = folded(began(START), ended(START + 1, ok=False))
    assert made.fault(FAULT).tries(START + 2, 600) == 1


def test_a_report_that_waits_long_has_not_been_quiet() -> None:
    made = folded(decided(START, "act"), began(START), ended(START + 1, ok=False))
    made.apply(decided(START + 2, "wait", report=5))
    made.apply(decided(START + 4000, "act", report=5))
    made.apply(began(START + 4000, 2))
    made.apply(ended(START + 4001, 2, ok=False))
    assert made.fault(FAULT).tries(START + 4002, 600) == 2


def test_budgets_say_when_there_is_room_again() -> None:
    made = folded(*(began(START + n, n, Fault(f"n{n}", "service", "x")) for n in range(5)))
    now = START + 5
    assert made.room(Budget(5, 60), ("restart", "look"), now) == START + 60
    assert made.room(Budget(4, 60), ("restart",), now) == START + 61
    assert made.room(Budget(6, 60), ("restart",), now) is None
    assert made.room(Budget(1, 60), ("look",), now) is None
    assert made.room(Budget(5, 60), ("restart",), START + 60) is None
    one = made.running()
    assert history.room(Budget(5, 60), one, now) == START + 60
    assert history.room(Budget(5, 60), one, START + 60) is None


def test_pauses_hold_where_they_say_and_until_then(reactor: FakeDecider) -> None:
    reactor.pause("node=ctl1", 50)
    reactor.pause("role=controller", 100)
    known = reactor.history
    pause = known.pause("ctl1", ["keystone"], START)
    assert pause and (pause.by, pause.why, pause.until) == ("ann", "disks", START + 50)
    assert known.pause("ctl2", [], START, ["controller"])
    assert known.pause("ctl2", [], START) is None
    assert known.pause("ctl1", [], START + 50) is None
    longest = known.pause("ctl1", [], START, ["controller"])
    assert longest and longest.until == START + 100


def test_what_is_over_is_forgotten_and_what_runs_is_not(reactor: FakeDecider) -> None:
    reactor.pause("cloud", 1)
    reactor.now += 1
    reactor.says("ctl1", "keystone")
    reactor.says("cmp1", "nova-compute")
    reactor.end()
    reactor.now += 100
    reactor.history.forget(reactor.now)
    assert list(reactor.history._faults) == [Fault("cmp1", "service", "nova-compute")]
    assert not reactor.history._pauses and not reactor.history._begun
    reactor.history.forget(START)
    assert len(reactor.history._faults) == 1


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "MOST_FAULTS", 10)
    made = folded(began(START, 1, Fault("n", "service", "old")))
    for n in range(1, 50):
        fault = Fault(f"n{n}", "service", "x")
        made.apply(decided(START + n, "human", fault))
        made.apply(decided(START + n, "human", Fault("n1", "service", "x")))
    assert len(made._faults) == 10
    assert made.fault(Fault("n", "service", "old")).running  # at work: never forgotten
    assert made.fault(Fault("n1", "service", "x")).told == START + 49  # seen a moment ago
    for n in range(20_000):
        made.apply(began(START + n, n + 10))
        made.apply(ended(START + n, n + 10))
    assert len(made._begun) <= 10_000 and len(made.fault(FAULT).actions) == history.MOST_TRIES
