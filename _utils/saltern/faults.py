"""Everything that is wrong with a cloud and that a schema cannot say, all of it at once.

Each check is a function that yields sentences; a sentence starts with the place in the model (or
``catalog.<service>`` where the catalog is to blame).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Collection, Iterator, Mapping
from itertools import combinations
from typing import Any

from saltern import schema as text
from saltern.cloud import Cloud, ModelError

#: Services in front of all others; an appliance replaces them.
BALANCERS = ("haproxy", "keepalived")
#: Services whose traffic between nodes goes through the tunnel network.
TUNNEL_USERS = ("ovn-controller",)
#: Host names that every machine has already.
RESERVED = ("localhost",)

Check = Callable[[Cloud], Iterator[str]]


def faults(cloud: Cloud, damaged: Collection[str] = ()) -> list[str]:
    """Every fault of ``cloud``, whose model must satisfy ``schema/cloud.json``.

    :param damaged: top-level keys of the model that have lost parts; checks that rely on them
        would accuse the innocent and are left out.
    """
    return [
        fault
        for check, relies_on in CHECKS
        if not set(relies_on) & set(damaged)
        for fault in check(cloud)
    ]


def check(
    raw: str | bytes,
    catalog: Mapping[str, Mapping[str, Any]],
    model_schema: Mapping[str, Any],
) -> tuple[dict[str, Any] | None, list[str]]:
    """The model in the text ``raw``, or ``None``, and every fault that can be found in it.

    One wrong word does not hide the next: what the schema refuses is left out, the rest is checked.
    """
    model, found = text.parse(raw)
    if found and model is None:
        return None, found
    found += text.schema_faults(model, model_schema)
    rest, damaged = text.prune(model, model_schema)
    if rest is not None:
        found += faults(Cloud(rest, catalog), damaged)
    return (None, found) if found else (rest, [])


# -- the catalog ------------------------------------------------------------------------------


def _catalog(cloud: Cloud) -> Iterator[str]:
    known = list(cloud.catalog)
    used: dict[int, str] = {}
    for name, spec in cloud.catalog.items():
        where = f"catalog.{name}"
        for need in spec.get("needs", ()):
            if need not in cloud.catalog:
                yield f"{where}.needs: there is no service {need!r}{text.guess(need, known)}"
        for step in spec.get("then", ()):
            if isinstance(step, Mapping) and step["on"] not in cloud.catalog:
                yield f"{where}.then: there is no service {step['on']!r}"
        for wanted in ("proxy", "endpoint"):
            if wanted in spec and "port" not in spec:
                yield f"{where}.{wanted}: the service has no port"
        if spec["probe"]["kind"] in ("http", "tcp") and "port" not in spec:
            yield f"{where}.probe: the service has no port"
        for port in (*([spec["port"]] if "port" in spec else []), *spec.get("ports", ())):
            if port in used:
                yield f"{where}: port {port} is {used[port]}'s"
            used.setdefault(port, name)
    try:
        cloud.waves  # noqa: B018 - computing them finds the cycle
    except ModelError as exc:
        yield str(exc)


# -- names ------------------------------------------------------------------------------------


def _names(cloud: Cloud) -> Iterator[str]:
    services = list(cloud.catalog)
    for role, names in cloud.model.get("roles", {}).items():
        for index, name in enumerate(names):
            if name not in cloud.catalog:
                hint = text.guess(name, services)
                yield f"roles.{role}[{index}]: there is no service {name!r}{hint}"
    for node in cloud.nodes:
        if node in RESERVED:
            yield f"nodes.{node}: every machine is called so; choose another id"


def _node_roles(cloud: Cloud) -> Iterator[str]:
    known = sorted(
        {role for spec in cloud.catalog.values() for role in spec["roles"]}
        | set(cloud.model.get("roles", {}))
    )
    for node, spec in cloud.model["nodes"].items():
        for index, role in enumerate(spec["roles"]):
            if role not in known:
                hint = text.guess(role, known) or f" (known: {', '.join(known)})"
                yield f"nodes.{node}.roles[{index}]: there is no role {role!r}{hint}"


def _config(cloud: Cloud) -> Iterator[str]:
    known = sorted({file for spec in cloud.catalog.values() for file in spec.get("config", ())})
    for file in cloud.model.get("config", {}):
        if file not in known:
            hint = text.guess(file, known) or f" (known: {', '.join(known)})"
            yield f"config[{text.shown(file)}]: no service takes settings by this name{hint}"


# -- addresses --------------------------------------------------------------------------------


def _cidrs(cloud: Cloud) -> dict[str, ipaddress.IPv4Network]:
    """Every network; ``_networks`` accuses those whose cidr is a machine's address."""
    return {
        name: ipaddress.IPv4Network(spec["cidr"], strict=False)
        for name, spec in cloud.model["networks"].items()
    }


def _networks(cloud: Cloud) -> Iterator[str]:
    cidrs = _cidrs(cloud)
    for name, spec in cloud.model["networks"].items():
        where, cidr = f"networks.{name}", spec["cidr"]
        if cidr != str(cidrs[name]):
            yield f"{where}.cidr: {cidr} is an address; did you mean the network {cidrs[name]}?"
        if "gateway" in spec:
            yield from _outside(f"{where}.gateway", spec["gateway"], name, cidrs[name])
    for (one, first), (two, second) in combinations(cidrs.items(), 2):
        if first.overlaps(second):
            yield f"networks.{two}.cidr: {second} overlaps {first} of {one}"


def _outside(where: str, address: str, network: str, cidr: ipaddress.IPv4Network) -> Iterator[str]:
    """Why ``address`` cannot be a machine's in ``network``."""
    held = ipaddress.IPv4Address(address)
    if held not in cidr:
        yield f"{where}: {address} is outside {network} ({cidr})"
    elif held in (cidr.network_address, cidr.broadcast_address):
        kind = "network" if held == cidr.network_address else "broadcast"
        yield f"{where}: {address} is the {kind} address of {network} ({cidr})"


def _node_addresses(cloud: Cloud) -> Iterator[str]:
    networks: Mapping[str, Mapping[str, Any]] = cloud.model["networks"]
    cidrs = _cidrs(cloud)
    holders = {
        spec["gateway"]: f"the gateway of {name}"
        for name, spec in networks.items()
        if "gateway" in spec
    }
    for node, spec in cloud.model["nodes"].items():
        for network, address in spec["addresses"].items():
            where = text.place(("nodes", node, "addresses", network))
            if network not in networks:
                hint = text.guess(network, networks) or f" (known: {', '.join(networks)})"
                yield f"{where}: there is no network {text.shown(network)}{hint}"
                continue
            yield from _outside(where, address, network, cidrs[network])
            if address in holders:
                yield f"{where}: {address} is {holders[address]}"
            holders.setdefault(address, f"{node}'s in {network}")


def _tunnels(cloud: Cloud) -> Iterator[str]:
    if "tunnel" not in cloud.model["networks"]:
        return
    for service in TUNNEL_USERS:
        for node in cloud.nodes_running(service):
            if "tunnel" not in cloud.model["nodes"][node]["addresses"]:
                yield f"nodes.{node}.addresses.tunnel: is missing, and {service} runs on {node}"


def _vips(cloud: Cloud) -> Iterator[str]:
    vips: Mapping[str, str] = cloud.model["vips"]
    if "public" in vips and vips["public"] == vips["internal"]:
        yield "vips.public: is the internal one; leave it out and they are the same"
    cidrs = _cidrs(cloud)
    gateways = {
        spec["gateway"]: name for name, spec in cloud.model["networks"].items() if "gateway" in spec
    }
    for name, address in vips.items():
        where = f"vips.{name}"
        homes = {
            network: cidr
            for network, cidr in cidrs.items()
            if ipaddress.IPv4Address(address) in cidr
        }
        for network, cidr in homes.items():
            yield from _outside(where, address, network, cidr)
        if not homes and not _external(cloud):
            yield f"{where}: {address} is in none of the networks ({', '.join(cidrs)})"
        if address in gateways:
            yield f"{where}: {address} is the gateway of {gateways[address]}"


def _vip_holders(cloud: Cloud) -> Iterator[str]:
    for name, address in cloud.model["vips"].items():
        for node, spec in cloud.model["nodes"].items():
            if address in spec["addresses"].values():
                yield f"vips.{name}: {address} is an address of {node}; a virtual one must be free"


# -- who is told ------------------------------------------------------------------------------


def _notify(cloud: Cloud) -> Iterator[str]:
    """What could give a password away; no sentence shows what is there."""
    for index, entry in enumerate(cloud.model.get("reactor", {}).get("notify", ())):
        spec, where = entry.get("smtp", {}), f"reactor.notify[{index}].smtp"
        password = spec.get("password")
        if password is not None and not _is_reference(password):
            yield f"{where}.password: say where it is kept (sdb://... or secret://NAME), not what"
        if ("user" in spec) != (password is not None):
            yield f"{where}: user and password need each other"
        if password is not None and not spec.get("starttls"):
            yield f"{where}.starttls: must be true, or the password travels in the clear"


def _is_reference(value: Any) -> bool:
    return isinstance(value, str) and value.startswith(("sdb://", "secret://"))


# -- the whole --------------------------------------------------------------------------------


def _external(cloud: Cloud) -> bool:
    return bool(cloud.model.get("endpoints") == "external")


def _endpoints(cloud: Cloud) -> Iterator[str]:
    for balancer in BALANCERS:
        runs_on = cloud.nodes_running(balancer)
        if _external(cloud) and runs_on:
            yield f"endpoints: is external, but {_some(runs_on)} would run {balancer}"
        elif not _external(cloud) and not runs_on:
            yield (
                f"nodes: no node runs {balancer} (roles: {_roles(cloud, balancer)}), "
                "and endpoints is not external"
            )


def _needs(cloud: Cloud) -> Iterator[str]:
    """Services that others cannot do without, and that nobody runs."""
    for service, spec in cloud.catalog.items():
        if not cloud.runs(service):
            continue
        needs = [*spec.get("needs", ())]
        needs += [step["on"] for step in spec.get("then", ()) if isinstance(step, Mapping)]
        needs += ["galera"] if spec.get("databases") else []
        needs += ["rabbitmq"] if spec.get("queue") else []
        for need in dict.fromkeys(needs):
            if need in cloud.catalog and need not in BALANCERS and not cloud.runs(need):
                yield (
                    f"nodes: {service} on {_some(cloud.nodes_running(service))} needs {need}, "
                    f"which no node runs (roles: {_roles(cloud, need)})"
                )


def _quorum(cloud: Cloud) -> Iterator[str]:
    for service, spec in cloud.catalog.items():
        members = cloud.nodes_running(service)
        if "quorum" in spec and members and len(members) % 2 == 0:
            yield (
                f"nodes: {service} would have {len(members)} members ({_some(members)}): "
                "an even number survives no more than one less; make it 1, 3 or 5"
            )


def _ports(cloud: Cloud) -> Iterator[str]:
    """Two services of one node on one port, the balancer's included."""
    balanced = [s for s, spec in cloud.catalog.items() if "proxy" in spec and cloud.runs(s)]
    for node in cloud.nodes:
        used: dict[int, str] = {}
        if node in cloud.nodes_running("haproxy"):
            used = {cloud.port(service): "the balancer" for service in balanced}
        for service, spec in cloud.catalog.items():
            if node not in cloud.nodes_running(service) or "port" not in spec:
                continue
            for port in (cloud.listen_port(service), *spec.get("ports", ())):
                if port in used:
                    yield f"nodes.{node}: {service} and {used[port]} both listen on port {port}"
                used.setdefault(port, service)


def _routing(cloud: Cloud) -> Iterator[str]:
    external = cloud.model.get("network", {}).get("routing") == "external"
    if external and not any(n.startswith("provider") for n in cloud.model["networks"]):
        yield "networks: network.routing is external, which needs a provider network"


def _some(nodes: list[str]) -> str:
    more = len(nodes) - 5
    return ", ".join(nodes[:5]) + (f" and {more} more" if more > 0 else "")


def _roles(cloud: Cloud, service: str) -> str:
    return ", ".join(sorted(cloud.roles_of(service))) or "none"


#: A check, and the parts of the model that it must see whole.
CHECKS: tuple[tuple[Check, tuple[str, ...]], ...] = (
    (_names, ()),
    (_node_roles, ("roles",)),
    (_networks, ()),
    (_node_addresses, ("networks",)),
    (_tunnels, ("networks", "nodes", "roles")),
    (_vips, ("networks", "vips", "endpoints")),
    (_vip_holders, ()),
    (_config, ()),
    (_notify, ("reactor",)),
    (_routing, ("networks",)),
    (_endpoints, ("endpoints", "nodes", "roles")),
    (_needs, ("nodes", "roles")),
    (_quorum, ("nodes", "roles")),
    (_ports, ("nodes", "roles")),
    (_catalog, ()),
)
