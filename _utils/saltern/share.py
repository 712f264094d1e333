"""A node's share of the cloud: what ``pillar.cloud`` holds, and nothing it need not know."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from saltern.cloud import Cloud
from saltern.values import ValueFunction

#: The stages of a wave that apply states, in the order in which they run.
STAGES = ("once", "states", "then")

#: What every node gets before anything else.
COMMON_SLS = "common"


def staged(cloud: Cloud, number: int, stage: str) -> list[str]:
    """Services whose ``stage`` runs in wave ``number``.

    Schemas (``once``) need the database and nothing else, so all of them are made at the same time,
    in the wave after the database's, while the services that use them are still waiting for others.
    """
    if stage != "once":
        return cloud.waves[number]
    schemas = [s for wave in cloud.waves for s in wave if "once" in cloud.catalog[s]]
    after = next((n for n, wave in enumerate(cloud.waves, 1) if "galera" in wave), 0)
    return schemas if number == after else []


def stage_nodes(cloud: Cloud, number: int, stage: str) -> dict[str, list[str]]:
    """Node -> SLS that ``stage`` of wave ``number`` applies there, without repetition."""
    found: dict[str, list[str]] = {}
    for service in staged(cloud, number, stage):
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
    for number in range(len(cloud.waves)):
        stages = {stage: stage_nodes(cloud, number, stage).get(node, []) for stage in STAGES}
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
    where: dict[str, Any] = {"address": cloud.address(node)}
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
    told = {
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
    return {**told, "digest": digest(told)}


def digest(told: Mapping[str, Any]) -> str:
    """One short word for a share, by which a node's copy is known to be today's."""
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]


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
    """``pillar.cloud`` of an accepted minion that the model does not know: it waits."""
    return {"node": None, "states": [], "services": [], "units": {}, "probes": {}, "values": {}}
