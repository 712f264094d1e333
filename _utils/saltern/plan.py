"""What a deploy would do: states under ``test=True``, and the restarts that their files lead to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from saltern import stateruns
from saltern.cloud import Cloud
from saltern.fleet import Fleet
from saltern.share import units_of

PLAN_TIMEOUT = 300


def restarts(units: Mapping[str, Mapping[str, Any]], changed_files: Iterable[str]) -> list[str]:
    """Units that read one of ``changed_files``."""
    changed = set(changed_files)
    return sorted(unit for unit, spec in units.items() if changed & set(spec["files"]))


def files_changed(ret: Any) -> list[str]:
    """Paths of the files that a state run would change."""
    if not isinstance(ret, dict):
        return []
    return [
        str(chunk["name"])
        for key, chunk in ret.items()
        if key.startswith("file_|-") and chunk.get("result") is None
    ]


def plan(cloud: Cloud, fleet: Fleet) -> dict[str, Any]:
    """Per node: what would change, and which units would be restarted for it."""
    present = fleet.call(cloud.nodes, "test.ping", timeout=10, kwargs={})
    here = [node for node in cloud.nodes if present[node].ok]
    runs = fleet.call(here, "state.apply", timeout=PLAN_TIMEOUT, kwargs={"test": True})
    pending = fleet.call(here, "unit.pending", timeout=30, kwargs={})
    nodes = {}
    for node, answer in runs.items():
        late = pending[node].value if pending[node].ok else {}
        units = units_of(cloud, cloud.services_on(node))
        found = {
            "changes": list(stateruns.changes(answer.value)),
            "restarts": sorted({*late, *restarts(units, files_changed(answer.value))}),
            "faults": stateruns.failures(answer.value),
        }
        if any(found.values()):
            nodes[node] = found
    away = [node for node in cloud.nodes if node not in here]
    return {"summary": _summary(nodes, away), "nodes": nodes, "unreachable": away}


def _summary(nodes: Mapping[str, Mapping[str, Any]], away: Iterable[str]) -> str:
    restarted = sum(len(found["restarts"]) for found in nodes.values())
    said = (
        f"{len(nodes)} nodes would change, {restarted} units restart" if nodes else "nothing to do"
    )
    return f"{said}; no answer from {', '.join(away)}" if away else said
