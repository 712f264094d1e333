"""What surrounds the loop of the reactor, with a state of its own: time, work, a small cloud."""

from __future__ import annotations

import json
import pathlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import yaml
from saltern.cloud import Cloud
from saltern.reactor import rules as reading
from saltern.reactor.rules import Rule
from saltern.reactor.terms import Decision, Observed, Outcome, Report
from saltern_journal import Journal
from saltern_keys import AcceptedKeys
from saltern_reactor import Reactor, Soon
from saltern_reactor_actions import Actions
from saltern_reactor_lanes import Lanes
from saltern_reactor_world import World
from saltern_rulebook import Book

NODES = ("ctl1", "ctl2", "ctl3", "cmp1", "cmp2")

CATALOG: dict[str, dict[str, Any]] = {
    "api": {"roles": ["controller"], "states": ["api"]},
    "web": {"roles": ["controller"], "states": ["web"]},
    "db": {"roles": ["controller"], "states": ["db"], "quorum": {"module": "galera"}},
    "compute": {"roles": ["compute"], "states": ["compute"]},
}

RULES: dict[str, dict[str, Any]] = {
    "failed": {
        "summary": "A service of a node failed",
        "tags": ["saltern/node/*/service"],
        "source": "node",
        "fields": {"service": {"type": "string"}, "status": {"enum": ["ok", "down"]}},
        "about": {"kind": "service", "subject": "service"},
        "bad": {"status": ["down"]},
        "good": {"status": ["ok"]},
        "ladder": ["restart", "reapply", "isolate"],
        "mode": "armed",
        "guards": {"backoff": {"first": 1, "factor": 2, "most": 60}},
    },
    "new": {
        "summary": "A node has not joined yet",
        "tags": ["salt/key"],
        "source": "master",
        "fields": {"act": {"type": "string"}},
        "about": {"kind": "new"},
        "bad": {"act": ["accepted"]},
        "ladder": ["join"],
        "lane": "joins",
        "mode": "armed",
    },
    "started": {
        "summary": "The minion of a node has started",
        "tags": ["salt/minion/*/start"],
        "source": "node",
        "about": {"kind": "started"},
        "ladder": ["look"],
        "lane": "checks",
        "severity": "critical",
        "mode": "armed",
    },
}


def rules(**changes: Mapping[str, Any]) -> dict[str, Rule]:
    """The rules above; ``changes`` are merged into the rule of that name."""
    texts = {n: yaml.safe_dump({**rule, **changes.get(n, {})}) for n, rule in RULES.items()}
    found, faults = reading.read(texts)
    assert not faults, faults
    return found


def cloud(nodes: Sequence[str] = NODES) -> Cloud:
    """Controllers and computes by their names."""
    roles = {"ctl": "controller", "cmp": "compute"}
    spec = {
        node: {"roles": [roles[node[:3]]], "addresses": {"management": f"192.0.2.{i}"}}
        for i, node in enumerate(nodes, 1)
    }
    return Cloud({"name": "t", "nodes": spec}, CATALOG)


class Clock:
    """Time stands still unless it is moved."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


class FakeRulebook:
    """Files that are what a test says they are."""

    def __init__(self) -> None:
        self.book = Book(cloud(), rules())
        self.next: Book | None = None  # what the next look finds

    def look(self) -> bool:
        found, self.next = self.next, None
        self.book = found or self.book
        return found is not None


class FakeWork:
    """Does nothing to anybody; an operation takes until it is let go, and comes to ``outcome``."""

    def __init__(self) -> None:
        self.done: list[tuple[str, str, tuple[str, ...]]] = []
        self.recovered: list[Mapping[str, Any]] = []
        self.asked: list[dict[str, list[str]]] = []
        self.outcome: Callable[[Decision], Outcome] = lambda decision: Outcome(True, "well")
        self.let_go = threading.Event()
        self.let_go.set()
        self.answers: Callable[[Mapping[str, Sequence[str]]], None] = lambda questions: None

    def perform(self, decision: Decision, cloud: Cloud, nodes: Sequence[str]) -> Outcome:
        self.done.append((decision.operation, str(decision.fault), tuple(nodes)))
        assert self.let_go.wait(10)
        return self.outcome(decision)

    def recover(self, began: Mapping[str, Any], cloud: Cloud) -> Outcome:
        self.recovered.append(began)
        assert self.let_go.wait(10)
        return Outcome(True, "it was done before the restart")

    def ask(self, questions: Mapping[str, Sequence[str]]) -> None:
        self.asked.append({node: list(services) for node, services in questions.items()})
        self.answers(questions)


def until(what: Callable[[], Any]) -> None:
    """Wait for another thread to make ``what`` true."""
    deadline = time.monotonic() + 20
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.005)


class Bench:
    """A whole reactor without Salt: its files lie in ``home``."""

    def __init__(self, home: pathlib.Path) -> None:
        self.home = home
        self.clock = Clock()
        self.pki = home / "pki"
        (self.pki / "minions").mkdir(parents=True, exist_ok=True)
        self.accept(*NODES)
        self.join(*NODES)
        self.rulebook = FakeRulebook()
        self.work = FakeWork()
        self.scans = self.looks = 0
        self.start()

    def start(self) -> None:
        """Begin anew with what is in the journal, as after a kill."""
        self.journal = Journal(self.home / "journal.db", self.clock)
        self.world = World(self.journal, AcceptedKeys(str(self.pki)), self.home, self.clock)
        self.world.present(dict.fromkeys(NODES, True))
        self.lanes = Lanes(lambda: None)
        epoch = self.journal.next_epoch()
        actions = Actions(self.lanes, self.world, self.work)
        self.reactor = Reactor(
            self.journal,
            self.rulebook,  # type: ignore[arg-type]
            self.world,
            actions,
            epoch,
            Soon(self._scan, self._look),
            self.clock,
        )
        self.reactor.begin()

    def _scan(self) -> None:
        self.scans += 1

    def _look(self) -> None:
        self.looks += 1

    def accept(self, *nodes: str) -> None:
        for node in nodes:
            (self.pki / "minions" / node).touch()

    def join(self, *nodes: str) -> None:
        draft = self.home / "joined.draft"
        draft.write_text(json.dumps(dict.fromkeys(nodes, 1.0)))
        draft.replace(self.home / "joined.json")

    def report(self, node: str, service: str, status: str = "down", rule: str = "failed") -> None:
        body = {"service": service, "status": status}
        one = Report(0, 0.0, f"saltern/node/{node}/service", node, "node", rule, body)
        self.journal.add([(one, None, None)], self.rulebook.book.priorities)

    def key(self, *nodes: str) -> None:
        for node in nodes:
            one = Report(0, 0.0, "salt/key", node, "master", "new", {"act": "accepted"})
            self.journal.add([(one, None, None)], self.rulebook.book.priorities)

    def turn(self, seconds: float = 0) -> float:
        """One turn after so many seconds, and what it started has ended."""
        self.clock.now += seconds
        pause = self.reactor.turn()
        if self.work.let_go.is_set():
            self.rest()
        return pause

    def rest(self) -> None:
        """Until nothing is under way any more; its results wait for the next turn."""
        until(lambda: not self.lanes.running())

    def records(self, *kinds: str) -> list[dict[str, Any]]:
        return [r for r in self.journal.records() if not kinds or r["kind"] in kinds]

    def verdicts(self) -> list[str]:
        return [record["verdict"] for record in self.records("decision")]

    def observed(self) -> Observed:
        return self.world.observed(self.rulebook.book.cloud or cloud())
