"""Who keeps new instances away from a compute host, and whether that may be ended by us.

Nova disables a host that is new (``enable_new_services = false``): its first instance is a trial of
ours. What an operator disabled stays so until an operator enables it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

#: What Nova writes by itself when a host registers.
AUTOMATIC = "New compute service disabled due to config option."
#: Every reason of ours begins so.
OURS = "saltern: "
GONE = f"{OURS}gone"
FAILED = f"{OURS}canary failed: "

#: Nova's column for a reason has 255 characters.
REASON = 255

#: Placement offers no host with it. Nova keeps it equal to ``disabled``, but only now and then.
TRAIT = "COMPUTE_STATUS_DISABLED"


def ours(reason: str | None) -> bool:
    """Whether a host that is disabled for ``reason`` may be enabled once it is proven.

    Who disables a host without a reason is an operator: Nova and we always give one.
    """
    return reason is not None and (reason == AUTOMATIC or reason.startswith(OURS))


def shorten(reason: str) -> str:
    """``reason`` as one line that Nova can keep."""
    line = " ".join(reason.split())
    return line if len(line) <= REASON else line[: REASON - 3] + "..."


def unproven(services: Iterable[Mapping[str, Any]], hosts: Collection[str]) -> list[str]:
    """Those of ``hosts`` that wait for their trial, by the records of ``nova.services``."""
    return sorted(
        s["host"] for s in services if s["host"] in hosts and not s["enabled"] and ours(s["reason"])
    )


def held(services: Iterable[Mapping[str, Any]], hosts: Collection[str]) -> dict[str, str]:
    """Those of ``hosts`` that an operator disabled -> why."""
    return {
        s["host"]: s["reason"] or "no reason given"
        for s in services
        if s["host"] in hosts and not s["enabled"] and not ours(s["reason"])
    }
