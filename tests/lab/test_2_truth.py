"""What Saltern says of the cloud is so: health tells what is down, validation uses the cloud."""

from __future__ import annotations

import pytest
from labkit import apis, commands, nodes, reactor

pytestmark = pytest.mark.lab

VALIDATE = 600  # seconds
PREFIX = "saltern-validate-"


def test_every_node_is_healthy(deployed: None, members: list[str]) -> None:
    answers = commands.salt(None, "openstack.health", "deep=True")
    assert nodes.ill(answers, members) == []
    assert answers.code == 0, answers.said


def test_what_is_down_is_called_down(deployed: None, members: list[str]) -> None:
    node, service, unit = "ctl2", "glance", "glance-api"
    with reactor.paused("a test"), nodes.stopped(node, unit):
        answers = commands.salt(None, "openstack.health")
        found = answers.nodes[node][service]
        assert found["status"] == "down", found
        assert unit in found["reason"], found
        assert answers.code != 0, answers.said
        others = {name: health for name, health in answers.nodes.items() if name != node}
        assert {name for name, health in others.items() if service in health} == {
            name for name, health in others.items() if health.get(service, {}).get("status") == "ok"
        }, "only the copy that is down is down"
    nodes.wait_healthy(members)


def test_the_cloud_runs_an_instance_and_keeps_nothing_of_it(deployed: None) -> None:
    outcome = commands.orchestrate("validate", VALIDATE)

    assert outcome.code == 0, outcome.failed or outcome.done.tail()
    for proof in (
        "token: ok",
        "identity API",
        "image API",
        "placement API",
        "compute API",
        "network API",
        "instance: active: on cmp",
        "instance: address by DHCP:",
        "instance: ping of its router: OK",
        "everything removed: 1 server",
    ):
        assert proof in outcome.comments, f"no {proof!r} in:\n{outcome.comments}"
    left = [
        f"{service}: {name}"
        for service, path, key in (
            ("nova-api", "/v2.1/servers?all_tenants=1", "servers"),
            ("nova-api", "/v2.1/flavors?is_public=None", "flavors"),
            ("neutron", "/v2.0/networks", "networks"),
            ("neutron", "/v2.0/subnets", "subnets"),
            ("neutron", "/v2.0/routers", "routers"),
            ("glance", "/v2/images", "images"),
        )
        for name in apis.client(service).names(path, key)
        if name.startswith(PREFIX)
    ]
    assert left == []
    commands.keep("validate", {"seconds": outcome.done.seconds, "checks": outcome.comments})
