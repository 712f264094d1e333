"""What Galera says about itself, and how its members are brought together without losing data.

Two things are never left to hope: who may bootstrap (only who is provably the most advanced of
*all* members) and who may be started (only who cannot lose data by taking the cluster's).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from saltern.steps import Refused, Step

NOBODY = "00000000-0000-0000-0000-000000000000"
PRIMARY = "Primary"
SYNCED = 4
DONOR = 2

#: Databases that every server has; any other one is somebody's data.
PACKAGED = frozenset({"mysql", "sys", "performance_schema", "information_schema", "lost+found"})

BOOTSTRAP_TIMEOUT = 180  # seconds
START_TIMEOUT = 1800  # seconds; a whole copy of the data may travel

Observation = Mapping[str, Any]


# -- what it says ----------------------------------------------------------------------------


def parse_status(rows: Mapping[str, str]) -> dict[str, Any]:
    """``SHOW GLOBAL STATUS LIKE 'wsrep_%'`` with types; what is left out is None or empty."""

    def number(name: str) -> int | None:
        return int(rows[name]) if rows.get(name) else None

    return {
        "ready": rows.get("wsrep_ready") == "ON",
        "connected": rows.get("wsrep_connected") == "ON",
        "cluster_status": rows.get("wsrep_cluster_status", ""),
        "state": number("wsrep_local_state"),
        "synced": number("wsrep_local_state") == SYNCED,
        "state_comment": rows.get("wsrep_local_state_comment", ""),
        "cluster_size": number("wsrep_cluster_size") or 0,
        "uuid": rows.get("wsrep_local_state_uuid", ""),
        "last_committed": number("wsrep_last_committed"),
        "conf_id": number("wsrep_cluster_conf_id"),
        "members": [m for m in rows.get("wsrep_incoming_addresses", "").split(",") if m],
        "recv_queue": number("wsrep_local_recv_queue") or 0,
        "flow_control_paused": float(rows.get("wsrep_flow_control_paused") or 0),
    }


def faults(status: Mapping[str, Any], donor_serves: bool) -> list[str]:
    """Why this member cannot take requests; empty when it can."""
    found = []
    if status["cluster_status"] != PRIMARY:
        found.append(f"not in the primary component ({status['cluster_status'] or 'no cluster'})")
    if not status["ready"]:
        found.append("wsrep is not ready")
    if status["state"] != SYNCED and not (donor_serves and status["state"] == DONOR):
        found.append(f"not synced ({status['state_comment'] or 'unknown'})")
    return found


def lends(status: Mapping[str, Any]) -> bool:
    """It is a good member, and gives its data to another or was desynced by somebody.

    Where it takes no requests meanwhile that ends by itself: a restart would break off the copy.
    """
    return bool(
        status.get("cluster_status") == PRIMARY
        and status.get("ready")
        and status.get("state") == DONOR
    )


def warnings(status: Mapping[str, Any], expected: int) -> list[str]:
    """What is not as it should be although this member takes requests."""
    found = []
    if status["cluster_size"] < expected:
        found.append(f"{status['cluster_size']} of {expected} members are in the cluster")
    if status["state"] == DONOR:
        found.append("desynced: a donor, or told so")
    return found


def parse_grastate(text: str | None) -> dict[str, Any] | None:
    """``{uuid, seqno, safe_to_bootstrap}`` of grastate.dat; None when it is missing or empty.

    :raises ValueError: when the file says something else than Galera writes.
    """
    if not text or not text.strip("\0 \n"):
        return None
    said = dict(re.findall(r"^(\w+):\s*(\S+)\s*$", text, re.MULTILINE))
    if not re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", said.get("uuid", "")):
        raise ValueError("grastate.dat names no cluster")
    if not re.fullmatch(r"-?\d+", said.get("seqno", "")):
        raise ValueError("grastate.dat has no seqno")
    return {
        "uuid": said["uuid"],
        "seqno": int(said["seqno"]),
        "safe_to_bootstrap": said.get("safe_to_bootstrap") == "1",
    }


def parse_gvwstate(text: str | None) -> dict[str, Any] | None:
    """``{id, members}`` of the last primary view in gvwstate.dat; members is how many."""
    view = re.search(r"^view_id:\s*(.+?)\s*$", text or "", re.MULTILINE)
    members = re.findall(r"^member:", text or "", re.MULTILINE)
    return {"id": view.group(1), "members": len(members)} if view and members else None


def parse_position(text: str) -> dict[str, Any] | None:
    """``{uuid, seqno}`` out of ``--wsrep_start_position=UUID:SEQNO``; None when unknown."""
    found = re.search(r"wsrep[_-]start[_-]position=([0-9a-f-]{36}):(-?\d+)", text)
    if not found or found.group(1) == NOBODY or int(found.group(2)) < 0:
        return None
    return {"uuid": found.group(1), "seqno": int(found.group(2))}


def password_hash(password: str) -> str:
    """``password`` the way MariaDB keeps it (mysql_native_password): the state needs no more."""
    once = hashlib.sha1(password.encode(), usedforsecurity=False).digest()
    return "*" + hashlib.sha1(once, usedforsecurity=False).hexdigest().upper()


def errors(lines: Iterable[str], last: int = 3) -> list[str]:
    """The last error messages in MariaDB's log, without their time stamps."""
    found = [line.partition("[ERROR]")[2].strip() for line in lines if "[ERROR]" in line]
    return [message for message in found if message != "Aborting"][-last:]


# -- what a member knows ---------------------------------------------------------------------


def observation(
    *,
    service: str,
    status: Mapping[str, Any] | None = None,
    grastate: str | None = None,
    gvwstate: str | None = None,
    recovered: Mapping[str, Any] | None = None,
    databases: Iterable[str] = (),
    sst_in_progress: bool = False,
    checkable: bool = True,
    trouble: str = "",
) -> dict[str, Any]:
    """One member as :func:`formation` wants to see it.

    service
        ``stopped``, ``starting`` (a process that does not answer yet) or ``running``.

    status
        :func:`parse_status` of a running one.

    recovered
        Position that InnoDB itself holds, or that a starting process was started with.

    checkable
        Whether the balancer's check can log in; only a running member can deny it.

    trouble
        Why something could not be read.
    """
    damaged, saved = trouble, None
    try:
        saved = parse_grastate(grastate)
    except ValueError as exc:
        damaged = damaged or str(exc)
    position = recovered
    if status and status["uuid"] not in ("", NOBODY):
        position = {"uuid": status["uuid"], "seqno": status["last_committed"]}
    elif service == "stopped" and saved and saved["uuid"] != NOBODY:
        if saved["seqno"] >= 0:
            position = {"uuid": saved["uuid"], "seqno": saved["seqno"]}
        elif not damaged and not sst_in_progress:
            if recovered is None:
                damaged = "grastate.dat names a cluster, but the data holds no position"
            elif recovered["uuid"] != saved["uuid"]:
                damaged = "grastate.dat and the data are of different clusters"
    distrusted = saved is not None and saved["uuid"] == NOBODY and recovered is not None
    return {
        "service": service,
        "cluster_status": status["cluster_status"] if status else "",
        "state": status["state"] if status else None,
        "uuid": position["uuid"] if position else None,
        "seqno": position["seqno"] if position else None,
        "safe_to_bootstrap": bool(saved and saved["safe_to_bootstrap"]),
        "view": parse_gvwstate(gvwstate),
        "databases": sorted(set(databases) - PACKAGED),
        "incomplete": service == "stopped" and (sst_in_progress or distrusted),
        "damaged": damaged if service == "stopped" else "",
        "checkable": checkable,
    }


def in_primary(seen: Observation) -> bool:
    """Whether the member is part of a cluster that accepts writes."""
    return bool(seen["cluster_status"] == PRIMARY)


def _has_position(seen: Observation) -> bool:
    return seen["uuid"] is not None and not seen["incomplete"] and not seen["damaged"]


def _own_data(seen: Observation) -> bool:
    """Databases of its own that never were in a cluster: a plain MariaDB."""
    return bool(seen["databases"]) and seen["uuid"] is None and not seen["incomplete"]


# -- what to do ------------------------------------------------------------------------------


def formation(members: Sequence[str], observed: Mapping[str, Observation | None]) -> list[Step]:
    """Steps that bring all ``members`` into one cluster; empty when they are.

    :raises Refused: when acting could lose data; the message says what a human must decide.
    """
    seen = {node: found for node in members if (found := observed.get(node)) is not None}
    live = [node for node in seen if in_primary(seen[node])]
    if live:
        return _join(live, seen)
    silent = [node for node in members if node not in seen]
    if silent:
        raise Refused(
            f"nobody is in a primary component and {_names(silent)} cannot be asked, but may hold"
            " the newest data. Bring them back, or decide that they are lost and run"
            " galera.bootstrap force=True on the member that is most advanced by 'galera.observe'"
        )
    _refuse(
        f"{node}: {found['damaged']}. Whether its data is the newest is unknown: restore the file,"
        " or move /var/lib/mysql away to give this member up"
        for node, found in seen.items()
        if found["damaged"]
    )
    crashed = _crashed_together(seen)
    if crashed:
        return _steps(
            Step(crashed, "galera.start", "crashed together: all at once", timeout=START_TIMEOUT),
            _starting([node for node in members if node not in crashed]),
        )
    first = _most_advanced(members, seen)
    return _steps(
        Step(
            (first,),
            "galera.bootstrap",
            "bootstrap",
            kwargs={"proof": {node: dict(found) for node, found in seen.items()}},
            timeout=BOOTSTRAP_TIMEOUT,
        ),
        _starting([node for node in members if node != first]),
    )


def _join(live: Sequence[str], seen: Mapping[str, Observation]) -> list[Step]:
    """Somebody is Primary: whoever is not, takes the cluster's data - if that loses nothing."""
    clusters = {seen[node]["uuid"] for node in live}
    if len(clusters) > 1:
        raise Refused(
            f"{_names(live)} are Primary in different clusters. Decide which one holds the truth,"
            " stop MariaDB on the others, move their /var/lib/mysql away and deploy again"
        )
    start, reasons = [], []
    for node, found in seen.items():
        if node in live:
            if found["state"] not in (SYNCED, DONOR):
                start.append(node)  # on its way: wait for it
        elif found["damaged"]:
            reasons.append(f"{node}: {found['damaged']}")
        elif _has_position(found) and found["uuid"] not in clusters:
            reasons.append(f"{node} holds the data of another cluster ({found['uuid']})")
        elif _own_data(found) and found["service"] != "starting":
            reasons.append(f"{node} holds databases of its own: {_names(found['databases'])}")
        elif found["service"] != "running" or found["cluster_status"] != "non-Primary":
            start.append(node)
    if reasons and not start:
        _refuse(
            f"{reason}. Joining would replace its data by the cluster's: move /var/lib/mysql away"
            " if that is wanted"
            for reason in reasons
        )
    shut_out = [node for node in live if not seen[node]["checkable"]]
    return _steps(
        _starting(start),
        Step(tuple(shut_out[:1]), "galera.admit_check", "let the health check log in")
        if shut_out
        else None,
    )


def _crashed_together(seen: Mapping[str, Observation]) -> tuple[str, ...]:
    """All members of the last primary view, when every one of them still has it on disk."""
    views: dict[str, list[str]] = {}
    for node, found in seen.items():
        if found["view"] and _has_position(found):
            views.setdefault(found["view"]["id"], []).append(node)
    for nodes in views.values():
        whole = len(nodes) >= seen[nodes[0]]["view"]["members"] > 1
        others = [seen[node] for node in seen if node not in nodes]
        newest = max(seen[node]["seqno"] for node in nodes)
        same = {seen[node]["uuid"] for node in nodes} | {o["uuid"] for o in others if o["uuid"]}
        ahead = any(_has_position(o) and o["seqno"] > newest for o in others)
        if whole and len(same) == 1 and not ahead and not any(map(_own_data, others)):
            return tuple(nodes)
    return ()


def _most_advanced(members: Sequence[str], seen: Mapping[str, Observation]) -> str:
    clustered = [node for node in members if _has_position(seen[node])]
    alone = [node for node in members if _own_data(seen[node])]
    incomplete = [node for node in members if seen[node]["incomplete"]]
    if len({seen[node]["uuid"] for node in clustered}) > 1:
        found = ", ".join(f"{node}: {seen[node]['uuid']}" for node in clustered)
        raise Refused(
            f"members hold the data of different clusters ({found}): decide which to keep"
        )
    if alone and (clustered or len(alone) > 1):
        raise Refused(
            f"{_names(alone)} hold databases that were never in this cluster: only one set of data"
            " can be kept. Move /var/lib/mysql away on the others"
        )
    if incomplete and not clustered:
        raise Refused(
            f"{_names(incomplete)} have only part of the data and nobody has all of it: restore a"
            " backup on one of them"
        )
    if not clustered:
        return (alone or list(members))[0]
    return max(
        clustered,
        key=lambda node: (
            seen[node]["seqno"],
            seen[node]["service"] == "running",
            seen[node]["safe_to_bootstrap"],
            -members.index(node),
        ),
    )


def unproven(
    node: str, members: Sequence[str], proof: Mapping[str, Any], own: Observation
) -> list[str]:
    """Why ``proof`` (observations of all ``members``) does not allow ``node`` to bootstrap."""
    found = [f"nothing is known about {member}" for member in members if not proof.get(member)]
    others = {member: said for member, said in proof.items() if said and member != node}
    found += [f"{m} is in a primary component" for m, said in others.items() if in_primary(said)]
    if in_primary(own):
        found.append(f"{node} is in a primary component itself")
    if own["damaged"] or own["incomplete"]:
        found.append(f"{node}: {own['damaged'] or 'its data is incomplete'}")
    shown = proof.get(node) or {}
    if (shown.get("uuid"), shown.get("seqno")) != (own["uuid"], own["seqno"]):
        found.append(f"{node} has moved since it was asked: it is at {own['uuid']}:{own['seqno']}")
    for member, said in others.items():
        if said["damaged"]:
            found.append(f"{member}: {said['damaged']}")
        elif _own_data(said):
            found.append(f"{member} holds databases that were never in a cluster")
        elif _has_position(said) and own["uuid"] is None:
            found.append(f"{member} holds data of a cluster, {node} does not")
        elif _has_position(said) and said["uuid"] != own["uuid"]:
            found.append(f"{member} holds the data of another cluster ({said['uuid']})")
        elif _has_position(said) and said["seqno"] > own["seqno"]:
            found.append(f"{member} is ahead: {said['seqno']} against {own['seqno']}")
    return found


def cannot_leave(size: int, members: int) -> str:
    """Why a member of a cluster of ``size`` (of ``members``) must not be restarted; or nothing."""
    if size >= members or (size - 1) * 2 > members:
        return ""
    return f"only {size} of {members} members are in the cluster: bring the others back first"


def _starting(nodes: Sequence[str]) -> Step | None:
    if not nodes:
        return None
    return Step(tuple(nodes), "galera.start", "start and join", timeout=START_TIMEOUT)


def _steps(*steps: Step | None) -> list[Step]:
    return [step for step in steps if step]


def _refuse(reasons: Iterable[str]) -> None:
    found = list(reasons)
    if found:
        raise Refused("; ".join(found))


def _names(nodes: Iterable[str]) -> str:
    return ", ".join(nodes)
