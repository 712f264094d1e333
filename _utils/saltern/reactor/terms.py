"""The words of the reactor: what arrives, what is known, what is decided, what came of it.

Everything here is data. It is written to the journal as it is (``asdict``) and read back, so a
recorded history can be decided again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Source = Literal["node", "master", "scan", "operator"]
Mode = Literal["armed", "shadow", "off"]
Severity = Literal["notice", "warning", "critical"]

#: ``act``: begin the operation now. ``wait``: decide again at ``again_at``. ``refuse``: a guard
#: rail forbids it; a human is told. ``human``: the ladder has no further rung. ``ignore``: nothing
#: to do (a copy, already healthy, rule off). ``shadow``: what an armed rule would have done.
Verdict = Literal["act", "wait", "refuse", "human", "ignore", "shadow"]


@dataclass(frozen=True)
class Report:
    """One event, as typed by its rule. A hint, never a truth."""

    id: int  # in the journal; 0 before it is written
    at: float  # the master's clock when it was journaled, seconds since the epoch
    tag: str
    node: str  # id that the master authenticated; "" for what concerns the whole cloud
    source: Source
    rule: str
    body: Mapping[str, Any] = field(default_factory=dict)  # only the fields that the rule names


@dataclass(frozen=True)
class Rejected:
    """An event that no rule may look at, and why. It is counted, and nothing else."""

    tag: str
    node: str
    reason: str


@dataclass(frozen=True, order=True)
class Fault:
    """What is wrong with what. Reports with the same fault are copies of one trouble."""

    node: str  # "" for the whole cloud
    kind: str  # service, new, gone, member, backend, ... (``about.kind`` of the rule)
    subject: str = ""  # the service, where the kind is about one

    def __str__(self) -> str:
        what = f"{self.kind} {self.subject}".strip()
        return f"{what} on {self.node}" if self.node else what


@dataclass(frozen=True)
class Status:
    """What is known of one service on one node."""

    status: str  # ok, degraded, down (saltern.health); hung and looping count as down
    reason: str = ""
    at: float = 0.0  # when it was learnt, by the master's clock


@dataclass(frozen=True)
class Observed:
    """What is known of the cloud when a decision is made. Absent means: not known."""

    accepted: frozenset[str] = frozenset()  # ids whose key the master has accepted
    answering: Mapping[str, bool] = field(default_factory=dict)  # node -> it is heard of
    services: Mapping[str, Mapping[str, Status]] = field(default_factory=dict)  # node -> service
    joined: frozenset[str] = frozenset()  # nodes that a deploy or join has finished
    busy: str = ""  # who holds the lock of the cloud; "" when nobody does


@dataclass(frozen=True)
class Decision:
    """What to do about a report, with every reason for it."""

    report: int
    rule: str
    fault: Fault
    verdict: Verdict
    reasons: tuple[str, ...]
    operation: str = ""  # a rung of the rule's ladder: restart, reapply, isolate, join, ...
    rung: int = 0
    again_at: float | None = None
    severity: Severity = "warning"
    resolves: bool = False  # the trouble is over: nothing is left to do about ``fault``


@dataclass(frozen=True)
class Outcome:
    """What an operation came to, seen by asking again and not by believing it."""

    ok: bool
    detail: str
    evidence: Mapping[str, Any] = field(default_factory=dict)


#: Kinds of records that a history is folded from, and what each holds beside ``kind`` and ``at``.
RECORDS: Mapping[str, tuple[str, ...]] = {
    "decision": (
        "decision",
        "report",
        "rule",
        "fault",
        "verdict",
        "operation",
        "rung",
        "reasons",
        "resolves",
    ),
    "began": ("action", "decision", "rule", "fault", "operation", "rung", "epoch"),
    "ended": ("action", "rule", "fault", "operation", "rung", "ok", "detail"),
    "resolved": ("fault", "why"),
    "paused": ("pause", "scope", "until", "by", "why"),
    "resumed": ("pause", "by"),
    "told": ("incident", "phase", "count", "severity", "as_of"),
}
