"""What a trial instance said, and whether that is enough."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

#: Everything that a validation makes has a name that starts so, and everything that does is its.
PREFIX = "saltern-validate-"

#: Lines that the canary writes on its console (lab/canary/init).
SAID = re.compile(r"SALTERN CANARY (UP|GATEWAY|METADATA|DHCP|NIC|READY)\b ?([^\r\n]*)")

#: A read of each API that goes through to its database, after the URL in the catalogue.
READS: Mapping[str, str] = {
    "compute": "/flavors?limit=1",
    "identity": "/services",
    "image": "/v2/images?limit=1",
    "network": "/v2.0/networks?limit=1",
    "placement": "/resource_providers?name=none",
}

MAX_SHOWN = 3  # failures that an error message names


def read_url(kind: str, url: str) -> str:
    """What to read of the API of type ``kind`` that the catalogue puts at ``url``."""
    return url.rstrip("/") + READS.get(kind, "/")


def console(text: str) -> dict[str, str]:
    """What the canary said last of each thing: ``{up: 10.0.0.5, gateway: OK 10.0.0.1, ...}``."""
    return {word.lower(): rest.strip() for word, rest in SAID.findall(text)}


def finished(said: Mapping[str, str]) -> bool:
    """Whether the canary has nothing more to say."""
    return "ready" in said or said.get("nic") == "FAILED"


def instance_checks(
    said: Mapping[str, str], address: str, *, routed: bool
) -> list[tuple[str, bool, str]]:
    """``(check, ok, detail)`` of one instance whose port has ``address``."""
    lease = said.get("up", "")
    checks = [
        (
            "address by DHCP",
            lease == address,
            lease or "no lease" if "dhcp" in said or lease else "it said nothing of an address",
        )
    ]
    if routed:
        gateway = said.get("gateway", "")
        checks.append(
            (
                "ping of its router",
                gateway.startswith("OK"),
                gateway or "it said nothing of a gateway",
            )
        )
    metadata = said.get("metadata", "")
    checks.append(
        ("metadata", metadata.startswith("OK"), metadata or "it said nothing of metadata")
    )
    return checks


def verdict(checks: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a validation passed: it checked something, and all of it was good."""
    return bool(checks) and all(check["ok"] for check in checks)


def complaint(checks: Iterable[Mapping[str, Any]]) -> str:
    """The first failures in one line for a person."""
    failed = [f"{check['name']}: {check['detail']}" for check in checks if not check["ok"]]
    rest = len(failed) - MAX_SHOWN
    return "; ".join(failed[:MAX_SHOWN]) + (f"; and {rest} more" if rest > 0 else "")
