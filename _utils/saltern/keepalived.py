"""What keepalived and the kernel say about the virtual addresses."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from typing import Any

STATES: Mapping[int, str] = {0: "INIT", 1: "BACKUP", 2: "MASTER", 3: "FAULT"}


def held(shown: str, vips: Iterable[str]) -> list[str]:
    """Which of ``vips`` are on an interface, by the output of ``ip -json address``.

    :raises ValueError: when it is not JSON.
    """
    present = {
        info.get("local") for link in json.loads(shown) for info in link.get("addr_info", ())
    }
    return [vip for vip in vips if vip in present]


def states(dump: str, present: Collection[str]) -> dict[str, str]:
    """State of each VRRP instance in keepalived's JSON dump, as far as the addresses agree with it.

    :param present: the virtual addresses that this node really holds.
    :returns: MASTER, BACKUP, FAULT, INIT, or what contradicts it (``BACKUP but holds 192.0.2.10``).
    :raises ValueError: when the dump is not complete.
    """
    return {entry["data"]["iname"]: _state(entry["data"], present) for entry in json.loads(dump)}


def _state(data: Mapping[str, Any], present: Collection[str]) -> str:
    state = STATES.get(data["state"], str(data["state"]))
    own = [vip.partition("/")[0] for vip in data["vips"]]
    if state == "MASTER":
        lacking = [vip for vip in own if vip not in present]
        return f"MASTER without {', '.join(lacking)}" if lacking else state
    stray = [vip for vip in own if vip in present]
    return f"{state} but holds {', '.join(stray)}" if stray else state
