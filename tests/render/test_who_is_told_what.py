"""A node is told what its own services need, and nothing else."""

from __future__ import annotations

import re
from typing import Any

import pytest
import support
from saltern import share
from saltern.cloud import Cloud
from saltern.values import functions


def secrets_in(pillar: Any) -> set[str]:
    """``project.name`` of every secret in ``pillar``."""
    marks = set(re.findall(r"SECRET-[a-z0-9_-]+", repr(pillar)))
    known = {value: key for key, value in support.fake_secrets().items()}
    return {
        next(known[v] for v in sorted(known, key=len, reverse=True) if m.startswith(v))
        for m in marks
    }


def may_hold(cloud: Cloud, node: str) -> set[str]:
    """Secrets that ``node`` cannot work without."""
    services = cloud.services_on(node)
    projects = {cloud.project(service) for service in services}
    served = {cloud.project(s) for s in services if "compute" not in cloud.catalog[s]["roles"]}
    allowed = set()
    for key in support.fake_secrets():
        project, _, name = key.partition(".")
        owner = project in (served if name == "database" else projects)
        creator = ("galera" in services and name == "database") or (
            "keystone" in services and name in ("service", "admin")
        )
        user = key == "rabbitmq.openstack" and any(cloud.catalog[s].get("queue") for s in services)
        metadata = key == "nova.metadata" and "ovn-metadata-agent" in services
        if owner or creator or user or metadata:
            allowed.add(key)
    return allowed


@pytest.mark.parametrize("name", support.EXAMPLES)
def test_no_foreign_secret_in_any_slice(name: str) -> None:
    cloud = support.cloud(name)
    for node in cloud.nodes:
        held = secrets_in(share.share(cloud, node, functions()))
        assert held <= may_hold(cloud, node), node


def test_a_compute_node_cannot_open_the_database() -> None:
    cloud = support.cloud("lab")
    assert secrets_in(share.share(cloud, "cmp1", functions())) <= {
        "nova.service",
        "nova.metadata",
        "neutron.service",
        "rabbitmq.openstack",
    }


def test_a_balancer_knows_no_service() -> None:
    cloud = support.cloud("lab")
    assert secrets_in(share.share(cloud, "lb1", functions())) <= {"keepalived.vrrp", "galera.check"}


def test_what_salt_hands_out_is_the_slice(compiled: Any) -> None:
    assert compiled.pillar["cloud"]["node"] == compiled.node
    assert set(compiled.pillar) <= {"cloud"}
