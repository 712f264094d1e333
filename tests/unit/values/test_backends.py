"""Values of the database, the broker and the cache."""

from __future__ import annotations

import json
from typing import Any

import pytest
import support
from saltern import galera as mariadb
from saltern.cloud import Cloud
from saltern.values import backends


def test_a_member_of_the_database(lab: Cloud) -> None:
    node = next(n for n in lab.nodes_running("galera") if n != lab.leader("galera"))
    values = backends.galera(lab, node)
    server = values["server"]
    assert server["bind-address"] == lab.address(node)
    assert server["wsrep_cluster_address"] == "gcomm://10.77.0.11,10.77.0.12,10.77.0.13"
    assert server["innodb_flush_log_at_trx_commit"] == 1
    assert lab.address(node) not in values["peers"] and len(values["peers"]) == 2
    assert "databases" not in values
    assert values["check"]["password"] == "SECRET-galera-check"


def test_only_the_leader_knows_the_databases_and_only_hashes_of_their_passwords(lab: Cloud) -> None:
    values = backends.galera(lab, lab.leader("galera"))
    held = {entry["user"]: entry for entry in values["databases"]}
    assert held["nova"]["databases"] == ["nova", "nova_api", "nova_cell0"]
    assert held["nova"]["password_hash"] == mariadb.password_hash("SECRET-nova-database")
    assert "-database" not in json.dumps(values["databases"])


@pytest.mark.parametrize(
    ("timers", "method", "donor_serves"),
    [("quick", "rsync", False), ("production", "mariabackup", True)],
)
def test_timers_choose_how_a_member_is_copied(timers: Any, method: Any, donor_serves: Any) -> None:
    lab = _with_options(timers=timers)
    values = backends.galera(lab, "ctl1")
    assert values["server"]["wsrep_sst_method"] == method
    assert values["check"]["donor_serves"] is donor_serves
    assert ("evs.suspect_timeout" in values["server"]["wsrep_provider_options"]) is (
        timers == "quick"
    )


def test_a_cluster_of_one_waits_for_nobody() -> None:
    model = support.example("lab")
    del model["nodes"]["ctl2"], model["nodes"]["ctl3"]
    lab = support.cloud("lab", nodes=model["nodes"])
    assert backends.galera(lab, "ctl1")["server"]["wsrep_cluster_address"] == "gcomm://"


def test_a_broker(lab: Cloud) -> None:
    node = next(n for n in lab.nodes_running("rabbitmq") if n != lab.leader("rabbitmq"))
    values = backends.rabbitmq(lab, node)
    assert values["node"] == f"rabbit@{node}"
    assert values["config"]["cluster_formation.classic_config.nodes.3"] == "rabbit@ctl3"
    assert values["config"]["listeners.tcp.1"] == f"{lab.address(node)}:5672"
    assert values["cookie"] == "SECRET-rabbitmq-cookie"
    assert "access" not in values


def test_only_the_leader_knows_the_account(lab: Cloud) -> None:
    access = backends.rabbitmq(lab, lab.leader("rabbitmq"))["access"]
    assert access == {
        "vhost": "openstack",
        "user": "openstack",
        "password": "SECRET-rabbitmq-openstack",
    }


@pytest.mark.parametrize(
    ("timers", "workers", "tick", "flags"),
    [("quick", 1, 10, "+S 1:1 +sbwt"), ("production", "auto", 60, "+sbwt")],
)
def test_options_of_the_broker(timers: Any, workers: Any, tick: Any, flags: Any) -> None:
    values = backends.rabbitmq(_with_options(timers=timers, workers=workers), "ctl1")
    assert values["config"]["net_ticktime"] == tick
    assert values["erlang"].startswith(flags)


def test_the_operator_adds_options_of_the_broker() -> None:
    added = {"rabbitmq.conf": {"DEFAULT": {"channel_max": 64}, "log": {"console": "true"}}}
    config = backends.rabbitmq(support.cloud("lab", config=added), "ctl1")["config"]
    assert (config["channel_max"], config["log.console"]) == (64, "true")


def test_the_cache() -> None:
    values = backends.memcached(_with_options(cache_memory=64), "ctl2")
    assert values == {"address": "10.77.0.12", "port": 11211, "memory": 64}


def _with_options(**options: Any) -> Any:
    return support.cloud("lab", options={**support.example("lab").get("options", {}), **options})
