"""One wave of a deployment: states, formation, restarts, health, admission - in this order.

The order is the point. States never restart anything, so they may run on all nodes side by side;
whatever takes a copy of a service away happens one batch at a time, between health gates, with the
balancer told first; and the balancer admits a copy last.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from saltern import galera, ovn, rabbitmq_cluster, stateruns
from saltern.cloud import Cloud
from saltern.fleet import Answer, Failed, Fleet, Reporter, failing, failures, in_batches, lines
from saltern.share import stage_nodes
from saltern.steps import Refused, Step

Formation = Callable[[Sequence[str], Mapping[str, Mapping[str, Any] | None]], list[Step]]

#: How the members of a quorum service are brought together, by ``quorum.module`` of the catalog.
FORMATIONS: Mapping[str, Formation] = {
    "galera": galera.formation,
    "ovn": ovn.formation,
    "rabbitmq_cluster": rabbitmq_cluster.formation,
}

#: Rounds of observe-and-act until a cluster stands. Two is normal: act, then see that it is done.
FORMATION_ROUNDS = 4

# Seconds. Generous, because a node that is busy is not broken; a node that is gone is noticed by
# Salt's own job lookup long before.
STATE_TIMEOUT = 1800
HEALTH_WAIT = 240
RESTART_TIMEOUT = 600
ADMIT_TIMEOUT = 60


def leave_behind(
    lost: dict[str, list[str]], failed: Mapping[str, Sequence[str]], report: Reporter
) -> None:
    """Add the nodes of ``failed`` to ``lost``, each with its reasons, and say so."""
    lost.update({node: list(reasons) for node, reasons in failed.items()})
    for line in lines(failed):
        report.note(f"{line}; left behind")


@dataclass
class Deployment:
    """What runs on behalf of ``orch.deploy``; one object per operation."""

    cloud: Cloud
    fleet: Fleet
    report: Reporter
    test: bool = False
    #: Work on these nodes only; None: on all. Only for nodes whose services nobody else is told of
    #: (:func:`saltern.joining.others_told`).
    only: Collection[str] | None = None
    #: Nodes of ``only`` that failed and are left behind -> why: nodes that join hold up no others.
    lost: dict[str, list[str]] = field(default_factory=dict)
    #: Node -> what changed there, in readable keys.
    changes: dict[str, dict[str, Any]] = field(default_factory=dict)

    def wave(self, number: int) -> None:
        """Bring the services of wave ``number`` to the model.

        :raises Failed: with every reason found before going on became pointless.
        """
        self._bring([number])

    def at_once(self) -> None:
        """Bring all services of the nodes of ``only`` to the model, in one run of their states.

        Waves put services in order over many nodes. What these need of others is there already, and
        on one node states run in the order of its waves in any case.

        :raises Failed: as :meth:`wave` does.
        """
        self._bring(range(len(self.cloud.waves)))

    def _bring(self, waves: Sequence[int]) -> None:
        services = [s for number in waves for s in self.cloud.waves[number] if self._running(s)]
        self._apply(waves, "once")
        self._apply(waves, "states")
        if not self.test:
            self.form(services)
            self._roll(services)
            self._gate(services)
            self._admit(services)
        self._apply(waves, "then")

    # -- states ------------------------------------------------------------------------------

    def _apply(self, waves: Sequence[int], stage: str) -> None:
        nodes = {node for number in waves for node in stage_nodes(self.cloud, number, stage)}
        if 0 in waves and stage == "states":
            nodes.update(self.cloud.nodes)  # what all nodes share comes with the first wave
        if asked := self._among(node for node in self.cloud.nodes if node in nodes):
            self.apply(stage, asked, {"stage": {"waves": [str(n) for n in waves], "name": stage}})

    def apply(
        self, name: str, nodes: Sequence[str], pillar: Mapping[str, Any], mods: str = "wave"
    ) -> None:
        """Apply ``mods`` on ``nodes`` side by side, with ``pillar`` beside their own.

        :raises Failed: with every state that failed on any of them, unless they can be left behind.
        """
        with self.report.step(name, nodes):
            answers = self.fleet.call(
                nodes,
                "state.sls",
                timeout=STATE_TIMEOUT,
                # queue: a run that was cut off may have left its states going on the nodes.
                kwargs={"mods": mods, "pillar": pillar, "test": self.test, "queue": True},
            )
            failed = {}
            for node, answer in answers.items():
                self._changed(node, stateruns.changes(answer.value))
                failed[node] = stateruns.failures(answer.value)
        if not self.test:
            self._leave_behind(failed)

    # -- quorum ------------------------------------------------------------------------------

    def form(self, services: Sequence[str]) -> None:
        """Bring members of quorum services together; several services at the same time."""
        quorum = [service for service in services if "quorum" in self.cloud.catalog[service]]
        if not quorum:
            return
        nodes = sorted({n for service in quorum for n in self.cloud.nodes_running(service)})
        with (
            self.report.step(f"form {', '.join(quorum)}", nodes),
            ThreadPoolExecutor(len(quorum)) as pool,
        ):
            results = list(pool.map(self._form_service, quorum))
        reasons = [reason for found in results for reason in found]
        if reasons:
            raise Failed(reasons)

    def _form_service(self, service: str) -> list[str]:
        module = self.cloud.catalog[service]["quorum"]["module"]
        members = self.cloud.nodes_running(service)
        for _ in range(FORMATION_ROUNDS):
            answers = self._ask(members, f"{module}.observe", 30)
            observed = {node: a.value if a.ok else None for node, a in answers.items()}
            try:
                steps = FORMATIONS[module](members, observed)
            except Refused as exc:
                return [f"{service}: {exc}"]
            if not steps:
                return []
            for step in steps:
                self.report.note(f"{service}: {step.why} on {', '.join(step.nodes)}")
                answers = self._ask(step.nodes, step.function, step.timeout, **step.kwargs)
                reasons = failures(answers, step.function)
                if reasons:
                    return reasons
                for node in step.nodes:
                    self._changed(node, {f"{service} formed": step.why})
        return [f"{service}: still not formed after {FORMATION_ROUNDS} rounds on {members}"]

    # -- restarts ----------------------------------------------------------------------------

    def _roll(self, services: Sequence[str]) -> None:
        """Restart what runs with files older than its own, one batch at a time."""
        nodes = self._nodes(services)
        pending: dict[str, list[str]] = {}
        for node, answer in self._ask(nodes, "unit.pending", 30).items():
            for unit in answer.value.values() if answer.ok else ():
                if unit["service"] in services and node not in pending.get(unit["service"], ()):
                    pending.setdefault(unit["service"], []).append(node)
        for service in services:
            size = self.cloud.catalog[service].get("batch", 1)
            for batch in in_batches(self._among(sorted(pending.get(service, ()))), size):
                with self.report.step(f"restart {service}", batch):
                    self._restart(service, batch)

    def _restart(self, service: str, nodes: Sequence[str]) -> None:
        proxied = "proxy" in self.cloud.catalog[service]
        quorum = self.cloud.catalog[service].get("quorum")
        if quorum:
            others = [n for n in self.cloud.nodes_running(service) if n not in nodes]
            self._require_health({service: others}, wait=60)
        for node in nodes if proxied else ():
            self._balancers("haproxy.drain_node", node=node, services=[service])
        if quorum:
            answers = self._ask(nodes, f"{quorum['module']}.restart_member", RESTART_TIMEOUT)
        else:
            answers = self._ask(nodes, "unit.restart_pending", RESTART_TIMEOUT, services=[service])
        self._leave_behind(failing(answers, f"restart of {service}"))
        self._require_health({service: self._among(nodes)}, wait=HEALTH_WAIT)
        for node in self._among(nodes):
            if proxied:
                self._balancers("haproxy.admit_node", node=node, services=[service])
            self._changed(node, {f"{service} restarted": answers[node].value})

    # -- health and admission ----------------------------------------------------------------

    def _gate(self, services: Sequence[str]) -> None:
        if not services:
            return
        with self.report.step("healthy", self._nodes(services)):
            self._require_health(
                {service: self._running(service) for service in services},
                wait=HEALTH_WAIT,
            )

    def _require_health(self, wanted: Mapping[str, Sequence[str]], wait: int) -> None:
        """Wait until every service answers on its nodes; ``down`` after ``wait`` seconds fails.

        :raises Failed: with every such service, unless its node can be left behind.
        """
        nodes = sorted({node for members in wanted.values() for node in members})
        answers = self._ask(
            nodes, "openstack.health", wait + 60, services=sorted(wanted), wait=wait
        )
        failed = failing(answers, "openstack.health")
        for node, answer in sorted(answers.items()):
            for service, state in sorted(answer.value.items()) if answer.ok else ():
                line = f"{service} is {state['status']}: {state['reason']}"
                if state["status"] == "down":
                    failed.setdefault(node, []).append(line)
                elif state["status"] != "ok":
                    self.report.note(f"{node}: {line}")
        self._leave_behind(failed)

    def _admit(self, services: Sequence[str]) -> None:
        proxied = [service for service in services if "proxy" in self.cloud.catalog[service]]
        balancers = self.cloud.nodes_running("haproxy")
        if not proxied or not balancers:
            return
        with self.report.step("admit", balancers):
            answers = self._balancers(
                "haproxy.admit_services", services=proxied, timeout=ADMIT_TIMEOUT
            )
        for node, answer in answers.items():
            if answer.value["admitted"]:
                self._changed(node, {"admitted": answer.value["admitted"]})

    def _balancers(self, function: str, **kwargs: Any) -> dict[str, Answer]:
        answers = self._ask(
            self.cloud.nodes_running("haproxy"), function, ADMIT_TIMEOUT + 30, **kwargs
        )
        reasons = failures(answers, function)
        if reasons:
            raise Failed(reasons)
        return answers

    # -- nodes that fail ---------------------------------------------------------------------

    def _leave_behind(self, failed: Mapping[str, Sequence[str]]) -> None:
        """Go on without the nodes that have reasons in ``failed``, where they only join.

        :raises Failed: with the reasons when there is no going on: others build upon these nodes,
            or none is left.
        """
        bad = {node: list(reasons) for node, reasons in failed.items() if reasons}
        if not bad:
            return
        if self.only is None or not set(bad) <= set(self.only):
            raise Failed(lines(bad))
        leave_behind(self.lost, bad, self.report)
        if not self._among(self.only):
            raise Failed(lines(self.lost))

    # -- small things ------------------------------------------------------------------------

    def _nodes(self, services: Sequence[str]) -> list[str]:
        return self._among(
            n for n in self.cloud.nodes if set(services) & set(self.cloud.services_on(n))
        )

    def _running(self, service: str) -> list[str]:
        """Nodes to work on that run ``service``."""
        return self._among(self.cloud.nodes_running(service))

    def _among(self, nodes: Iterable[str]) -> list[str]:
        """Those of ``nodes`` to work on."""
        if self.only is None:
            return list(nodes)
        return [node for node in nodes if node in self.only and node not in self.lost]

    def _ask(
        self, nodes: Sequence[str], function: str, limit: int, /, **kwargs: Any
    ) -> dict[str, Answer]:
        if not nodes:
            return {}
        return self.fleet.call(nodes, function, timeout=limit, kwargs=kwargs)

    def _changed(self, node: str, what: Mapping[str, Any]) -> None:
        if what:
            self.changes.setdefault(node, {}).update(what)
