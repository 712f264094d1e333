"""One trouble, one incident, one message: also in a storm, and after a restart."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from saltern.reactor import wording
from saltern.reactor.incidents import Incidents, Message
from saltern.reactor.terms import Fault

KEYSTONE = Fault("ctl1", "service", "keystone")
GLANCE = Fault("ctl1", "service", "glance")


class Journal:
    """Records as the real one keeps them, and the incidents that follow them."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []
        self.incidents = Incidents()
        self._ids = count(1)
        self.now = 1000.0

    def write(self, kind: str, **fields: Any) -> int:
        number = next(self._ids)
        own = {"decision": "decision", "began": "action"}.get(kind)
        record = {"id": number, "at": self.now, "kind": kind, **fields}
        if own:
            record.setdefault(own, number)
        self.records.append(record)
        self.incidents.apply(record)
        return number

    def decide(self, fault: Fault, verdict: str, operation: str = "", **more: Any) -> int:
        return self.write(
            "decision",
            **{
                "report": 7, "rule": "service-failed", "fault": asdict(fault), "verdict": verdict,
                "operation": operation, "rung": 0, "reasons": [f"why {fault.subject}"],
                "severity": "warning", **more,
            },
        )  # fmt: skip

    def act(self, fault: Fault, operation: str, ok: bool, seconds: float = 2.0) -> None:
        self.decide(fault, "act", operation)
        action = self.write("began", fault=asdict(fault), operation=operation, rung=0, epoch=1)
        self.now += seconds
        detail = "" if ok else "still down"
        self.write(
            "ended", action=action, fault=asdict(fault), operation=operation, rung=0, ok=ok,
            detail=detail,
        )  # fmt: skip

    def resolve(self, fault: Fault) -> None:
        self.write("resolved", fault=asdict(fault), why="it says ok")

    def tell(self, after: float = 0.0) -> list[Message]:
        """What is due ``after`` so many seconds; it is told."""
        self.now += after
        messages = self.incidents.due(self.now)
        for message in messages:
            self.told(message)
        return messages

    def told(self, message: Message) -> None:
        self.write(
            "told", incident=message.incident, phase=message.phase, count=message.count,
            severity=message.severity, as_of=message.at,
        )  # fmt: skip

    def phases(self, seconds: int) -> list[str]:
        """Phases told within so many seconds, looked at each second."""
        return [message.phase for _ in range(seconds) for message in self.tell(1)]

    def restart(self) -> None:
        self.incidents = Incidents()
        for record in self.records:
            self.incidents.apply(record)


@pytest.fixture
def journal() -> Journal:
    return Journal()


def words(message: Message) -> str:
    return wording.text(message, "lab", lambda at: f"@{at:.0f}")


def test_what_is_healed_is_told_once_and_not_at_once(journal: Journal) -> None:
    journal.act(KEYSTONE, "restart", ok=True)
    assert not journal.tell(29)
    [message] = journal.tell(1)
    assert (message.phase, message.severity, message.count) == ("healed", "notice", 1)
    assert wording.title(message, "lab") == "lab healed itself: keystone on ctl1"
    assert "done: restart ok in 2.0 s" in words(message)
    assert journal.phases(700) == []
    assert len(journal.incidents) == 0


def test_a_human_is_called_after_seconds_and_hears_of_the_end(journal: Journal) -> None:
    journal.act(KEYSTONE, "restart", ok=False)
    journal.decide(KEYSTONE, "human")
    assert not journal.tell(4)
    [message] = journal.tell(1)
    assert (message.phase, message.severity) == ("attention", "warning")
    assert message.key == f"{message.incident}/attention"
    assert "lab needs you: keystone on ctl1" in words(message)
    assert "because: why keystone" in words(message)
    assert "restart failed in 2.0 s: still down" in words(message)
    assert "salt-run saltern.explain 7" in words(message)
    assert journal.phases(60) == []
    journal.resolve(KEYSTONE)
    assert not journal.tell(29)
    [message] = journal.tell(1)
    assert message.phase == "resolved"
    assert "lab, over: keystone on ctl1" in words(message)
    assert "It took 2 min." in words(message)
    assert "because" not in words(message)
    assert journal.phases(700) == []


def test_what_ends_by_itself_and_looking_are_not_worth_a_message(journal: Journal) -> None:
    journal.act(Fault("ctl2", "started"), "look", ok=True)
    assert len(journal.incidents) == 0
    journal.decide(KEYSTONE, "act", "restart")
    journal.resolve(KEYSTONE)
    journal.resolve(Fault("ctl3", "gone"))
    for verdict in ("ignore", "wait", "shadow"):
        journal.decide(GLANCE, verdict)
    assert journal.phases(100) == []


def test_a_decision_may_end_a_trouble(journal: Journal) -> None:
    journal.decide(KEYSTONE, "human")
    journal.tell(5)
    journal.decide(KEYSTONE, "ignore", resolves=True)
    assert journal.phases(31) == ["resolved"]


def test_a_human_who_was_not_called_yet_is_not_called_for_what_is_over(journal: Journal) -> None:
    journal.decide(KEYSTONE, "refuse")
    journal.act(KEYSTONE, "restart", ok=True)
    assert journal.phases(40) == ["healed"]
    journal.decide(KEYSTONE, "act", "restart")
    assert journal.phases(20) == []  # what was asked for before has been mended
    journal.decide(KEYSTONE, "human")
    assert journal.phases(10) == ["attention"]  # healed was told, and this is new


@pytest.mark.parametrize(("operation", "kind"), [("isolate", "service"), ("mark_gone", "gone")])
def test_what_is_contained_is_not_mended(journal: Journal, operation: str, kind: str) -> None:
    journal.act(Fault("cmp1", kind, "x"), operation, ok=True)
    [message] = journal.tell(5)
    assert message.phase == "attention"
    assert f"{operation} keeps it from doing harm, and does not mend it" in words(message)


def test_nobody_waits_for_what_only_contains(journal: Journal) -> None:
    gone = Fault("cmp1", "gone")
    journal.decide(gone, "act", "mark_gone", severity="critical")
    journal.write("began", fault=asdict(gone), operation="mark_gone", rung=0, epoch=1)
    assert journal.phases(2) == []
    assert journal.phases(1) == ["attention"], "it goes on for minutes where Nova does not answer"


def test_a_storm_of_a_hundred_is_one_message_with_a_count(journal: Journal) -> None:
    for node in range(50):
        for service in ("a", "b"):
            journal.decide(Fault(f"n{node}", "service", service), "refuse")
            journal.now += 0.04
    [message] = journal.tell(5)
    assert message.count == 100
    title = "lab needs you: a on n0, and 99 more on 50 nodes"
    assert wording.title(message, "lab") == title
    assert "and 80 more: salt-run saltern.pending" in words(message)
    assert journal.phases(100) == []
    assert len(wording.payload(message, "lab", str)["nodes"]) == 50


def test_a_storm_of_different_faults_is_bounded(journal: Journal) -> None:
    for number in range(100):
        journal.decide(Fault(f"n{number}", "service", f"s{number}"), "human")
        journal.now += 0.01
    assert sum(message.count for message in journal.tell(5)) == 100
    assert len(journal.incidents) == 5


def test_faults_without_a_node_are_not_of_one_node(journal: Journal) -> None:
    journal.decide(Fault("", "canary"), "human")
    journal.decide(Fault("", "cutoff"), "human")
    assert [m.count for m in journal.tell(5)] == [1, 1]


def test_a_storm_that_goes_on_is_told_after_ten_seconds(journal: Journal) -> None:
    told = []
    for node in range(30):
        journal.decide(Fault(f"n{node}", "gone"), "human")
        told += journal.tell(1)
    told += [m for _ in range(60) for m in journal.tell(1)]
    assert [m.phase for m in told] == ["attention", "grown"]
    assert [m.count for m in told] == [10, 30]
    assert told[1].key.endswith("/grown-1029")
    assert "and it grows" in words(told[1])


def test_who_still_needs_a_human_long_after_is_told_again(journal: Journal) -> None:
    sick = Fault("", "sick", "cloud")
    journal.decide(sick, "refuse")
    journal.tell(5)
    journal.decide(sick, "refuse")
    assert journal.phases(598) == []
    journal.decide(sick, "refuse")
    assert journal.phases(2) == []
    journal.decide(sick, "refuse")
    [message] = journal.tell(5)
    assert message.phase == "still"
    assert "lab still needs you: too much is sick at once" in words(message)
    journal.now += 700
    journal.decide(sick, "refuse")
    [again] = journal.tell(5)
    assert again.key != message.key
    assert journal.phases(100) == []


def test_who_needs_a_human_meanwhile_is_not_forgotten(journal: Journal) -> None:
    journal.decide(KEYSTONE, "human")
    journal.now += 5
    [message] = journal.incidents.due(journal.now)
    journal.now += 0.1
    journal.decide(GLANCE, "human")  # between the message and its record
    journal.told(message)
    assert journal.phases(10) == ["grown"]


def test_the_same_service_elsewhere_belongs_to_it_and_another_does_not(journal: Journal) -> None:
    journal.decide(KEYSTONE, "human")
    journal.tell(60)
    journal.decide(Fault("ctl2", "service", "keystone"), "human")
    journal.decide(Fault("ctl3", "service", "nova-api"), "human")
    told = journal.tell(5)
    assert [(m.phase, m.count) for m in told] == [("grown", 2), ("attention", 1)]
    journal.decide(Fault("ctl2", "service", "glance"), "human")  # of one node, soon after
    journal.tell(700)
    journal.decide(Fault("ctl4", "service", "keystone"), "human")  # much later
    [message] = journal.tell(5)
    assert (message.phase, message.count) == ("attention", 1)


def test_a_service_that_dies_again_and_again_is_told_once(journal: Journal) -> None:
    told = []
    for _ in range(5):
        journal.act(KEYSTONE, "restart", ok=True)
        told += journal.phases(60)
    assert told == ["healed"]
    journal.decide(KEYSTONE, "human")
    [message] = journal.tell(5)
    assert message.phase == "attention"
    assert "5 times" not in words(message)
    assert "6 times" in words(message)


def test_after_its_end_was_told_it_is_a_new_incident(journal: Journal) -> None:
    journal.decide(KEYSTONE, "human")
    first = journal.tell(5)[0].incident
    journal.resolve(KEYSTONE)
    journal.tell(30)
    journal.resolve(KEYSTONE)
    journal.decide(KEYSTONE, "human")
    [message] = journal.tell(5)
    assert message.phase == "attention"
    assert message.incident != first
    assert [i.id for i in journal.incidents.ongoing()] == [message.incident]
    journal.tell(700)  # the first is forgotten, and nothing of the second with it
    journal.resolve(KEYSTONE)
    assert journal.phases(31) == ["resolved"]


def test_an_alert_ends_under_the_severity_it_began_with(journal: Journal) -> None:
    journal.decide(KEYSTONE, "human")
    journal.tell(5)
    journal.decide(GLANCE, "human", severity="critical")
    journal.resolve(KEYSTONE)
    journal.resolve(GLANCE)
    assert [m.severity for m in journal.tell(31)] == ["warning"]


def test_the_worst_severity_counts(journal: Journal) -> None:
    journal.decide(KEYSTONE, "human", severity="critical")
    journal.decide(GLANCE, "human", severity="notice")
    assert [m.severity for m in journal.tell(10)] == ["critical"]


def test_nothing_is_told_twice_after_a_restart(journal: Journal) -> None:
    journal.decide(KEYSTONE, "human")
    journal.act(Fault("ctl9", "service", "x"), "restart", ok=True)
    assert sorted(journal.phases(60)) == ["attention", "healed"]
    journal.restart()
    assert journal.phases(60) == []
    journal.resolve(KEYSTONE)
    journal.restart()
    assert journal.phases(60) == ["resolved"]
    journal.restart()
    assert journal.phases(60) == []


def test_what_was_not_told_before_a_restart_is_told_after_it(journal: Journal) -> None:
    journal.decide(KEYSTONE, "human")
    journal.now += 5
    [lost] = journal.incidents.due(journal.now)
    journal.restart()
    [message] = journal.tell()
    assert message.key == lost.key


def test_records_of_what_is_not_known_any_more(journal: Journal) -> None:
    journal.write("told", incident=99, phase="healed", count=1, severity="notice", as_of=1.0)
    journal.write("paused", pause=1, scope="cloud", until=9.0, by="me", why="")
    journal.write(
        "ended", action=77, fault=asdict(KEYSTONE), operation="restart", rung=0, ok=True, detail=""
    )
    journal.decide(KEYSTONE, "act", "restart")
    journal.write(  # began before the records that are kept
        "ended", action=78, fault=KEYSTONE, operation="restart", rung=0, ok=True, detail="fine"
    )
    [message] = journal.tell(30)
    assert "done: restart ok: fine" in words(message)


FAULTS = st.builds(
    Fault,
    st.sampled_from(["n1", "n2", "n3", ""]),
    st.sampled_from(["service", "gone"]),
    st.sampled_from(["a", "b"]),
)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["human", "refuse", "heal", "fail", "isolate", "over", "restart"]),
        FAULTS,
        st.sampled_from([0, 0.5, 4, 31, 601]),
    ),
    max_size=60,
)


def happen(journal: Journal, steps: list[tuple[str, Fault, float]]) -> Iterator[Message]:
    for what, fault, pause in steps:
        if what in ("human", "refuse"):
            journal.decide(fault, what)
        elif what in ("heal", "fail", "isolate"):
            operation = what if what == "isolate" else "restart"
            journal.act(fault, operation, ok=what != "fail")
        elif what == "over":
            journal.resolve(fault)
        else:
            journal.restart()
        yield from journal.tell(pause)


@given(STEPS)
def test_whatever_happens(steps: list[tuple[str, Fault, float]]) -> None:
    journal = Journal()
    told = list(happen(journal, steps))
    told += [message for _ in range(700) for message in journal.tell(1)]
    keys = [message.key for message in told]
    assert len(keys) == len(set(keys)), "a message was told twice"
    ended = {m.incident for m in told if m.phase == "resolved"}
    called = {m.incident for m in told if m.phase == "attention"}
    assert ended <= called, "the end of what nobody heard of"
    for incident in journal.incidents.ongoing():
        if any(not trouble.over for trouble in incident.needing):
            assert incident.id in called, "nobody was called"


@given(STEPS)
def test_everything_that_needs_a_human_ends_with_a_message(
    steps: list[tuple[str, Fault, float]],
) -> None:
    journal = Journal()
    told = list(happen(journal, steps)) + journal.tell(60)
    for fault in {fault for _, fault, _ in steps}:
        journal.resolve(fault)
    told += [message for _ in range(700) for message in journal.tell(1)]
    assert {m.incident for m in told if m.phase == "resolved"} == {
        m.incident for m in told if m.phase == "attention"
    }
    assert len(journal.incidents) == 0


def test_what_the_whole_cloud_has_is_told_beside_what_a_node_has(journal: Journal) -> None:
    journal.decide(Fault("cmp1", "gone"), "human", severity="critical")
    assert journal.phases(10) == ["attention"]
    journal.decide(Fault("", "gone"), "human", severity="critical")
    assert [(m.phase, str(m.troubles[0].fault)) for m in journal.tell(4)] == [("attention", "gone")]
