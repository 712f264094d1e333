"""From a cloud model to machines."""

from __future__ import annotations

import copy
import pathlib
from typing import Any

import pytest
import yaml

from lab.model import ModelError, lab

EXAMPLE = pathlib.Path(__file__).resolve().parents[3] / "examples" / "lab.yaml"


@pytest.fixture
def model() -> dict[str, Any]:
    loaded = yaml.safe_load(EXAMPLE.read_text())
    assert isinstance(loaded, dict)
    return copy.deepcopy(loaded)


def test_the_example_gives_eight_machines(model: dict[str, Any]) -> None:
    cloud = lab(model)
    assert list(cloud.machines) == ["master", *model["nodes"]]
    assert cloud.master.addresses == {"management": "10.77.0.2"}
    assert [node.name for node in cloud.nodes] == list(model["nodes"])
    assert cloud.networks["management"].gateway == "10.77.0.1"


def test_only_nodes_with_guests_are_on_the_provider_network(model: dict[str, Any]) -> None:
    cloud = lab(model)
    wired = {name: m.addresses.get("provider") for name, m in cloud.machines.items()}
    assert wired.pop("cmp1") == "10.77.2.254"
    assert wired.pop("cmp2") == "10.77.2.253"
    assert set(wired.values()) == {None}


def test_a_node_with_a_tunnel_address_carries_guest_networks(model: dict[str, Any]) -> None:
    model["nodes"]["ctl1"]["addresses"]["tunnel"] = "10.77.1.11"
    machine = lab(model).machines["ctl1"]
    assert machine.virtual
    assert "provider" in machine.addresses


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        (("networks",), [], "networks: must be a mapping"),
        (("networks", "management"), {"cidr": "10.77.0.0/24"}, "networks.management"),
        (("networks", "tunnel", "cidr"), "nonsense", "networks.tunnel"),
        (("networks", "tunnel", "cidr"), "10.77.1.0/29", "has no room"),
        (("nodes", "ctl1"), "controller", "nodes.ctl1: needs roles and addresses"),
        (("nodes", "ctl1", "addresses"), {}, "an address in management is missing"),
        (("nodes", "ctl1", "addresses", "management"), "10.78.0.1", "is not in 10.77.0.0/24"),
        (("nodes", "ctl1", "addresses", "management"), "10.77.0.12", "10.77.0.12 is"),
        (("nodes", "ctl1", "addresses", "management"), "10.77.0.2", "10.77.0.2 is master's"),
        (("nodes", "ctl1", "addresses", "storage"), "10.9.0.1", "there is no such network"),
        (("nodes", "master"), {"roles": [], "addresses": {}}, "nodes.master"),
    ],
)
def test_what_makes_no_machine_is_named(
    model: dict[str, Any], path: tuple[str, ...], value: Any, says: str
) -> None:
    target = model
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = value
    with pytest.raises(ModelError, match=says):
        lab(model)


@pytest.mark.parametrize("junk", [None, [], "text", 7, {}])
def test_junk_is_an_error_of_the_model(junk: Any) -> None:
    with pytest.raises(ModelError):
        lab(junk)
