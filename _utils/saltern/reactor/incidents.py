"""Which messages people get: one trouble is one incident, and one incident is one message.

Folded from the journal's records. The same records make the same incidents with the same ids, and
what was told is a record too, so that nothing is told again after a restart.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from saltern.reactor.history import BRIEF, fault_of
from saltern.reactor.rules import OPERATIONS
from saltern.reactor.terms import Fault, Severity

#: ``attention``: a human is needed. ``grown``: for at least twice as much. ``still``: was asked
#: for anew after a long silence. ``healed``: it was mended without one. ``resolved``: what needed a
#: human is over.
Phase = Literal["attention", "grown", "still", "healed", "resolved"]
Told = tuple[int, str]  # an incident, and the phase that people know of

#: Seconds within which faults of one node belong together.
TOGETHER = 30
#: Seconds within which the same service on another node belongs to the same incident.
SPREADING = 600
#: Seconds after its end in which a fault that comes back belongs to its old incident.
AGAIN = 600
#: As many incidents as this, begun within ``TOGETHER``, are a storm: the last one takes the rest.
STORM = 5
#: Seconds without more of it after which something is told, and the most that may take.
SETTLED = {"attention": 5, "grown": 5, "still": 5, "healed": 30, "resolved": BRIEF}
#: The same for what is critical: a machine that is gone must be known of within 15 s.
SETTLED_CRITICAL = 3
LATEST = {"attention": 10, "grown": 30, "still": 30}
#: Operations that only look: nobody wants to be told that somebody looked.
LOOKING = frozenset({"look"})
#: What is shown of one incident at most.
MAX_SHOWN = 20
SEVERITIES: tuple[Severity, ...] = ("notice", "warning", "critical")


@dataclass(frozen=True)
class Message:
    """What people are to be told, without its wording (:mod:`saltern.reactor.wording`)."""

    incident: int
    phase: Phase
    at: float
    since: float
    severity: Severity
    troubles: tuple[Trouble, ...]
    asked: float = 0.0  # when a human was last asked for

    @property
    def key(self) -> str:
        """The same for the same message, also after a restart."""
        # These can come several times, each with a later asking.
        which = f"-{self.asked:.0f}" if self.phase in ("grown", "still") else ""
        return f"{self.incident}/{self.phase}{which}"

    @property
    def count(self) -> int:
        return len(self.troubles)


@dataclass
class Trouble:
    """One fault within an incident, and what has been done about it so far."""

    fault: Fault
    report: int  # for saltern.explain
    since: float
    times: int = 1  # how often it was begun anew
    over: bool = False
    needs: bool = False  # a human; stays, so that the end is told as well
    why: tuple[str, ...] = ()
    done: list[str] = field(default_factory=list)  # "restart in 2.3 s: ok"
    mended: bool = False


@dataclass
class Incident:
    """Troubles that people are told of together."""

    id: int
    began: float
    grown_at: float  # a trouble was added, or came back
    troubles: dict[Fault, Trouble] = field(default_factory=dict)
    needs_since: float | None = None  # somebody is needed whom nobody has told
    needs_at: float = 0.0
    over_at: float | None = None
    told: dict[str, float] = field(default_factory=dict)  # phase -> when
    told_count: int = 0
    still: bool = False  # it was asked for anew, after a long silence
    severity: Severity = "notice"
    told_severity: Severity | None = None  # stays: an alert ends under the name it began with

    @property
    def nodes(self) -> set[str]:
        return {fault.node for fault in self.troubles if fault.node}

    @property
    def needing(self) -> list[Trouble]:
        return [trouble for trouble in self.troubles.values() if trouble.needs]

    @property
    def closed(self) -> bool:
        """It has had its last message."""
        return "resolved" in self.told


class Incidents:
    """All incidents that something may still be told of."""

    def __init__(self) -> None:
        self._held: dict[int, Incident] = {}
        self._of: dict[Fault, Incident] = {}
        self._began: dict[Any, tuple[float, str]] = {}  # action -> when, operation

    def __len__(self) -> int:
        return len(self._held)

    def apply(self, record: Mapping[str, Any]) -> None:
        """Learn of one record of the journal."""
        fold = FOLDS.get(record["kind"])
        if fold:
            fold(self, record)

    def due(self, now: float) -> list[Message]:
        """What has to be told now; the same again until a ``told`` record is applied."""
        for old in [i for i in self._held.values() if _forgettable(i, now)]:
            self._forget(old)
        return [message for i in self._held.values() if (message := _due(i, now))]

    def ongoing(self) -> list[Incident]:
        """Incidents that are not over, the oldest first."""
        return [i for i in self._held.values() if i.over_at is None]

    def _forget(self, old: Incident) -> None:
        del self._held[old.id]
        for fault in old.troubles:
            if self._of.get(fault) is old:
                del self._of[fault]

    # -- folds ------------------------------------------------------------------------------------

    def _decided(self, record: Mapping[str, Any]) -> None:
        verdict, at, fault = record["verdict"], record["at"], fault_of(record["fault"])
        if record.get("resolves"):
            self._resolved(record)
        if verdict not in ("act", "refuse", "human"):
            return
        if verdict == "act" and record["operation"] in LOOKING:
            return
        incident, trouble = self._trouble(fault, record)
        incident.severity = max(
            incident.severity, record.get("severity", "warning"), key=SEVERITIES.index
        )
        if verdict != "act":
            self._ask(incident, trouble, tuple(record["reasons"]), at)

    def _trouble(self, fault: Fault, record: Mapping[str, Any]) -> tuple[Incident, Trouble]:
        at = record["at"]
        incident = self._home(fault, at)
        if incident is None:
            incident = Incident(record["decision"], at, at)
            self._held[incident.id] = incident
        trouble = incident.troubles.get(fault)
        if trouble is None:
            trouble = incident.troubles[fault] = Trouble(fault, record["report"], at)
            incident.grown_at = at
        elif trouble.over:
            trouble.over, trouble.report = False, record["report"]
            trouble.times += 1
            incident.grown_at = at
        self._of[fault] = incident
        incident.over_at = None
        return incident, trouble

    def _home(self, fault: Fault, at: float) -> Incident | None:
        """The incident that ``fault`` belongs to, or ``None`` for one of its own."""
        known = self._of.get(fault)
        if known and not known.closed and (known.over_at is None or at - known.over_at <= AGAIN):
            return known
        if not fault.node:
            return None  # what the whole cloud has is more than what any node has
        recent = [i for i in reversed(self._held.values()) if not i.closed]
        for incident in recent:
            if fault.node in incident.nodes and at - incident.grown_at <= TOGETHER:
                return incident
        for incident in recent:
            if incident.over_at is None and at - incident.grown_at <= SPREADING:
                about = {(other.kind, other.subject) for other in incident.troubles}
                if (fault.kind, fault.subject) in about:
                    return incident
        fresh = [i for i in recent if at - i.began <= TOGETHER]
        return fresh[0] if len(fresh) >= STORM else None

    def _ask(self, incident: Incident, trouble: Trouble, why: tuple[str, ...], at: float) -> None:
        trouble.why = why
        known, last = trouble.needs, max(incident.told.values(), default=at)
        trouble.needs = True
        if known and at - last < AGAIN:
            return
        incident.still = incident.still or known
        incident.needs_at = at
        if incident.needs_since is None:
            incident.needs_since = at

    def _action_began(self, record: Mapping[str, Any]) -> None:
        operation, fault = record["operation"], fault_of(record["fault"])
        self._began[record["action"]] = (record["at"], operation)
        known, incident = OPERATIONS.get(operation), self._of.get(fault)
        if known and known.contains and incident:
            # Whatever comes of it, somebody has to mend what it is about.
            why = f"{operation} keeps it from doing harm, and does not mend it"
            self._ask(incident, incident.troubles[fault], (why,), record["at"])

    def _action_ended(self, record: Mapping[str, Any]) -> None:
        fault = fault_of(record["fault"])
        at, operation = record["at"], record["operation"]
        begun = self._began.pop(record["action"], None)
        incident = self._of.get(fault)
        if incident is None or operation in LOOKING:
            return
        trouble = incident.troubles[fault]
        took = f" in {at - begun[0]:.1f} s" if begun else ""
        result = "ok" if record["ok"] else "failed"
        detail = f": {record['detail']}" if record["detail"] else ""
        trouble.done = [*trouble.done, f"{operation} {result}{took}{detail}"][-MAX_SHOWN:]
        if not record["ok"]:
            return
        known = OPERATIONS.get(operation)
        if not (known and known.contains):
            trouble.mended = True
            _over(incident, trouble, at)

    def _resolved(self, record: Mapping[str, Any]) -> None:
        fault = fault_of(record["fault"])
        incident = self._of.get(fault)
        if incident:
            _over(incident, incident.troubles[fault], record["at"])

    def _was_told(self, record: Mapping[str, Any]) -> None:
        incident = self._held.get(record["incident"])
        if incident is None:
            return
        incident.told[record["phase"]] = record["at"]
        if record["phase"] == "healed":
            return
        incident.told_count = record["count"]
        incident.told_severity = record["severity"]
        # What was asked for while the message was on its way is not in it.
        missed = incident.needs_since is not None and incident.needs_at > record["as_of"]
        incident.needs_since = incident.needs_at if missed else None
        incident.still = incident.still and missed


FOLDS = {
    "decision": Incidents._decided,
    "began": Incidents._action_began,
    "ended": Incidents._action_ended,
    "resolved": Incidents._resolved,
    "told": Incidents._was_told,
}


def _over(incident: Incident, trouble: Trouble, at: float) -> None:
    trouble.over = True
    if "attention" not in incident.told:
        trouble.needs = False  # nobody was called: there is nothing to take back
        if not incident.needing:
            incident.needs_since = None
    if incident.over_at is None and all(one.over for one in incident.troubles.values()):
        incident.over_at = at


def _forgettable(incident: Incident, now: float) -> bool:
    return incident.over_at is not None and now - incident.over_at > AGAIN + SETTLED["resolved"]


def _due(incident: Incident, now: float) -> Message | None:
    phase = next(_phases(incident, now), None)
    if phase is None:
        return None
    about = [one for one in incident.troubles.values() if phase == "healed" or one.needs]
    severity = incident.told_severity or ("notice" if phase == "healed" else incident.severity)
    return Message(
        incident.id, phase, now, incident.began, severity, tuple(about), incident.needs_at
    )


def _phases(incident: Incident, now: float) -> Iterator[Phase]:
    """What to tell of ``incident``, the most important first."""
    if incident.over_at is not None:
        over = now - incident.over_at
        if "attention" in incident.told:
            if not incident.closed and over >= SETTLED["resolved"]:
                yield "resolved"
        elif not incident.told and over >= SETTLED["healed"] and _mended(incident):
            yield "healed"
        return
    if incident.needs_since is None:
        return
    phase: Phase = "attention"
    if phase in incident.told:
        phase = "grown" if len(incident.needing) >= 2 * incident.told_count else "still"
        if phase == "still" and not incident.still:
            return
    quiet, waited = now - incident.needs_at, now - incident.needs_since
    enough = SETTLED_CRITICAL if incident.severity == "critical" else SETTLED[phase]
    if quiet >= enough or waited >= LATEST[phase]:
        yield phase


def _mended(incident: Incident) -> bool:
    return any(trouble.mended for trouble in incident.troubles.values())
