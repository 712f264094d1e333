"""Whether all nodes may be worked on: who answers, who runs our code, who is fit for its roles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from saltern import preflight
from saltern.cloud import Cloud
from saltern.fleet import Answer, Fleet, failures

PRESENCE_TIMEOUT = 20
SYNC_TIMEOUT = 180
CHECK_TIMEOUT = 60
ARM_TIMEOUT = 30
#: A minion is back with its watch after one or two of these looks. Each waits for seconds on the
#: node; one that comes while the minion is restarted is not answered at all.
LOOKS, LOOK_WAIT, LOOK_TIMEOUT = 30, 2, 4


@dataclass(frozen=True)
class Expected:
    """What the master holds, for nodes to be compared with."""

    now: float  # the master's clock, seconds since the epoch
    stamp: str  # of the code that nodes get
    digests: Mapping[str, str]  # node -> of its share of the cloud


def examine(cloud: Cloud, fleet: Fleet, expected: Expected) -> list[str]:
    """Every fault of every node, all at once; empty when the deploy may begin.

    Silent nodes are named before anything else is tried: nobody waits minutes for a dead node. Code
    and pillar are sent only to the nodes where they differ, because that is the slow part.
    """
    present = fleet.call(cloud.nodes, "saltutil.list_extmods", timeout=PRESENCE_TIMEOUT, kwargs={})
    silent = failures(present, "no answer (is it up, and its key accepted?)")
    if silent:
        return silent
    known = [node for node in cloud.nodes if "preflight" in present[node].value.get("modules", ())]
    checked = _check(known, fleet, expected)
    stale = [node for node in cloud.nodes if not _is_current(checked.get(node), node, expected)]
    if stale:
        unsynced = failures(_sync(stale, fleet), "saltutil.sync_all")
        if unsynced:
            return unsynced
        _watch(stale, fleet)
        checked.update(_check(stale, fleet, expected))
    found = failures(checked, "preflight.check")
    if found:
        return found
    facts = {node: checked[node].value for node in cloud.nodes}
    return _old_master(facts, expected) or preflight.verdict(cloud, facts, expected.stamp)


def _check(nodes: Sequence[str], fleet: Fleet, expected: Expected) -> dict[str, Answer]:
    if not nodes:
        return {}
    return fleet.call(nodes, "preflight.check", timeout=CHECK_TIMEOUT, kwargs={"now": expected.now})


def _is_current(answer: Answer | None, node: str, expected: Expected) -> bool:
    return (
        answer is not None
        and answer.ok
        and answer.value["stamp"] == expected.stamp
        and answer.value["digest"] == expected.digests[node]
    )


def _sync(nodes: Sequence[str], fleet: Fleet) -> dict[str, Answer]:
    """Our code and the pillar of today; a node that failed the first is not asked the second."""
    synced = fleet.call(nodes, "saltutil.sync_all", timeout=SYNC_TIMEOUT, kwargs={"refresh": False})
    done = [node for node in nodes if synced[node].ok]
    return {
        **synced,
        **fleet.call(done, "saltutil.refresh_pillar", timeout=SYNC_TIMEOUT, kwargs={"wait": True}),
    }


def _watch(nodes: Sequence[str], fleet: Fleet) -> None:
    """Have the watch run where its code has just come: that takes a new start of the minion, once.

    Now, while the node has nothing else to do. Where it does not work out the states try again
    (salt/watch), and say why.
    """
    armed = fleet.call(nodes, "healing.arm", timeout=ARM_TIMEOUT, kwargs={})
    waiting = [node for node in nodes if armed[node].ok and armed[node].value != "running"]
    for _ in range(LOOKS if waiting else 0):
        seen = fleet.call(
            waiting, "healing.watching", timeout=LOOK_TIMEOUT, kwargs={"wait": LOOK_WAIT}
        )
        waiting = [n for n in waiting if not (seen[n].ok and seen[n].value == "running")]
        if not waiting:
            return


def _old_master(facts: Mapping[str, Any], expected: Expected) -> list[str]:
    """The master gives shares that the code on its disk would not give: it runs older code."""
    different = [node for node, seen in facts.items() if seen["digest"] != expected.digests[node]]
    return (
        [
            f"the master told {', '.join(different)} something else than its files say: it still "
            "runs older Saltern code; run `systemctl restart salt-master` on the master"
        ]
        if different
        else []
    )
