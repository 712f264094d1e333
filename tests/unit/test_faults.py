"""What a schema cannot say about a cloud: each kind of fault, with its place, all at once."""
# ruff: noqa: E501 - a table reads better with one case to a line

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import support
import yaml
from saltern import faults
from saltern.cloud import Cloud

RULES = json.loads((support.ROOT / "schema/cloud.json").read_text())
Model = dict[str, Any]


def found_in(change: Callable[[Model], Any], example: str = "lab") -> list[str]:
    model = support.example(example)
    change(model)
    return faults.faults(Cloud(model, support.catalog()))


def put(*path_and_value: Any) -> Callable[[Model], None]:
    """A change that puts the last argument at the path of the others."""
    *path, last, value = path_and_value

    def change(model: Model) -> None:
        for step in path:
            model = model.setdefault(step, {})
        model[last] = value

    return change


def drop(*path: str) -> Callable[[Model], None]:
    *way, last = path

    def change(model: Model) -> None:
        for step in way:
            model = model[step]
        del model[last]

    return change


def address(node: str, value: str, network: str = "management") -> Callable[[Model], None]:
    return put("nodes", node, "addresses", network, value)


@pytest.mark.parametrize("name", support.EXAMPLES)
def test_every_example_is_without_fault(name: str) -> None:
    text = (support.ROOT / f"examples/{name}.yaml").read_bytes()
    assert faults.check(text, support.catalog(), RULES) == (support.example(name), [])


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (put("nodes", "cmp1", "roles", ["compote"]), "nodes.cmp1.roles[0]: there is no role 'compote'; did you mean 'compute'?"),
        (put("nodes", "cmp1", "roles", ["xyz"]), "nodes.cmp1.roles[0]: there is no role 'xyz' (known: compute, controller, endpoint)"),
        (put("roles", "api", ["keyston"]), "roles.api[0]: there is no service 'keyston'; did you mean 'keystone'?"),
        (put("nodes", "localhost", {"roles": ["compute"], "addresses": {"management": "10.77.0.99", "tunnel": "10.77.1.99"}}), "nodes.localhost: every machine is called so; choose another id"),
        (address("cmp1", "10.77.3.1", "tunel"), "nodes.cmp1.addresses.tunel: there is no network 'tunel'; did you mean 'tunnel'?"),
        (address("cmp1", "10.77.3.1", "x\n"), "nodes.cmp1.addresses['x\\n']: there is no network 'x\\n' (known: management, tunnel, provider)"),
        (address("cmp1", "10.77.3.1", "storage"), "nodes.cmp1.addresses.storage: there is no network 'storage' (known: management, tunnel, provider)"),
        (address("cmp1", "10.78.0.21"), "nodes.cmp1.addresses.management: 10.78.0.21 is outside management (10.77.0.0/24)"),
        (address("cmp1", "10.77.0.0"), "nodes.cmp1.addresses.management: 10.77.0.0 is the network address of management (10.77.0.0/24)"),
        (address("cmp1", "10.77.0.255"), "nodes.cmp1.addresses.management: 10.77.0.255 is the broadcast address of management (10.77.0.0/24)"),
        (address("cmp1", "10.77.0.22"), "nodes.cmp2.addresses.management: 10.77.0.22 is cmp1's in management"),
        (put("networks", "management", "gateway", "10.77.0.21"), "nodes.cmp1.addresses.management: 10.77.0.21 is the gateway of management"),
        (put("networks", "management", "gateway", "10.77.9.1"), "networks.management.gateway: 10.77.9.1 is outside management (10.77.0.0/24)"),
        (put("networks", "tunnel", "cidr", "10.77.1.7/24"), "networks.tunnel.cidr: 10.77.1.7/24 is an address; did you mean the network 10.77.1.0/24?"),
        (put("networks", "provider", "cidr", "10.77.0.128/25"), "networks.provider.cidr: 10.77.0.128/25 overlaps 10.77.0.0/24 of management"),
        (drop("nodes", "cmp1", "addresses", "tunnel"), "nodes.cmp1.addresses.tunnel: is missing, and ovn-controller runs on cmp1"),
        (put("vips", "internal", "10.77.0.11"), "vips.internal: 10.77.0.11 is an address of ctl1; a virtual one must be free"),
        (put("vips", "internal", "192.0.2.1"), "vips.internal: 192.0.2.1 is in none of the networks (management, tunnel, provider)"),
        (put("vips", "internal", "10.77.0.255"), "vips.internal: 10.77.0.255 is the broadcast address of management (10.77.0.0/24)"),
        (put("vips", "public", "10.77.0.10"), "vips.public: is the internal one; leave it out and they are the same"),
        (put("networks", "management", "gateway", "10.77.0.9"), "vips.public: 10.77.0.9 is the gateway of management"),
        (put("config", "nova.cnf", {}), "config['nova.cnf']: no service takes settings by this name; did you mean 'nova.conf'?"),
        (put("reactor", "notify", [{"log": {}}, {"smtp": {"password": "hunter2"}}]), "reactor.notify[1].smtp.password: say where it is kept (sdb://... or secret://NAME), not what"),
        (put("reactor", "notify", [{"smtp": {"password": 12345}}]), "reactor.notify[0].smtp.password: say where it is kept (sdb://... or secret://NAME), not what"),
        (put("reactor", "notify", [{"smtp": {"user": "x", "starttls": True}}]), "reactor.notify[0].smtp: user and password need each other"),
        (put("reactor", "notify", [{"smtp": {"user": "x", "password": "sdb://v/x"}}]), "reactor.notify[0].smtp.starttls: must be true, or the password travels in the clear"),
        (put("endpoints", "external"), "endpoints: is external, but lb1, lb2 would run haproxy"),
        (drop("nodes", "ctl3"), "nodes: galera would have 2 members (ctl1, ctl2): an even number survives no more than one less; make it 1, 3 or 5"),
    ],
)  # fmt: skip
def test_what_is_wrong(change: Callable[[Model], None], fault: str) -> None:
    assert fault in found_in(change)


MAIL = {"host": "mail.example.org", "from": "cloud@example.org", "to": ["ops@example.org"]}
LOGIN = {"starttls": True, "user": "cloud", "password": "secret://smtp"}
REACTOR = {
    "mode": "shadow", "scan": 60, "keep_days": 7, "rules": {"node-new": {"mode": "off"}},
    "notify": [
        {"log": {"file": "/var/log/x.log"}}, {"smtp": {**MAIL, **LOGIN, "tell": "escalations"}},
        {"webhook": {"url": "https://example.org/hook", "format": "slack"}},
        {"webhook": {"url": "sdb://vault/hook"}},
    ],
    "heartbeat": {"url": "https://example.org:8443/beat", "every": 30},
}  # fmt: skip


def checked(reactor: Any) -> list[str]:
    text = yaml.safe_dump({**support.example("lab"), "reactor": reactor})
    return faults.check(text, support.catalog(), RULES)[1]


def test_a_reactor_with_everything() -> None:
    assert checked(REACTOR) == []


@pytest.mark.parametrize(
    ("reactor", "fault"),
    [
        ({"mode": False}, "reactor.mode: False is not one of armed, shadow, off; YAML reads off as False: write 'off'"),
        ({"mode": True}, "reactor.mode: True is not one of armed, shadow, off"),
        ({"mode": "on"}, "reactor.mode: 'on' is not one of armed, shadow, off"),
        ({"rules": {"node-new": {}}}, "reactor.rules.node-new.mode: is missing"),
        ({"notify": [{}]}, "reactor.notify[0]: needs at least 1 of them"),
        ({"notify": [{"log": {}, "smtp": MAIL}]}, "reactor.notify[0]: has more than 1 of them"),
        ({"notify": [{"smpt": MAIL}]}, "reactor.notify[0].smpt: unknown key; did you mean 'smtp'?"),
        ({"notify": [{"smtp": {"host": "x", "from": "a@b"}}]}, "reactor.notify[0].smtp.to: is missing"),
        ({"notify": [{"webhook": {"url": "https://a:b@c/"}}]}, "reactor.notify[0].webhook.url: 'https://a:b@c/' is not a URL without user and password (http, https), or where it is kept: sdb://... or secret://NAME"),
        ({"heartbeat": {"url": "ftp://x", "every": 1}}, "reactor.heartbeat.every: is less than 5"),
    ],
)  # fmt: skip
def test_a_reactor_with_faults(reactor: Any, fault: str) -> None:
    assert fault in checked(reactor)


def test_a_password_in_the_model_is_a_fault_that_does_not_show_it() -> None:
    for password in ("hunter2", 98765, ["hunter2"], {"hunter2": 98765}):
        [found] = checked({"notify": [{"smtp": {**MAIL, **LOGIN, "password": password}}]})
        assert "password: say where it is kept" in found
        assert "hunter2" not in found
        assert "98765" not in found


def test_nobody_balances() -> None:
    def change(model: Model) -> None:
        del model["nodes"]["lb1"], model["nodes"]["lb2"]

    assert found_in(change) == [
        "nodes: no node runs haproxy (roles: endpoint), and endpoints is not external",
        "nodes: no node runs keepalived (roles: endpoint), and endpoints is not external",
    ]


def test_somebody_else_balances() -> None:
    def change(model: Model) -> None:
        del model["nodes"]["lb1"], model["nodes"]["lb2"]
        model["endpoints"] = "external"
        model["vips"] = {"internal": "192.0.2.1"}  # the appliance's, in no network of ours

    assert found_in(change) == []


def test_services_that_others_cannot_do_without() -> None:
    found = found_in(put("roles", "controller", ["keystone", "nova-scheduler"]))
    assert (
        "nodes: keystone on ctl1, ctl2, ctl3 needs galera, which no node runs (roles: none)"
        in found
    )
    assert any("nova-scheduler on" in f and "needs rabbitmq" in f for f in found)
    assert any("nova-compute on cmp1, cmp2 needs nova-conductor" in f for f in found)


def test_many_nodes_are_some() -> None:
    found = found_in(drop("roles", "queue"), "large")
    assert any(
        "on cmp001, cmp002, cmp003, cmp004, cmp005 and 95 more needs rabbitmq" in f for f in found
    )


def test_hardware_routing_needs_a_network_to_route() -> None:
    def change(model: Model) -> None:
        del model["networks"]["provider"]
        model["network"] = {"routing": "external"}

    assert "networks: network.routing is external, which needs a provider network" in found_in(
        change
    )


def test_two_services_on_one_port_of_one_node() -> None:
    catalog = support.catalog()
    catalog["glance"]["port"] = catalog["nova-api"]["port"]
    found = faults.faults(Cloud(support.example("lab"), catalog))
    assert "catalog.nova-api: port 8774 is glance's" in found
    assert "nodes.ctl1: nova-api and glance both listen on port 8774" in found


def test_a_moved_port_that_the_balancer_holds() -> None:
    catalog = support.catalog()
    catalog["memcached"]["port"] = 15000  # where keystone goes when the balancer is on its node
    found = faults.faults(Cloud(support.example("small"), catalog))
    assert "nodes.node1: memcached and keystone both listen on port 15000" in found


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"needs": ["galeria"]}, "catalog.glance.needs: there is no service 'galeria'; did you mean 'galera'?"),
        ({"then": [{"sls": "a", "on": "b"}]}, "catalog.glance.then: there is no service 'b'"),
        ({"port": None}, "catalog.glance.proxy: the service has no port"),
        ({"port": None}, "catalog.glance.endpoint: the service has no port"),
        ({"port": None}, "catalog.glance.probe: the service has no port"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_the_catalog(change: dict[str, Any], fault: str) -> None:
    catalog = support.catalog()
    merged = {**catalog["glance"], **change}
    catalog["glance"] = {key: value for key, value in merged.items() if value is not None}
    model = {**support.example("lab"), "nodes": {}}
    assert fault in faults.faults(Cloud(model, catalog))


def test_services_that_need_each_other() -> None:
    catalog = support.catalog()
    catalog["galera"]["needs"] = ["keystone"]
    found = faults.faults(Cloud(support.example("lab"), catalog))
    assert [f for f in found if "need each other" in f]


# -- the whole way from text ------------------------------------------------------------------

BAD = """
name: Lab
bogus: 1
networks:
  management: {cidr: 10.77.0.1/24, interface: eth0, cidrr: 3}
vips: {internal: 10.77.0.300}
nodes:
  lb1: {roles: [endpoint], addresses: {management: 10.77.0.5}}
  lb1: {roles: [endpiont], addresses: {management: 10.77.0.5, tunel: 1.2.3.4}}
  "a;b": {role: x}
  c: {roles: [compute], addresses: {management: 10.78.0.9}}
"""


def test_one_wrong_word_does_not_hide_the_next() -> None:
    model, found = faults.check(BAD, support.catalog(), RULES)
    assert model is None
    assert [fault.split(": ")[0] for fault in found] == [
        "nodes.lb1",
        "bogus",
        "name",
        "networks.management.cidrr",
        "vips.internal",
        "nodes",
        "nodes['a;b'].role",
        "nodes['a;b'].roles",
        "nodes['a;b'].addresses",
        "nodes.lb1.roles[0]",
        "networks.management.cidr",
        "nodes.lb1.addresses.tunel",
        "nodes.c.addresses.management",
    ]


@pytest.mark.parametrize("text", ["- a", "", "a: [", "x" * 1_000_001, "7"])
def test_what_is_no_model_at_all(text: str) -> None:
    model, found = faults.check(text, support.catalog(), RULES)
    assert model is None and len(found) == 1


def test_a_damaged_part_accuses_nobody_else() -> None:
    model = support.example("lab")
    model["nodes"]["ctl3"]["roles"] = "controller"  # quorum and needs would be wrong without it
    model["networks"]["tunnel"]["mtu"] = "big"
    del model["vips"]
    _, found = faults.check(yaml.safe_dump(model), support.catalog(), RULES)
    assert sorted(fault.split(": ")[0] for fault in found) == [
        "networks.tunnel.mtu",
        "nodes.ctl3.roles",
        "vips",
    ]
