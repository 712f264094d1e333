"""Values of Keystone, Glance, Placement, Horizon and Swift for the lab and for smaller clouds."""

from __future__ import annotations

import json
from typing import Any

import support
import yaml
from saltern.cloud import Cloud
from saltern.values import dashboard, identity, image, placement, storage, uwsgi


def without_swift(lab: Cloud) -> Cloud:
    catalog = {name: spec for name, spec in lab.catalog.items() if not name.startswith("swift-")}
    return Cloud(lab.model, catalog, lab.secrets)


def test_every_value_is_plain_data(lab: Cloud) -> None:
    functions = (
        identity.keystone,
        image.glance,
        placement.placement,
        dashboard.horizon,
        storage.swift,
    )
    for function in functions:
        values = function(lab, "ctl1")
        assert yaml.safe_load(json.dumps(values)) == values


def test_only_the_leader_is_told_the_passwords_of_all_services(lab: Cloud) -> None:
    leader = lab.leader("keystone")
    for node in lab.nodes_running("keystone"):
        values = identity.keystone(lab, node)
        assert ("catalogue" in values) == (node == leader)
        assert ("SECRET-glance-service" in json.dumps(values)) == (node == leader)


def test_the_catalogue_lists_every_endpoint_and_every_service_user(lab: Cloud) -> None:
    catalogue = identity.catalogue(lab)
    urls = {service["type"]: service["endpoints"] for service in catalogue["services"]}
    assert urls["identity"] == {
        "public": "http://10.77.0.9:5000/v3",
        "internal": "http://10.77.0.10:5000/v3",
        "admin": "http://10.77.0.10:5000/v3",
    }
    assert set(urls["image-store"]) == {"internal", "admin"}  # the balancer does not publish it
    assert set(catalogue["users"]) == {"glance", "neutron", "nova", "placement", "swift"}
    assert catalogue["users"]["glance"]["password"] == "SECRET-glance-service"


def test_a_service_that_nobody_runs_is_not_listed(lab: Cloud) -> None:
    types = {service["type"] for service in identity.catalogue(without_swift(lab))["services"]}
    assert "image-store" not in types
    assert "image" in types


def test_keys_are_lines_of_the_secret(lab: Cloud) -> None:
    secrets = {**lab.secrets, "keystone.fernet": "staged\nold\nprimary"}
    values = identity.keystone(Cloud(lab.model, lab.catalog, secrets), "ctl1")
    assert values["keys"]["/etc/keystone/fernet-keys"] == ["staged", "old", "primary"]
    assert values["sections"]["fernet_tokens"] == {"max_active_keys": 3}


def test_images_live_in_swift_where_there_is_one(lab: Cloud) -> None:
    values = image.glance(lab, "ctl1")
    assert values["sections"]["DEFAULT"]["enabled_backends"] == "swift:swift"
    assert values["sections"]["swift"]["swift_store_service_type"] == "image-store"
    assert values["swift"]["saltern"]["user"] == "service:glance"
    plain = image.glance(without_swift(lab), "ctl1")
    assert plain["sections"]["DEFAULT"]["enabled_backends"] == "file:file"
    assert "swift" not in plain
    assert "swift" not in plain["sections"]


def test_an_api_listens_at_the_management_address_beside_the_balancer(lab: Cloud) -> None:
    nodes: dict[str, Any] = {
        node: {**spec, "roles": ["endpoint", "controller"]}
        for node, spec in lab.model["nodes"].items()
    }
    shared = Cloud({**lab.model, "nodes": nodes}, lab.catalog, lab.secrets)
    assert placement.placement(lab, "ctl1")["uwsgi"]["socket"] == "10.77.0.11:8778"
    assert placement.placement(shared, "ctl1")["uwsgi"]["socket"] == "10.77.0.11:18778"
    assert dashboard.horizon(shared, "ctl1")["port"] == 10080


def test_an_application_is_named_after_its_unit(lab: Cloud) -> None:
    app = uwsgi.application(lab, "ctl2", "placement", unit="placement-api", wsgi_file="/x")
    assert (app["ini"], app["log"], app["user"], app["options"]) == (
        "/etc/placement/placement-api-uwsgi.ini",
        "/var/log/placement/placement-api.log",
        "placement",
        {},
    )


def test_the_operator_adds_settings_to_the_dashboard() -> None:
    cloud = support.cloud("lab", config={"horizon": {"settings": {"TIME_ZONE": "Europe/Berlin"}}})
    assert dashboard.horizon(cloud, "ctl1")["settings"]["TIME_ZONE"] == "Europe/Berlin"


def test_no_two_copies_of_an_image_share_a_node(lab: Cloud) -> None:
    ring = storage.swift(lab, "ctl1")["rings"]["object"]
    assert ring["replicas"] == 3
    assert [device["zone"] for device in ring["devices"]] == [1, 2, 3]
    assert [device["ip"] for device in ring["devices"]] == [
        "10.77.0.11",
        "10.77.0.12",
        "10.77.0.13",
    ]


def test_every_node_builds_the_same_rings(lab: Cloud) -> None:
    assert storage.swift(lab, "ctl1")["rings"] == storage.swift(lab, "ctl3")["rings"]


def test_a_node_that_only_stores_knows_nothing_of_the_proxy(lab: Cloud) -> None:
    catalog = {**lab.catalog, "swift-proxy": {**lab.catalog["swift-proxy"], "roles": ["endpoint"]}}
    cloud = Cloud({**lab.model, "options": {}}, catalog, lab.secrets)
    values = storage.swift(cloud, "ctl1")
    assert "proxy" not in values
    assert values["workers"] == "auto"
    assert "proxy" in storage.swift(lab, "ctl1")
    assert storage.swift(lab, "ctl1")["workers"] == 0  # the lab wants one process per server


def test_fewer_nodes_keep_fewer_copies(lab: Cloud) -> None:
    nodes = {
        name: spec for name, spec in lab.model["nodes"].items() if name not in ("ctl2", "ctl3")
    }
    cloud = Cloud({**lab.model, "nodes": nodes}, lab.catalog, lab.secrets)
    assert storage.swift(cloud, "ctl1")["rings"]["object"]["replicas"] == 1
    without_proxy = {k: v for k, v in lab.catalog.items() if k != "swift-proxy"}
    assert "proxy" not in storage.swift(Cloud(lab.model, without_proxy, lab.secrets), "ctl1")
