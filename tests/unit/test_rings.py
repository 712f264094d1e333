"""Swift's ring files, read without Swift."""

from __future__ import annotations

import gzip
from typing import Any

import pytest
from fake_ring import DEVICE, ring_file
from saltern import rings


def test_a_ring_says_its_devices_and_leaves_out_removed_ones() -> None:
    extra = {"meta": "", "replication_ip": "10.0.0.1"}
    found = rings.describe(ring_file([{**DEVICE, **extra}, None]))
    assert found == {"part_power": 10, "replicas": 3, "devices": [DEVICE]}


def test_one_line_differs_when_the_rings_must_differ() -> None:
    ring = {"part_power": 10, "replicas": 3, "devices": [DEVICE]}
    assert rings.brief(ring) == "2^10 partitions x 3: r1z1-10.0.0.1:6200/images*100"
    assert rings.brief({**ring, "replicas": 2}) != rings.brief(ring)


@pytest.mark.parametrize(
    "content",
    [b"junk", b"", ring_file([], version=2), gzip.compress(b"x")],
    ids=["junk", "nothing", "version", "packed junk"],
)
def test_what_is_no_ring_is_said_so(content: Any) -> None:
    with pytest.raises(rings.Unreadable):
        rings.describe(content)
