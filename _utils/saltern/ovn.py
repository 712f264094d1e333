"""OVN's two databases as raft clusters: what their servers say, and how members come together."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from saltern.health import Degraded
from saltern.steps import Refused, Step

#: Short name -> name of the database in its own schema.
DATABASES: Mapping[str, str] = {"nb": "OVN_Northbound", "sb": "OVN_Southbound"}

FIELD = re.compile(r"^(Cluster ID|Server ID|Address|Status|Role|Leader|Term): (.*)$", re.MULTILINE)
SERVER = re.compile(r"^ +(\w+) \(\w+ at (\S+)\)(.*)$", re.MULTILINE)
FULL_ID = re.compile(r"\(([0-9a-f-]{36})\)")

#: Milliseconds without a word after which a raft leader's follower is missing.
RAFT_SILENCE = 10_000

START_TIMEOUT = 120  # seconds, for members that wait for each other

Observation = Mapping[str, Any]


def parse_status(text: str) -> dict[str, Any]:
    """``cluster/status`` of one database as data.

    :returns: ``{cluster, server, address, status, role, leader, term, servers}``. ``leader`` is
        None while there is none; ``servers`` maps the short id of each server to its address.
    """
    said = dict(FIELD.findall(text))

    def full(key: str) -> str | None:
        found = FULL_ID.search(said.get(key, ""))
        return found.group(1) if found else None

    leader = said.get("Leader", "unknown")
    return {
        "cluster": full("Cluster ID"),
        "server": full("Server ID"),
        "address": said.get("Address"),
        "status": said.get("Status", "unknown"),
        "role": said.get("Role", "unknown"),
        "leader": None if leader == "unknown" else leader,
        "term": int(said.get("Term", "0")),
        "servers": {sid: address for sid, address, _ in SERVER.findall(text)},
    }


def raft(text: str, members: int) -> str | None:
    """What ``cluster/status`` of one database means when ``members`` should be in the cluster."""
    status = parse_status(text)
    if status["status"] != "cluster member":
        return f"no member of a cluster ({status['status']})"
    if status["leader"] is None:
        return f"no leader (it is a {status['role']})"
    if len(status["servers"]) < members:
        return Degraded(f"{len(status['servers'])} of {members} members in the cluster")
    if status["role"] == "leader":  # the others hear from the leader only
        silent = [
            name
            for name, at in re.findall(r"^ +(\w+) \(.*last msg (\d+) ms ago", text, re.MULTILINE)
            if int(at) > RAFT_SILENCE
        ]
        if silent:
            return Degraded(f"the leader hears nothing from {', '.join(silent)}")
    return None


def settled(database: Observation) -> bool:
    """Whether this copy of a database serves as a member of a cluster that has a leader."""
    return (
        database["file"] == "clustered"
        and database["status"] == "cluster member"
        and database["leader"] is not None
    )


def formation(members: Sequence[str], observed: Mapping[str, Observation | None]) -> list[Step]:
    """Steps that bring ``members`` together; empty when all of them serve.

    A database is created only when every member was seen and none of them holds it: so there is
    never a second cluster. A member that lost its files is taken out of the cluster before it
    joins again.

    :param observed: ``ovn.observe`` of each member, None for one that did not answer.
    :raises Refused: with every reason why acting could lose or split the databases.
    """
    seen = {m: o for m in members if (o := observed.get(m)) is not None}
    silent = [m for m in members if m not in seen]
    reasons = [r for db in DATABASES for r in _dangers(db, seen, silent)]
    if reasons:
        raise Refused("; ".join(reasons))
    create = [db for db in DATABASES if not _holders(db, seen)]
    incomplete = [m for m in seen if any(seen[m][db]["file"] != "clustered" for db in DATABASES)]
    unsettled = [m for m in seen if m not in incomplete and not _serves(seen[m])]
    if unsettled:  # what exists first: only a cluster that has its quorum can take in a member
        return [_start(unsettled, "start the databases")]
    if not incomplete:
        return []
    steps = [step for db in DATABASES for step in _forget(db, seen, incomplete)]
    if create:
        first = max(incomplete, key=lambda m: sum(m in _holders(db, seen) for db in DATABASES))
        steps.append(_start([first], f"create {', '.join(create)}", create=create))
        incomplete = [
            m for m in incomplete if m != first or any(_joins(db, seen, m) for db in DATABASES)
        ]
    if incomplete:
        steps.append(_start(incomplete, "join the databases"))
    return steps


def _holders(db: str, seen: Mapping[str, Observation]) -> list[str]:
    return [m for m, observation in seen.items() if observation[db]["file"] == "clustered"]


def _joins(db: str, seen: Mapping[str, Observation], member: str) -> bool:
    """Whether ``member`` has to join ``db`` of others, as opposed to create or keep it."""
    return seen[member][db]["file"] != "clustered" and bool(_holders(db, seen))


def _serves(observation: Observation) -> bool:
    return bool(observation["northd"]) and all(settled(observation[db]) for db in DATABASES)


def _start(nodes: Sequence[str], why: str, **kwargs: Any) -> Step:
    return Step(tuple(nodes), "ovn.start", why, kwargs, timeout=START_TIMEOUT + 30)


def _dangers(db: str, seen: Mapping[str, Observation], silent: Sequence[str]) -> list[str]:
    """Why nothing may be done to ``db`` now."""
    holders = _holders(db, seen)
    clusters: dict[str, list[str]] = {}
    for member in holders:
        if cluster := seen[member][db]["cluster"]:
            clusters.setdefault(cluster, []).append(member)
    if len(clusters) > 1:
        parts = "; ".join(f"{c} on {', '.join(m)}" for c, m in sorted(clusters.items()))
        return [
            f"{DATABASES[db]}: members belong to different clusters ({parts}): keep the one that"
            " Neutron uses, stop ovn-central on the others and move their /var/lib/ovn away"
        ]
    if not holders and silent:
        return [
            f"{DATABASES[db]}: no member that answers holds it, but {', '.join(silent)} did not"
            " answer and may: bring them back first"
        ]
    lost = [m for m in seen if m not in holders]
    up = [m for m in holders if seen[m][db]["servers"]]
    known = max((len(seen[m][db]["servers"]) for m in up), default=-1)
    if lost and up == holders and 2 * (len(up) + len(silent)) <= known:
        return [
            f"{DATABASES[db]}: only {', '.join(up)} of {known} servers still hold it, which is no"
            " majority: on one of them stop ovn-central, run `ovsdb-tool cluster-to-standalone` on"
            " its file in /var/lib/ovn, and move the files of the others away"
        ]
    return []


def _forget(db: str, seen: Mapping[str, Observation], joining: Sequence[str]) -> list[Step]:
    """Steps that take the former selves of ``joining`` out of the cluster of ``db``."""
    leader = next((m for m in seen if seen[m][db]["role"] == "leader"), None)
    if leader is None:
        return []
    addresses = {seen[m][db]["local"] for m in joining if seen[m][db]["file"] != "clustered"}
    return [
        Step(
            (leader,),
            "ovn.forget",
            f"take the lost server {sid} out of {DATABASES[db]}",
            {"database": db, "server": sid, "address": address},
        )
        for sid, address in sorted(seen[leader][db]["servers"].items())
        if address in addresses
    ]
