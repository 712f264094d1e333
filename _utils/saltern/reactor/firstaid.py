"""What a node does for its own services while nobody listens: little, seldom, nothing to a quorum.

The master decides as long as it acknowledges reports. Only what it has not heard of for a while is
restarted by the node itself, a few times, with growing pauses.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from saltern.reactor.watched import Unit
from saltern.reactor.watching import DOWN

#: Seconds without an acknowledgement, and without any job, after which the master counts as away.
AWAY = 10.0
#: So many attempts per service in so many seconds ...
ATTEMPTS, PER = 3, 600.0
#: ... and at least so long after the fault, the first attempt, the second.
BACKOFF = (5.0, 30.0, 120.0)


@dataclass(frozen=True)
class Need:
    """A service that does not work, and what is known about helping it."""

    service: str
    status: str
    since: float  # when the report was written that nobody has acknowledged
    units: tuple[Unit, ...]
    quorum: bool = False


@dataclass(frozen=True)
class Aid:
    """Help for one service: ``restart``, or a plain ``start`` of what is off."""

    service: str
    act: str
    units: tuple[str, ...]
    status: str


@dataclass
class FirstAid:
    """The budget of this node, service by service."""

    begun: dict[str, list[float]] = field(default_factory=dict)

    def due(self, needs: Iterable[Need], quiet_since: float, now: float) -> list[Aid]:
        """Whom to help now. ``quiet_since``: when the last job of the master ended here."""
        if now - quiet_since < AWAY:
            return []
        return [aid for need in needs if (aid := self._aid(need, now))]

    def began(self, service: str, now: float) -> None:
        """Help has begun: it costs one attempt, whatever comes of it."""
        self.begun.setdefault(service, []).append(now)

    def _aid(self, need: Need, now: float) -> Aid | None:
        if now - need.since < AWAY or any(unit.deliberate for unit in need.units):
            return None
        recent = [at for at in self.begun.get(need.service, ()) if now - at < PER]
        self.begun[need.service] = recent
        if len(recent) >= ATTEMPTS:
            return None
        if now - max([need.since, *recent]) < BACKOFF[len(recent)]:
            return None
        off = tuple(unit.name for unit in need.units if unit.off)
        if need.quorum:
            return Aid(need.service, "start", off, need.status) if off else None
        stopped = tuple(unit.name for unit in need.units if not unit.up)
        if need.status == DOWN and off == stopped:
            return Aid(need.service, "start", off, need.status)
        return Aid(need.service, "restart", stopped, need.status)
