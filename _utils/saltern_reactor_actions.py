"""From a decision to its operation: a place for it, the lock, the thread, and what came of it."""

from __future__ import annotations

import logging
import queue
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple, Protocol

from saltern import lock
from saltern.cloud import Cloud
from saltern.reactor.terms import Decision, Observed, Outcome, Report
from saltern_reactor_lanes import Lanes, Running
from saltern_reactor_world import World

log = logging.getLogger(__name__)

#: Seconds for which a join waits for other nodes whose keys were accepted together with its own.
GATHER = 12.0

JOIN = "join"


class Work(Protocol):
    """What is done for the reactor, each call in a thread of its own."""

    def perform(self, decision: Decision, cloud: Cloud, nodes: Sequence[str]) -> Outcome:
        """Do the operation of ``decision`` on ``nodes``."""

    def recover(self, began: Mapping[str, Any], cloud: Cloud) -> Outcome:
        """What has become of an action that began before a restart; it is not done again."""

    def ask(self, questions: Mapping[str, Sequence[str]]) -> None:
        """Ask nodes for the health of services; the world learns the answers."""


class Part(NamedTuple):
    """One fault that an action is for."""

    action: int  # id of its record
    fields: Mapping[str, Any]  # rule, fault, operation, rung
    report: Report | None


class Action:
    """One operation; several nodes that join together are one.

    ``decision`` is the first that it is for; None for what began before a restart.
    """

    def __init__(self, operation: str, place: Running, decision: Decision | None = None) -> None:
        self.operation = operation
        self.place = place
        self.decision = decision
        self.held = ExitStack()
        self.parts: list[Part] = []


class Result(NamedTuple):
    """What an action came to."""

    action: Action
    outcome: Outcome
    seconds: float


class Actions:
    """Places and starts operations; their results come back by :meth:`results`."""

    def __init__(self, lanes: Lanes, world: World, work: Work) -> None:
        self.lanes = lanes
        self._world = world
        self._work = work
        self._ended: queue.SimpleQueue[Result] = queue.SimpleQueue()
        self._gathering = self._asked_at = -1e9  # when a join was asked for: first, last

    def place(
        self, decision: Decision, lane: str, cloud: Cloud, observed: Observed, now: float
    ) -> Action | str:
        """A place and the lock for the operation of ``decision``; or why it has to wait."""
        name = f"{decision.operation} for {decision.fault}"
        if decision.operation == JOIN and (why := self._why_not_join(cloud, observed, now)):
            return why
        place = self.lanes.take(lane, [decision.fault.node] if decision.fault.node else [], name)
        if isinstance(place, str):
            return place
        action = Action(decision.operation, place, decision)
        if decision.operation != JOIN:  # its orchestration takes the lock itself
            try:
                held = lock.shared(self._world.lock_path(cloud), f"the reactor: {name}")
                action.held.enter_context(held)
            except lock.Busy as exc:
                self.lanes.leave(place)
                return str(exc)
        return action

    def _why_not_join(self, cloud: Cloud, seen: Observed, now: float) -> str:
        """Nodes whose keys were accepted together join together."""
        coming = sorted(
            node
            for node in (seen.accepted - seen.joined) & set(cloud.nodes)
            if not seen.answering.get(node)
        )
        if now > self._asked_at + GATHER:
            self._gathering = now  # nobody has asked for long: this is another crowd
        self._asked_at = now
        if coming and now < self._gathering + GATHER:
            return f"{', '.join(coming)} may come along"
        return ""

    def release(self, action: Action) -> None:
        """Give up what :meth:`place` gave: nothing begins after all."""
        action.held.close()
        self.lanes.leave(action.place)

    def start(self, action: Action, cloud: Cloud) -> None:
        """Begin ``action``, whose parts are in the journal."""
        decision = action.decision
        assert decision  # noqa: S101 - for the types
        nodes = [part.fields["fault"]["node"] for part in action.parts]
        self._run(action, lambda: self._work.perform(decision, cloud, nodes))

    def recover(
        self, lane: str, began: Mapping[str, Any], report: Report | None, cloud: Cloud
    ) -> None:
        """Find out what has become of an action that began before a restart."""
        node = began["fault"]["node"]
        name = f"{began['operation']} for {node or 'the cloud'}, begun before a restart"
        place = self.lanes.enter(lane, [node] if node else [], name)
        fields = {name: began[name] for name in ("rule", "fault", "operation", "rung")}
        action = Action(began["operation"], place)
        action.parts.append(Part(began["action"], fields, report))
        self._run(action, lambda: self._work.recover(began, cloud))

    def _run(self, action: Action, work: Callable[[], Outcome]) -> None:
        def run() -> None:
            began = time.monotonic()
            try:
                outcome = work()
            except Exception as exc:  # one operation; what it raised is what it came to
                log.exception("%s broke off", action.place.name)
                outcome = Outcome(False, f"it broke off: {exc!r}; see the log of the master")
            finally:
                action.held.close()
            self._ended.put(Result(action, outcome, round(time.monotonic() - began, 3)))

        self.lanes.start(action.place, run)

    def ask(self, questions: Mapping[str, Sequence[str]], then: Callable[[], None]) -> str:
        """Have nodes asked in lane checks, ``then`` called; or why there is no place for it."""
        place = self.lanes.take("checks", (), f"asking {', '.join(sorted(questions))}")
        if isinstance(place, str):
            return place

        def run() -> None:
            try:
                self._work.ask(questions)
            except Exception:  # one question; the guard rails say that nobody answered
                log.exception("%s broke off", place.name)
            then()

        self.lanes.start(place, run)
        return ""

    def results(self) -> list[Result]:
        """What has ended since the last time."""
        found = []
        while not self._ended.empty():
            found.append(self._ended.get())
        return found
