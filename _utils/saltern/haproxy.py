"""What HAProxy says about its servers, and which of them should be admitted."""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

#: Bits of ``srv_admin_state``. 0x04 (disabled in the configuration) stays set after ``state
#: ready``.
MAINT = 0x01 | 0x02 | 0x20
DRAIN = 0x08 | 0x10

#: Who took a server out. An operator's hold is left alone; a rolling restart's ends with the
#: restart.
OPERATOR = "operator"
ROLLING = "rolling"

Key = tuple[str, str]  # backend, server


def parse_stat(text: str) -> list[dict[str, str]]:
    """Rows of ``show stat``, by the names in its header.

    :raises ValueError: when ``text`` is something else, such as HAProxy's word about an unknown
        command.
    """
    if not text.startswith("# pxname,"):
        raise ValueError(f"not an answer to show stat: {text[:100]!r}")
    return [
        {key: value for key, value in row.items() if key}
        for row in csv.DictReader(text[2:].splitlines())
    ]


def parse_info(text: str) -> dict[str, str]:
    """``Key: value`` lines of ``show info``."""
    pairs = (line.partition(": ") for line in text.splitlines())
    return {key: value for key, mark, value in pairs if mark}


def parse_admin(text: str) -> dict[Key, int]:
    """``srv_admin_state`` of every server in ``show servers state``.

    :raises ValueError: when ``text`` is something else.
    """
    lines = text.strip("\n").split("\n")
    if len(lines) < 2 or not lines[1].startswith("# be_id "):
        raise ValueError(f"not an answer to show servers state: {text[:100]!r}")
    head = lines[1].split()[1:]
    rows = (dict(zip(head, line.split(), strict=False)) for line in lines[2:])
    return {(r["be_name"], r["srv_name"]): int(r["srv_admin_state"]) for r in rows}


def servers(stat: Iterable[Mapping[str, str]], admin: Mapping[Key, int]) -> list[dict[str, Any]]:
    """One entry per server, from both answers.

    ``admin`` is what was asked for (ready, drain, maint), ``status`` what came of it with the
    checks.
    """
    found = []
    for row in stat:
        key = (row["pxname"], row["svname"])
        if key in admin:
            bits = admin[key]
            found.append(
                {
                    "backend": key[0],
                    "server": key[1],
                    "address": row["addr"],
                    "admin": "maint" if bits & MAINT else "drain" if bits & DRAIN else "ready",
                    "status": row["status"],
                    "backup": row["bck"] == "1",
                    "sessions": int(row["scur"]),
                    "check": row["check_status"].removeprefix("* "),
                    "reason": row["last_chk"],
                    "since": int(row["lastchg"] or 0),
                }
            )
    return found


def holder(admin: str, recorded: str | None) -> str:
    """Who keeps a server out: :data:`OPERATOR`, :data:`ROLLING`, or "" when nobody does.

    A drain that nobody recorded was made by hand, on the socket: it is an operator's. Maintenance
    that nobody recorded is how every server starts.

    :param admin: what was asked for (ready, drain, maint).
    :param recorded: who was the last to take it out, as far as that is known.
    """
    if admin == "ready":
        return ""
    if recorded in (OPERATOR, ROLLING):
        return recorded
    return OPERATOR if admin == "drain" else ""


def with_holds(
    observed: Iterable[Mapping[str, Any]], holds: Mapping[str, str] | None
) -> list[dict[str, Any]]:
    """``observed``, each with who keeps it out in ``hold``.

    :param holds: ``backend/server`` -> who took it out. None: that is lost, so it is nobody's
        business but an operator's to let anything in.
    """
    return [
        {
            **seen,
            "hold": holder(
                seen["admin"],
                OPERATOR if holds is None else holds.get(f"{seen['backend']}/{seen['server']}"),
            ),
        }
        for seen in observed
    ]


def usable(server: Mapping[str, Any]) -> bool:
    """Whether new work is sent to ``server``: admitted, and its checks have seen it healthy."""
    return bool(server["admin"] == "ready" and server["status"] in ("UP", "no check"))


@dataclass
class Admissions:
    """What to do about each wanted server."""

    admit: list[Key] = field(default_factory=list)
    already: list[Key] = field(default_factory=list)
    held: list[Key] = field(default_factory=list)  # taken out by an operator: stays out
    missing: list[Key] = field(default_factory=list)  # the running HAProxy does not know it


def admissions(
    observed: Iterable[Mapping[str, Any]], wanted: Iterable[Key], holds: Mapping[str, str]
) -> Admissions:
    """Decide about every server of ``wanted``.

    :param holds: ``backend/server`` -> :data:`OPERATOR` or :data:`ROLLING`.
    """
    admin = {(s["backend"], s["server"]): s["admin"] for s in observed}
    found = Admissions()
    for key in wanted:
        state = admin.get(key)
        if state is None:
            found.missing.append(key)
        elif state == "ready":
            found.already.append(key)
        elif holder(state, holds.get("/".join(key))) == OPERATOR:
            found.held.append(key)
        else:
            found.admit.append(key)
    return found


def wanted(
    proxies: Iterable[Mapping[str, Any]],
    services: Collection[str] | None = None,
    node: str | None = None,
) -> list[Key]:
    """Servers of the model behind this balancer: all, of some services, or on one node."""
    return [
        (proxy["service"], member["name"])
        for proxy in proxies
        if services is None or proxy["service"] in services
        for member in proxy["members"]
        if node is None or member["name"] == node
    ]


def last_one(observed: Sequence[Mapping[str, Any]], key: Key) -> bool:
    """Whether no other server of the backend is usable, though there are others."""
    others = [s for s in observed if s["backend"] == key[0] and s["server"] != key[1]]
    return bool(others) and not any(usable(s) for s in others)
