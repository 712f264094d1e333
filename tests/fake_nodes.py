"""The nodes of the lab as operations see them: services that are down or not, and balancers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import support
from fake_fleet import Silent
from fake_nova import FakeNova
from saltern.reactor import operations
from saltern.reactor.terms import Decision, Fault, Outcome

LAB = support.cloud("lab")
DOWN = {"status": "down", "reason": "HTTP 503"}
OK = {"status": "ok", "reason": ""}


class Nodes:
    """Services of nodes, and balancers that send requests to some of them."""

    def __init__(self) -> None:
        self.down: set[tuple[str, str]] = set()  # (node, service)
        self.was_down: frozenset[tuple[str, str]] = frozenset()
        self.cured_by = "healing.restart"
        self.did = "restarted"
        self.out: dict[tuple[str, str], set[str]] = {}  # (balancer, service) -> servers
        self.deaf: set[str] = set()  # balancers that do not do what they are told
        self.away: set[str] = set()
        self.launched: list[tuple[str, Mapping[str, Any]]] = []
        self.came = Outcome(True, "done", {"log": "..."})
        self.nova = FakeNova()
        self.fleet = self.nova.fleet(
            healing__restart=self._restart,
            openstack__health=self._health,
            state__sls=self._apply,
            haproxy__servers=self._servers,
            haproxy__drain_node=self._drain,
            haproxy__admit_node=self._admit,
            haproxy__recheck=self._recheck,
            haproxy__admit_services=self._admit,
            test__ping=self._ping,
        )

    def context(self, **changes: Any) -> operations.Context:
        return operations.Context(LAB, self.fleet, Silent(), self._launch, **changes)

    def do(self, operation: str, node: str = "ctl1", service: str = "", **changes: Any) -> Outcome:
        self.was_down = frozenset(self.down)
        fault = Fault(node, "service" if service else "new", service)
        decision = Decision(1, "a-rule", fault, "act", ("because",), operation)
        return operations.OPERATIONS[operation](self.context(**changes), decision)

    def asked(self, function: str) -> list[tuple[str, ...]]:
        return [nodes for name, nodes, _ in self.fleet.asked if name == function]

    def _launch(self, orch: str, pillar: Mapping[str, Any]) -> Outcome:
        self.launched.append((orch, pillar))
        return self.came

    def _there(self, node: str) -> None:
        if node in self.away:
            raise RuntimeError("did not answer")

    def _ping(self, node: str, kwargs: Mapping[str, Any]) -> bool:
        self._there(node)
        return True

    def _state(self, node: str, service: str) -> dict[str, str]:
        return DOWN if (node, service) in self.down else OK

    def _restart(self, node: str, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        self._there(node)
        service = kwargs["service"]
        before = self._state(node, service)["status"]
        did = self.did if before == "down" else "nothing"
        if did in ("restarted", "waited") and self.cured_by == "healing.restart":
            self.down.discard((node, service))
        after = self._state(node, service)
        if did == "refused":
            after = {**after, "reason": f"a newer master than {kwargs['epoch']} acts here"}
        return {"before": before, "did": did, "after": after, "seconds": 1.0}

    def _health(self, node: str, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        self._there(node)
        wanted = kwargs["services"] or LAB.services_on(node)
        return {s: self._state(node, s) for s in wanted if s in LAB.services_on(node)}

    def _apply(self, node: str, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        if self.cured_by == "state.sls":
            [stage] = kwargs["pillar"]["cloud"]["waves"]
            self.down.discard((node, stage))
        return {}

    def _out(self, balancer: str, service: str) -> set[str]:
        return self.out.setdefault((balancer, service), set())

    def _servers(self, balancer: str, kwargs: Mapping[str, Any]) -> list[dict[str, Any]]:
        self._there(balancer)
        service = kwargs["backend"]
        return [
            {
                "backend": service,
                "server": node,
                "admin": "drain" if node in self._out(balancer, service) else "ready",
                "status": "DOWN" if (node, service) in self.down else "UP",
            }
            for node in LAB.nodes_running(service)
        ]

    def _drain(self, balancer: str, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        if balancer not in self.deaf:
            for service in kwargs["services"]:
                self._out(balancer, service).add(kwargs["node"])
        return {"drained": [], "sessions": {}}

    def _recheck(self, balancer: str, kwargs: Mapping[str, Any]) -> dict[str, str]:
        self._there(balancer)
        wanted = [(kwargs["node"], service) for service in kwargs["services"]]
        return {f"{s}/{node}": "HTTP 503" for node, s in wanted if (node, s) in self.was_down}

    def _admit(self, balancer: str, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        self._there(balancer)
        if balancer in self.deaf:
            raise RuntimeError("not healthy after 60 s")
        admitted = []
        for service in kwargs["services"]:
            wanted = {kwargs["node"]} if "node" in kwargs else set(LAB.nodes_running(service))
            admitted += sorted(f"{service}/{n}" for n in self._out(balancer, service) & wanted)
            self.out[balancer, service] = self._out(balancer, service) - wanted
        return {"admitted": admitted, "already": [], "held": []}
