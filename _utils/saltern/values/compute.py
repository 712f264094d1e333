"""Values of Nova and of the hypervisor below it."""

from __future__ import annotations

import uuid
from typing import Any

from saltern.cloud import Cloud
from saltern.values import common, network, uwsgi

#: Services that read nova.conf; nova-compute has a file of its own, without a database in it.
CONTROL = ("nova-api", "nova-metadata", "nova-conductor", "nova-scheduler", "nova-novncproxy")

#: Seconds between two reports of a compute, until a silent one counts as down, and between two
#: searches for hosts that no cell knows (a net: the deploy maps them itself), by ``timers``.
TIMERS = {"production": (10, 60, 300), "quick": (5, 20, 60)}

#: Cells by template: Nova fills in its own [database] and transport_url, so that no password is
#: stored in a database and a rotated one is not stale there.
CELL_DATABASE = "{scheme}://{username}:{password}@{hostname}:{port}/%s?{query}"
NO_TRANSPORT = "none:///"

#: Nova's API runs on eventlet: a second thread of a process waits in vain for RPC replies that the
#: first one's event loop receives. Seen with 4 threads: some console requests were answered at
#: once, others hung for the 60 s of rpc_response_timeout (docs/adr/0007).
THREADS = 1
API_PROCESSES = 2

#: Of the identities that computes get before their first start.
IDENTITIES = uuid.UUID("9e1f3a52-6f0b-4c7e-8c55-0d8b1f0f6c11")


def libvirt(cloud: Cloud, node: str) -> dict[str, Any]:
    """What the hypervisor's states need; the node itself knows whether it can accelerate."""
    return {"cpu": cloud.option("cpu")}


def nova(cloud: Cloud, node: str) -> dict[str, Any]:
    """What the controllers' services and the computes' agent need, each only where it runs."""
    values: dict[str, Any] = {"workers": common.workers(cloud)}
    if any(node in cloud.nodes_running(service) for service in CONTROL):
        values |= {
            "config": _control(cloud, node),
            "overrides": cloud.overrides("nova.conf"),
            "api": _application(
                cloud, node, "nova-api", "nova-api", "nova-api-wsgi", API_PROCESSES
            ),
            "metadata": _application(
                cloud, node, "nova-metadata", "nova-api-metadata", "nova-metadata-wsgi", 1
            ),
            "cells": _cells(cloud),
            "hosts": cloud.nodes_running("nova-compute"),
            "validation": {
                "routed": network.routed(cloud),
                "physical_networks": [
                    spec["physical_network"] for spec in network.physical(cloud).values()
                ],
            },
        }
    if node in cloud.nodes_running("nova-compute"):
        values |= {
            "compute": _compute(cloud, node),
            "compute_overrides": cloud.overrides("nova-compute.conf"),
            "compute_id": str(uuid.uuid5(IDENTITIES, f"{cloud.name}/{node}")),
            "cpu": cloud.option("cpu"),
        }
    return values


def _application(
    cloud: Cloud, node: str, service: str, unit: str, script: str, processes: int
) -> dict[str, Any]:
    return uwsgi.application(
        cloud,
        node,
        service,
        unit=unit,
        wsgi_file=f"/usr/bin/{script}",
        threads=THREADS,
        processes=processes,
        options={
            "env": [
                # Names this process's reply queue; one name for several services would mix them.
                f"OS_OSLO_MESSAGING_RABBIT__PROCESSNAME={unit}",
                # Between two requests nothing runs eventlet's loop: without a thread of its own
                # the heartbeat stops and the broker closes the connection.
                "OS_OSLO_MESSAGING_RABBIT__HEARTBEAT_IN_PTHREAD=true",
            ]
        },
    )


def _cells(cloud: Cloud) -> list[dict[str, str]]:
    """cell0 keeps what never reached a host, cell1 everything else."""
    return [
        {
            "name": "cell0",
            "database": CELL_DATABASE % "nova_cell0",
            "transport": NO_TRANSPORT,
        },
        {
            "name": "cell1",
            "database": CELL_DATABASE % "{path}",
            "transport": _transport_template(len(cloud.members("rabbitmq"))),
        },
    ]


def _transport_template(brokers: int) -> str:
    """Nova numbers the parts of a URL with several hosts and leaves those of a single one alone."""
    numbers = [""] if brokers == 1 else [str(n) for n in range(1, brokers + 1)]
    hosts = ",".join(
        f"{{username{n}}}:{{password{n}}}@{{hostname{n}}}:{{port{n}}}" for n in numbers
    )
    return "{scheme}://" + hosts + "/{path}"


def _shared(cloud: Cloud, node: str) -> dict[str, dict[str, Any]]:
    """Sections that every Nova service wants."""
    report, down, _ = TIMERS[cloud.option("timers")]
    user = common.service_user(cloud, "nova")
    return {
        "DEFAULT": {
            "host": node,
            "my_ip": cloud.address(node),
            "state_path": "/var/lib/nova",
            "transport_url": cloud.transport_url(),
            "report_interval": report,
            "service_down_time": down,
        },
        "oslo_messaging_rabbit": common.messaging(),
        "oslo_concurrency": {"lock_path": "/var/lock/nova"},
        "service_user": {"send_service_user_token": "true", **user},
        "placement": user,
        "glance": {
            "endpoint_override": cloud.url("glance"),
            "region_name": cloud.region,
            "num_retries": 3,
        },
    }


def _control(cloud: Cloud, node: str) -> dict[str, dict[str, Any]]:
    sections = _shared(cloud, node)
    return {
        **sections,
        "api_database": common.database(cloud, "nova", "nova_api"),
        "database": common.database(cloud, "nova", "nova"),
        "keystone_authtoken": common.authtoken(cloud, "nova"),
        "neutron": {
            **common.service_user(cloud, "nova"),
            "service_metadata_proxy": "true",
            "metadata_proxy_shared_secret": cloud.secret("nova", "metadata"),
        },
        "oslo_middleware": {"enable_proxy_headers_parsing": "true"},
        "scheduler": {
            "discover_hosts_in_cells_interval": TIMERS[cloud.option("timers")][2],
            "max_placement_results": 100,
        },
        # Several schedulers side by side: equal hosts in random order, so that they do not collide.
        "filter_scheduler": {"shuffle_best_same_weighed_hosts": "true"},
        "vnc": {
            "novncproxy_host": cloud.address(node),
            "novncproxy_port": cloud.listen_port("nova-novncproxy"),
            "server_listen": cloud.address(node),
        },
    }


def _compute(cloud: Cloud, node: str) -> dict[str, dict[str, Any]]:
    sections = _shared(cloud, node)
    sections["DEFAULT"] |= {
        "compute_driver": "libvirt.LibvirtDriver",
        "resume_guests_state_on_host_boot": "true",
        "vif_plugging_timeout": 120,
        "vif_plugging_is_fatal": "true",
    }
    return {
        **sections,
        "neutron": common.service_user(cloud, "nova"),
        "vnc": {
            "enabled": "true",
            "server_listen": cloud.address(node),
            "server_proxyclient_address": cloud.address(node),
            "novncproxy_base_url": f"{cloud.url('nova-novncproxy', 'public')}/vnc_auto.html",
        },
        "spice": {"enabled": "false"},
    }
