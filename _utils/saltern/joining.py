"""Nodes that join a cloud which is at work: who else has to change, and whether they are good.

A node whose services nobody else is told of - a compute - is worked on alone: the rest of the cloud
may be busy, or partly down. Of several that join together, one that fails holds up no other. Any
other node changes the configuration of others, and then all waves are walked as in a deployment.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from saltern import stateruns
from saltern.cloud import Cloud
from saltern.deploy import Deployment
from saltern.fleet import NO_ANSWER, Answer, Failed, Fleet, failures
from saltern.share import share
from saltern.values import ValueFunction

#: What the others are told of a new node and need not know now: their next deployment brings it.
#: ``values.nova.hosts`` is the list of computes to map, which :func:`introduce` sees to.
LATER = (("digest",), ("hosts",), ("values", "nova", "hosts"), ("values", "haproxy", "maxconn"))

# Seconds.
REFRESH_TIMEOUT = 120
ASK_TIMEOUT = 60


@dataclass(frozen=True)
class Part(Cloud):
    """The same cloud, of which only ``part`` is looked at: a node that is away does not matter."""

    part: tuple[str, ...] = ()

    @property
    def nodes(self) -> list[str]:
        return [node for node in super().nodes if node in self.part]


def part(cloud: Cloud, nodes: Sequence[str]) -> Part:
    """``cloud`` for whoever examines only ``nodes``."""
    return Part(cloud.model, cloud.catalog, cloud.secrets, tuple(nodes))


def strangers(cloud: Cloud, nodes: Sequence[str]) -> list[str]:
    """What is wrong with the list of nodes that shall join."""
    if not nodes:
        return ["nobody is named: pillar='{\"nodes\": [NODE, ...]}'"]
    return [
        f"{node}: not in the model (pillar/cloud.yaml)" for node in nodes if node not in cloud.nodes
    ]


def others_told(
    cloud: Cloud, nodes: Sequence[str], functions: Mapping[str, ValueFunction]
) -> list[str]:
    """Why more nodes than ``nodes`` have to change when these join; empty for computes.

    ``cloud`` needs its secrets: what each node is told with and without ``nodes`` is compared.
    """
    for node in nodes:
        for service in cloud.services_on(node):
            for trait, word in (("proxy", "balanced"), ("quorum", "a member of a cluster")):
                if trait in cloud.catalog[service]:
                    return [f"{service} on {node} is {word}"]
    others = {n: spec for n, spec in cloud.model["nodes"].items() if n not in nodes}
    rest = Cloud({**cloud.model, "nodes": others}, cloud.catalog, cloud.secrets)
    if [s for s in cloud.catalog if cloud.runs(s) != rest.runs(s)]:
        return ["they are the first with their role"]
    return [
        f"{node} is told of them"
        for node in others
        if _now(share(cloud, node, functions)) != _now(share(rest, node, functions))
    ]


def _now(told: Mapping[str, Any]) -> Mapping[str, Any]:
    """``told`` without what may come later."""
    for path in LATER:
        told = _without(told, path)
    return told


def _without(told: Mapping[str, Any], path: Sequence[str]) -> Mapping[str, Any]:
    key, *rest = path
    if key not in told:
        return told
    kept = {k: v for k, v in told.items() if k != key}
    return {**kept, key: _without(told[key], rest)} if rest else kept


def one_by_one(
    nodes: Sequence[str], attempt: Callable[[Sequence[str]], Sequence[str]]
) -> dict[str, list[str]]:
    """Who of ``nodes`` fails at ``attempt``, and why.

    It is made for all of them together, and returns reasons. Where there are any it is made again
    without the nodes that begin them (``cmp3: no disk``), or for each alone when no node does.

    :raises Failed: with all reasons when nobody is left.
    """
    failed: dict[str, list[str]] = {}
    said: dict[str, None] = {}
    left = list(nodes)
    while left and (reasons := attempt(left)):
        said.update(dict.fromkeys(reasons))
        found = {node: _own(node, reasons) for node in left if _own(node, reasons)}
        if not found:
            alone = {node: list(attempt([node])) for node in left} if len(left) > 1 else {}
            found = {node: why for node, why in alone.items() if why}
            failed.update(found)
            if len(found) == len(alone):
                raise Failed(list(said))
            break
        failed.update(found)
        left = [node for node in left if node not in found]
    if not left:
        raise Failed(list(said))
    return failed


def _own(node: str, reasons: Sequence[str]) -> list[str]:
    """Those of ``reasons`` that begin with ``node``, without it."""
    name = f"{node}: "
    return [reason.removeprefix(name) for reason in reasons if reason.startswith(name)]


def ask_one(
    fleet: Fleet, nodes: Sequence[str], function: str, timeout: int, kwargs: Mapping[str, Any]
) -> tuple[str, Answer]:
    """The first of ``nodes`` that answers at all, and what it says."""
    node, answer = "", Answer(False, NO_ANSWER)
    for node in nodes:
        answer = fleet.call([node], function, timeout=timeout, kwargs=kwargs)[node]
        if answer.ok or not str(answer.value).startswith(NO_ANSWER):
            break
    return node, answer


def any_of(cloud: Cloud, service: str) -> list[str]:
    """Nodes that run ``service``, its leader first."""
    nodes = cloud.nodes_running(service)
    return sorted(nodes, key=lambda node: node != cloud.leader(service)) if nodes else []


# -- the others ----------------------------------------------------------------------------------


def introduce(work: Deployment, nodes: Sequence[str], stamp: str) -> list[str]:
    """What has to follow on other nodes once the services of ``nodes`` run; returns what did not.

    The steps that the catalog puts after a service (``then``) run on whoever can do them now, not
    only on the leader. Who has not the code of ``stamp`` gets it first.
    """
    reasons = []
    for service, entries in _followers(work.cloud, nodes).items():
        helper, answer = _helper(work.fleet, any_of(work.cloud, service), stamp)
        if answer.ok:
            answer = _refresh(work.fleet, [helper])[helper]
        if not answer.ok:
            reasons.append(f"no {service} to go on with: {helper}: {answer.value}")
            continue
        for sls, ready in entries:
            # Only of these: another new node of the model may not be there yet.
            work.apply(f"then {sls}", [helper], {"joining": ready}, mods=sls)
    return reasons


def _helper(fleet: Fleet, nodes: Sequence[str], stamp: str) -> tuple[str, Answer]:
    """The first of ``nodes`` that answers, with the code of ``stamp``.

    Sending the code takes seconds, and it is rarely another one than the node has.
    """
    helper, answer = ask_one(fleet, nodes, "preflight.stamp", ASK_TIMEOUT, {})
    if answer.ok and answer.value == stamp:
        return helper, answer
    return ask_one(
        fleet,
        [helper, *(node for node in nodes if node != helper)] if helper else nodes,
        "saltutil.sync_all",
        REFRESH_TIMEOUT,
        {"refresh": False},
    )


def _followers(cloud: Cloud, nodes: Sequence[str]) -> dict[str, list[tuple[str, list[str]]]]:
    """Service -> SLS that one of its nodes applies once others are up, and which of ``nodes``."""
    found: dict[str, list[tuple[str, list[str]]]] = {}
    for service in (s for wave in cloud.waves for s in wave):
        ready = [node for node in cloud.nodes_running(service) if node in nodes]
        for entry in cloud.catalog[service].get("then", ()) if ready else ():
            sls, on = (entry, service) if isinstance(entry, str) else (entry["sls"], entry["on"])
            found.setdefault(on, []).append((sls, ready))
    return found


def _refresh(fleet: Fleet, nodes: Sequence[str]) -> dict[str, Answer]:
    return fleet.call(
        nodes, "saltutil.refresh_pillar", timeout=REFRESH_TIMEOUT, kwargs={"wait": True}
    )


def name(work: Deployment, nodes: Sequence[str], joined: Collection[str]) -> None:
    """Have the others that have ``joined`` know ``nodes`` by name.

    One that cannot is told, and no obstacle: it gets the names with the next deployment.
    """
    others = [node for node in work.cloud.nodes if node in joined and node not in nodes]
    if not others:
        return
    with work.report.step("names", others):
        told = _refresh(work.fleet, others)
        awake = [node for node in others if told[node].ok]
        answers = work.fleet.call(
            awake,
            "state.sls_id",
            timeout=REFRESH_TIMEOUT,
            kwargs={"id_": "common-hosts", "mods": "common", "test": work.test, "queue": True},
        )
        for node, answer in sorted(answers.items()):
            if found := stateruns.changes(answer.value):
                work.changes.setdefault(node, {}).update(found)
        late = failures(told, "names") + [
            f"{node}: {line}"
            for node, answer in sorted(answers.items())
            for line in stateruns.failures(answer.value)
        ]
        for line in late:
            work.report.note(f"{line} (the next deploy brings them)")
