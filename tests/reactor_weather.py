"""Bad weather for a reactor: services that fail, reports that get lost, and a rule for every act.

The laws are checked here from what the weather knows, and not by asking the history or the guard
rails: what they forgot would be forgotten twice.
"""

from __future__ import annotations

import random
from bisect import bisect_left
from collections import defaultdict
from dataclasses import replace

import support
from fake_decider import RULES, FakeDecider
from saltern.cloud import Cloud
from saltern.reactor.decide import decide
from saltern.reactor.history import History
from saltern.reactor.rules import Budget
from saltern.reactor.terms import Decision, Fault, Report, Status

SERVICES = ("keystone", "glance", "galera", "rabbitmq", "nova-compute", "libvirt", "haproxy")
DISRUPT = {"restart", "reapply", "isolate", "form"}
SHADOWED = "node-gone"
#: Seconds between two actions against one trouble, actions against it in 600 s, and in 60 s at all.
PAUSE, TRIES, AT_MOST = 7, 3, 2
STRANGER = "stranger"
NEW = "cmp6"


def a_cloud() -> Cloud:
    """Three controllers, six computes of which one has not joined, two balancers."""
    roles = {"lb": ("endpoint", 2), "ctl": ("controller", 3), "cmp": ("compute", 6)}
    nodes = {f"{n}{i}": role for n, (role, count) in roles.items() for i in range(1, count + 1)}
    model = {
        name: {"roles": [role], "addresses": {"management": f"192.0.2.{i}"}}
        for i, (name, role) in enumerate(nodes.items(), 1)
    }
    return Cloud({"name": "w", "nodes": model}, support.catalog())


class Weather:
    """A reactor, the truth about its cloud, and the lossy way between the two."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)  # noqa: S311 - weather, not secrets
        rules = dict(RULES)
        rules[SHADOWED] = replace(rules[SHADOWED], mode="shadow")
        # Once the breaker is the closer limit, once the budget.
        failures, most = (TRIES, 50) if seed % 2 else (50, TRIES)
        for name in ("service-failed", "service-drift"):
            held = replace(
                rules[name].guards,
                first=PAUSE,
                failures=failures,
                target=Budget(most, 600),
                overall=Budget(AT_MOST, 60),
            )
            rules[name] = replace(rules[name], guards=held)
        self.reactor = FakeDecider(a_cloud(), rules=rules)
        self.cloud = self.reactor.cloud
        self.reactor.know(joined=frozenset(self.cloud.nodes) - {NEW})
        self.bad: dict[tuple[str, str], str] = {}  # the truth
        self.silent: set[str] = set()
        self.on_the_way: list[Report] = []
        self.waiting: list[tuple[float, Report]] = []
        self.ends: dict[int, float] = {}
        self.pauses: dict[int, tuple[str, float]] = {}
        self.scanned = self.visited = self.reactor.now
        self.acts: list[tuple[float, Decision]] = []
        self.told: list[tuple[float, Decision]] = []
        #: Whatever is done about it, this copy lasts a few seconds and no longer.
        self.fragile = ("ctl1", "glance")
        self.copies = [(n, s) for s in SERVICES for n in self.cloud.nodes_running(s)]

    # -- what happens ----------------------------------------------------------------------------

    def step(self, seconds: float, trouble: float = 1.0) -> None:
        """Let time pass and something happen, with the likelihood ``trouble``."""
        self.reactor.now += seconds
        if self.dice.random() < trouble:
            self.happen()
        if self.fragile not in self.bad and self.dice.random() < 0.5:
            self.change(*self.fragile, "down")
        self.finish()
        self.visit()
        self.scan()
        self.deliver()

    def happen(self) -> None:
        node, service = self.dice.choice(self.copies)
        kind = self.dice.random()
        if kind < 0.55:
            self.change(node, service, self.dice.choice(["down", "hung", "looping"]))
        elif kind < 0.75:
            self.change(node, service, "ok")
        elif kind < 0.80:
            for other in self.cloud.nodes_running(service):
                self.change(other, service, "down")
        elif kind < 0.84:
            self.silent ^= {node}
        elif kind < 0.88:
            scope = self.dice.choice(
                ["cloud", f"node={node}", f"service={service}", "role=controller"]
            )
            seconds = self.dice.choice([5, 60, 600])
            self.pauses[self.reactor.pause(scope, seconds)] = (scope, self.reactor.now + seconds)
        elif kind < 0.90 and self.pauses:
            pause = self.dice.choice(list(self.pauses))
            del self.pauses[pause]
            self.reactor.resume(pause)
        elif kind < 0.93:
            self.reactor.know(busy="" if self.reactor.observed.busy else "orch.deploy")
        elif kind < 0.95:
            self.send("service-failed", STRANGER, service=service, status="down")
            self.send("node-new", STRANGER)
        elif kind < 0.97:
            self.send("node-new", NEW)
        else:
            self.send("node-gone", node, "saltern/scan/gone", reason="x")

    def change(self, node: str, service: str, status: str) -> None:
        if (self.bad.get((node, service)) or "ok") != status:
            self.bad[node, service] = status
            if status == "ok":
                del self.bad[node, service]
            self.send("service-failed", node, service=service, status=status)

    def send(self, rule: str, node: str, tag: str = "", **body: str) -> None:
        """1 % gets lost, 5 % arrives twice."""
        for _ in range(2 if self.dice.random() < 0.05 else 1):
            if self.dice.random() >= 0.01:
                self.on_the_way.append(self.reactor.report(rule, node, tag, **body))

    def finish(self) -> None:
        """Actions end; most help, some do not, some say so wrongly."""
        for action, at in list(self.ends.items()):
            if at <= self.reactor.now:
                del self.ends[action]
                fault = self.reactor.running[action].decision.fault
                luck = self.dice.random()
                if luck < 0.6:
                    self.change(fault.node, fault.subject, "ok") if fault.subject else None
                again = self.reactor.end(luck < 0.7, action)
                if again:
                    self.on_the_way.append(again)

    def visit(self) -> None:
        """An operator comes by every half an hour and mends most of it."""
        if self.reactor.now - self.visited >= 1800:
            self.visited = self.reactor.now
            self.silent.clear()
            self.reactor.know(busy="")
            for node, service in list(self.bad):
                if self.dice.random() < 0.8:
                    self.change(node, service, "ok")

    def scan(self) -> None:
        if self.reactor.now - self.scanned >= 120 and not self.reactor.observed.busy:
            self.scanned = self.reactor.now
            for node, service in self.bad:
                if node not in self.silent:
                    self.send("service-drift", node, service=service, status="down")

    def deliver(self) -> None:
        """What is on the way arrives in any order; what waited is due again."""
        if self.on_the_way or self.waiting:
            self.look()
        self.dice.shuffle(self.on_the_way)
        keep = self.dice.randrange(3) if self.dice.random() < 0.3 else 0
        arrived = self.on_the_way[keep:]
        del self.on_the_way[keep:]
        due = [report for at, report in self.waiting if at <= self.reactor.now]
        self.waiting = [(at, report) for at, report in self.waiting if at > self.reactor.now]
        for report in [*due, *(replace(r, at=self.reactor.now) for r in arrived)]:
            self.ask(report)

    def look(self) -> None:
        """What the reactor knows: the truth, some of it a little old."""
        services: dict[str, dict[str, Status]] = defaultdict(dict)
        for node, service in self.copies:
            if node not in self.silent:
                age = self.dice.choice([0.0, 0.0, 2.0, 12.0])
                status = self.bad.get((node, service), "ok")
                services[node][service] = Status(status, "", self.reactor.now - age)
        answering = {node: node not in self.silent for node in self.cloud.nodes}
        self.reactor.know(services=dict(services), answering=answering)

    def ask(self, report: Report) -> None:
        running = [r.decision for r in self.reactor.running.values()]
        made = self.reactor.ask(report)
        assert made.reasons and all(reason.isprintable() for reason in made.reasons)
        if made.verdict == "act":
            self.lawful(report, made, running)
            self.acts.append((self.reactor.now, made))
            self.ends[max(self.reactor.running)] = self.reactor.now + self.dice.choice([0, 3, 20])
        elif made.verdict in ("human", "refuse"):
            self.told.append((self.reactor.now, made))
        elif made.verdict == "wait" and made.again_at is not None:
            assert made.again_at > self.reactor.now
            self.waiting.append((made.again_at, report))

    # -- the laws --------------------------------------------------------------------------------

    def lawful(self, report: Report, made: Decision, running: list[Decision]) -> None:
        """Whether this act may be, by what is true now."""
        observed, fault = self.reactor.observed, made.fault
        nodes = self.cloud.model["nodes"]
        assert fault.node in nodes and report.rule != SHADOWED and not observed.busy
        assert (fault.node in observed.joined) == (made.operation != "join")
        assert fault.node not in self.silent
        assert not any(self.held(scope, fault) for scope, until in self.pauses.values()
                       if self.reactor.now < until)  # fmt: skip
        assert fault.node not in {other.fault.node for other in running}
        if made.operation in DISRUPT:
            self.minority(fault, running)
            self.mostly_well(fault)
        if "quorum" in self.cloud.catalog.get(fault.subject, {}):
            self.quorum(fault, running)

    def held(self, scope: str, fault: Fault) -> bool:
        role = self.cloud.model["nodes"][fault.node]["roles"][0]
        own = {f"node={fault.node}", f"service={fault.subject}", f"role={role}", "cloud"}
        return scope in own

    def minority(self, fault: Fault, running: list[Decision]) -> None:
        [role] = self.cloud.model["nodes"][fault.node]["roles"]
        members = {n for n, s in self.cloud.model["nodes"].items() if role in s["roles"]}
        at_work = {d.fault.node for d in running if d.operation in DISRUPT} & members
        assert len(at_work | {fault.node}) <= {2: 1, 3: 1, 6: 2}[len(members)]

    def mostly_well(self, fault: Fault) -> None:
        members = set(self.cloud.nodes_running(fault.subject)) - {NEW}
        sick = {n for n in members if n in self.silent or (n, fault.subject) in self.bad}
        assert len(members) < 3 or len(sick | {fault.node}) / len(members) < 0.55
        joined = set(self.cloud.nodes) - {NEW}
        assert len(self.silent & joined) / len(joined) < 0.55

    def quorum(self, fault: Fault, running: list[Decision]) -> None:
        others = set(self.cloud.nodes_running(fault.subject)) - {fault.node}
        assert not others & {d.fault.node for d in running if d.operation in DISRUPT}
        for node in others:
            status = self.reactor.observed.services[node][fault.subject]
            assert status.status == "ok" and self.reactor.now - status.at <= 10

    def budgets_held(self) -> None:
        """Over the whole run: so many at most, of one trouble and of all."""
        mending = [(at, d) for at, d in self.acts if d.operation in DISRUPT]
        assert most_within([at for at, _ in mending], 60) <= AT_MOST
        by_fault: dict[Fault, list[float]] = defaultdict(list)
        for at, made in mending:
            by_fault[made.fault].append(at)
        for times in by_fault.values():
            assert most_within(times, 600) <= TRIES and most_within(times, PAUSE) <= 1
        for fault, calls in self.tellings().items():
            acted = [at for at, made in self.acts if made.fault == fault]
            for one, two in zip(calls, calls[1:], strict=False):
                assert two - one >= 600 or any(one < at <= two for at in acted), (fault, calls)

    def tellings(self) -> dict[Fault, list[float]]:
        found: dict[Fault, list[float]] = defaultdict(list)
        for at, made in self.told:
            found[made.fault].append(at)
        return found

    def replayed(self) -> None:
        """Decided again from what was written down, everything comes out the same."""
        history = History()
        for kind, *rest in self.reactor.log:
            if kind == "record":
                history.apply(rest[0])
                continue
            report, observed, now, made = rest
            rule = self.reactor.rules[report.rule]
            assert decide(rule, report, self.cloud, observed, history, now) == made

    def calm(self) -> None:
        """The weather ends: nobody works there, everybody is heard of, nothing is on the way."""
        for pause in list(self.pauses):
            self.reactor.resume(pause)
        self.pauses, self.silent, self.bad = {}, set(), {}
        self.on_the_way, self.waiting = [], []
        self.look()
        self.reactor.know(busy="")
        self.reactor.now += 30
        self.finish()
        self.on_the_way = []
        for node, service in self.copies:
            self.reactor.says(node, service, "ok")
        self.reactor.now += 3600


def most_within(times: list[float], seconds: float) -> int:
    """The most of ``times`` (in order) within any ``seconds``."""
    return max((bisect_left(times, at + seconds) - i for i, at in enumerate(times)), default=0)
