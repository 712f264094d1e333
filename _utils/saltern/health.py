"""From what units and probes say to one verdict per service: ``ok``, ``degraded`` or ``down``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from saltern import galera

OK, DEGRADED, DOWN = "ok", "degraded", "down"

#: Seconds after a machine's boot in which what does not work yet may only be starting. Three
#: controllers of the lab, whose power had been cut, took 93 to 129 s on two shared cores.
BOOTING = 180.0

#: A process that systemd restarted more than once, last so many seconds ago, is in a crash loop.
CRASH_LOOP_SECONDS = 20.0
CRASH_LOOP_RESTARTS = 2


def is_starting(state: Mapping[str, Any]) -> bool:
    """Whether a service, by what ``openstack.health`` says of it, may be starting with its node."""
    return state.get("status") == DOWN and "booted" in state


class Degraded(str):
    """A reason that does not make the service useless."""

    __slots__ = ()


def of_reason(reason: str | None) -> tuple[str, str]:
    """Status and reason of a probe's answer."""
    if reason is None:
        return OK, ""
    return (DEGRADED if isinstance(reason, Degraded) else DOWN), str(reason)


def of_units(shown: Mapping[str, Mapping[str, Any]], now: float) -> tuple[str, str]:
    """Status and reason of a service by its units, as ``unit.show`` describes them."""
    stopped = [f"{name} is {unit['summary']}" for name, unit in shown.items() if not unit["up"]]
    if stopped:
        return DOWN, "; ".join(stopped)
    looping = [
        f"{name} restarted {unit['restarts']} times, last {now - unit['started']:.0f} s ago"
        for name, unit in shown.items()
        if unit["restarts"] >= CRASH_LOOP_RESTARTS
        and unit["started"] is not None
        and now - unit["started"] < CRASH_LOOP_SECONDS
    ]
    return (DEGRADED, "; ".join(looping)) if looping else (OK, "")


def worst(found: Iterable[tuple[str, str]]) -> tuple[str, str]:
    """The worst status, with every reason that is not ok."""
    kept = [entry for entry in found if entry[0] != OK]
    status = DOWN if any(s == DOWN for s, _ in kept) else DEGRADED if kept else OK
    return status, "; ".join(reason for _, reason in kept)


def credentials(values: Mapping[str, Any]) -> dict[str, str] | None:
    """A service user of this node: the first mapping in ``values`` that can log in to Keystone."""
    if {"auth_url", "username", "password"} <= values.keys():
        return {str(key): str(value) for key, value in values.items()}
    for held in values.values():
        found = credentials(held) if isinstance(held, Mapping) else None
        if found:
            return found
    return None


def token_request(user: Mapping[str, str]) -> dict[str, Any]:
    """Body of ``POST /v3/auth/tokens`` for a section that keystoneauth would read."""
    return {
        "auth": {
            "identity": {
                "methods": ["password"],
                "password": {
                    "user": {
                        "name": user["username"],
                        "domain": {"name": user.get("user_domain_name", "Default")},
                        "password": user["password"],
                    }
                },
            },
            "scope": {
                "project": {
                    "name": user.get("project_name", "service"),
                    "domain": {"name": user.get("project_domain_name", "Default")},
                }
            },
        }
    }


def of_galera(status: Mapping[str, Any]) -> tuple[str, str]:
    """By ``galera.status``: what cannot take requests is down, what lacks a member degraded.

    So is a donor: nobody is to restart it.
    """
    if not status["healthy"]:
        return DEGRADED if galera.lends(status) else DOWN, "; ".join(status["reasons"])
    return (DEGRADED, "; ".join(status["warnings"])) if status["warnings"] else (OK, "")


def of_haproxy(servers: Iterable[Mapping[str, Any]]) -> tuple[str, str]:
    """By ``haproxy.servers``: an admitted server that fails its check makes it degraded.

    A server in maintenance or drained is out on purpose: it says nothing about health.
    """
    bad = [
        f"{server['backend']}/{server['server']} is {server['status']}"
        for server in servers
        if server["admin"] == "ready" and server["status"].startswith("DOWN")
    ]
    return (DEGRADED, "; ".join(bad)) if bad else (OK, "")


def of_keepalived(states: Mapping[str, str]) -> tuple[str, str]:
    """By ``keepalived.state``: every VRRP instance is master or backup."""
    if not states:
        return DOWN, "no VRRP instance"
    bad = [
        f"{name} is {state}"
        for name, state in states.items()
        if str(state).upper() not in ("MASTER", "BACKUP")
    ]
    return (DOWN, "; ".join(bad)) if bad else (OK, "")
