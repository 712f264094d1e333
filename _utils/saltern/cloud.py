"""The cloud an operator described, and what follows from the description.

A :class:`Cloud` joins the model (``pillar/cloud.yaml``), the catalog and the secrets. Everything
else - who runs what, in which order, at which address, behind which balancer - is derived here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from typing import Any

#: Where a service listens when its well-known port is held by the balancer on the same node.
SHARED_NODE_PORT_OFFSET = 10000

#: What ``options`` says when the operator does not. The lab overrides most of it.
DEFAULT_OPTIONS: Mapping[str, Any] = {
    "cpu": "auto",  # auto | qemu: emulate even where KVM exists
    "datapath": "system",  # system | userspace: OVS without the kernel module
    "workers": "auto",  # processes per API; auto = half of the cores, 2 to 8
    "database_memory": "1G",  # innodb_buffer_pool_size
    "queue_memory": "2GiB",  # RabbitMQ's high watermark
    "cache_memory": 512,  # memcached, MiB
    "validation_image": "/usr/share/saltern/canary.raw",  # on controllers; orch.validate boots it
    "timers": "production",  # production | quick: how soon a silent peer is given up
}


class ModelError(ValueError):
    """The model is well-formed YAML but does not describe a cloud that can be built."""


@dataclass(frozen=True)
class Cloud:
    """Model, catalog and secrets, with everything that follows from them."""

    model: Mapping[str, Any]
    catalog: Mapping[str, Mapping[str, Any]]
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)

    # -- who runs what -----------------------------------------------------------------------

    @property
    def name(self) -> str:
        return str(self.model["name"])

    @property
    def region(self) -> str:
        return str(self.model.get("region", "RegionOne"))

    @property
    def nodes(self) -> list[str]:
        """Every node id, in the order of the model."""
        return list(self.model["nodes"])

    def roles_of(self, service: str) -> set[str]:
        """Roles that run ``service``: the model's own role definitions win over the catalog's."""
        defined: Mapping[str, Sequence[str]] = self.model.get("roles", {})
        return {role for role, services in defined.items() if service in services} | {
            role for role in self.catalog[service]["roles"] if role not in defined
        }

    @cached_property
    def _running(self) -> dict[str, list[str]]:
        return {
            service: [
                node
                for node, spec in self.model["nodes"].items()
                if not roles.isdisjoint(spec["roles"])
            ]
            for service, roles in ((name, self.roles_of(name)) for name in self.catalog)
        }

    def nodes_running(self, service: str) -> list[str]:
        """Nodes that run ``service``, in the order of the model; empty when nobody does."""
        return list(self._running.get(service, ()))

    def services_on(self, node: str) -> list[str]:
        """Services of ``node``, in the order in which they start."""
        return [s for wave in self.waves for s in wave if node in self._running[s]]

    def runs(self, service: str) -> bool:
        """Whether the cloud has ``service`` at all."""
        return bool(self._running.get(service))

    def leader(self, service: str) -> str:
        """The node where work that must happen once is done for ``service``.

        Leaders are dealt out in turn, so that one wave's schemas do not queue on one node.
        """
        members = self.nodes_running(service)
        return members[self._turns[self.project(service)] % len(members)]

    @cached_property
    def _turns(self) -> dict[str, int]:
        """Project -> its turn when leaders are dealt out; projects with a schema come first."""
        heavy = {self.project(name) for name, spec in self.catalog.items() if "once" in spec}
        everyone = {self.project(name) for name in self.catalog}
        return {name: i for i, name in enumerate([*sorted(heavy), *sorted(everyone - heavy)])}

    def project(self, service: str) -> str:
        """The project whose values, user and secrets ``service`` shares."""
        return str(self.catalog[service].get("project", service))

    @cached_property
    def waves(self) -> list[list[str]]:
        """Services that somebody runs, grouped so that each wave needs only the waves before it.

        :raises ModelError: when services need each other.
        """
        sorter = TopologicalSorter(
            {
                name: [need for need in spec.get("needs", ()) if self.runs(need)]
                for name, spec in self.catalog.items()
                if self.runs(name)
            }
        )
        try:
            sorter.prepare()
        except CycleError as exc:
            raise ModelError(f"catalog: services need each other: {exc.args[1]}") from exc
        ordered = []
        while sorter.is_active():
            wave = sorted(sorter.get_ready())
            ordered.append(wave)
            sorter.done(*wave)
        return ordered

    # -- where things are --------------------------------------------------------------------

    def address(self, node: str, network: str = "management") -> str:
        """Address of ``node`` in ``network``; nodes without one there use management."""
        held: Mapping[str, str] = self.model["nodes"][node]["addresses"]
        return held.get(network, held["management"])

    def vip(self, interface: str = "internal") -> str:
        """Virtual address of ``interface`` (internal or public; public defaults to internal)."""
        vips: Mapping[str, str] = self.model["vips"]
        return vips.get(interface, vips["internal"])

    def port(self, service: str) -> int:
        """Port that clients use: the balancer's."""
        return int(self.catalog[service]["port"])

    def listen_port(self, service: str) -> int:
        """Port that ``service`` itself listens on; moved when a balancer shares a node with it."""
        port = self.port(service)
        shared = set(self.nodes_running(service)) & set(self.nodes_running("haproxy"))
        return (
            port + SHARED_NODE_PORT_OFFSET if shared and "proxy" in self.catalog[service] else port
        )

    def members(self, service: str) -> list[str]:
        """``address:port`` of every copy of ``service`` itself, past the balancer."""
        port = self.listen_port(service)
        return [f"{self.address(node)}:{port}" for node in self.nodes_running(service)]

    def url(self, service: str, interface: str = "internal") -> str:
        """Base URL of ``service`` through the balancer, without the endpoint's path."""
        port = self.port(service)
        return f"http://{self.vip(interface)}" + ("" if port == 80 else f":{port}")

    def endpoint_url(self, service: str, interface: str = "internal") -> str:
        """URL that Keystone's catalogue lists for ``service``."""
        return self.url(service, interface) + str(self.catalog[service]["endpoint"]["path"])

    # -- what clients need -------------------------------------------------------------------

    def secret(self, project: str, name: str) -> str:
        """A generated secret. It reaches a node only through a value function of that node."""
        return self.secrets[f"{project}.{name}"]

    def database_url(self, project: str, database: str) -> str:
        """SQLAlchemy URL of ``database`` at the one writer behind the balancer."""
        password = self.secret(project, "database")
        where = f"{self.vip()}:{self.port('galera')}"
        return f"mysql+pymysql://{project}:{password}@{where}/{database}?charset=utf8mb3"

    def transport_url(self) -> str:
        """oslo.messaging URL with every broker: clients fail over themselves, without a VIP."""
        password = self.secret("rabbitmq", "openstack")
        hosts = ",".join(f"openstack:{password}@{m}" for m in self.members("rabbitmq"))
        return f"rabbit://{hosts}/openstack"

    def option(self, name: str) -> Any:
        """An option of the model, or its default."""
        return {**DEFAULT_OPTIONS, **self.model.get("options", {})}[name]

    def overrides(self, file: str) -> dict[str, dict[str, Any]]:
        """Sections that the operator adds to the file ``file`` (``config:`` in the model)."""
        return dict(self.model.get("config", {}).get(file, {}))
