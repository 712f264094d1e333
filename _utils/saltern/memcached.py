"""What memcached answers to ``stats``."""

from __future__ import annotations

COUNTERS = (
    "uptime",
    "curr_connections",
    "curr_items",
    "bytes",
    "limit_maxbytes",
    "get_hits",
    "get_misses",
    "evictions",
    "listen_disabled_num",
)


def parse_stats(text: str) -> dict[str, int | str]:
    """``{version, <COUNTERS>}`` of the answer; a counter that an old server lacks is 0.

    :raises ValueError: when this is no answer to ``stats``.
    """
    rows = [line.split(" ", 2) for line in text.splitlines() if line.startswith("STAT ")]
    said = {row[1]: row[2] for row in rows if len(row) == 3}
    if "version" not in said:
        raise ValueError("it does not speak memcached")
    return {"version": said["version"], **{name: int(said.get(name, 0)) for name in COUNTERS}}
