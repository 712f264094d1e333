"""Nodes that join a cloud which is at work: who else has to change, and whether they are good.

A node whose services nobody else is told of - a compute - is worked on alone: the rest of the cloud
may be busy, or partly down. Any other node changes the configuration of others, and then all waves
are walked as in a deployment.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from saltern import computes, stateruns
from saltern.cloud import Cloud
from saltern.deploy import Deployment
from saltern.fleet import NO_ANSWER, Answer, Fleet, Reporter, failures, in_batches
from saltern.share import share
from saltern.values import ValueFunction

#: What the others are told of a new node and need not know now: their next deployment brings it.
#: ``values.nova.hosts`` is the list of computes to map, which :func:`introduce` sees to.
LATER = (("digest",), ("hosts",), ("values", "nova", "hosts"), ("values", "haproxy", "maxconn"))

#: Instances on trial at the same time: Nova's default quota of a project is ten.
TRIALS = 8
#: The same where they run without KVM: in a lab, whose hosts share a few cores, eight take longer
#: than a trial may.
EMULATED = 3

# Seconds.
REFRESH_TIMEOUT = 120
ASK_TIMEOUT = 60
TRIAL_TIMEOUT = 300
CLEANUP_TIMEOUT = 240  # twice what a validation gives itself for removing everything


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


def introduce(work: Deployment, nodes: Sequence[str]) -> list[str]:
    """What has to follow on other nodes once the services of ``nodes`` run; returns what did not.

    The steps that the catalog puts after a service (``then``) run on whoever can do them now, not
    only on the leader.
    """
    reasons = []
    for service, entries in _followers(work.cloud, nodes).items():
        helper, answer = ask_one(
            work.fleet,
            any_of(work.cloud, service),
            "saltutil.sync_all",
            REFRESH_TIMEOUT,
            {"refresh": False},
        )
        if answer.ok:
            answer = _refresh(work.fleet, [helper])[helper]
        if not answer.ok:
            reasons.append(f"no {service} to go on with: {helper}: {answer.value}")
            continue
        for sls, ready in entries:
            # Only of these: another new node of the model may not be there yet.
            work.apply(f"then {sls}", [helper], {"joining": ready}, mods=sls)
    return reasons


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


# -- the trial of new computes -------------------------------------------------------------------


@dataclass
class Proof:
    """What came of the trial of compute hosts."""

    proven: list[str] = field(default_factory=list)  # enabled, seen by asking again
    failed: dict[str, str] = field(default_factory=dict)  # host -> why it stays disabled
    waiting: list[str] = field(default_factory=list)  # under test=True: would be tried


def prove(
    cloud: Cloud, fleet: Fleet, report: Reporter, hosts: Sequence[str], *, test: bool = False
) -> Proof:
    """Boot an instance on each of ``hosts`` that is new, and let in those where it did its work.

    A host that an operator disabled is left as it is. One that was held by us before - its trial
    failed, or it was gone - is tried again.
    """
    proof = Proof()
    if not hosts:
        return proof
    if not cloud.runs("nova-api"):
        proof.failed = dict.fromkeys(hosts, "no nova-api in the model: nobody can try it")
        return proof
    node, answer = _services(cloud, fleet)
    if not answer.ok:
        proof.failed = dict.fromkeys(hosts, f"{node}: nova.services: {answer.value}")
        return proof
    known = {service["host"] for service in answer.value}
    proof.failed = {host: "Nova knows no such host" for host in hosts if host not in known}
    for host, reason in computes.held(answer.value, hosts).items():
        report.note(f"{host} stays disabled, as an operator wants it: {reason}")
    new = computes.unproven(answer.value, hosts)
    if test:
        proof.waiting = new
        return proof
    trial = _Trial(cloud, fleet, report, node)
    for batch in in_batches(new, EMULATED if cloud.option("cpu") == "qemu" else TRIALS):
        with report.step("prove new computes", batch):
            passed, failed = trial.run(batch)
            proof.failed.update(failed)
            proof.proven += passed
    return proof


def _services(cloud: Cloud, fleet: Fleet) -> tuple[str, Answer]:
    return ask_one(
        fleet,
        any_of(cloud, "nova-api"),
        "nova.services",
        ASK_TIMEOUT,
        {"binary": "nova-compute"},
    )


@dataclass(frozen=True)
class _Trial:
    cloud: Cloud
    fleet: Fleet
    report: Reporter
    node: str  # from which everything is done

    def run(self, hosts: Sequence[str]) -> tuple[list[str], dict[str, str]]:
        """Hosts that passed and are enabled, and those that did not, with the reason.

        A host is enabled before its instance is removed: that takes a third of the trial, and tells
        little about a host that has just built one. If it fails, the host is held again.
        """
        failed = self._try(hosts)
        for host, reason in failed.items():
            self._hold(host, reason)
        for host in (host for host in hosts if host not in failed):
            answer = self._ask("nova_trial.release", host=host)
            if not answer.ok:
                failed[host] = f"it passed, but could not be enabled: {answer.value}"
        failed |= self._remove([host for host in hosts if host not in failed])
        _, answer = _services(self.cloud, self.fleet)
        enabled = {s["host"] for s in answer.value if s["enabled"]} if answer.ok else set()
        for host in hosts:
            if host not in failed and host not in enabled:
                failed[host] = "it passed and was enabled, but Nova does not say so"
        return [host for host in hosts if host not in failed], failed

    def _remove(self, hosts: Sequence[str]) -> dict[str, str]:
        """Remove the instances of ``hosts``, which are enabled; those that failed after all."""
        answer = self._ask("cloud_validation.clean") if hosts else Answer(True, "nothing")
        if answer.ok:
            return {}
        failed = dict.fromkeys(
            hosts, f"it passed, but its instance cannot be removed: {answer.value}"
        )
        for host, reason in failed.items():
            self._hold(host, reason)
        return failed

    def _hold(self, host: str, reason: str) -> None:
        """Keep instances away from ``host``."""
        self._ask("nova_trial.hold", host=host, reason=computes.FAILED + reason)
        self._ask("nova_trial.allow", hosts=[host], allowed=False, timeout=1)
        self.report.note(f"{host} stays disabled: {reason}")

    def _try(self, hosts: Sequence[str]) -> dict[str, str]:
        """Those of ``hosts`` where the instance did not do its work -> why.

        All at once first. When that fails, one by one: then who failed is certain - unless the
        cause is none of the hosts', in which case the others need not be tried.
        """
        reason = self._boot(hosts)
        if reason is None:
            return {}
        if len(hosts) == 1 or not any(_blames(reason, host) for host in hosts):
            return dict.fromkeys(hosts, reason)
        failed: dict[str, str] = {}
        for number, host in enumerate(hosts):
            reason = self._boot([host])
            if reason is not None and not _blames(reason, host):
                return {**failed, **dict.fromkeys(hosts[number:], reason)}
            if reason is not None:
                failed[host] = reason
        return failed

    def _boot(self, hosts: Sequence[str]) -> str | None:
        """Why instances on ``hosts`` do not work; None when all of them do."""
        answer = self._ask("nova_trial.allow", hosts=list(hosts))
        if answer.ok:
            image = self.cloud.option("validation_image")
            answer = self._ask(
                "cloud_validation.run",
                hosts=list(hosts),
                timeout=TRIAL_TIMEOUT,
                image=image,
                tidy=False,
            )
        return None if answer.ok else str(answer.value)

    def _ask(self, function: str, **kwargs: Any) -> Answer:
        limits = {
            "cloud_validation.run": TRIAL_TIMEOUT + CLEANUP_TIMEOUT,
            "cloud_validation.clean": CLEANUP_TIMEOUT,
        }
        limit = limits.get(function, ASK_TIMEOUT * 2)
        return self.fleet.call([self.node], function, timeout=limit, kwargs=kwargs)[self.node]


def _blames(reason: str, host: str) -> bool:
    """Whether ``reason`` of ``cloud_validation.run`` is about the instance on ``host``."""
    return f"instance on {host}:" in reason
