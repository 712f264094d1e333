"""Values of Neutron and of OVN below it."""

from __future__ import annotations

import zlib
from ipaddress import ip_network
from typing import Any

from saltern.cloud import Cloud, ModelError
from saltern.values import common, uwsgi

#: What Neutron's server processes read, in this order.
SERVER_FILES = ("/etc/neutron/neutron.conf", "/etc/neutron/plugins/ml2/ml2_conf.ini")

#: Requests that one API process of Neutron answers at a time.
THREADS = 4

#: Headroom of a geneve packet that OVN asks for.
GENEVE_HEADER = 38

#: Milliseconds without a leader's word until OVN's databases elect another one. OVN's own default
#: of 1000 is lost by a busy disk; the price is that much longer without writes after a crash.
ELECTION_TIMER = 2000

#: The bridge that owns the tunnel address when Open vSwitch works in user space.
TUNNEL_BRIDGE = "br-phy"
MAX_INTERFACE_NAME = 15


def routed(cloud: Cloud) -> bool:
    """Whether Neutron routes; else a hardware router does and there are only provider networks."""
    routing: str = cloud.model.get("network", {}).get("routing", "ovn")
    return routing != "external"


def physical(cloud: Cloud) -> dict[str, dict[str, Any]]:
    """Networks of the model that instances can be plugged into, by name."""
    return {
        name: spec for name, spec in cloud.model["networks"].items() if spec.get("physical_network")
    }


def _mtu(cloud: Cloud) -> int:
    """What a packet between computes may measure, tunnel header included."""
    networks = cloud.model["networks"]
    return int(networks.get("tunnel", networks["management"]).get("mtu", 1500))


def _databases(cloud: Cloud) -> dict[str, dict[str, Any]]:
    """OVN's two databases: where clients find them and where their servers find each other."""
    north = cloud.port("ovn-central")
    south, north_raft, south_raft = cloud.catalog["ovn-central"]["ports"]
    return {
        "nb": {"port": north, "raft": north_raft, "remote": _remote(cloud, north)},
        "sb": {"port": south, "raft": south_raft, "remote": _remote(cloud, south)},
    }


def _remote(cloud: Cloud, port: int) -> str:
    return ",".join(
        f"tcp:{cloud.address(node)}:{port}" for node in cloud.nodes_running("ovn-central")
    )


# -- Neutron ------------------------------------------------------------------------------------


def neutron(cloud: Cloud, node: str) -> dict[str, Any]:
    """What the server and the metadata agent need, each only where it runs."""
    values: dict[str, Any] = {}
    if node in cloud.nodes_running("neutron"):
        values |= {
            "config": _server(cloud),
            "ml2": _ml2(cloud),
            "overrides": {
                "neutron.conf": cloud.overrides("neutron.conf"),
                "ml2_conf.ini": cloud.overrides("ml2_conf.ini"),
            },
            "api": uwsgi.application(
                cloud,
                node,
                "neutron",
                unit="neutron-api",
                wsgi_file="/usr/bin/neutron-api",
                threads=THREADS,
                options={
                    "env": ["OS_OSLO_MESSAGING_RABBIT__PROCESSNAME=neutron-api"],
                    "pyargv": [" ".join(f"--config-file={file}" for file in SERVER_FILES)],
                    # Neutron's workers find each other in OVN's hash ring by this moment.
                    "start-time": ["%t"],
                },
            ),
            "config_files": list(SERVER_FILES),
        }
    if node in cloud.nodes_running("ovn-metadata-agent"):
        values |= {
            "metadata": _metadata(cloud),
            "metadata_overrides": cloud.overrides("neutron_ovn_metadata_agent.ini"),
        }
    return values


def _server(cloud: Cloud) -> dict[str, dict[str, Any]]:
    user = common.service_user(cloud, "neutron")
    return {
        "DEFAULT": {
            "core_plugin": "ml2",
            "service_plugins": "ovn-router" if routed(cloud) else "",
            "transport_url": cloud.transport_url(),
            # There is no neutron-rpc-server: OVN has no agents that talk through the queue. With 0
            # no process sends them anything either (Neutron's documentation, admin/ovn/rpc).
            "rpc_workers": 0,
            "notify_nova_on_port_status_changes": "true",
            "notify_nova_on_port_data_changes": "true",
            "state_path": "/var/lib/neutron",
            "global_physnet_mtu": _mtu(cloud),
        },
        "agent": {"root_helper": "sudo neutron-rootwrap /etc/neutron/rootwrap.conf"},
        "database": common.database(cloud, "neutron", "neutron"),
        "keystone_authtoken": common.authtoken(cloud, "neutron"),
        "nova": user,
        "placement": user,
        "oslo_concurrency": {"lock_path": "/var/lock/neutron"},
        "oslo_messaging_rabbit": common.messaging(),
        "oslo_middleware": {"enable_proxy_headers_parsing": "true"},
    }


def _ml2(cloud: Cloud) -> dict[str, dict[str, Any]]:
    outside = ",".join(spec["physical_network"] for spec in physical(cloud).values())
    databases = _databases(cloud)
    return {
        "ml2": {
            "type_drivers": "flat,vlan,geneve",
            "tenant_network_types": "geneve" if routed(cloud) else "",
            "mechanism_drivers": "ovn",
            "extension_drivers": "port_security",
            "overlay_ip_version": 4,
            "path_mtu": _mtu(cloud),
        },
        "ml2_type_flat": {"flat_networks": outside},
        "ml2_type_vlan": {"network_vlan_ranges": outside},
        "ml2_type_geneve": {"vni_ranges": "1:65536", "max_header_size": GENEVE_HEADER},
        "securitygroup": {"enable_security_group": "true"},
        "ovn": {
            "ovn_nb_connection": databases["nb"]["remote"],
            "ovn_sb_connection": databases["sb"]["remote"],
            "ovn_metadata_enabled": "true",
            # A floating IP leaves through the compute of its instance: no gateway node between.
            "enable_distributed_floating_ip": "true",
        },
    }


def _metadata(cloud: Cloud) -> dict[str, dict[str, Any]]:
    databases = _databases(cloud)
    return {
        "DEFAULT": {
            "nova_metadata_host": cloud.vip(),
            "nova_metadata_port": cloud.port("nova-metadata"),
            "metadata_proxy_shared_secret": cloud.secret("nova", "metadata"),
            "state_path": "/var/lib/neutron",
        },
        "agent": {"root_helper": "sudo neutron-rootwrap /etc/neutron/rootwrap.conf"},
        "ovn": {
            "ovn_sb_connection": databases["sb"]["remote"],
            "ovn_nb_connection": databases["nb"]["remote"],
        },
        "ovs": {"ovsdb_connection": "unix:/var/run/openvswitch/db.sock"},
    }


# -- OVN ----------------------------------------------------------------------------------------


def ovn(cloud: Cloud, node: str) -> dict[str, Any]:
    """What the databases' members and the computes' switches need, each only where it runs."""
    values: dict[str, Any] = {}
    if node in cloud.nodes_running("ovn-central"):
        values["central"] = _central(cloud, node)
    if node in cloud.nodes_running("ovn-controller"):
        values["switch"] = _switch(cloud, node)
    return values


def _central(cloud: Cloud, node: str) -> dict[str, Any]:
    address = cloud.address(node)
    databases = _databases(cloud)
    options = []
    for name, database in databases.items():
        options += [
            f"--db-{name}-addr={address}",
            f"--db-{name}-port={database['port']}",
            f"--db-{name}-create-insecure-remote=yes",
            f"--db-{name}-cluster-local-addr={address}",
            f"--db-{name}-cluster-local-port={database['raft']}",
            f"--ovn-northd-{name}-db={database['remote']}",
        ]
    return {
        "options": options,
        "address": address,
        "peers": [cloud.address(n) for n in cloud.nodes_running("ovn-central") if n != node],
        "raft": {name: database["raft"] for name, database in databases.items()},
        "election_timer": ELECTION_TIMER,
    }


def _switch(cloud: Cloud, node: str) -> dict[str, Any]:
    userspace = cloud.option("datapath") == "userspace"
    outside = physical(cloud)
    bridges: dict[str, dict[str, str | None]] = {
        _bridge(name): {"port": spec["interface"], "address": None}
        for name, spec in outside.items()
    }
    mappings = ",".join(f"{spec['physical_network']}:{_bridge(n)}" for n, spec in outside.items())
    external = {
        "system-id": node,
        "hostname": node,
        "ovn-remote": _databases(cloud)["sb"]["remote"],
        "ovn-encap-type": "geneve",
        "ovn-encap-ip": cloud.address(node, "tunnel"),
        "ovn-bridge-mappings": mappings,
    }
    if routed(cloud):
        external["ovn-cms-options"] = "enable-chassis-as-gw"
    if userspace:
        external["ovn-bridge-datapath-type"] = "netdev"
        bridges[TUNNEL_BRIDGE] = _tunnel(cloud, node)
    return {
        "system_id": node,
        "datapath": "netdev" if userspace else "system",
        "userspace": userspace,
        "bridges": bridges,
        "external_ids": external,
        # os-vif, which plugs instances in for Nova, talks to the switch over TCP.
        "manager": "ptcp:6640:127.0.0.1",
    }


def _bridge(network: str) -> str:
    name = f"br-{network}"
    return name if len(name) <= MAX_INTERFACE_NAME else f"br-{zlib.crc32(network.encode()):08x}"


def _tunnel(cloud: Cloud, node: str) -> dict[str, str | None]:
    """In user space a tunnel leaves only through a bridge that owns its address."""
    address = cloud.model["nodes"][node]["addresses"].get("tunnel")
    if address is None:
        raise ModelError(
            f"nodes.{node}: datapath userspace takes the device of the tunnel network away from the"
            " kernel; give this node an address in a network `tunnel` of its own"
        )
    spec = cloud.model["networks"]["tunnel"]
    prefix = ip_network(spec["cidr"]).prefixlen
    return {"port": spec["interface"], "address": f"{address}/{prefix}"}
