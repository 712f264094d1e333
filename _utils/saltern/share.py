"""A node's share of the cloud: what ``pillar.cloud`` holds, and nothing that the node need not know."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from saltern.cloud import Cloud
from saltern.values import ValueFunction

#: The stages of a wave that apply states, in the order in which they run.
STAGES = ("once", "states", "then")

#: What every node gets before anything else.
COMMON_SLS = "common"


def stage_nodes(cloud: Cloud, services: Iterable[str], stage: str) -> dict[str, list[str]]:
    """Node -> SLS that ``stage`` of the wave ``services`` applies there, without repetition."""
    found: dict[str, list[str]] = {}
    for service in services:
        for entry in cloud.catalog[service].get(stage, ()):
            sls, on = (entry, service) if isinstance(entry, str) else (entry["sls"], entry["on"])
            nodes = cloud.nodes_running(on) if stage == "states" else [cloud.leader(on)]
            for node in nodes:
                held = found.setdefault(node, [])
                if sls not in held:
                    held.append(sls)
    return found


def waves_of(cloud: Cloud, node: str) -> dict[str, dict[str, list[str]]]:
    """Wave number -> stage -> the SLS of ``node``; waves and stages without any are left out.

    The first wave of every node begins with what all nodes share.
    """
    found: dict[str, dict[str, list[str]]] = {}
    for number, services in enumerate(cloud.waves):
        stages = {stage: stage_nodes(cloud, services, stage).get(node, []) for stage in STAGES}
        if number == 0:
            stages["states"] = [COMMON_SLS, *stages["states"]]
        kept = {stage: sls for stage, sls in stages.items() if sls}
        if kept:
            found[str(number)] = kept
    return found


def units_of(cloud: Cloud, services: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Systemd unit -> the service it belongs to and the files it reads."""
    return {
        unit: {"service": service, "files": list(files)}
        for service in services
        for unit, files in cloud.catalog[service].get("units", {}).items()
    }


def probe_of(cloud: Cloud, node: str, service: str) -> dict[str, Any]:
    """How ``node`` checks its own copy of ``service``, with the address it listens on."""
    spec = cloud.catalog[service]
    where = {"address": cloud.address(node)}
    if "port" in spec:
        where["port"] = cloud.listen_port(service)
    members = {"members": cloud.nodes_running(service)} if "quorum" in spec else {}
    return {**where, **members, **spec["probe"]}


def share(cloud: Cloud, node: str, functions: Mapping[str, ValueFunction]) -> dict[str, Any]:
    """``pillar.cloud`` of ``node`` (see docs/design.md for its keys)."""
    services = cloud.services_on(node)
    spec = cloud.model["nodes"][node]
    waves = waves_of(cloud, node)
    applied = [sls for stages in waves.values() for held in stages.values() for sls in held]
    return {
        "name": cloud.name,
        "region": cloud.region,
        "node": node,
        "roles": list(spec["roles"]),
        "services": services,
        "states": list(dict.fromkeys(applied)),
        "waves": waves,
        "hosts": {other: cloud.address(other) for other in cloud.nodes},
        "addresses": dict(spec["addresses"]),
        "interfaces": {
            name: network["interface"]
            for name, network in cloud.model["networks"].items()
            if "interface" in network
        },
        "vips": {"internal": cloud.vip(), "public": cloud.vip("public")},
        "units": units_of(cloud, services),
        "probes": {service: probe_of(cloud, node, service) for service in services},
        "values": {
            project: functions[project](cloud, node)
            for project in sorted({cloud.project(service) for service in services})
        },
    }


def conductor_share(cloud: Cloud) -> dict[str, Any]:
    """``pillar.cloud`` of the master itself, on which orchestrations render. It holds no secret."""
    return {
        "name": cloud.name,
        "waves": [
            {
                "services": wave,
                "nodes": sorted({n for service in wave for n in cloud.nodes_running(service)}),
            }
            for wave in cloud.waves
        ],
        "validator": cloud.leader("nova-api") if cloud.runs("nova-api") else "",
    }


def stranger_share() -> dict[str, Any]:
    """``pillar.cloud`` of an accepted minion that the model does not know: it waits, doing nothing."""
    return {"node": None, "states": [], "services": [], "units": {}, "probes": {}, "values": {}}
