"""How Open vSwitch's database writes values down (RFC 7047), both ways."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def rows(table: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows of ``ovs-vsctl --format=json list`` as plain data."""
    return [dict(zip(table["headings"], map(plain, row), strict=True)) for row in table["data"]]


def plain(value: Any) -> Any:
    """A value of OVSDB without its type tags: a map becomes a dict, a set a list."""
    match value:
        case ["uuid", str(text)]:
            return text
        case ["set", list(items)]:
            return [plain(item) for item in items]
        case ["map", list(items)]:
            return {key: plain(item) for key, item in items}
    return value


def as_list(value: Any) -> list[Any]:
    """A set column: OVSDB writes a set of one as the one."""
    return value if isinstance(value, list) else [value]


def quoted(value: Any) -> str:
    """``value`` as a string for the command line of ``ovs-vsctl``."""
    return json.dumps(str(value))
