"""Bad weather for a reactor: services that fail, reports that get lost, and a judge of every act.

The decisions, the rules, the intake's bookkeeping of copies and what a scan makes of its answers
are Saltern's own. Simulated are the cloud, its operators, what an action comes to, and time.

It is harder than life in this: what is lost is not sent again, and no node heals itself. It is
easier in this: whether a node is silent is known from its beats alone, without asking its
neighbours, and a scan takes no time.
"""

from __future__ import annotations

import math
import pathlib
import random
from collections.abc import Mapping
from dataclasses import asdict, replace

import support
from fake_decider import RULES, START, FakeDecider
from lossy_way import Event, Rates, Way
from reactor_judge import AT_MOST, PAUSE, TRIES, Copy, Judge, Truth
from saltern.cloud import Cloud
from saltern.fleet import Answer
from saltern.reactor import scanning
from saltern.reactor.decide import decide
from saltern.reactor.history import History
from saltern.reactor.presence import BEAT, SILENT
from saltern.reactor.rules import Budget, Rule
from saltern.reactor.terms import Report, Status
from saltern_journal import Journal

SERVICES = ("keystone", "glance", "galera", "rabbitmq", "nova-compute", "libvirt", "haproxy")
SHADOWED = "node-gone"
STRANGER = "stranger"
NEW = "cmp6"
#: A storm, for what must hold whatever comes.
ROUGH = Rates(lost=0.01, doubled=0.05, late=0.3)
SCAN_EVERY, VISIT_EVERY = 120.0, 1800.0
#: Seconds after which a silent node counts as one: it was asked in vain.
MISSED = 2 * SILENT
#: Of a step, in seconds: time flies while nothing is due.
SHORTEST, LONGEST = 0.1, 20.0
#: How the scan's findings are called by the rules.
FOUND = {"saltern/scan/service": "service-drift", "saltern/scan/new": "node-new"}


def a_cloud(controllers: int) -> Cloud:
    """So many controllers, six computes of which one has not joined, two balancers."""
    roles = {"lb": ("endpoint", 2), "ctl": ("controller", controllers), "cmp": ("compute", 6)}
    nodes = {f"{n}{i}": role for n, (role, count) in roles.items() for i in range(1, count + 1)}
    model = {
        name: {"roles": [role], "addresses": {"management": f"192.0.2.{i}"}}
        for i, (name, role) in enumerate(nodes.items(), 1)
    }
    return Cloud({"name": "w", "nodes": model}, support.catalog())


def tight_rules(breaker: bool) -> dict[str, Rule]:
    """With budgets that are soon spent; either the breaker or the budget is the closer limit."""
    rules = dict(RULES)
    rules[SHADOWED] = replace(rules[SHADOWED], mode="shadow")
    failures, most = (TRIES, 50) if breaker else (50, TRIES)
    for name in ("service-failed", "service-drift"):
        held = replace(
            rules[name].guards,
            first=PAUSE,
            failures=failures,
            target=Budget(most, 600),
            overall=Budget(AT_MOST, 60),
        )
        rules[name] = replace(rules[name], guards=held)
    return rules


class Weather:
    """A reactor, the truth about its cloud, and the lossy way between the two."""

    def __init__(self, seed: int, rates: Rates = ROUGH) -> None:
        self.dice = random.Random(seed)  # noqa: S311 - weather, not secrets
        # Of three, two are most: who freezes guards the quorum as well. Of five, they are not.
        self.cloud = a_cloud(5 if seed // 2 % 2 else 3)
        self.reactor = FakeDecider(self.cloud, rules=tight_rules(seed % 2 == 1))
        nodes = frozenset(self.cloud.nodes)
        self.truth = Truth(self.cloud, START, joined=nodes - {NEW}, accepted=nodes)
        self.judge = Judge(self.truth, self.reactor.rules)
        self.way = Way(self.dice, rates)
        self.journal = Journal(pathlib.Path(":memory:"), lambda: self.truth.now)
        self.events: dict[int, int] = {}  # report of a node -> the event that it came with
        self.beats: dict[str, tuple[float, Mapping[str, str]]] = {}
        self.seen: dict[Copy, Status] = {}  # by reports and by asking
        self.waiting: list[tuple[float, Report]] = []
        self.ends: dict[int, float] = {}
        self.mends: list[tuple[float, Copy]] = []  # what will come back by itself
        self.scanned = self.visited = self.breaks = START
        self.decisions = 0
        self.lossy = rates.lost
        #: Whatever is done about it, this copy lasts a few seconds and no longer.
        self.fragile = ("ctl1", "glance")
        self.copies = [(n, s) for s in SERVICES for n in self.cloud.nodes_running(s)]
        self.new_runs = [service for node, service in self.copies if node == NEW]
        self.truth.blank(NEW, self.new_runs)

    # -- time ------------------------------------------------------------------------------------

    def day(self, hours: float = 24.0, every: float = 120.0) -> None:
        """Let ``hours`` pass, with some trouble ``every`` so many seconds."""
        end = self.truth.now + 3600 * hours
        trouble = self.truth.now
        while self.truth.now < end:
            if self.truth.now >= trouble:
                self.happen()
                trouble = self.truth.now + self.dice.expovariate(1 / every)
            self.step(min(LONGEST, max(SHORTEST, min(trouble, self.due()) - self.truth.now)))

    def due(self) -> float:
        """When something happens next, as far as that is known."""
        return min(
            self.way.next(),
            self.scanned + SCAN_EVERY,
            self.visited + VISIT_EVERY,
            math.inf if self.fragile in self.truth.bad else self.breaks,
            *(at for at, _ in self.waiting),
            *self.ends.values(),
            *(at for at, _ in self.mends),
        )

    def step(self, seconds: float) -> None:
        """Let time pass, and all that is due by then."""
        self.truth.now += seconds
        self.reactor.now = self.truth.now
        self.beat(seconds)
        self.change_by_itself()
        self.finish()
        self.visit()
        self.scan()
        self.deliver()
        self.judge.watch()

    # -- what happens ----------------------------------------------------------------------------

    def happen(self) -> None:
        node, service = self.dice.choice(self.copies)
        kind = self.dice.random()
        if kind < 0.55:
            self.change(node, service, self.dice.choice(["down", "hung", "looping"]))
            if self.dice.random() < 0.2:
                self.mends.append((self.truth.now + self.dice.uniform(1, 15), (node, service)))
        elif kind < 0.75:
            self.change(node, service, "ok")
        elif kind < 0.80:
            for other in self.cloud.nodes_running(service):
                self.change(other, service, "down")
        elif kind < 0.84:
            self.truth.hush(node, node not in self.truth.silent)
        elif kind < 0.88:
            self.pause(node, service)
        elif kind < 0.90 and self.truth.pauses:
            pause = self.dice.choice(list(self.truth.pauses))
            del self.truth.pauses[pause]
            self.reactor.resume(pause)
        elif kind < 0.93:
            self.truth.busy = "" if self.truth.busy else "orch.deploy"
        elif kind < 0.94:
            self.send("service-failed", STRANGER, service=service, status="down")
            self.send("node-new", STRANGER)
        elif kind < 0.98:
            self.key()
        else:
            self.send("node-gone", node, "saltern/scan/gone", reason="x")

    def change(self, node: str, service: str, status: str) -> None:
        """Who is silent changes all the same; nobody hears of it."""
        heard = node in self.truth.accepted and node not in self.truth.silent
        if self.truth.become((node, service), status) and heard:
            self.send("service-failed", node, service=service, status=status)

    def change_by_itself(self) -> None:
        now = self.truth.now
        if self.fragile in self.truth.bad:
            self.breaks = now + self.dice.expovariate(1 / 5)
        elif self.breaks <= now:
            self.change(*self.fragile, "down")
        for item in [item for item in self.mends if item[0] <= now]:
            self.mends.remove(item)
            self.change(*item[1], "ok")

    def pause(self, node: str, service: str) -> None:
        scope = self.dice.choice(["cloud", f"node={node}", f"service={service}", "role=controller"])
        seconds = self.dice.choice([5, 60, 600])
        until = self.truth.now + seconds
        self.truth.pauses[self.reactor.pause(scope, seconds)] = (scope, until)

    def key(self) -> None:
        """The key of the new node is accepted, once more perhaps, or it is another machine now."""
        if self.dice.random() < 0.5:
            self.truth.accepted -= {NEW}
            self.truth.joined -= {NEW}
            self.truth.blank(NEW, self.new_runs)
            self.send("node-new", NEW, act="delete")
        else:
            self.truth.accepted |= {NEW}
            self.send("node-new", NEW, act="accept")
            for service in self.new_runs:
                self.send("service-failed", NEW, service=service, **self.status((NEW, service)))

    def send(self, rule: str, node: str, tag: str = "", **body: str) -> None:
        self.way.fire(self.reactor.report(rule, node, tag, **body), self.truth.now)

    def finish(self) -> None:
        """Actions end; most help, some do not, some say so wrongly. On a silent node none helps."""
        for action, at in list(self.ends.items()):
            if at > self.truth.now:
                continue
            del self.ends[action]
            made = self.reactor.running[action].decision
            node, join = made.fault.node, made.operation == "join"
            there = node in self.truth.accepted - self.truth.silent.keys()
            luck = self.dice.random() if there else 1.0
            if luck < 0.6:
                self.truth.joined |= {node} if join else set()
                for service in self.new_runs if join else filter(None, [made.fault.subject]):
                    self.change(node, service, "ok")
            again = self.reactor.end(luck < 0.7, action)
            self.judge.ended(action, luck < 0.7)
            if again:
                self.know()
                self.ask(again)

    def visit(self) -> None:
        """An operator comes by every half an hour and mends most of it."""
        if self.truth.now - self.visited >= VISIT_EVERY:
            self.visited = self.truth.now
            self.truth.busy = ""
            for node in list(self.truth.silent):
                self.truth.hush(node, False)
            for node, service in list(self.truth.bad):
                if self.dice.random() < 0.8:
                    self.change(node, service, "ok")

    # -- what is known of it ---------------------------------------------------------------------

    def beat(self, seconds: float) -> None:
        """Everybody beats, as things were until now. A beat may be lost like any event."""
        now, truth = self.truth.now, self.truth
        for turn, node in enumerate(self.cloud.nodes):
            if node in truth.silent or node not in truth.accepted:
                continue
            at = now - (now + turn * BEAT / len(self.cloud.nodes)) % BEAT
            while at > now - seconds and self.dice.random() < self.lossy:
                at -= BEAT
            if at > now - seconds:
                self.beats[node] = at, {s: "down" for n, s in truth.bad if n == node}

    def scan(self) -> None:
        """Everybody is asked now and then; an answer may be lost like any event."""
        if self.truth.now - self.scanned < SCAN_EVERY:
            return
        self.scanned = self.truth.now
        self.journal.close_gaps()
        if self.truth.busy:
            return
        there = [n for n in self.cloud.nodes if n in self.truth.accepted - self.truth.silent.keys()]
        answers: dict[str, dict[str, Answer]] = {"openstack.health": {}, "test.ping": {}}
        for node in there:
            if self.dice.random() < self.lossy:
                continue
            if node not in self.truth.joined:
                answers["test.ping"][node] = Answer(True, True)
                continue
            said = {s: self.status((n, s)) for n, s in self.copies if n == node}
            answers["openstack.health"][node] = Answer(True, said)
            for service, state in said.items():
                self.seen[node, service] = Status(state["status"], "", self.truth.now)
        faults = [past.fault for past in self.reactor.history.open()]
        joined = self.truth.joined
        self.know()
        for tag, node, body in scanning.findings(self.cloud, answers, joined, faults=faults):
            self.ask(self.reactor.report(FOUND[tag], node, tag, **body))
        for fault, why in scanning.over(self.cloud, answers, joined, faults).items():
            self.reactor.note("resolved", fault=asdict(fault), why=why)
            self.judge.over(fault)

    def status(self, copy: Copy) -> dict[str, str]:
        return {"status": "down" if copy in self.truth.bad else "ok", "reason": ""}

    def deliver(self) -> None:
        """What is on the way arrives, copies fall out; what waited is due again."""
        now = self.truth.now
        due = [report for at, report in self.waiting if at <= now]
        self.waiting = [(at, report) for at, report in self.waiting if at > now]
        new = [self.received(event) for event in self.way.arrived(now) if self.is_new(event)]
        if due or new:
            self.know()
        for report in [*due, *new]:
            self.ask(report)

    def is_new(self, event: Event) -> bool:
        epoch = None if event.number is None else "e"
        return self.journal.first_seen(
            [(event.report.node, epoch, event.number)], self.truth.now
        ) == [True]

    def received(self, event: Event) -> Report:
        """The report as it is written down: with an id and a time of the master's."""
        self.reactor.ids += 1
        report = replace(event.report, id=self.reactor.ids, at=self.truth.now)
        if event.number is not None:
            self.events[report.id] = event.order
        if "service" in report.body:
            status = "ok" if report.body["status"] == "ok" else "down"
            self.seen[report.node, report.body["service"]] = Status(status, "", report.at)
        return report

    def know(self) -> None:
        """What the reactor knows: what was said last, by whomever."""
        truth = self.truth
        services: dict[str, dict[str, Status]] = {node: {} for node in self.beats}
        for copy in self.copies:
            node, service = copy
            if node in self.beats:
                at, bad = self.beats[node]
                known = self.seen.get(copy)
                if known is None or known.at < at:
                    known = self.seen[copy] = Status(bad.get(service, "ok"), "", at)
                services[node][service] = known
        answering = {}
        for node in self.cloud.nodes:
            silent = truth.now - self.beats.get(node, (START, {}))[0]
            if silent <= SILENT or silent > MISSED:
                answering[node] = silent <= SILENT
        self.reactor.know(
            services=services,
            answering=answering,
            joined=truth.joined,
            accepted=truth.accepted,
            busy=truth.busy,
        )

    # -- what is decided -------------------------------------------------------------------------

    def ask(self, report: Report) -> None:
        made = self.reactor.ask(report)
        self.decisions += 1
        assert made.reasons and all(reason.isprintable() for reason in made.reasons)
        self.judge.decided(made)
        if made.verdict == "act":
            action = max(self.reactor.running)
            event = self.events.get(report.id, 0)
            self.judge.begins(action, made, self.reactor.observed, event)
            longest = 200 if made.operation == "join" else 20
            self.ends[action] = self.truth.now + self.dice.choice([0, 3, longest])
        elif made.verdict == "wait" and made.again_at is not None:
            assert made.again_at > self.truth.now
            self.waiting.append((made.again_at, report))

    def differing(self) -> list[str]:
        """Decisions that come out otherwise when they are made again from what was written down."""
        history, found = History(), []
        for kind, *rest in self.reactor.log:
            if kind == "record":
                history.apply(rest[0])
                continue
            report, observed, now, made = rest
            rule = self.reactor.rules[report.rule]
            again = decide(rule, report, self.cloud, observed, history, now)
            if again != made:
                found.append(f"{now:.1f} {made.fault}: was {made.verdict}, is {again.verdict}")
        return found

    def calm(self) -> None:
        """The weather ends: nobody works there, everybody is heard of, nothing is on the way."""
        truth = self.truth
        for pause in list(truth.pauses):
            self.reactor.resume(pause)
        truth.pauses, truth.silent, truth.bad, truth.busy = {}, {}, {}, ""
        self.way.clear()
        self.mends, self.breaks = [], math.inf
        self.step(30)
        while self.ends:
            self.step(30)
        truth.joined -= {NEW}  # a join may just have ended
        self.way.clear()
        self.waiting = []
        for node, service in self.copies:
            self.reactor.says(node, service, "ok")
        self.know()
        self.reactor.now += 3600
