"""Values of what every OpenStack service stands on: the database, the broker and the cache."""

from __future__ import annotations

from typing import Any

from saltern.cloud import Cloud
from saltern.galera import password_hash

#: Galera gives up a silent peer after these (facts: 3.3 s without writes instead of 6.5 s).
QUICK_GROUP_TIMERS = {
    "evs.keepalive_period": "PT0.5S",
    "evs.suspect_timeout": "PT2S",
    "evs.inactive_timeout": "PT6S",
    "evs.install_timeout": "PT6S",
}
QUICK_NET_TICK = 10  # seconds; RabbitMQ notices a lost peer after about this long
NET_TICK = 60
CHECK_USER = "saltern_check"
QUEUE_VHOST = "openstack"
QUEUE_USER = "openstack"


def galera(cloud: Cloud, node: str) -> dict[str, Any]:
    """MariaDB with Galera: the server's options, the HTTP check and, on the leader, databases."""
    quick = cloud.option("timers") == "quick"
    address = cloud.address(node)
    nodes = cloud.nodes_running("galera")
    peers = [cloud.address(member) for member in nodes]
    method = "rsync" if quick else "mariabackup"
    values: dict[str, Any] = {
        "node": node,
        "nodes": nodes,
        "peers": [peer for peer in peers if peer != address],
        "server": {
            "bind-address": address,
            "port": cloud.listen_port("galera"),
            "skip-name-resolve": "ON",
            "max_connections": 2000,
            "max_allowed_packet": "64M",
            "innodb_buffer_pool_size": cloud.option("database_memory"),
            # Less is faster, and loses acknowledged writes when all members crash together.
            "innodb_flush_log_at_trx_commit": 1,
            "binlog_format": "row",
            "default_storage_engine": "InnoDB",
            "innodb_autoinc_lock_mode": 2,
            "wsrep_on": "ON",
            "wsrep_provider": "/usr/lib/galera/libgalera_smm.so",
            "wsrep_cluster_name": cloud.name,
            # A cluster of one has nobody to wait for.
            "wsrep_cluster_address": "gcomm://" + (",".join(peers) if len(peers) > 1 else ""),
            "wsrep_node_name": node,
            "wsrep_node_address": address,
            "wsrep_node_incoming_address": f"{address}:{cloud.listen_port('galera')}",
            "wsrep_slave_threads": 2 if quick else 8,
            "wsrep_sst_method": method,
            # The donor's script runs as mysql, which the server knows by its socket: no password.
            "wsrep_sst_auth": "mysql:",
            "wsrep_sst_receive_address": f"{address}:4444",
            "wsrep_provider_options": _provider_options(address, quick),
        },
        "check": {
            "address": address,
            "port": int(cloud.catalog["galera"]["proxy"]["check"]["port"]),
            "socket": "/run/mysqld/mysqld.sock",
            "user": CHECK_USER,
            "password": cloud.secret("galera", "check"),
            # mariabackup lets the donor go on serving; rsync locks it.
            "donor_serves": method == "mariabackup",
        },
        "overrides": cloud.overrides("mariadb.cnf"),
    }
    if node == cloud.leader("galera"):
        values["databases"] = _databases(cloud)
    return values


def _provider_options(address: str, quick: bool) -> str:
    options = {
        "gcache.size": "64M" if quick else "512M",
        "gmcast.listen_addr": f"tcp://{address}:4567",
        "ist.recv_addr": f"{address}:4568",
        **(QUICK_GROUP_TIMERS if quick else {}),
    }
    return ";".join(f"{key}={value}" for key, value in options.items())


def _databases(cloud: Cloud) -> list[dict[str, Any]]:
    """``{user, password_hash, databases}`` per project that has databases in this cloud."""
    owned: dict[str, list[str]] = {}
    for service in (name for wave in cloud.waves for name in wave):
        if names := cloud.catalog[service].get("databases"):
            owned.setdefault(cloud.project(service), []).extend(names)
    return [
        {
            "user": user,
            "password_hash": password_hash(cloud.secret(user, "database")),
            "databases": sorted(names),
        }
        for user, names in sorted(owned.items())
    ]


def rabbitmq(cloud: Cloud, node: str) -> dict[str, Any]:
    """RabbitMQ: options, Erlang's flags, the cookie and, on the leader, the account."""
    quick = cloud.option("timers") == "quick"
    address = cloud.address(node)
    nodes = cloud.nodes_running("rabbitmq")
    values: dict[str, Any] = {
        "node": f"rabbit@{node}",
        "nodes": [f"rabbit@{member}" for member in nodes],
        "address": address,
        "port": cloud.listen_port("rabbitmq"),
        "config": {
            "cluster_name": cloud.name,
            "listeners.tcp.1": f"{address}:{cloud.listen_port('rabbitmq')}",
            "distribution.listener.interface": address,
            "cluster_partition_handling": "pause_minority",
            "cluster_formation.peer_discovery_backend": "classic_config",
            **{
                f"cluster_formation.classic_config.nodes.{number}": f"rabbit@{member}"
                for number, member in enumerate(nodes, start=1)
            },
            "net_ticktime": QUICK_NET_TICK if quick else NET_TICK,
            # Absolute, because Erlang takes a container's host for its own.
            "vm_memory_high_watermark.absolute": cloud.option("queue_memory"),
            **_flat(cloud.overrides("rabbitmq.conf")),
        },
        "erlang": _erlang_flags(cloud.option("workers")),
        "cookie": cloud.secret("rabbitmq", "cookie"),
    }
    if node == cloud.leader("rabbitmq"):
        values["access"] = {
            "vhost": QUEUE_VHOST,
            "user": QUEUE_USER,
            "password": cloud.secret("rabbitmq", "openstack"),
        }
    return values


def _erlang_flags(workers: int | str) -> str:
    """Schedulers that sleep when there is nothing to do: a broker shares its node with the APIs."""
    idle = "+sbwt none +sbwtdcpu none +sbwtdio none"
    return f"+S {workers}:{workers} {idle}" if isinstance(workers, int) else idle


def _flat(sections: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """``{a: {b: 1}}`` as ``{a.b: 1}``: rabbitmq.conf has no sections. ``DEFAULT`` is no prefix."""
    return {
        key if section == "DEFAULT" else f"{section}.{key}": value
        for section, options in sections.items()
        for key, value in options.items()
    }


def memcached(cloud: Cloud, node: str) -> dict[str, Any]:
    """memcached: where it listens and how much it may hold."""
    return {
        "address": cloud.address(node),
        "port": cloud.listen_port("memcached"),
        "memory": cloud.option("cache_memory"),  # MiB
    }
