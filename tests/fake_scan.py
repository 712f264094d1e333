"""What the nodes of a cloud answer to a scan."""

from __future__ import annotations

from typing import Any

from saltern.cloud import Cloud
from saltern.fleet import NO_ANSWER, Answer
from saltern.reactor import scanning

SILENT = Answer(False, NO_ANSWER)
CONTROLLERS = ("ctl1", "ctl2", "ctl3")


def galera(size: int = 3, **other: Any) -> dict[str, Any]:
    return {"healthy": True, "reasons": [], "warnings": [], "cluster_status": "Primary",
            "cluster_size": size, "uuid": "u1", **other}  # fmt: skip


def rabbit(*nodes: str) -> dict[str, Any]:
    names = [f"rabbit@{node}" for node in nodes]
    return {"members": names, "running": names, "partitions": [], "alarms": []}


def raft(cluster: str = "c1", size: int = 3, status: str = "cluster member") -> dict[str, Any]:
    return {"cluster": cluster, "status": status, "servers": {str(n): "tcp:" for n in range(size)}}


class Fleet:
    """A cloud whose nodes all answer that all is well, until told otherwise."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.joined = set(cloud.nodes)
        self.answers: dict[str, dict[str, Answer]] = {
            "openstack.health": {
                node: Answer(
                    True, {s: {"status": "ok", "reason": ""} for s in cloud.services_on(node)}
                )
                for node in cloud.nodes
            },
            "haproxy.servers": {
                node: Answer(
                    True,
                    [
                        {"backend": service, "server": member, "admin": "ready", "status": "UP"}
                        for service in cloud.catalog
                        if "proxy" in cloud.catalog[service]
                        for member in cloud.nodes_running(service)
                    ],
                )
                for node in cloud.nodes_running("haproxy")
            },
            "galera.status": {node: Answer(True, galera()) for node in CONTROLLERS},
            "rabbitmq_cluster.membership": {
                node: Answer(True, rabbit(*CONTROLLERS)) for node in CONTROLLERS
            },
            "ovn.status": {
                node: Answer(True, {"nb": raft(), "sb": raft()}) for node in CONTROLLERS
            },
        }

    def say(self, function: str, node: str, value: Any) -> None:
        self.answers.setdefault(function, {})[node] = Answer(True, value)

    def health(self, node: str, service: str, status: Any, reason: Any = "", **more: Any) -> None:
        told = {"status": status, "reason": reason, **more}
        self.answers["openstack.health"][node].value[service] = told

    def take_out(self, balancer: str, service: str, node: str, admin: str, **other: Any) -> None:
        for server in self.answers["haproxy.servers"][balancer].value:
            if (server["backend"], server["server"]) == (service, node):
                server.update(admin=admin, status="MAINT", **other)

    def found(self, **how: Any) -> list[scanning.Finding]:
        return scanning.findings(self.cloud, self.answers, self.joined, **how)
