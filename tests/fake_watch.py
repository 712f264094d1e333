"""What a watch sees of a node, for tests of what it makes of that."""

from __future__ import annotations

from typing import Any

from saltern.reactor.watched import Share, Unit
from saltern.reactor.watching import Change, Watch

SHARE = Share(
    units={"keystone": "keystone", "mariadb": "galera", "galera-check": "galera"},
    probes={"keystone": {"kind": "http"}, "galera": {"kind": "galera"}},
    quorum=frozenset({"galera"}),
)
UP: dict[str, Any] = {
    "load": "loaded", "file_state": "enabled", "active": "active", "sub": "running",
    "result": "success", "pid": 100,
}  # fmt: skip
DEAD = {"active": "inactive", "sub": "dead", "pid": 0}
CRASHED = {"active": "activating", "sub": "auto-restart", "result": "signal", "pid": 0}
T0 = 1000.0


def unit(name: str, **changed: Any) -> Unit:
    return Unit(name, **{**UP, **changed})


def all_well(told: dict[str, str] | None = None) -> Watch:
    """A node on which everything has worked for a long time."""
    watch = Watch(SHARE, told, kinds=["http"])
    for name in SHARE.units:
        watch.seen(unit(name, since=1.0), T0 - 1)
    watch.probed("keystone", None, T0 - 1)
    assert watch.update(T0 - 1) == []
    return watch


def statuses(changes: list[Change]) -> list[tuple[str, str]]:
    return [(change.service, change.status) for change in changes]
