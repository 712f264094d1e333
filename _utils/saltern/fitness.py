"""Whether all nodes may be worked on: who answers, who runs our code, who is fit for its roles."""

from __future__ import annotations

from saltern import preflight
from saltern.cloud import Cloud
from saltern.fleet import Fleet, failures

PRESENCE_TIMEOUT = 20
SYNC_TIMEOUT = 180
CHECK_TIMEOUT = 60


def examine(cloud: Cloud, fleet: Fleet, now: float) -> list[str]:
    """Every fault of every node, all at once; empty when the deploy may begin.

    now
        The master's clock, seconds since the epoch.

    Silent nodes are named before anything else is tried: nobody waits minutes for a dead node.
    """
    present = fleet.call(cloud.nodes, "test.ping", timeout=PRESENCE_TIMEOUT, kwargs={})
    silent = failures(present, "no answer (is it up, and its key accepted?)")
    if silent:
        return silent
    synced = fleet.call(
        cloud.nodes, "saltutil.sync_all", timeout=SYNC_TIMEOUT, kwargs={"refresh": True}
    )
    unsynced = failures(synced, "saltutil.sync_all")
    if unsynced:
        return unsynced
    fleet.call(
        cloud.nodes, "saltutil.refresh_pillar", timeout=SYNC_TIMEOUT, kwargs={"wait": True}
    )
    checked = fleet.call(cloud.nodes, "preflight.check", timeout=CHECK_TIMEOUT, kwargs={"now": now})
    facts = {node: answer.value if answer.ok else None for node, answer in checked.items()}
    return failures(checked, "preflight.check") or preflight.verdict(cloud, facts)
