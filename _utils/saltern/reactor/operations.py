"""What the reactor can do about a fault. Each operation acts once and says what it sees afterwards.

An operation never believes that it helped. It asks again, and its outcome is what the answer was:
``ok`` means that what the operation is for is now so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from saltern import computes, haproxy, health
from saltern.cloud import Cloud
from saltern.deploy import ADMIT_TIMEOUT, Deployment
from saltern.fleet import NO_ANSWER, Answer, Failed, Fleet, Reporter, failures
from saltern.joining import any_of, ask_one
from saltern.reactor.terms import Decision, Outcome

# Seconds.
HEAL_WAIT = 30  # until a service that was restarted must be well; a starved node takes 4 times that
HEAL_TIMEOUT = 180  # with the wait for another service of the node that is being put right
LOOK_WAIT = 20
ASK_TIMEOUT = 30
RECHECK_TIMEOUT = 5
PING_TIMEOUT = 2  # for a node that has just been asked, and that somebody waits to be told of

Launch = Callable[[str, Mapping[str, Any]], Outcome]


@dataclass(frozen=True)
class Context:
    """What an operation works with."""

    cloud: Cloud
    fleet: Fleet
    report: Reporter
    #: Runs an orchestration in a process of its own: ``launch("orch.join", {"nodes": [...]})``.
    launch: Launch
    #: Of the reactor that acts: a node refuses one that is older than another it has seen.
    epoch: int | None = None
    #: Nodes that join together with the decision's own.
    nodes: tuple[str, ...] = ()
    #: Has a node count as one that has not joined, so that it joins anew when it is back.
    leave: Callable[[str], None] = lambda node: None

    def ask(self, nodes: Sequence[str], function: str, limit: int, **kwargs: Any) -> Answers:
        """``function`` on ``nodes`` side by side; nobody is asked when there are none."""
        if not nodes:
            return {}
        return self.fleet.call(nodes, function, timeout=limit, kwargs=kwargs)

    @property
    def balancers(self) -> list[str]:
        return self.cloud.nodes_running("haproxy")

    def balanced(self, service: str) -> bool:
        """Whether balancers of ours send requests to ``service``."""
        return bool(self.balancers) and "proxy" in self.cloud.catalog[service]

    def deployment(self) -> Deployment:
        return Deployment(self.cloud, self.fleet, self.report)


Answers = Mapping[str, Answer]
Operation = Callable[[Context, Decision], Outcome]


def restart(context: Context, decision: Decision) -> Outcome:
    """Restart the service on its node, where it is looked at first; then have it admitted.

    The balancers look at it meanwhile: their own checks may need seconds to find out.
    """
    node, service = decision.fault.node, decision.fault.subject
    if not context.balanced(service):
        return _restarted(context, node, service)
    with ThreadPoolExecutor(1, thread_name_prefix="saltern-recheck") as beside:
        rechecked = beside.submit(
            context.ask,
            *(context.balancers, "haproxy.recheck", RECHECK_TIMEOUT),
            node=node,
            services=[service],
        )
        healed = _restarted(context, node, service)
    evidence = {**healed.evidence, "rechecked": {n: a.value for n, a in rechecked.result().items()}}
    return _admitted(context, node, service, Outcome(healed.ok, healed.detail, evidence))


def _restarted(context: Context, node: str, service: str) -> Outcome:
    answer = context.ask(
        [node],
        "healing.restart",
        HEAL_TIMEOUT,
        service=service,
        wait=HEAL_WAIT,
        epoch=context.epoch,
    )[node]
    if not answer.ok:
        unheard = Outcome(False, f"{node}: healing.restart: {answer.value}")
        return _late(context, node, service, unheard) if _is_silence(answer) else unheard
    said = answer.value
    if said["did"] == "refused":
        return Outcome(False, f"{node} refused: {said['after']['reason']}", said)
    after = said["after"]
    well = after["status"] != health.DOWN
    how = f"{service} on {node} {_acted(said['did'], well)}: {_status(after)}"
    return Outcome(well, how, said)


def _late(context: Context, node: str, service: str, unheard: Outcome) -> Outcome:
    """``unheard``, unless the service is well by now: a busy node heals, and tells nobody in time.

    The next rungs would change or isolate what has been healed.
    """
    seen = _looked(context, [node], [service])
    return Outcome(True, f"{unheard.detail}, and is {seen.detail}") if seen.ok else unheard


def _acted(did: str, well: bool) -> str:
    waited = "came back by itself" if well else "did not come back by itself"
    return {"nothing": "was left alone", "waited": waited}.get(did, did)


def _status(state: Mapping[str, Any]) -> str:
    return f"{state['status']}: {state['reason']}" if state.get("reason") else str(state["status"])


def _admitted(context: Context, node: str, service: str, healed: Outcome) -> Outcome:
    """``healed``, and the balancers send requests to ``service`` on ``node`` again."""
    if not healed.ok or not context.balanced(service):
        return healed
    answers = context.ask(
        context.balancers,
        "haproxy.admit_node",
        ADMIT_TIMEOUT + ASK_TIMEOUT,
        node=node,
        services=[service],
        timeout=ADMIT_TIMEOUT,
    )
    evidence = {**healed.evidence, "balancers": {n: a.value for n, a in answers.items()}}
    here, silent = _present(answers)
    wrong = failures(here, "haproxy.admit_node") if here else failures(answers, "admission")
    if wrong:
        return Outcome(False, f"{healed.detail}; {'; '.join(wrong)}", evidence)
    held = sorted({key for answer in here.values() for key in answer.value["held"]})
    words = [
        healed.detail,
        *([f"an operator holds {', '.join(held)}"] if held else ["admitted"]),
        *([f"no answer from {', '.join(silent)}"] if silent else []),
    ]
    return Outcome(True, "; ".join(words), evidence)


def _present(answers: Answers) -> tuple[dict[str, Answer], list[str]]:
    """Answers of those that are there, and who is not: a balancer that is gone balances nothing."""
    silent = [node for node, answer in answers.items() if _is_silence(answer)]
    return {node: a for node, a in answers.items() if node not in silent}, silent


def _is_silence(answer: Answer) -> bool:
    return not answer.ok and str(answer.value).startswith(NO_ANSWER)


def reapply(context: Context, decision: Decision) -> Outcome:
    """Bring the service's own files and units on its node to the model, and nothing else."""
    node, service = decision.fault.node, decision.fault.subject
    work = context.deployment()
    # A wave of its own: of the node's real one, every service would be touched.
    stage = {"waves": [service], "name": "states"}
    waves = {service: {"states": list(context.cloud.catalog[service]["states"])}}
    try:
        work.apply(f"reapply {service}", [node], {"stage": stage, "cloud": {"waves": waves}})
        work.form([service])
    except Failed as exc:
        return Outcome(False, "; ".join(exc.reasons), {"changes": work.changes})
    healed = _restarted(context, node, service)  # what runs with the former files is still bad
    seen = {**healed.evidence, "changes": work.changes}
    return _admitted(context, node, service, Outcome(healed.ok, healed.detail, seen))


def isolate(context: Context, decision: Decision) -> Outcome:
    """Have the balancers send nothing to this copy of the service, unless nobody else serves."""
    node, service = decision.fault.node, decision.fault.subject
    if not context.balanced(service):
        return Outcome(False, f"{service} is not behind our balancers: nothing to isolate it from")
    before, silent = _present(_servers(context, service))
    wrong = failures(before, "haproxy.servers") if before else ["no balancer answers"]
    for balancer, answer in sorted(before.items()):
        others = [s for s in answer.value if s["server"] != node] if answer.ok else []
        if answer.ok and not any(haproxy.usable(server) for server in others):
            wrong.append(f"{balancer}: nobody else serves {service}")
    if wrong:
        return Outcome(False, f"not isolated: {'; '.join(wrong)}")
    answers = context.ask(
        list(before), "haproxy.drain_node", ASK_TIMEOUT * 2, node=node, services=[service]
    )
    after = context.ask(list(before), "haproxy.servers", ASK_TIMEOUT, backend=service)
    wrong = failures(answers, "haproxy.drain_node") + failures(after, "haproxy.servers")
    wrong += [
        f"{balancer}: it still gets requests"
        for balancer, answer in sorted(after.items())
        for server in (answer.value if answer.ok else ())
        if server["server"] == node and haproxy.usable(server)
    ]
    evidence = {"balancers": {n: a.value for n, a in after.items()}, "silent": silent}
    if wrong:
        return Outcome(False, "; ".join(wrong), evidence)
    return Outcome(True, f"{service} on {node} gets no requests; it is not healed", evidence)


def _servers(context: Context, service: str) -> Answers:
    return context.ask(context.balancers, "haproxy.servers", ASK_TIMEOUT, backend=service)


def look(context: Context, decision: Decision) -> Outcome:
    """Ask the node how its services are, for as long as they may need to start.

    While the whole machine starts that takes longer: then what stays down is its watch's to report.
    """
    node, service = decision.fault.node, decision.fault.subject
    seen = _looked(context, [node], [service] if service else None)
    states = seen.evidence[node]
    found = states if isinstance(states, Mapping) else {}
    down = {name: state for name, state in found.items() if state["status"] == health.DOWN}
    if not down or not all(map(health.is_starting, down.values())):
        return seen
    return Outcome(True, f"{node} has just booted; starting: {', '.join(down)}", seen.evidence)


def _looked(context: Context, nodes: Sequence[str], services: Sequence[str] | None) -> Outcome:
    answers = context.ask(
        nodes, "openstack.health", LOOK_WAIT + ASK_TIMEOUT, services=services, wait=LOOK_WAIT
    )
    reasons = failures(answers, "openstack.health")
    for node, answer in sorted(answers.items()):
        for name, state in sorted(answer.value.items()) if answer.ok else ():
            if state["status"] == health.DOWN:
                reasons.append(f"{node}: {name} is {_status(state)}")
    said = "; ".join(reasons) or f"well: {', '.join(services or ['every service'])}"
    return Outcome(not reasons, said, {n: a.value for n, a in answers.items()})


def form(context: Context, decision: Decision) -> Outcome:
    """Bring the members of a quorum service together, where that can lose nothing."""
    service = decision.fault.subject
    work = context.deployment()
    try:
        work.form([service])
    except Failed as exc:
        return Outcome(False, "; ".join(exc.reasons), {"changes": work.changes})
    seen = _looked(context, context.cloud.nodes_running(service), [service])
    return Outcome(seen.ok, seen.detail, {"changes": work.changes, "health": seen.evidence})


def admit(context: Context, decision: Decision) -> Outcome:
    """Have every balancer send requests to each healthy copy of the service."""
    service = decision.fault.subject
    if not context.balanced(service):
        return Outcome(False, f"{service} is not behind our balancers")
    answers = context.ask(
        context.balancers,
        "haproxy.admit_services",
        ADMIT_TIMEOUT + ASK_TIMEOUT,
        services=[service],
        timeout=ADMIT_TIMEOUT,
    )
    evidence = {n: a.value for n, a in answers.items()}
    if wrong := failures(answers, "haproxy.admit_services"):
        return Outcome(False, "; ".join(wrong), evidence)
    new = sorted({key for answer in answers.values() for key in answer.value["admitted"]})
    return Outcome(True, f"admitted: {', '.join(new) or 'all that may be were so'}", evidence)


def mark_gone(context: Context, decision: Decision) -> Outcome:
    """Keep new instances away from a compute that is gone. Nothing is evacuated: it may be alive.

    Of other nodes there is nothing to do: the balancers' own checks have taken their copies out.
    """
    node = decision.fault.node
    if context.ask([node], "test.ping", PING_TIMEOUT)[node].ok:
        return Outcome(True, f"{node} answers again; nothing was done")
    if node not in context.cloud.nodes_running("nova-compute"):
        services = ", ".join(context.cloud.services_on(node))
        return Outcome(True, f"{node} is gone, and with it its copies of {services}; only told")
    doers = [n for n in any_of(context.cloud, "nova-api") if n != node]
    kwargs = {"host": node, "reason": computes.GONE, "dated": True}
    doer, answer = ask_one(context.fleet, doers, "nova_trial.hold", ASK_TIMEOUT * 2, kwargs)
    if not answer.ok:
        return Outcome(False, f"{doer or 'no nova-api'}: nova_trial.hold: {answer.value}")
    seen = context.ask([doer], "nova.services", ASK_TIMEOUT * 2, host=node, binary="nova-compute")[
        doer
    ]
    found = seen.value if seen.ok else []
    if not found or found[0]["enabled"]:
        return Outcome(False, f"Nova does not say that {node} is disabled: {seen.value}")
    context.leave(node)  # when it is back it has to prove itself before it gets instances again
    said = f"{node} gets no new instances ({found[0]['reason']}); nothing was evacuated"
    return Outcome(True, said, {"service": found[0]})


def join(context: Context, decision: Decision) -> Outcome:
    """Make the nodes part of the cloud, by the orchestration that people use too."""
    nodes = sorted({decision.fault.node, *context.nodes} - {""})
    done = context.launch("orch.join", {"nodes": nodes})
    if not done.ok:
        return done
    seen = _looked(context, nodes, None)
    said = f"{', '.join(nodes)} joined; {seen.detail}" if seen.ok else seen.detail
    return Outcome(seen.ok, said, {**done.evidence, "health": seen.evidence})


#: By the name that a rule's ladder gives it.
OPERATIONS: Mapping[str, Operation] = {
    "restart": restart,
    "reapply": reapply,
    "isolate": isolate,
    "look": look,
    "form": form,
    "admit": admit,
    "mark_gone": mark_gone,
    "join": join,
}
