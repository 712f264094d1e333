"""Whether nodes are fit for what the model asks of them: every fault of all nodes, at once.

``preflight.check`` on each node gathers facts and judges nothing; here facts become sentences, each
with the node, what is wrong there, and how to make it right.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from saltern.cloud import Cloud

Facts = Mapping[str, Any]

SYSTEM = ("debian", "13")
SALT = "3008."

#: Seconds that a node's clock may be behind the master's, and ahead of it. Between the two looks at
#: the clocks lies the time that the job takes, so ahead has to be generous.
CLOCK_BEHIND = 2.0
CLOCK_AHEAD = 30.0

#: Memory in MiB that a node needs for a service, and for itself. A machine of 4 GB is a controller
#: of a small cloud; production wants more, by ``options.database_memory`` and its like.
MEMORY_BASE = 512
MEMORY_DEFAULT = 64
MEMORY: Mapping[str, int] = {
    "galera": 512,
    "glance": 192,
    "horizon": 256,
    "keystone": 160,
    "libvirt": 256,
    "neutron": 640,
    "nova-api": 192,
    "nova-compute": 320,
    "nova-conductor": 160,
    "nova-metadata": 160,
    "nova-scheduler": 160,
    "ovn-metadata-agent": 448,
    "rabbitmq": 384,
}

#: Free space in MiB under a path.
DISK_BASE = 1024
DISK: Mapping[str, int] = {"galera": 1024, "glance": 1024, "nova-compute": 2048, "rabbitmq": 256}
DISK_PATHS = ("/", "/var/lib")

#: Units that hold ports of a service besides the units of its catalog file.
COMPANIONS: Mapping[str, tuple[str, ...]] = {
    "galera": ("galera-check",),
    "ovn-central": ("ovn-ovsdb-server-nb", "ovn-ovsdb-server-sb", "ovn-northd"),
    "rabbitmq": ("epmd",),
}

#: A listener there is in the way of one that wants a port on the node's own address.
WILDCARDS = frozenset({"0.0.0.0", "*", "::"})  # noqa: S104 - compared with, not bound to


def verdict(cloud: Cloud, facts: Mapping[str, Facts | None], stamp: str | None = None) -> list[str]:
    """Every fault of every node of ``cloud``; empty when the work may begin.

    facts
        What ``preflight.check`` returned by node; None for a node that did not answer.

    stamp
        Stamp of the code that the master would run; None compares the nodes with each other only.
    """
    known = {node: f for node in cloud.nodes if (f := facts.get(node)) is not None}
    found = [
        f"{node}: no answer; is it up, and is its salt-minion running?"
        for node in cloud.nodes
        if node not in known
    ]
    for node, seen in known.items():
        found += [f"{node}: {fault}" for check in NODE_CHECKS for fault in check(cloud, node, seen)]
    for compare in CLOUD_CHECKS:
        found += compare(cloud, known)
    return found + list(_code(known, stamp))


# -- one node ----------------------------------------------------------------------------------


def _system(cloud: Cloud, node: str, seen: Facts) -> Iterator[str]:
    system = (seen["os"]["id"], seen["os"]["version"])
    if system != SYSTEM:
        yield f"it runs {' '.join(system)}, not Debian 13; install the node with Debian 13"
    if not seen["systemd"]:
        yield "systemd is not its init; boot it with systemd"
    if not str(seen["salt"]).startswith(SALT):
        yield f"its minion is Salt {seen['salt']}; install salt>=3008.3,<3009 there"


def _name(cloud: Cloud, node: str, seen: Facts) -> Iterator[str]:
    if seen["hostname"] != node:
        yield f"its host name is {seen['hostname']}; run `hostnamectl set-hostname {node}` there"
    expected = {other: cloud.address(other) for other in cloud.nodes}
    for name, addresses in sorted(seen["resolved"].items()):
        wrong = [a for a in addresses if a != expected.get(name) and not a.startswith("127.")]
        if wrong and name in expected:
            yield (
                f"the name {name} leads to {', '.join(wrong)}, not to {expected[name]}; "
                "correct DNS or cloud.yaml"
            )
    owners = {address: other for other, address in expected.items()}
    for address, name in sorted(seen["reverse"].items()):
        short = name.partition(".")[0]
        if address in owners and short in expected and short != owners[address]:
            yield f"{address} is called {name} by DNS, but is {owners[address]}'s; correct DNS"


def _addresses(cloud: Cloud, node: str, seen: Facts) -> Iterator[str]:
    held = {address: name for name, i in seen["interfaces"].items() for address in i["addresses"]}
    wanted = {"management": cloud.address(node)}
    if node in cloud.nodes_running("ovn-controller"):
        wanted["tunnel"] = cloud.address(node, "tunnel")
    for network, address in wanted.items():
        if address not in held:
            yield f"its {network} address {address} is on no interface; configure it there"
    interface = cloud.model["networks"]["management"]["interface"]
    on = held.get(wanted["management"], interface)
    if on != interface:
        yield (
            f"its management address is on {on}, not on {interface}; "
            "correct networks.management.interface in cloud.yaml or the node"
        )
    for network in _networks_of(cloud, node):
        interface = cloud.model["networks"][network]["interface"]
        if interface not in seen["interfaces"]:
            yield f"it has no interface {interface} for the network {network}"
            continue
        needs = cloud.model["networks"][network].get("mtu", 0)
        has = seen["interfaces"][interface]["mtu"]
        if has < needs:
            yield f"{interface} has an MTU of {has}, {network} wants {needs}; raise it there"


def _networks_of(cloud: Cloud, node: str) -> list[str]:
    """Networks that ``node`` uses; the provider's has no addresses, but OVN needs its interface."""
    own = {"management"}
    if node in cloud.nodes_running("ovn-controller"):
        own |= {"provider", *cloud.model["nodes"][node]["addresses"]}
    return [name for name in cloud.model["networks"] if name in own]


def _size(cloud: Cloud, node: str, seen: Facts) -> Iterator[str]:
    services = cloud.services_on(node)
    memory = MEMORY_BASE + sum(MEMORY.get(s, MEMORY_DEFAULT) for s in services)
    if seen["memory"] < memory:
        yield f"{seen['memory']} MiB of memory, its services need {memory}; add memory"
    disk = DISK_BASE + sum(DISK.get(s, 0) for s in services)
    for path, free in seen["disk"].items():
        if free < disk:
            yield f"{free} MiB free under {path}, its services need {disk}; make room there"


def _clock(cloud: Cloud, node: str, seen: Facts) -> Iterator[str]:
    offset, container = seen["clock"]["offset"], seen["container"]
    if offset is not None and offset < -CLOCK_BEHIND:
        yield f"its clock is {-offset:.1f} s behind the master's; synchronise both (chrony)"
    if offset is not None and offset > CLOCK_AHEAD and not container:
        yield f"its clock is {offset:.1f} s ahead of the master's; synchronise both (chrony)"
    if seen["clock"]["synchronised"] is False:
        yield "chrony runs but is not synchronised; see `chronyc sources` there"


def _packages(cloud: Cloud, node: str, seen: Facts) -> Iterator[str]:
    if seen["dpkg"]["holder"]:
        yield f"dpkg is in use by {seen['dpkg']['holder']}; wait until it ends"
    if seen["dpkg"]["interrupted"]:
        yield "a package installation was interrupted; run `dpkg --configure -a` there"


def _ports(cloud: Cloud, node: str, seen: Facts) -> Iterator[str]:
    running = set(seen["running"])
    own = {a for i in seen["interfaces"].values() for a in i["addresses"]}
    in_the_way = WILDCARDS | own | {cloud.vip(), cloud.vip("public")}
    ours = {unit for service in cloud.services_on(node) for unit in units_around(cloud, service)}
    wanted = wanted_ports(cloud, node)
    for listener in seen["listeners"]:
        port, unit = listener["port"], listener["unit"]
        if port not in wanted or listener["address"] not in in_the_way:
            continue
        if unit in ours or listener["process"] == "systemd":
            continue
        if not listener["process"] and running & set(units_around(cloud, wanted[port])):
            continue  # an unprivileged container does not say who listens; its own service runs
        holder = f"{listener['process'] or 'an unknown process'} ({unit or 'no unit'})"
        yield f"port {port}, wanted by {wanted[port]}, is held by {holder}; stop it there"


def units_around(cloud: Cloud, service: str) -> list[str]:
    """Units that may hold the ports of ``service``."""
    return [*cloud.catalog[service].get("units", {}), *COMPANIONS.get(service, ())]


def wanted_ports(cloud: Cloud, node: str) -> dict[int, str]:
    """Port -> service that will listen on it on ``node``."""
    wanted: dict[int, str] = {}
    if node in cloud.nodes_running("haproxy"):
        wanted |= {
            cloud.port(service): "haproxy"
            for service, spec in cloud.catalog.items()
            if "proxy" in spec and cloud.runs(service)
        }
    for service in cloud.services_on(node):
        spec = cloud.catalog[service]
        wanted |= {int(port): service for port in spec.get("ports", ())}
        if "port" in spec:
            wanted[cloud.listen_port(service)] = service
    return wanted


NODE_CHECKS: tuple[Callable[[Cloud, str, Facts], Iterator[str]], ...] = (
    _system,
    _name,
    _addresses,
    _size,
    _clock,
    _packages,
    _ports,
)


# -- all nodes together ------------------------------------------------------------------------


def _machine_ids(cloud: Cloud, known: Mapping[str, Facts]) -> Iterator[str]:
    by_id: dict[str, list[str]] = {}
    for node, seen in known.items():
        by_id.setdefault(seen["machine_id"], []).append(node)
    for machine, nodes in by_id.items():
        if len(nodes) > 1:
            yield (
                f"{', '.join(nodes)}: the same machine id {machine} (cloned?); "
                "remove /etc/machine-id and run `systemd-machine-id-setup` on all but one"
            )


def _mtus(cloud: Cloud, known: Mapping[str, Facts]) -> Iterator[str]:
    for network, spec in cloud.model["networks"].items():
        by_mtu: dict[int, list[str]] = {}
        for node, seen in known.items():
            interface = seen["interfaces"].get(spec["interface"])
            if interface and network in _networks_of(cloud, node):
                by_mtu.setdefault(interface["mtu"], []).append(node)
        if len(by_mtu) > 1:
            groups = "; ".join(f"{mtu} on {', '.join(n)}" for mtu, n in sorted(by_mtu.items()))
            yield f"network {network}: different MTUs ({groups}); give all of them the same"


def _vips(cloud: Cloud, known: Mapping[str, Facts]) -> Iterator[str]:
    holders = cloud.nodes_running("keepalived")
    ours = {
        interface["mac"]
        for node in holders
        if node in known
        for interface in known[node]["interfaces"].values()
    }
    foreign = {
        (vip, mac)
        for node in holders
        if node in known
        for vip, mac in known[node]["vip_answers"].items()
        if mac and mac not in ours
    }
    for vip, mac in sorted(foreign):
        yield f"virtual address {vip} is in use by the machine with MAC {mac}; free it or change it"


CLOUD_CHECKS: tuple[Callable[[Cloud, Mapping[str, Facts]], Iterator[str]], ...] = (
    _machine_ids,
    _mtus,
    _vips,
)


def _code(known: Mapping[str, Facts], stamp: str | None) -> Iterator[str]:
    stamps = Counter(seen["stamp"] for seen in known.values())
    expected = stamp or (stamps.most_common(1)[0][0] if stamps else None)
    reference = "the master" if stamp else "the others"
    for node, seen in known.items():
        if seen["stamp"] != expected:
            yield (
                f"{node}: it runs other Saltern code than {reference}; "
                f"run `salt {node} saltutil.sync_all`, then restart its salt-minion"
            )


# -- reading what a node says ------------------------------------------------------------------


def parse_addresses(text: str) -> dict[str, dict[str, Any]]:
    """Interface -> ``{mac, mtu, addresses}`` out of ``ip -json address``; loopback is left out."""
    return {
        link["ifname"]: {
            "mac": link.get("address", ""),
            "mtu": int(link["mtu"]),
            "addresses": [info["local"] for info in link.get("addr_info", ()) if "local" in info],
        }
        for link in json.loads(text)
        if "LOOPBACK" not in link.get("flags", ())
    }


_LISTENER = re.compile(r"^LISTEN\s+\d+\s+\d+\s+(\S+):(\d+)\s")
_HOLDER = re.compile(r'\("([^"]+)",pid=(\d+)')


def parse_listeners(text: str) -> list[dict[str, Any]]:
    """``{address, port, process, pids}`` of each line of ``ss -ltnpH`` that is not loopback's.

    A server that forks for each connection shares its listening socket with every child, and ``ss``
    names the youngest first; so all of them are given.
    """
    found = []
    for line in text.splitlines():
        where = _LISTENER.match(line)
        if not where:
            continue
        address = where[1].partition("%")[0].strip("[]")
        if address.startswith("127.") or address == "::1":
            continue
        holders = _HOLDER.findall(line)
        found.append(
            {
                "address": address,
                "port": int(where[2]),
                "process": holders[0][0] if holders else "",
                "pids": [int(pid) for _, pid in holders],
            }
        )
    return found


def parse_unit(cgroup: str) -> str:
    """Unit of a process by ``/proc/PID/cgroup``; empty for one that belongs to none."""
    for line in sorted(cgroup.splitlines(), key=lambda line: "name=systemd" not in line):
        found = re.search(r"/([^/]+)\.service(?:/|$)", line)
        if found:
            return found[1]
    return ""


def code_stamp(files: Mapping[str, bytes]) -> str:
    """One short word for a set of files: relative path -> content."""
    digest = hashlib.sha256()
    for path, content in sorted(files.items()):
        digest.update(f"{path}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:16]


def names_to_resolve(hosts_text: str, hosts: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """Names and addresses of ``hosts`` that the hosts file does not settle: DNS has to be asked."""
    settled = {w for line in hosts_text.splitlines() for w in line.partition("#")[0].split()}
    return (
        [name for name in hosts if name not in settled],
        [address for address in hosts.values() if address not in settled],
    )
