"""Who says whether an action was right: the truth about a simulated cloud, and laws for every act.

The judge knows what is so. It asks neither the reactor's history nor its guard rails: what they
forgot would be forgotten twice. Only for what was told to the reactor (that news of a member of a
quorum was fresh) does it look at what the reactor was given.

**An action is wrong** when, at the moment it begins,

- its node is not in the model, or has not joined (for a join: has joined, or has no accepted key),
  or has been silent for longer than ``NEWS`` (unless it is isolated, which others do);
- an operator works there (a pause, the lock of the cloud), or its rule may only watch (shadow);
- another action is at work on the same node;
- more than a minority of a role is worked on;
- most copies of its service, or most nodes, have been bad or silent for longer than ``NEWS``;
- it touches a member of a quorum while another one is worked on, or has been bad or silent for
  longer than ``NEWS``, or was last heard of more than ``FRESH`` seconds ago;
- it is one more than the budgets allow: of one trouble, of all, and too soon after the last;
- it is the second one begun because of one and the same report of a node;
- its service has been well for longer than ``NEWS``.

``NEWS`` is how long the reactor may rightly believe what is so no more: an event comes ``LATE``
seconds after it was true at most, and what is known may be ``FRESH`` seconds old. What became of
services while their node was silent nobody can know. An action on what has been well for less than
``NEWS`` is not wrong, and counted: the operation looks first and leaves it alone.

**A fault was left alone** when it lasted for ``PATIENCE`` seconds in which nothing kept the reactor
from acting (a pause, the lock, a silent node, a spent budget), without an action against it
beginning or ending, and while no human was called. A call stands until the reactor says that the
trouble is over, and for ``STABLE`` seconds at least: no one is told of one trouble more often. A
call for a whole group of nodes stands for every service of these nodes, and for ``STABLE`` seconds
after its end, in which nobody is called for that group again.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import takewhile

from lossy_way import LATE
from saltern.cloud import Cloud
from saltern.reactor.history import BRIEF
from saltern.reactor.rules import Rule
from saltern.reactor.terms import Decision, Fault, Observed

Copy = tuple[str, str]  # node, service

DISRUPT = {"restart", "reapply", "isolate", "form"}
FRESH = 10.0
NEWS = LATE + FRESH
STABLE = 600.0
#: Three scans, as an answer to one may be lost too, and a minute for budgets.
PATIENCE = 3 * 120.0 + 60.0
#: Seconds between two actions against one trouble, actions against it in 600 s, and in 60 s at all.
PAUSE, TRIES, AT_MOST = 7, 3, 2
#: Members of a role -> how many of them may be worked on at once.
MINORITY = {2: 1, 3: 1, 5: 2, 6: 2}
#: Percent from which on most of a group is sick.
MOST = 55


@dataclass
class Truth:
    """What is so, whoever has heard of it."""

    cloud: Cloud
    now: float
    joined: frozenset[str]
    accepted: frozenset[str]
    busy: str = ""
    bad: dict[Copy, str] = field(default_factory=dict)
    since: dict[Copy, float] = field(default_factory=dict)  # it has been as it is
    silent: dict[str, float] = field(default_factory=dict)  # node -> since when
    back: dict[str, float] = field(default_factory=dict)  # node -> when it was heard again
    pauses: dict[int, tuple[str, float]] = field(default_factory=dict)  # scope, until
    faults: int = 0

    def become(self, copy: Copy, status: str) -> bool:
        """Whether ``status`` is another one than before."""
        if self.bad.get(copy, "ok") == status:
            return False
        if status == "ok":
            del self.bad[copy]
        else:
            self.faults += copy not in self.bad
        if status == "ok" or copy not in self.bad:
            self.since[copy] = self.now
        if status != "ok":
            self.bad[copy] = status
        return True

    def blank(self, node: str, services: Iterable[str]) -> None:
        """``node`` is a machine without ``services``; that is no fault."""
        for service in services:
            self.bad[node, service] = "down"
            self.since[node, service] = self.now

    def hush(self, node: str, silent: bool) -> None:
        """Nobody hears ``node`` any more, or it is heard again."""
        if silent:
            self.silent.setdefault(node, self.now)
        elif self.silent.pop(node, None) is not None:
            self.back[node] = self.now

    def lasting(self, copy: Copy) -> float:
        """For how long it has been well, or has not, and could be heard."""
        node = copy[0]
        began = max(self.since.get(copy, -math.inf), self.back.get(node, -math.inf))
        return self.silent.get(node, self.now) - began

    def gone(self, node: str) -> bool:
        """Silent for so long that the reactor has to know."""
        return self.now - self.silent.get(node, math.inf) > NEWS

    def sick(self, copy: Copy) -> bool:
        """Bad or silent for so long that the reactor has to know."""
        return self.gone(copy[0]) or (copy in self.bad and self.lasting(copy) > NEWS)

    def paused(self, node: str, service: str) -> bool:
        """Whether an operator works there."""
        roles = self.cloud.model["nodes"].get(node, {}).get("roles", ())
        own = {"cloud", f"node={node}", f"service={service}", *(f"role={role}" for role in roles)}
        return any(scope in own and self.now < until for scope, until in self.pauses.values())

    def members(self, service: str) -> list[str]:
        """Nodes with a copy of ``service`` that have joined."""
        return [node for node in self.cloud.nodes_running(service) if node in self.joined]


class Judge:
    """Sees every decision, every beginning and every end, and says what was wrong."""

    def __init__(self, truth: Truth, rules: Mapping[str, Rule]) -> None:
        self.truth = truth
        self.rules = rules
        self.wrong: list[str] = []
        self.left_alone: list[str] = []
        self.told_again: list[str] = []  # of one trouble, sooner than its rule allows
        self.begun = self.for_nothing = self.called = 0
        self._running: dict[int, Decision] = {}
        self._disrupted: list[tuple[float, Fault]] = []
        self._acted_on: set[int] = set()  # events
        self._acted: dict[Fault, float] = {}  # when an action against it last began
        self._touched: dict[Fault, float] = {}  # or ended, or could not begin
        self._calls: dict[Fault, float] = {}
        self._called: dict[Fault, list[float]] = {}  # the same, as far as a budget has to know
        self._open: set[Fault] = set()  # nobody has said since that it is over
        self._uncalled: dict[Fault, float] = {}  # when somebody has
        self._neglected: dict[Copy, float] = {}  # copy -> the beginning of its trouble

    # -- what happens ----------------------------------------------------------------------------

    def decided(self, made: Decision) -> None:
        """The reactor has said something."""
        fault, now = made.fault, self.truth.now
        if made.verdict in ("human", "refuse"):
            self.called += 1
            last = self._calls.get(fault, -math.inf)
            guards = self.rules[made.rule].guards
            known = fault in self._open and self._acted.get(fault, -math.inf) <= last
            if known and now - last < guards.stable:
                self.told_again.append(self._line(f"a human was called for {fault}", now - last))
            calls = self._called[fault] = [
                *(at for at in self._called.get(fault, ()) if at > now - guards.target.per),
                *([now] if now - self._uncalled.get(fault, -math.inf) >= BRIEF else ()),
            ]
            if len(calls) > guards.target.actions:
                self.told_again.append(self._line(f"{len(calls)} calls for {fault}", now - last))
            self._calls[fault] = now
            self._open.add(fault)
        if made.resolves:
            self.over(fault)

    def over(self, fault: Fault) -> None:
        """The reactor says that ``fault`` is over."""
        if fault in self._open:
            self._open.discard(fault)
            self._uncalled[fault] = self.truth.now

    def begins(self, action: int, made: Decision, observed: Observed, event: int = 0) -> list[str]:
        """Judge an action, and say what is wrong with it.

        :param event: stands for the report of a node that it was begun for; 0: it was none.
        """
        self.begun += 1
        found = [*self._where(made), *self._beside(made), *self._how_often(made)]
        if made.operation in DISRUPT:
            found += [*self._group(made.fault), *self._quorum(made.fault, observed)]
            found += self._needed(made.fault)
            self._disrupted.append((self.truth.now, made.fault))
        if event and event in self._acted_on:
            found.append("it is the second one because of the same report")
        self._acted_on.add(event)
        self._running[action] = made
        self._acted[made.fault] = self._touched[made.fault] = self.truth.now
        if found:
            self.wrong.append(self._line(f"{made.operation} for {made.fault}: {'; '.join(found)}"))
        return found

    def ended(self, action: int, ok: bool) -> None:
        """An action is over, and the reactor takes it for a success or not."""
        made = self._running.pop(action)
        self._touched[made.fault] = self.truth.now
        if ok and made.operation != "isolate":
            self.over(made.fault)

    def watch(self) -> None:
        """Look for faults that nobody cares for; to be called whenever time has passed."""
        truth = self.truth
        for copy in truth.bad:
            node, service = copy
            fault = Fault(node, "service", service)
            if self._hindered(node, service):
                self._touched[fault] = max(truth.now, self._touched.get(fault, 0.0))
            group = Fault("", "sick", ", ".join(sorted(truth.cloud.roles_of(service))))
            groups = (group, Fault("", "sick", "cloud"))
            if self._open.intersection((fault, *groups)):
                continue
            if self._neglected.get(copy) == truth.since[copy]:
                continue
            cared = max(
                truth.since[copy],
                self._touched.get(fault, 0.0),
                self._calls.get(fault, -STABLE) + STABLE,
                *(self._uncalled.get(group, -STABLE) + STABLE for group in groups),
            )
            if truth.now - cared > PATIENCE:
                self._neglected[copy] = truth.since[copy]
                self.left_alone.append(self._line(f"{fault} was left alone", truth.now - cared))

    # -- the laws --------------------------------------------------------------------------------

    def _hindered(self, node: str, service: str) -> bool:
        truth = self.truth
        return bool(
            node not in truth.joined
            or node in truth.silent
            or truth.busy
            or truth.paused(node, service)
            or len(self._recent(STABLE, Fault(node, "service", service))) >= TRIES
        )

    def _where(self, made: Decision) -> Iterator[str]:
        node, truth = made.fault.node, self.truth
        if node not in truth.cloud.model["nodes"]:
            yield "the node is not in the model"
        if made.operation == "join" and node not in truth.accepted:
            yield "the key of the node is not accepted"
        if (made.operation == "join") == (node in truth.joined):
            yield "the node has joined" if node in truth.joined else "the node has not joined"
        if truth.gone(node) and made.operation != "isolate":
            yield "the node is silent"
        if truth.busy:
            yield f"{truth.busy} holds the lock"
        if truth.paused(node, made.fault.subject):
            yield "it is paused"
        if self.rules[made.rule].mode != "armed":
            yield "its rule may only watch"

    def _beside(self, made: Decision) -> Iterator[str]:
        running = self._running.values()
        if made.fault.node in {other.fault.node for other in running}:
            yield "another action is at work on the node"
        if made.operation not in DISRUPT:
            return
        nodes: Mapping[str, Mapping[str, list[str]]] = self.truth.cloud.model["nodes"]
        working = {d.fault.node for d in running if d.operation in DISRUPT} | {made.fault.node}
        for role in nodes.get(made.fault.node, {}).get("roles", ()):
            members = {node for node, spec in nodes.items() if role in spec["roles"]}
            if len(working & members) > MINORITY[len(members)]:
                yield f"{len(working & members)} of {len(members)} of {role} would be worked on"

    def _group(self, fault: Fault) -> Iterator[str]:
        truth = self.truth
        members = truth.members(fault.subject)
        sick = {node for node in members if truth.sick((node, fault.subject))} | {fault.node}
        if len(members) >= 3 and 100 * len(sick) >= MOST * len(members):
            yield f"{len(sick)} of {len(members)} copies are sick"
        silent = [node for node in truth.joined if truth.gone(node)]
        if 100 * len(silent) >= MOST * len(truth.joined):
            yield f"{len(silent)} of {len(truth.joined)} nodes are silent"

    def _quorum(self, fault: Fault, observed: Observed) -> Iterator[str]:
        truth = self.truth
        if "quorum" not in truth.cloud.catalog.get(fault.subject, {}):
            return
        working = {d.fault.node for d in self._running.values() if d.operation in DISRUPT}
        for node in sorted(set(truth.cloud.nodes_running(fault.subject)) - {fault.node}):
            if node in working:
                yield f"another member, {node}, is worked on"
            if truth.sick((node, fault.subject)):
                yield f"another member, {node}, is bad"
            known = observed.services.get(node, {}).get(fault.subject)
            if known is None or known.status != "ok" or truth.now - known.at > FRESH:
                yield f"nothing good and fresh was known of another member, {node}"

    def _how_often(self, made: Decision) -> Iterator[str]:
        if made.operation not in DISRUPT:
            return
        for seconds, most, whose in (
            (PAUSE, 1, made.fault),
            (STABLE, TRIES, made.fault),
            (60, AT_MOST, None),
        ):
            count = 1 + len(self._recent(seconds, whose))
            if count > most:
                yield f"it is number {count} within {seconds:.0f} s of {whose or 'all'}"

    def _recent(self, seconds: float, fault: Fault | None) -> list[float]:
        """When disrupting actions began in the last ``seconds``: against ``fault``, or any."""
        since = self.truth.now - seconds
        last = takewhile(lambda begun: begun[0] > since, reversed(self._disrupted))
        return [at for at, against in last if fault in (None, against)]

    def _needed(self, fault: Fault) -> Iterator[str]:
        copy = (fault.node, fault.subject)
        if not fault.subject or copy in self.truth.bad:
            return
        well = self.truth.lasting(copy)
        if well > NEWS:
            yield f"it has been well for {well:.0f} s"
        else:
            self.for_nothing += 1

    def _line(self, what: str, seconds: float | None = None) -> str:
        after = "" if seconds is None else f", {seconds:.0f} s"
        return f"{self.truth.now:.1f} {what}{after}"
