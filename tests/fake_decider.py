"""A reactor without disk, bus or threads: it decides, keeps every record, and does what it is told.

Time is a number that the test moves. Everything that a decision was made from is kept, so that it
can be decided again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import saltern_store
import support
from saltern.cloud import Cloud
from saltern.reactor import rules
from saltern.reactor.decide import decide
from saltern.reactor.history import History
from saltern.reactor.rules import Rule
from saltern.reactor.terms import Decision, Fault, Observed, Report, Status

RULES = rules.read(saltern_store.Store(support.ROOT).rules())[0]
START = 1_800_000_000.0


@dataclass
class Running:
    """An action that has begun."""

    id: int
    decision: Decision
    report: Report


@dataclass
class FakeDecider:
    """One history with one clock."""

    cloud: Cloud
    now: float = START
    rules: Mapping[str, Rule] = field(default_factory=lambda: RULES)
    history: History = field(default_factory=History)
    #: ("record", record) and ("asked", report, observed, now, decision), in their order.
    log: list[tuple[Any, ...]] = field(default_factory=list)
    running: dict[int, Running] = field(default_factory=dict)
    observed: Observed = field(default_factory=Observed)
    ids: int = 0

    def __post_init__(self) -> None:
        nodes = frozenset(self.cloud.nodes)
        self.observed = Observed(nodes, dict.fromkeys(nodes, True), {}, nodes)

    # -- what is known ---------------------------------------------------------------------------

    def know(self, **changes: Any) -> None:
        self.observed = replace(self.observed, **changes)

    def health(self, node: str, service: str, status: str, age: float = 0.0) -> None:
        services = {n: dict(held) for n, held in self.observed.services.items()}
        services.setdefault(node, {})[service] = Status(status, "", self.now - age)
        self.know(services=services)

    def silence(self, *nodes: str) -> None:
        self.know(answering={**self.observed.answering, **dict.fromkeys(nodes, False)})

    # -- reports ---------------------------------------------------------------------------------

    def report(self, rule: str, node: str, tag: str = "", **body: Any) -> Report:
        made = self.rules[rule]
        tag = tag or made.tags[0].replace("*", node)
        self.ids += 1
        body = {**made.defaults, **body}
        return Report(self.ids, self.now, tag, node, rules.source_of(made, tag), rule, body)

    def says(self, node: str, service: str, status: str = "down", **body: Any) -> Decision:
        """A node reports a status of one of its services, and it is decided about."""
        return self.ask(self.report("service-failed", node, service=service, status=status, **body))

    def ask(self, report: Report) -> Decision:
        """Decide, write it down, and begin what was decided."""
        rule = self.rules[report.rule]
        made = decide(rule, report, self.cloud, self.observed, self.history, self.now)
        self.log.append(("asked", report, self.observed, self.now, made))
        id_ = self.note("decision", **{**asdict(made), "reasons": list(made.reasons)})
        if made.resolves:
            self.note("resolved", fault=asdict(made.fault), why="")
        if made.verdict == "act":
            fields = {"rule": made.rule, "fault": asdict(made.fault), "rung": made.rung}
            began = self.note("began", decision=id_, operation=made.operation, epoch=1, **fields)
            self.running[began] = Running(began, made, report)
        return made

    def end(self, ok: bool = True, action: int | None = None) -> Report | None:
        """An action ends; returns the new report that a failure is."""
        done = self.running.pop(next(iter(self.running)) if action is None else action)
        made = done.decision
        self.note(
            "ended",
            action=done.id,
            rule=made.rule,
            fault=asdict(made.fault),
            operation=made.operation,
            rung=made.rung,
            ok=ok,
            detail="",
        )
        if ok:
            return None
        self.ids += 1
        return replace(done.report, id=self.ids, at=self.now)

    def pause(self, scope: str, seconds: float) -> int:
        return self.note("paused", scope=scope, until=self.now + seconds, by="ann", why="disks")

    def resume(self, pause: int) -> None:
        self.note("resumed", pause=pause, by="ann")

    def note(self, kind: str, **fields: Any) -> int:
        """Write a record as the journal does: through JSON, with its own id."""
        self.ids += 1
        own = {"decision": "decision", "began": "action", "paused": "pause"}.get(kind)
        named = {own: self.ids} if own else {}
        record = json.loads(json.dumps({"kind": kind, "at": self.now, **named, **fields}))
        self.log.append(("record", record))
        self.history.apply(record)
        return self.ids

    def fault(self, node: str, subject: str, kind: str = "service") -> Fault:
        return Fault(node, kind, subject)


def guarded(reactor: FakeDecider, **changes: Any) -> FakeDecider:
    """``reactor`` with other numbers in every guard rail."""
    reactor.rules = {
        name: replace(rule, guards=replace(rule.guards, **changes)) for name, rule in RULES.items()
    }
    return reactor


def wide(count: int = 12) -> FakeDecider:
    """A cloud with ``count`` controllers, and a service on each that has no quorum."""
    nodes = {
        f"c{n}": {"roles": ["controller"], "addresses": {"management": f"192.0.2.{n}"}}
        for n in range(count)
    }
    return FakeDecider(Cloud({"name": "w", "nodes": nodes}, support.catalog()))
