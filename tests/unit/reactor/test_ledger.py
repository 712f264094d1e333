"""The journal in words: lines, stories, scopes and times."""

from __future__ import annotations

from typing import Any

import pytest
import support
from saltern.reactor import ledger, wording
from saltern.reactor.terms import Decision, Fault, Report

FAULT = {"node": "ctl1", "kind": "service", "subject": "keystone"}


def decision(number: int, report: int = 1, **more: Any) -> dict[str, Any]:
    return {
        "id": number, "kind": "decision", "at": 10.0, "decision": number, "report": report,
        "rule": "service-failed", "fault": FAULT, "verdict": "act", "operation": "restart",
        "rung": 0, "reasons": ["it is down"], **more,
    }  # fmt: skip


def began(action: int, of: int) -> dict[str, Any]:
    return {"kind": "began", "at": 11.0, "action": action, "decision": of, "operation": "restart"}


def ended(action: int, detail: str = "") -> dict[str, Any]:
    return {"kind": "ended", "at": 12.0, "action": action, "ok": True, "detail": detail}


def clock(at: float) -> str:
    return f"@{at:.0f}"


def lines(*records: dict[str, Any]) -> list[str]:
    return [entry.line(clock) for entry in ledger.entries(records)]


def test_lines() -> None:
    assert lines(
        decision(1), began(2, of=1), ended(2),
        decision(3, 4, verdict="wait", operation="", again_at=99.0),
        decision(5, 6, verdict="human", operation="", reasons=[]),
        decision(7, 8), began(9, of=7),
    ) == [
        "@10 #1 keystone on ctl1: act restart, ok after 1.0 s",
        "@10 #4 keystone on ctl1: wait: it is down",
        "@10 #6 keystone on ctl1: human",
        "@10 #8 keystone on ctl1: act restart, running",
    ]  # fmt: skip


def test_parts_whose_beginning_is_not_kept_any_more() -> None:
    assert lines(ended(2), began(3, of=1), ended(3), decision(4)) == [
        "@10 #1 keystone on ctl1: act restart: it is down"
    ]
    assert lines({"kind": "paused", "pause": 1, "at": 0.0}) == []


def test_a_line_fits_a_screen_whatever_was_reported() -> None:
    [line] = lines(decision(1, verdict="human", reasons=["a\x1b[2J\n" * 500]))
    assert len(line) <= 118
    assert line.isprintable()


REPORT = Report(1, 9.5, "saltern/node/ctl1/service", "ctl1", "node", "service-failed", {"a": "b"})


def test_a_story() -> None:
    later = decision(3, verdict="wait", operation="", at=20.0, again_at=30.0, reasons=[])
    records = [decision(1), began(2, of=1), ended(2, "it answers"), later, decision(4, report=2)]
    assert ledger.story(REPORT, records, clock) == [
        "#1  saltern/node/ctl1/service  from ctl1",
        "  @10  journaled: a=b",
        "  @10  service-failed, +0.5 s: act restart",
        "    because: it is down",
        "  @11  restart began",
        "  @12  restart ok after 1.0 s: it answers",
        "  @20  service-failed, +10.5 s: wait",
        "    again at @30",
    ]


def test_a_story_that_goes_on() -> None:
    story = ledger.story(REPORT, [decision(1), began(2, of=1)], clock)
    assert story[-1] == "  @11  restart began"
    story = ledger.story(REPORT, [decision(1), began(2, of=1), ended(2)], clock)
    assert story[-1] == "  @12  restart ok after 1.0 s"
    alone = Report(7, 0.0, "salt/key", "", "master", "node-new")
    assert ledger.story(alone, [], clock) == [
        "#7  salt/key  from the master",
        "  @0  journaled: nothing more",
        "  not decided yet, or too long ago to be kept",
    ]


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("cloud", "cloud"),
        (" service = keystone , node=ctl1", "node=ctl1,service=keystone"),
        ("role=controller", "role=controller"),
    ],
)
def test_scopes(text: str, written: str) -> None:
    assert ledger.scope(text, support.cloud("lab")) == written


@pytest.mark.parametrize(
    "text", ["", "cloud,node=ctl1", "node", "node=", "=ctl1", "host=x", "node=x"]
)
def test_what_is_no_scope(text: str) -> None:
    with pytest.raises(ValueError, match="is no scope|has no node"):
        ledger.scope(text, support.cloud("lab"))


def test_pauses_that_hold() -> None:
    records: list[dict[str, Any]] = [
        {"kind": "paused", "pause": 1, "until": 5.0, "scope": "cloud"},
        {"kind": "paused", "pause": 2, "until": 50.0, "scope": "node=a"},
        {"kind": "paused", "pause": 3, "until": 50.0, "scope": "node=b"},
        {"kind": "resumed", "pause": 2},
        {"kind": "resumed", "pause": 9},
        {"kind": "told"},
    ]
    assert [pause["pause"] for pause in ledger.pauses(records, 5.0)] == [3]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("30m", 1800), (" 24 h ", 86400), ("7d", 604800), ("7", None), ("-1h", None)],
)
def test_times(text: str, seconds: float | None) -> None:
    assert ledger.seconds(text) == seconds


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(2.34, "2.3 s"), (90, "2 min"), (7199, "120 min"), (9000, "2.5 h"), (200000, "2 days")],
)
def test_durations(seconds: float, text: str) -> None:
    assert wording.duration(seconds) == text


def test_differences() -> None:
    [entry] = ledger.entries([decision(1)])
    made = Decision(1, "r", Fault("ctl1", "service", "keystone"), "act", (), "restart")
    assert ledger.difference(entry, made) == ""
    told = Decision(1, "r", Fault("ctl1", "service", "keystone"), "human", ())
    assert ledger.difference(entry, told).endswith("was act restart, would be human")
    assert "no such rule any more" in ledger.difference(entry, None)


def test_faults_in_words() -> None:
    assert wording.fault(Fault("cmp1", "new")) == "new node cmp1"
    assert wording.fault(Fault("", "rules")) == "the model or a rule has faults"
    assert wording.fault(Fault("n1", "overflow")) == "reports of n1 were lost"
    assert wording.fault(Fault("", "other", "x")) == "other x"
    assert wording.fault(Fault("ctl1", "other", "{node}\n")) == "other {node} on ctl1"
    assert len(wording.plain("x" * 5000)) == 300
