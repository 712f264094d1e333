"""The cloud on one screen."""

from __future__ import annotations

from collections.abc import Mapping

from saltern.cloud import Cloud
from saltern.fleet import Answer


def summary(cloud: Cloud, answers: Mapping[str, Answer]) -> dict[str, object]:
    """Node -> ``ok``, or what is wrong there; and the verdict on the whole cloud."""
    nodes: dict[str, object] = {}
    for node in cloud.nodes:
        answer = answers[node]
        roles = ", ".join(cloud.model["nodes"][node]["roles"])
        if not answer.ok or not isinstance(answer.value, dict):
            nodes[f"{node} ({roles})"] = f"down: {answer.value}"
            continue
        wrong = {
            service: f"{state['status']}: {state['reason']}"
            for service, state in answer.value.items()
            if state["status"] != "ok"
        }
        nodes[f"{node} ({roles})"] = wrong or f"ok: {len(answer.value)} services"
    well = all(isinstance(found, str) and found.startswith("ok") for found in nodes.values())
    return {"cloud": f"{cloud.name}: {'ok' if well else 'NOT ok'}", "nodes": nodes}
