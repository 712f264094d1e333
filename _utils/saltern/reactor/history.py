"""What has been decided and done so far: a fold of the journal's records, in bounded memory.

The same records make the same history, whoever folds them and whenever: that is what lets a
decision be explained, and a recorded day be decided again.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from saltern.reactor.grammar import MOST_ACTIONS
from saltern.reactor.rules import OPERATIONS, Budget, Operation
from saltern.reactor.terms import Fault

#: Troubles that are remembered at once; the one that was quiet longest is forgotten first.
MOST_FAULTS = 10_000
#: Actions that are remembered of one trouble: as many as a budget for it can allow.
MOST_TRIES = 100
#: Seconds: of an end as short as this nobody is told, and what is back by then is the same incident
#: still.
BRIEF = 30


@dataclass
class Action:
    """One operation on one node, from its beginning to its end."""

    id: int
    fault: Fault
    operation: str
    rung: int
    began: float
    quiet: float  # the longest time without the trouble between the action before and this one
    ended: float | None = None
    ok: bool = False

    @property
    def kind(self) -> Operation:
        return OPERATIONS.get(self.operation, Operation(disrupts=True))

    @property
    def mended(self) -> bool:
        """It was verified, and is the kind of operation that takes a trouble away."""
        return self.ok and not self.kind.contains


@dataclass
class FaultHistory:
    """What is known of one trouble. A trouble that was never seen has an empty one."""

    fault: Fault
    seen: float = 0.0  # when it was last reported, or an action against it failed
    good: float | None = None  # since when it is over; None while it is not
    said_good: bool = False  # a report said so after the last action
    quiet: float = 0.0  # the longest time without it since the last action
    calm: float = 0.0  # the same since a human was told, or would have been in shadow
    told: float | None = None  # when a human was last told, since the last action
    called: deque[float] = field(default_factory=lambda: deque(maxlen=MOST_TRIES))  # a human, anew
    calling: bool = False  # a human was, and has not heard that it is over
    uncalled: float = -math.inf  # when a human heard that
    shadowed: float | None = None  # when it was last said what an armed rule would have done
    waiting: int = 0  # the report that is to be decided again
    waited: float = 0.0  # when that was last looked at
    actions: deque[Action] = field(default_factory=lambda: deque(maxlen=MOST_TRIES))

    @property
    def last(self) -> Action | None:
        return self.actions[-1] if self.actions else None

    @property
    def running(self) -> Action | None:
        """The action that has begun and not ended."""
        return self.actions[-1] if self.actions and self.actions[-1].ended is None else None

    def gap(self, at: float) -> float:
        """How long it has been away, when it is reported at ``at``."""
        return at - (self.seen if self.good is None else self.good)

    def stays(self, at: float, stable: float) -> bool:
        """Whether it is, at ``at``, the same trouble that something was last said of."""
        return max(self.calm, self.gap(at)) < stable

    def room_to_call(self, budget: Budget, now: float) -> float | None:
        """When ``budget`` allows to call a human for it anew; None when it does now."""
        if now - self.uncalled < BRIEF:
            return None  # it is still what somebody was called for
        return _room(budget, (at for at in reversed(self.called) if at > now - budget.per))

    def tries(self, at: float, stable: float) -> int:
        """How many actions have not helped or not lasted, when it is reported at ``at``.

        What lies before ``stable`` seconds without the trouble does not count any more.
        """
        if max(self.quiet, self.gap(at)) >= stable:
            return 0
        count = 0
        for action in reversed(self.actions):
            count += 1
            if action.quiet >= stable:
                break
        return count


@dataclass(frozen=True)
class Pause:
    """Where and until when nothing is to be done."""

    id: int
    scope: Mapping[str, str]  # empty: the whole cloud
    until: float
    by: str
    why: str


class History:
    """The fold. ``apply`` takes records in the order in which they were written."""

    def __init__(self) -> None:
        self._faults: dict[Fault, FaultHistory] = {}
        self._running: dict[int, Action] = {}
        self._begun: deque[tuple[float, str]] = deque(maxlen=MOST_ACTIONS * len(OPERATIONS))
        self._pauses: dict[int, Pause] = {}

    def apply(self, record: Mapping[str, Any]) -> None:
        """Take in one record; kinds that say nothing about decisions are passed over."""
        fold = FOLDS.get(record["kind"])
        if fold:
            fold(self, record)

    # -- questions ---------------------------------------------------------------------------

    def fault(self, fault: Fault) -> FaultHistory:
        """What is known of ``fault``."""
        return self._faults.get(fault) or FaultHistory(fault)

    def bad_at(self, fault: Fault) -> float:
        """When ``fault`` was last seen; 0 when it never was, or is over."""
        past = self._faults.get(fault)
        return past.seen if past and past.good is None else 0.0

    def open(self) -> list[FaultHistory]:
        """Every trouble that is not over, as far as is known."""
        return [past for past in self._faults.values() if past.good is None]

    def running(self) -> list[Action]:
        """Every action that has begun and not ended."""
        return list(self._running.values())

    def room(self, budget: Budget, operations: Collection[str], now: float) -> float | None:
        """When ``budget`` allows one more of ``operations``; None when it does now."""
        return _room(
            budget, (at for at, what in self._after(now - budget.per) if what in operations)
        )

    def pause(
        self, node: str, services: Collection[str], now: float, roles: Collection[str] = ()
    ) -> Pause | None:
        """The longest pause that holds for these services of ``node``, which has ``roles``."""
        known = {"node": {node}, "service": services, "role": roles}
        held = [
            pause
            for pause in self._pauses.values()
            if now < pause.until
            and all(value in known.get(key, (value,)) for key, value in pause.scope.items())
        ]
        return max(held, key=lambda pause: pause.until, default=None)

    # -- folds -------------------------------------------------------------------------------

    def _decided(self, record: Mapping[str, Any]) -> None:
        at, verdict, report = record["at"], record["verdict"], record["report"]
        fault = fault_of(record["fault"])
        known = self._faults.get(fault)
        if record.get("resolves"):
            self._over(fault, at)
        elif verdict != "ignore":
            past = self._known(fault)
            if report != past.waiting:  # one that waits has brought no news
                past.quiet = max(past.quiet, past.gap(at))
                past.calm = max(past.calm, past.gap(at))
            past.seen, past.good = at, None
            past.waiting, past.waited = (report, at) if verdict == "wait" else (0, 0.0)
            if verdict in ("human", "refuse"):
                if at - past.uncalled >= BRIEF:
                    past.called.append(at)
                past.calling = True
                past.told, past.calm, past.said_good = at, 0.0, False
            elif verdict == "shadow":
                past.shadowed, past.calm = at, 0.0
        elif known and known.good is None:
            known.seen = at
            known.waiting = 0 if known.waiting == report else known.waiting

    def _began(self, record: Mapping[str, Any]) -> None:
        past = self._known(fault_of(record["fault"]))
        action = Action(
            record["action"],
            past.fault,
            record["operation"],
            record["rung"],
            record["at"],
            past.quiet,
        )
        past.actions.append(action)
        past.quiet, past.told, past.said_good, past.good = 0.0, None, False, None
        self._running[action.id] = action
        self._begun.append((action.began, action.operation))

    def _ended(self, record: Mapping[str, Any]) -> None:
        action = self._running.pop(record["action"], None)
        if action is None:
            return  # it began before the oldest record that is kept
        action.ended, action.ok = record["at"], bool(record["ok"])
        past = self._known(action.fault)
        past.seen = record["at"]
        past.good = record["at"] if action.mended else None

    def _resolved(self, record: Mapping[str, Any]) -> None:
        self._over(fault_of(record["fault"]), record["at"])

    def _paused(self, record: Mapping[str, Any]) -> None:
        pairs = (part.partition("=") for part in record["scope"].split(","))
        self._pauses[record["pause"]] = Pause(
            record["pause"],
            {key.strip(): value.strip() for key, is_pair, value in pairs if is_pair},
            record["until"],
            record["by"],
            record["why"],
        )

    def _resumed(self, record: Mapping[str, Any]) -> None:
        self._pauses.pop(record["pause"], None)

    def _over(self, fault: Fault, at: float) -> None:
        past = self._faults.get(fault)
        if past:
            past.good, past.said_good, past.waiting = at, True, 0
            if past.calling:
                past.calling, past.uncalled = False, at

    # -- memory ------------------------------------------------------------------------------

    def forget(self, before: float) -> None:
        """Drop whatever has been over and quiet since ``before``."""
        for fault, past in list(self._faults.items()):
            if past.running is None and max(past.seen, past.good or 0.0) < before:
                del self._faults[fault]
        while self._begun and self._begun[0][0] < before:
            self._begun.popleft()
        self._pauses = {id_: p for id_, p in self._pauses.items() if p.until >= before}

    def _known(self, fault: Fault) -> FaultHistory:
        """The history of ``fault``, which from now on there is; the newest come last."""
        past = self._faults.pop(fault, None) or FaultHistory(fault)
        if len(self._faults) >= MOST_FAULTS:
            quiet = (f for f, held in self._faults.items() if held.running is None)
            del self._faults[next(quiet)]
        self._faults[fault] = past
        return past

    def _after(self, since: float) -> Iterator[tuple[float, str]]:
        """Actions that began after ``since``: when and what, the newest first."""
        for begun in reversed(self._begun):
            if begun[0] <= since:
                return
            yield begun


FOLDS: Mapping[str, Callable[[History, Mapping[str, Any]], None]] = {
    "decision": History._decided,
    "began": History._began,
    "ended": History._ended,
    "resolved": History._resolved,
    "paused": History._paused,
    "resumed": History._resumed,
}


def fault_of(held: Any) -> Fault:
    """A fault as it is in a record: itself, or the mapping that JSON made of it."""
    return held if isinstance(held, Fault) else Fault(**held)


def room(budget: Budget, actions: Collection[Action], now: float) -> float | None:
    """When ``budget`` allows one more action beside ``actions``; None when it does now."""
    began = (action.began for action in reversed(list(actions)))
    return _room(budget, (at for at in began if at > now - budget.per))


def _room(budget: Budget, newest_first: Iterator[float]) -> float | None:
    for count, at in enumerate(newest_first, 1):
        if count == budget.actions:
            return at + budget.per
    return None
