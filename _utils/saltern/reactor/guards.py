"""Guard rails: each looks at one thing that could go wrong, and objects or does not.

All of them are asked about every action, so that a decision carries every reason there is. They
stand in the order in which they win: what makes an action pointless comes before what makes it
dangerous, and that before what merely makes it early.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from saltern.cloud import Cloud
from saltern.reactor import history as past
from saltern.reactor.rules import OPERATIONS, Operation, Rule
from saltern.reactor.terms import Fault, Observed, Report, Verdict

#: Seconds after which what is known of a member of a quorum is too old to rely on.
FRESH = 20
#: Seconds that a decision waits for fresh news of the other members before a human is told.
PATIENCE = 60
#: Fewer nodes than this are no group from which anything could be concluded.
GROUP = 3
#: Seconds until something that ends by itself is looked at again: an action, a lock, an outage.
SOON, LATER, MUCH_LATER = 2, 10, 30
#: Statuses with which a service does its work.
WORKING = ("ok", "degraded")
#: The kind of trouble that too many sick nodes are.
SICK = "sick"


@dataclass(frozen=True)
class Case:
    """One question: may ``operation`` be done about ``fault`` now?"""

    rule: Rule
    report: Report
    fault: Fault
    cloud: Cloud
    observed: Observed
    history: past.History
    now: float
    tries: int = 0  # actions that have not helped or not lasted
    rung: int = 0

    @cached_property
    def operation(self) -> str:
        """What the ladder says; empty where it has ended."""
        rungs = self.rule.ladder
        return rungs[self.rung] if self.fault.node and self.rung < len(rungs) else ""

    @cached_property
    def kind(self) -> Operation:
        return OPERATIONS.get(self.operation, Operation())

    @cached_property
    def known(self) -> past.FaultHistory:
        return self.history.fault(self.fault)

    @property
    def service(self) -> str:
        """The service that it is about; empty where it is about the node itself."""
        return self.fault.subject if self.fault.subject in self.cloud.catalog else ""

    @property
    def roles(self) -> list[str]:
        spec = self.cloud.model["nodes"].get(self.fault.node, {})
        return list(spec.get("roles", ()))


@dataclass(frozen=True)
class Objection:
    """Why not, and what to do instead."""

    verdict: Verdict
    reason: str
    again_at: float | None = None
    fault: Fault | None = None  # the larger trouble that a human is told of in its place


Guard = Callable[[Case], Objection | None]


def span(seconds: float) -> str:
    """A time for people: ``4 s``, ``12 min``, ``3 h``."""
    if seconds < 120:
        return f"{max(0.0, seconds):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"


# -- pointless ------------------------------------------------------------------------------------


def paused(case: Case) -> Objection | None:
    """G11: somebody works there, and said until when."""
    services = [case.service] if case.service else []
    pause = case.history.pause(case.fault.node, services, case.now, case.roles)
    if pause is None:
        return None
    reason = f"paused by {pause.by} for {span(pause.until - case.now)} more: {pause.why}"
    return Objection("wait", reason, min(pause.until, case.now + MUCH_LATER))


def joined(case: Case) -> Objection | None:
    """What has not joined is the join's business, and nobody else's."""
    node = case.fault.node
    if case.operation in ("", "join") or node in case.observed.joined:
        return None
    return Objection("ignore", f"{node} has not joined: a deploy or join will set it right")


def newcomer(case: Case) -> Objection | None:
    """A node is joined once, when it is ours, answers, and there is a cloud to join."""
    node, observed = case.fault.node, case.observed
    if case.operation != "join":
        return None
    if node in observed.joined:
        return Objection("ignore", f"{node} has joined already")
    if node not in observed.accepted:
        return Objection("ignore", f"the key of {node} is not accepted")
    if node not in case.cloud.model["nodes"]:
        reason = f"the key of {node} is accepted, but the model does not name it"
        return Objection("wait", f"{reason}: add it to pillar/cloud.yaml or delete the key")
    if not observed.answering.get(node):
        return Objection("wait", f"{node} does not answer yet")
    if not observed.joined:
        return Objection("wait", "the cloud is not deployed yet: salt-run state.orch orch.deploy")
    return None


def heard(case: Case) -> Objection | None:
    """Nothing can be done on a node through an agent that is not heard of."""
    if not case.kind.inside or case.observed.answering.get(case.fault.node, True):
        return None
    return Objection("wait", f"{case.fault.node} does not answer", case.now + LATER)


def locked(case: Case) -> Objection | None:
    """One lock for operators and for the reactor; operators go first."""
    if not case.operation or not case.observed.busy:
        return None
    reason = f"{case.observed.busy} is at work on the cloud"
    return Objection("wait", reason, case.now + LATER)


# -- dangerous ------------------------------------------------------------------------------------


def frozen(case: Case) -> Objection | None:
    """G7: when most of a group looks sick, the one who looks is more likely to be wrong."""
    for label, members, subject in _groups(case):
        if len(members) < GROUP:
            continue
        sick = [node for node in members if _looks_sick(case, node, subject)]
        if 100 * len(sick) < case.rule.guards.sick * len(members):
            continue
        what = f"{subject} on them" if subject else "they"
        reason = (
            f"{len(sick)} of {len(members)} nodes ({label}) look sick: {_few(sick)}. "
            f"Look at what {what} have in common (network, disk, database, this master) first; "
            f"nothing is done while {case.rule.guards.sick} % or more of them look so"
        )
        outage = Fault("", SICK, label)
        if _told(case.history.fault(outage), case):
            return Objection("wait", reason, case.now + MUCH_LATER)
        return Objection("refuse", reason, fault=outage)
    return None


def _told(known: past.FaultHistory, case: Case) -> bool:
    """Whether people know of it; or have heard so often of it ending and coming back."""
    guards = case.rule.guards
    if known.told is None or not known.stays(case.now, guards.stable):
        return False
    return known.good is None or known.room_to_call(guards.target, case.now) is not None


def _groups(case: Case) -> list[tuple[str, list[str], str]]:
    """Groups of nodes that ``case`` is about: name, members that have joined, service or none."""
    cloud, there = case.cloud, case.observed.joined
    groups = [("cloud", cloud.nodes, "")]
    if case.service:
        label = ", ".join(sorted(cloud.roles_of(case.service)))
        groups.append((label, cloud.nodes_running(case.service), case.service))
    else:
        groups += [(role, _members(cloud, role), "") for role in case.roles]
    return [(label, [n for n in nodes if n in there], subject) for label, nodes, subject in groups]


def _looks_sick(case: Case, node: str, service: str) -> bool:
    """A single failed service makes a node sick for the group of that service, and no other."""
    if case.observed.answering.get(node) is False:
        return True
    if not service:
        return False
    status = case.observed.services.get(node, {}).get(service)
    if status is not None and status.status not in WORKING:
        return True
    if not case.kind.disrupts:
        return False  # a copy that is well may be put back to work whatever was said of it
    # What was reported a moment ago counts, although nobody has asked about it yet.
    since = status.at if status else case.now - case.rule.guards.stable
    seen = case.history.bad_at(Fault(node, case.fault.kind, service))
    return node == case.fault.node or seen > since


def _members(cloud: Cloud, role: str) -> list[str]:
    return [node for node, spec in cloud.model["nodes"].items() if role in spec["roles"]]


def _few(nodes: Sequence[str]) -> str:
    more = f" and {len(nodes) - 5} more" if len(nodes) > 5 else ""
    return ", ".join(nodes[:5]) + more


def quorum(case: Case) -> Objection | None:
    """G8: a member is touched only while every other one is well, and nothing runs on them."""
    others = voters(case)
    if not case.kind.disrupts or not others:
        return None
    at_work = [a for a in case.history.running() if a.kind.disrupts and a.fault.node in others]
    if at_work:
        reason = f"{case.service} has a quorum, and {_working(at_work[0], case.now)}"
        return Objection("wait", reason, case.now + SOON)
    if not case.kind.quorate:
        return None
    held = {n: case.observed.services.get(n, {}).get(case.service) for n in others}
    known = {n: s for n, s in held.items() if s is not None and case.now - s.at <= FRESH}
    bad = [f"{n} is {s.status}" for n, s in known.items() if s.status not in WORKING]
    if bad:
        reason = f"{case.service} could lose its quorum: {', '.join(bad)}"
        return Objection("refuse", f"{reason}; docs/howto/recover.md says how to go on")
    stale = [node for node in others if node not in known]
    if not stale:
        return None
    reason = f"{case.service} has a quorum, and nothing fresh is known of it on {_few(stale)}"
    if case.now - case.report.at < PATIENCE:
        return Objection("wait", reason, case.now + SOON)
    return Objection("refuse", reason)


def voters(case: Case) -> list[str]:
    """The other members of the quorum that the service belongs to; none where it has none."""
    if not case.service or "quorum" not in case.cloud.catalog[case.service]:
        return []
    return [n for n in case.cloud.nodes_running(case.service) if n != case.fault.node]


def breaker(case: Case) -> Objection | None:
    """G6: what has not helped so often will not help the next time."""
    guards = case.rule.guards
    if not case.operation or case.tries < guards.failures:
        return None
    last = case.known.actions[-1].operation
    return Objection(
        "human",
        f"{case.tries} actions did not help or did not last, the last was {last}: no more until "
        f"it has been well for {span(guards.stable)}",
    )


def ladder(case: Case) -> Objection | None:
    """G13: after the last rung comes a human."""
    if case.operation:
        return None
    if not case.rule.ladder or not case.fault.node:
        return Objection("human", "nothing is done about this without a human")
    return Objection("human", f"all of {', '.join(case.rule.ladder)} has been tried")


# -- early ----------------------------------------------------------------------------------------


def at_work(case: Case) -> Objection | None:
    """G4: one action at a time on a node."""
    for action in case.history.running():
        if action.fault.node == case.fault.node and action.fault != case.fault:
            return Objection("wait", _working(action, case.now), case.now + SOON)
    return None


def minority(case: Case) -> Objection | None:
    """G7: never more than a minority of a role is acted on at once."""
    if not case.kind.disrupts:
        return None
    acting = {a.fault.node for a in case.history.running() if a.kind.disrupts} - {case.fault.node}
    for role in case.roles:
        members = _members(case.cloud, role)
        others = sorted(acting.intersection(members))
        if len(others) + 1 > max(1, (len(members) - 1) // 2):
            reason = f"work on {_few(others)} goes on: of {len(members)} nodes with the role {role}"
            return Objection("wait", f"{reason} only a minority is touched", case.now + SOON)
    return None


def backoff(case: Case) -> Objection | None:
    """G6: each further action waits longer."""
    last = case.known.last
    if not case.tries or last is None or last.ended is None:
        return None
    ready = last.ended + case.rule.guards.pause_after(case.tries)
    if case.now >= ready:
        return None
    reason = f"{case.tries} actions did not help or did not last: the next comes"
    return Objection("wait", f"{reason} in {span(ready - case.now)}", ready)


def target_budget(case: Case) -> Objection | None:
    """G5: so many actions against one trouble."""
    budget = case.rule.guards.target
    ready = past.room(budget, case.known.actions, case.now)
    if ready is None or not case.operation:
        return None
    reason = f"{budget.actions} actions against it in {span(budget.per)} are the most"
    return Objection("wait", f"{reason}: the next in {span(ready - case.now)}", ready)


def overall_budget(case: Case) -> Objection | None:
    """G5: so many actions of a kind, whatever they are against."""
    budget = case.rule.guards.overall
    ready = case.history.room(budget, case.rule.ladder, case.now)
    if ready is None or not case.operation:
        return None
    reason = f"{budget.actions} actions such as {case.operation} in {span(budget.per)} are the most"
    return Objection("wait", f"{reason}: the next in {span(ready - case.now)}", ready)


def _working(action: past.Action, now: float) -> str:
    began = span(now - action.began)
    return f"{action.operation} for {action.fault} goes on, it began {began} ago"


GUARDS: tuple[Guard, ...] = (
    paused,
    joined,
    newcomer,
    heard,
    locked,
    frozen,
    quorum,
    breaker,
    ladder,
    at_work,
    minority,
    backoff,
    target_budget,
    overall_budget,
)


def objections(case: Case) -> list[Objection]:
    """Everything that speaks against it; the first one wins."""
    return [found for guard in GUARDS if (found := guard(case)) is not None]
