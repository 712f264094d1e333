"""What a Swift ring file says, read without Swift."""

from __future__ import annotations

import gzip
import json
import struct
from collections.abc import Mapping
from typing import Any

MAGIC = b"R1NG"
FIELDS = ("id", "region", "zone", "ip", "port", "device", "weight")


class Unreadable(ValueError):
    """The file is not a ring of the format that Swift 2.35 writes."""


def describe(content: bytes) -> dict[str, Any]:
    """``{part_power, replicas, devices}`` of a ring file, as ``saltern.values.storage`` names them.

    :raises Unreadable: when the content is not a ring.
    """
    try:
        plain = gzip.decompress(content)
    except (OSError, EOFError) as exc:
        raise Unreadable(f"not compressed: {exc}") from exc
    magic, version = plain[:4], plain[4:6]
    if magic != MAGIC or version != struct.pack("!H", 1):
        raise Unreadable(f"starts with {plain[:6]!r}")
    (length,) = struct.unpack("!I", plain[6:10])
    header = json.loads(plain[10 : 10 + length])
    return {
        "part_power": 32 - header["part_shift"],
        "replicas": header["replica_count"],
        "devices": [
            {field: device[field] for field in FIELDS} for device in header["devs"] if device
        ],
    }


def brief(ring: Mapping[str, Any]) -> str:
    """One line that differs when two rings must differ, for people and for comparison."""
    devices = " ".join(
        f"r{d['region']}z{d['zone']}-{d['ip']}:{d['port']}/{d['device']}*{float(d['weight']):g}"
        for d in sorted(ring["devices"], key=lambda d: int(d["id"]))
    )
    return f"2^{ring['part_power']} partitions x {int(ring['replicas'])}: {devices}"
