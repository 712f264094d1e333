"""What a node is told, and what it is not."""

from __future__ import annotations

from typing import Any

from saltern import share
from saltern.cloud import Cloud

CATALOG: dict[str, dict[str, Any]] = {
    "galera": {
        "roles": ["controller"], "states": ["db"], "then": ["db.users"], "port": 3306,
        "proxy": {"mode": "tcp"}, "quorum": {"module": "db"}, "probe": {"kind": "db"},
        "units": {"mariadb": ["/etc/my.cnf"]},
    },
    "api": {
        "roles": ["controller"], "needs": ["galera"], "once": ["api.schema"],
        "states": ["api", "lib"], "port": 80, "proxy": {"mode": "http"},
        "probe": {"kind": "http", "path": "/"},
    },
    "agent": {
        "project": "api", "roles": ["compute"], "needs": ["api"], "states": ["agent", "lib"],
        "then": [{"sls": "api.map", "on": "api"}], "probe": {"kind": "unit"},
    },
}  # fmt: skip

CLOUD = Cloud(
    {
        "name": "t",
        "networks": {"management": {"cidr": "192.0.2.0/24", "interface": "eth0"}, "x": {}},
        "vips": {"internal": "192.0.2.100"},
        "nodes": {
            "c1": {"roles": ["controller"], "addresses": {"management": "192.0.2.1"}},
            "n1": {"roles": ["compute"], "addresses": {"management": "192.0.2.2"}},
        },
    },
    CATALOG,
    {"api.database": "s3cret"},
)


def values(cloud: Cloud, node: str) -> dict[str, Any]:
    return {"password": cloud.secret("api", "database")} if node == "c1" else {}


FUNCTIONS = {"galera": lambda cloud, node: {}, "api": values}


def test_a_node_gets_its_services_states_and_values() -> None:
    told = share.share(CLOUD, "c1", FUNCTIONS)
    assert told["services"] == ["galera", "api"]
    assert told["states"] == ["common", "db", "db.users", "api.schema", "api", "lib", "api.map"]
    assert told["waves"] == {
        "0": {"states": ["common", "db"], "then": ["db.users"]},
        "1": {"once": ["api.schema"], "states": ["api", "lib"]},
        "2": {"then": ["api.map"]},
    }
    assert told["units"] == {"mariadb": {"service": "galera", "files": ["/etc/my.cnf"]}}
    assert told["probes"]["galera"] == {
        "kind": "db", "address": "192.0.2.1", "port": 3306, "members": ["c1"],
    }  # fmt: skip
    assert told["interfaces"] == {"management": "eth0"}
    assert told["vips"] == {"internal": "192.0.2.100", "public": "192.0.2.100"}
    assert told["values"]["api"] == {"password": "s3cret"}


def test_a_state_that_two_services_of_a_node_share_is_applied_once_in_a_wave() -> None:
    twin = {**CATALOG, "api2": {**CATALOG["api"], "states": ["api2", "lib"]}}
    found = share.stage_nodes(Cloud(CLOUD.model, twin), 1, "states")
    assert found == {"c1": ["api", "lib", "api2"]}


def test_schemas_wait_for_the_database_and_for_nothing_else() -> None:
    late = {**CATALOG, "api2": {**CATALOG["api"], "needs": ["api"], "once": ["api2.schema"]}}
    cloud = Cloud(CLOUD.model, late)
    assert share.staged(cloud, 1, "once") == ["api", "api2"]
    assert share.staged(cloud, 2, "once") == []
    assert "api2" in share.staged(cloud, 2, "states")


def test_without_a_database_of_ours_schemas_come_first() -> None:
    rest = {name: {**spec, "needs": []} for name, spec in CATALOG.items() if name != "galera"}
    assert share.staged(Cloud(CLOUD.model, rest), 0, "once") == ["api"]


def test_a_secret_reaches_only_nodes_whose_values_hold_it() -> None:
    assert "s3cret" not in str(share.share(CLOUD, "n1", FUNCTIONS))
    assert "s3cret" not in str(share.conductor_share(CLOUD))
    assert "s3cret" not in str(share.stranger_share())


def test_every_node_has_a_first_wave() -> None:
    assert share.share(CLOUD, "n1", FUNCTIONS)["waves"]["0"] == {"states": ["common"]}


def test_a_stranger_does_nothing() -> None:
    assert share.stranger_share()["states"] == []


def test_the_master_knows_the_waves() -> None:
    told = share.conductor_share(CLOUD)
    assert told["waves"] == [
        {"services": ["galera"], "nodes": ["c1"]},
        {"services": ["api"], "nodes": ["c1"]},
        {"services": ["agent"], "nodes": ["n1"]},
    ]
    assert told["validator"] == ""
    nova = Cloud(CLOUD.model, {**CATALOG, "nova-api": {"roles": ["controller"]}})
    assert share.conductor_share(nova)["validator"] == "c1"
