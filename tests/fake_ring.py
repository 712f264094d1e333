"""A ring file as Swift's builder saves it (its header, which is all that is read)."""

from __future__ import annotations

import gzip
import json
import struct
from typing import Any

DEVICE = {"id": 0, "region": 1, "zone": 1, "ip": "10.0.0.1", "port": 6200, "device": "images"}
DEVICE |= {"weight": 100.0}


def ring_file(devices: list[Any], part_power: int = 10, version: int = 1) -> bytes:
    """What Swift's builder would save (its header, which is all that is read)."""
    header = {"devs": devices, "part_shift": 32 - part_power, "replica_count": 3}
    text = json.dumps(header).encode()
    return gzip.compress(b"R1NG" + struct.pack("!HI", version, len(text)) + text + b"\0" * 8)
