"""What follows from a model: who runs what, where, in which order, behind what."""

from __future__ import annotations

from typing import Any

import pytest
import support
from saltern.cloud import DEFAULT_OPTIONS, Cloud, ModelError


def cloud(catalog: dict[str, Any], nodes: dict[str, list[str]], **model: Any) -> Cloud:
    """A cloud of ``node: roles`` whose addresses are 10.0.0.1, 10.0.0.2, ..."""
    return Cloud(
        {
            "name": "c",
            "vips": {"internal": "10.0.0.100"},
            "nodes": {
                node: {"roles": roles, "addresses": {"management": f"10.0.0.{number}"}}
                for number, (node, roles) in enumerate(nodes.items(), 1)
            },
            **model,
        },
        catalog,
        {"galera.x": "s", "nova.database": "pw", "rabbitmq.openstack": "mq"},
    )


def test_the_lab_in_the_order_of_its_model(lab: Cloud) -> None:
    assert (lab.name, lab.region) == ("lab", "RegionOne")
    assert lab.nodes == ["lb1", "lb2", "ctl1", "ctl2", "ctl3", "cmp1", "cmp2"]
    assert lab.nodes_running("keystone") == ["ctl1", "ctl2", "ctl3"]
    assert lab.nodes_running("nobody-knows-this") == []
    assert lab.services_on("lb1") == ["haproxy", "keepalived"]


def test_a_region_has_a_default() -> None:
    assert cloud({}, {}).region == "RegionOne"
    assert cloud({}, {}, region="North").region == "North"


def test_a_role_of_the_model_replaces_the_one_of_the_catalog() -> None:
    catalog = {
        "api": {"roles": ["ctl"]},
        "db": {"roles": ["ctl"]},
        "cache": {"roles": ["ctl", "x"]},
    }
    made = cloud(catalog, {"a": ["ctl"], "b": ["db"]}, roles={"ctl": ["api"], "db": ["db"]})
    assert made.nodes_running("api") == ["a"] and made.nodes_running("db") == ["b"]
    assert made.roles_of("cache") == {"x"} and not made.runs("cache")
    assert made.roles_of("db") == {"db"}


def test_a_service_comes_after_what_it_needs_and_is_run_at_all() -> None:
    catalog = {
        "api": {"roles": ["ctl"], "needs": ["db", "absent"]},
        "db": {"roles": ["ctl"]},
        "cache": {"roles": ["ctl"]},
        "absent": {"roles": ["nobody"], "needs": ["api"]},
    }
    made = cloud(catalog, {"a": ["ctl"]})
    assert made.waves == [["cache", "db"], ["api"]]
    assert made.services_on("a") == ["cache", "db", "api"]


def test_services_that_need_each_other_are_refused() -> None:
    catalog = {n: {"roles": ["ctl"], "needs": [m]} for n, m in (("a", "b"), ("b", "a"))}
    with pytest.raises(ModelError, match="need each other"):
        _ = cloud(catalog, {"x": ["ctl"]}).waves


def test_one_leader_per_project_and_not_one_for_all(lab: Cloud) -> None:
    assert lab.leader("nova-api") == lab.leader("nova-conductor")
    assert {lab.leader(s) for s in ("keystone", "glance", "nova-api", "neutron", "placement")} <= {
        "ctl1",
        "ctl2",
        "ctl3",
    }
    assert len({lab.leader(service) for service in lab.catalog if lab.runs(service)}) > 1


def test_projects(lab: Cloud) -> None:
    assert lab.project("nova-api") == "nova" and lab.project("keystone") == "keystone"


def test_addresses_fall_back_to_management(lab: Cloud) -> None:
    assert lab.address("cmp1") == "10.77.0.21"
    assert lab.address("cmp1", "tunnel") == "10.77.1.21"
    assert lab.address("ctl1", "tunnel") == "10.77.0.11"


def test_public_falls_back_to_internal(lab: Cloud) -> None:
    assert (lab.vip(), lab.vip("public")) == ("10.77.0.10", "10.77.0.9")
    assert cloud({}, {}).vip("public") == "10.0.0.100"


def test_an_api_moves_off_the_port_that_the_balancer_holds_on_its_node(lab: Cloud) -> None:
    small = support.cloud("small")
    assert (lab.port("keystone"), lab.listen_port("keystone")) == (5000, 5000)
    assert (small.port("keystone"), small.listen_port("keystone")) == (5000, 15000)
    assert small.listen_port("memcached") == 11211  # not balanced: nobody else is on its port
    assert small.members("keystone") == ["192.0.2.11:15000", "192.0.2.12:15000"]


def test_urls(lab: Cloud) -> None:
    assert lab.url("keystone") == "http://10.77.0.10:5000"
    assert lab.url("horizon", "public") == "http://10.77.0.9"
    assert lab.endpoint_url("keystone", "public") == "http://10.77.0.9:5000/v3"


def test_what_clients_are_told(lab: Cloud) -> None:
    assert lab.secret("nova", "database") == "SECRET-nova-database"
    assert lab.database_url("nova", "nova_api") == (
        "mysql+pymysql://nova:SECRET-nova-database@10.77.0.10:3306/nova_api?charset=utf8mb3"
    )
    assert lab.transport_url() == "rabbit://{}/openstack".format(
        ",".join(f"openstack:SECRET-rabbitmq-openstack@10.77.0.1{n}:5672" for n in (1, 2, 3))
    )


def test_options_have_defaults(lab: Cloud) -> None:
    assert lab.option("cpu") == "qemu"
    assert cloud({}, {}).option("cpu") == DEFAULT_OPTIONS["cpu"]
    with pytest.raises(KeyError):
        lab.option("colour")


def test_overrides_are_the_operators(lab: Cloud) -> None:
    assert lab.overrides("nova.conf") == {}
    assert support.cloud("small").overrides("nova.conf")["scheduler"] == {"max_attempts": 5}


def test_secrets_do_not_show(lab: Cloud) -> None:
    assert "SECRET" not in repr(lab)
