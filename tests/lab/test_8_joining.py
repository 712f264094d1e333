"""A key is accepted and the node joins by its role, unasked; it works once it has proven itself."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from labkit import apis, commands, faults, nodes, reactor
from labkit.model import Edit

from lab import podman

pytestmark = [pytest.mark.lab, pytest.mark.faults]

NODE = "cmp3"
JOINED = 300  # seconds for a join on a machine that has other work
HEARD = 60
BY_UUID = {"X-OpenStack-Nova-API-Version": "2.53"}


@pytest.fixture
def model_with_one_more(edited: Edit) -> Iterator[None]:
    """The model has another compute; its machine, its key and its record are removed afterwards."""

    def add(model: dict[str, Any]) -> None:
        addresses = {"management": "10.77.0.23", "tunnel": "10.77.1.23"}
        model["nodes"][NODE] = {"roles": ["compute"], "addresses": addresses}

    edited(add)
    try:
        yield
    finally:
        commands.run("lab/lab", "down", NODE, timeout=60)
        compute = apis.client("nova-api")
        listed = compute.ask("GET", f"/v2.1/os-services?host={NODE}", headers=BY_UUID)
        for service in listed.json()["services"]:
            compute.ask("DELETE", f"/v2.1/os-services/{service['id']}", headers=BY_UUID)


def host() -> dict[str, Any]:
    """Nova's record of the new compute; empty while there is none."""
    answers = commands.salt(["ctl1"], "nova.services", f"host={NODE}", "binary=nova-compute")
    found = answers.nodes["ctl1"]
    return found[0] if found and isinstance(found, list) else {}


def test_f26_a_node_that_dies_while_it_joins_is_not_in_service_and_joins_when_it_is_back(
    model_with_one_more: None,
) -> None:
    number = reactor.last_event()
    up = commands.run("lab/lab", "up", NODE, timeout=120)
    assert not up.code, up.tail()
    began = time.monotonic()

    def running() -> bool:
        return any("join" in line for line in reactor.ask("pending").get("running", ()))

    commands.wait_for("the join to begin", running, HEARD)
    nodes.cut_power(NODE)
    commands.wait_for(
        "the join to end",
        lambda: any(
            a["operation"] == "join" and a["ok"] is False
            for e in reactor.since(number)
            for a in e["actions"]
        ),
        JOINED,
    )
    assert not host().get("enabled"), "half a node is in service"
    nodes.restore_power(NODE)
    commands.run("lab/lab", "up", NODE, timeout=120)

    commands.wait_for("it to be enabled", lambda: host().get("enabled"), 2 * JOINED)
    commands.keep("fault-F26", {"seconds": round(time.monotonic() - began, 1)})
    story = reactor.ask("history", "since=1h", f"node={NODE}", "limit=100")
    assert [a["ok"] for e in story for a in e["actions"] if a["operation"] == "join"][-1] is True


def test_a_new_node_is_put_to_work_once(model_with_one_more: None) -> None:
    number = reactor.last_event()
    up = commands.run("lab/lab", "up", "--no-accept", NODE, timeout=120)
    assert not up.code, up.tail()
    commands.wait_for(
        "the key to be missed", lambda: "in the model, and not accepted" in reactor.ask("pending"),
        HEARD,
    )  # fmt: skip
    began = time.monotonic()
    commands.run("lab/lab", "accept", NODE, timeout=60)
    commands.wait_for("it to be enabled", lambda: host().get("enabled"), JOINED)
    seconds = time.monotonic() - began
    reactor.wait_quiet(JOINED)
    joins = [a for a in reactor.actions(reactor.since(number)) if a[1] == "join"]
    assert len(joins) == 1, joins
    faults.figures("joined", [seconds], 60.0)
    podman.inside(NODE, "systemctl", "is-active", "nova-compute")
