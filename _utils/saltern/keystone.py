"""What Keystone holds against what it should, as flat facts; and a safe order to change keys."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Record = Mapping[str, Any]

#: Kinds of facts in the order in which they can be brought about.
KINDS = ("role", "project", "service", "endpoint", "user", "grant")


@dataclass(frozen=True)
class Found:
    """What Keystone answered: records as the identity API names their fields."""

    roles: Sequence[Record] = ()
    projects: Sequence[Record] = ()
    services: Sequence[Record] = ()
    endpoints: Sequence[Record] = ()
    users: Sequence[Record] = ()
    assignments: Sequence[Record] = ()
    accepted: Collection[str] = field(default_factory=frozenset)  # users whose password works


def desired(catalogue: Mapping[str, Any]) -> dict[str, str]:
    """``{"kind:what": value}`` for everything in ``catalogue``. No fact holds a secret."""
    facts: dict[str, str] = {}
    for role in catalogue.get("roles", ()):
        facts[f"role:{role}"] = "present"
    for project in catalogue.get("projects", ()):
        facts[f"project:{project}"] = "present"
    for service in catalogue.get("services", ()):
        facts[f"service:{service['type']}"] = service["name"]
        for interface, url in service.get("endpoints", {}).items():
            facts[f"endpoint:{service['type']}:{interface}"] = url
    for user, spec in catalogue.get("users", {}).items():
        facts[f"user:{user}"] = "logs in"
        if spec.get("project"):
            facts[f"grant:{user}:{spec['project']}"] = ", ".join(sorted(spec["roles"]))
    return facts


def observed(catalogue: Mapping[str, Any], found: Found) -> dict[str, str]:
    """The facts of :func:`desired` as they are; what does not exist is not there."""
    facts = {f"role:{role['name']}": "present" for role in found.roles}
    facts |= {f"project:{project['name']}": "present" for project in found.projects}
    types = {service["id"]: service["type"] for service in found.services}
    for service in found.services:
        facts[f"service:{service['type']}"] = service["name"]
    for (type_, interface), records in _endpoints(found, types, catalogue["region"]).items():
        facts[f"endpoint:{type_}:{interface}"] = ", ".join(sorted(r["url"] for r in records))
    for user in found.users:
        works = user["name"] in found.accepted and user.get("enabled", True)
        facts[f"user:{user['name']}"] = "logs in" if works else "cannot log in"
    for user, spec in catalogue.get("users", {}).items():
        if held := _held(found, user, spec) & set(spec["roles"]):
            facts[f"grant:{user}:{spec['project']}"] = ", ".join(sorted(held))
    return facts


def _endpoints(
    found: Found, types: Mapping[str, str], region: str
) -> dict[tuple[str, str], list[Record]]:
    grouped: dict[tuple[str, str], list[Record]] = {}
    for endpoint in found.endpoints:
        type_ = types.get(endpoint["service_id"])
        if type_ and endpoint["region_id"] == region:
            grouped.setdefault((type_, endpoint["interface"]), []).append(endpoint)
    return grouped


def endpoints(found: Found, type_: str, interface: str, region: str) -> list[Record]:
    """Endpoints of one service type and interface; more than one is one too many."""
    types = {service["id"]: service["type"] for service in found.services}
    return _endpoints(found, types, region).get((type_, interface), [])


def _held(found: Found, user: str, spec: Mapping[str, Any]) -> set[str]:
    """Names of the roles that ``user`` holds in its project."""
    roles = {role["id"]: role["name"] for role in found.roles}
    who = {u["id"] for u in found.users if u["name"] == user}
    where = {p["id"] for p in found.projects if p["name"] == spec.get("project")}
    return {
        str(roles[a["role"]["id"]])
        for a in found.assignments
        if a.get("user", {}).get("id") in who
        and a.get("scope", {}).get("project", {}).get("id") in where
        and a["role"]["id"] in roles
    }


def in_order(facts: Iterable[str]) -> list[str]:
    """Facts in the order in which they can be brought about: an endpoint needs its service."""
    return sorted(facts, key=lambda fact: (KINDS.index(fact.split(":", 1)[0]), fact))


def fingerprint(key: str) -> str:
    """Enough of a hash to tell two keys apart; nothing of the key."""
    return hashlib.sha256(key.encode()).hexdigest()[:12]


def key_operations(
    present: Mapping[int, str], wanted: Sequence[str]
) -> list[tuple[int, str | None]]:
    """``(index, key or None to remove)`` that turn the key files ``present`` into ``wanted``.

    Keystone reads the folder at every request, so every old key stays readable until every new one
    is there: old keys are first copied past the end, in their order, then the new ones are written,
    then what is past the end is removed from the top. Nothing is done when all is as wanted.
    """
    target = dict(enumerate(wanted))
    if dict(present) == target:
        return []
    start = max([len(wanted), *(index + 1 for index in present)])
    old = [present[index] for index in sorted(present)]
    rescue = dict(enumerate(old, start))
    surplus = {index for index in present if index >= len(wanted)} | set(rescue)
    return [
        *rescue.items(),
        *target.items(),
        *((index, None) for index in sorted(surplus, reverse=True)),
    ]
