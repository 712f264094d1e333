"""Which servers behind this node's HAProxy get traffic: letting them in, and taking them out.

Everything goes through the admin socket. Who took a server out is kept in a file: the next deploy
lets in what a rolling restart left out, and leaves alone what an operator took out.
"""

from __future__ import annotations

import json
import os
import pathlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import saltern_haproxy_link
from saltern import haproxy
from saltern.haproxy import Key

HOLDS = pathlib.Path("/var/lib/saltern/haproxy/holds.json")
#: Seconds that a server has to answer which is said to be ill: one that is only slow is back with
#: HAProxy's next check.
AT_ONCE = 0.25
POLL = 0.1  # seconds between two looks at what we wait for

Proxies = Sequence[Mapping[str, Any]]
Left = TypeVar("Left")


class Refused(RuntimeError):
    """What was asked for is not safe, or did not come about in time; the message says why."""


def find(key: Key) -> dict[str, Any]:
    """What HAProxy knows of one server."""
    for seen in saltern_haproxy_link.observe():
        if (seen["backend"], seen["server"]) == key:
            return seen
    raise Refused(
        f"HAProxy has no server {'/'.join(key)}: haproxy.servers lists what it has",
    )


def observe() -> list[dict[str, Any]]:
    """Every server, with who keeps it out: see :func:`saltern.haproxy.with_holds`."""
    observed = saltern_haproxy_link.observe()
    known: dict[str, str] | None
    try:
        known = holds()
    except Refused:  # the health of this node is asked by this: it must not look down for that
        known = None
    return haproxy.with_holds(observed, known)


def holds() -> dict[str, str]:
    """``backend/server`` -> who took it out.

    :raises Refused: when that cannot be read.
    """
    try:
        held = json.loads(HOLDS.read_text()) if HOLDS.exists() else {}
    except ValueError:
        held = None
    if not isinstance(held, dict):
        raise Refused(
            f"{HOLDS} is damaged: nobody knows who took servers out. Delete it, then use "
            "haproxy.maint on those that have to stay out"
        )
    return held


def hold(keys: Iterable[Key], owner: str | None) -> None:
    """Remember who took servers out; ``owner`` None: nobody does any more."""
    before = holds()
    after = dict(before)
    for key in keys:
        after.pop("/".join(key), None)
        if owner:
            after["/".join(key)] = owner
    if after != before:
        HOLDS.parent.mkdir(parents=True, exist_ok=True)
        beside = HOLDS.with_suffix(f".{os.getpid()}")
        beside.write_text(json.dumps(after, indent=1, sort_keys=True))
        beside.replace(HOLDS)


def set_state(key: Key, state: str) -> None:
    """Ask HAProxy for ``ready``, ``drain`` or ``maint``."""
    saltern_haproxy_link.tell(f"set server {'/'.join(key)} state {state}")


def until(timeout: float, look: Callable[[], Left]) -> Left:
    """Call ``look`` until nothing is left to wait for; return what is after ``timeout`` s."""
    deadline = time.monotonic() + timeout
    while (left := look()) and time.monotonic() < deadline:
        time.sleep(POLL)
    return left


def let_in(keys: Sequence[Key]) -> None:
    """Let HAProxy's own checks decide about ``keys`` from now on."""
    hold(keys, None)
    for key in keys:
        set_state(key, "ready")


def take_out(keys: Sequence[Key], state: str, owner: str, force: bool = False) -> None:
    """Give servers no new work, unless one of them is the last usable one of its backend."""
    observed = saltern_haproxy_link.observe()
    for key in keys:
        seen = find(key)
        if not force and haproxy.usable(seen) and haproxy.last_one(observed, key):
            raise Refused(
                f"{'/'.join(key)} is the only usable server of {key[0]}: heal the others first "
                "(haproxy.servers says what is wrong), or use force=True"
            )
    hold(keys, owner)
    for key in keys:
        set_state(key, state)


def drain(key: Key, timeout: float, force: bool, save: Callable[[], object]) -> None:
    """Take one server out for an operator, and wait until its last session has ended."""
    take_out([key], "drain", haproxy.OPERATOR, force)
    save()
    left = until(timeout, lambda: find(key)["sessions"])
    if left:
        raise Refused(
            f"{'/'.join(key)} still has {left} sessions after {timeout} s; it gets no new ones. "
            "Call again to wait on, or haproxy.maint to end the wait"
        )


def drain_node(
    proxies: Proxies, wanted: Iterable[Key], timeout: float, save: Callable[[], object]
) -> dict[str, Any]:
    """Take the admitted ones of ``wanted``, all on one node, out for a restart."""
    seen = {(s["backend"], s["server"]): s for s in saltern_haproxy_link.observe()}
    keys = [key for key in wanted if key in seen and seen[key]["admin"] == "ready"]
    if not keys:
        return {"drained": [], "sessions": {}}

    def alone() -> list[str]:
        observed = saltern_haproxy_link.observe()
        return [key[0] for key in keys if haproxy.last_one(observed, key)]

    if left := until(timeout, alone):
        raise Refused(
            f"not draining {keys[0][1]}: no other server of {', '.join(left)} is usable "
            "(haproxy.servers says what is wrong)"
        )
    take_out(keys, "drain", haproxy.ROLLING, force=True)
    save()
    single = {proxy["service"] for proxy in proxies if proxy["single"]}
    for key in keys:
        if key[0] in single:
            saltern_haproxy_link.tell(f"shutdown sessions server {'/'.join(key)}")

    def busy() -> dict[str, int]:
        return {
            f"{s['backend']}/{s['server']}": s["sessions"]
            for s in saltern_haproxy_link.observe()
            if (s["backend"], s["server"]) in keys and s["sessions"]
        }

    return {"drained": ["/".join(key) for key in keys], "sessions": until(timeout, busy)}


def recheck(proxies: Proxies, wanted: Iterable[Key]) -> dict[str, str]:
    """Check servers now, and have HAProxy hold those for down that fail: ``backend/server`` -> why.

    HAProxy's own checks go on, and bring back what answers. A backend with one writer is left to
    them: each change of its server cuts all connections. The last usable server stays.
    """
    by_service = {proxy["service"]: proxy for proxy in proxies if not proxy["single"]}
    observed = saltern_haproxy_link.observe()
    used = {(s["backend"], s["server"]) for s in observed if haproxy.usable(s)}
    keys = [key for key in wanted if key in used and key[0] in by_service]
    ill = saltern_haproxy_link.probe_all(by_service, keys, timeout=AT_ONCE)
    found = {}
    for key, reason in ill.items():
        if not haproxy.last_one(saltern_haproxy_link.observe(), key):
            saltern_haproxy_link.tell(f"set server {'/'.join(key)} health down")
            found["/".join(key)] = reason
    return found


def admit(
    proxies: Proxies,
    keys: Sequence[Key],
    timeout: float,
    held: Mapping[str, str],
    save: Callable[[], object],
) -> dict[str, list[str]]:
    """Let in those of ``keys`` that answer healthy, and wait until HAProxy finds them so too."""
    by_service = {proxy["service"]: proxy for proxy in proxies}
    admitted: list[Key] = []
    plan = haproxy.Admissions()

    def look() -> dict[Key, str]:
        nonlocal plan
        observed = saltern_haproxy_link.observe()
        plan = haproxy.admissions(observed, keys, held)
        if plan.missing:
            raise Refused(
                f"HAProxy does not know {', '.join(map('/'.join, plan.missing))}: "
                "apply the state haproxy on this node first"
            )
        reasons = saltern_haproxy_link.probe_all(by_service, plan.admit)
        healthy = [key for key in plan.admit if key not in reasons]
        let_in(healthy)
        admitted.extend(healthy)
        up = {(s["backend"], s["server"]): s for s in observed}
        waiting = {
            key: f"HAProxy says {up[key]['status']} ({up[key]['check']} {up[key]['reason']})"
            for key in plan.already
            if not haproxy.usable(up[key])
        }
        waiting.update(dict.fromkeys(healthy, "HAProxy has not checked it yet"))
        return {**waiting, **reasons}

    left = until(timeout, look)
    if admitted:
        _one_writer(by_service, admitted)
        save()
    if left:
        raise Refused(
            f"not healthy after {timeout} s: "
            + "; ".join(f"{'/'.join(key)}: {reason}" for key, reason in sorted(left.items()))
        )
    new = set(admitted)
    return {
        "admitted": sorted("/".join(key) for key in new),
        "already": ["/".join(key) for key in plan.already if key not in new],
        "held": ["/".join(key) for key in plan.held],
    }


def _one_writer(by_service: Mapping[str, Mapping[str, Any]], admitted: Iterable[Key]) -> None:
    """When the first server of a single-writer backend is back, nobody writes to another."""
    for backend, server in admitted:
        proxy = by_service[backend]
        names = [member["name"] for member in proxy["members"]]
        if proxy["single"] and server == names[0]:
            for other in names[1:]:
                saltern_haproxy_link.tell(f"shutdown sessions server {backend}/{other}")
