"""What units and probes of this node mean for its services: ok, down, hung or looping.

Observations come in as they happen; what comes out is one change per change of a service's status,
late enough that a blink is no outage and soon enough that an outage is no news. All times are
seconds of one clock that never goes back. On a machine whose processes wait for a core everything
may take longer: ``slower`` times as long.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from saltern.health import BOOTING, Degraded
from saltern.reactor.watched import Share, Unit
from saltern.units import full_name

OK, DOWN, HUNG, LOOPING = "ok", "down", "hung", "looping"

#: A crash that systemd has repaired within so many seconds is no outage.
BLINK = 1.5
#: A stop or start that systemd has a job for is somebody's purpose, for so long.
PURPOSE = 10.0
#: A unit that is off and has no job: soon enough, and after the word that a job begins.
SETTLE = 0.3
#: A process that has not answered yet since it started is still starting, for so long.
STARTING = 30.0
#: So many restarts by systemd in so many seconds are a crash loop, until it ran for so long.
LOOP_RESTARTS, LOOP_WINDOW, LOOP_CALM = 3, 60.0, 20.0
#: Its earlier restarts are forgiven when it has run for so long: systemd counts them for ever, and
#: waits longer after each.
FORGIVEN = 300.0
#: A probe must fail so often in a row.
FAILURES = 2

REASON = 300  # characters


@dataclass(frozen=True)
class Change:
    """A service's status is another one now."""

    service: str
    status: str
    unit: str = ""
    reason: str = ""
    restarts: int = 0
    healed: bool = False  # by this node itself, while the master was away

    def body(self) -> dict[str, Any]:
        """As the master wants it, but for number and time."""
        return {
            "service": self.service,
            "status": self.status,
            "unit": self.unit,
            "reason": self.reason[:REASON],
            "restarts": self.restarts,
            "healed": self.healed,
        }


@dataclass
class _Track:
    """What is remembered of one unit."""

    unit: Unit
    left: float | None  # when it stopped being up
    entered: float  # when it came up
    crashed: bool = False
    looping: bool = False
    restarts: list[float] = field(default_factory=list)

    def fold(self, unit: Unit, now: float) -> None:
        was, self.unit = self.unit, unit
        if unit.restarts > was.restarts:
            self.restarts += [now] * (unit.restarts - was.restarts)
        elif unit.restarts < was.restarts:  # somebody started it on purpose: it begins anew
            self.restarts, self.looping = [], False
        if unit.up and (not was.up or unit.restarts != was.restarts or unit.pid != was.pid):
            self.entered = now
        self.left = None if unit.up else (now if self.left is None else self.left)
        self.crashed = not unit.up and (self.crashed or unit.crashed)

    def settle(self, now: float) -> None:
        """Whether it is in a crash loop, by now."""
        self.restarts = [at for at in self.restarts if now - at < LOOP_WINDOW]
        if len(self.restarts) >= LOOP_RESTARTS:
            self.looping = True
        if self.looping and self.unit.up and now >= self.entered + LOOP_CALM:
            self.looping, self.restarts = False, []

    def patience(self, slower: float) -> float:
        """Seconds that it may be away."""
        if self.crashed:
            return BLINK * slower
        return PURPOSE * slower if self.unit.moving else SETTLE

    def deadline(self, slower: float) -> float | None:
        """When it will be something else if nothing happens."""
        if self.left is not None:
            return self.left + self.patience(slower)
        return self.entered + LOOP_CALM if self.looping else None


@dataclass
class _Probe:
    reason: str | None = None
    failures: int = 0
    good: float | None = None  # when it last answered
    halted: str = ""  # why it cannot answer


class Watch:
    """The services of this node, from what has been seen of them so far.

    ``told`` is what the master has been told already, by service. A service that never worked here
    is not reported: it is the deploy's, until it has worked once. ``kinds`` are the kinds of probes
    that are asked; a service with one of these works when it has answered. ``booted`` is when the
    machine began: for a while, what has not worked since may be starting, and what does not answer
    any more may only be slow, because everything else on the machine starts as well.
    """

    def __init__(
        self,
        share: Share,
        told: Mapping[str, str] | None = None,
        kinds: Iterable[str] = (),
        booted: float = -math.inf,
    ) -> None:
        self.slower = 1.0  # whoever feeds this watch knows, see saltern_pressure
        self._booted = booted
        self._worked: set[str] = set()  # since this watch began
        self.kinds = frozenset(kinds)
        self.told = dict(told or {})
        self.status: dict[str, str] = dict(self.told)
        self._tracks: dict[str, _Track] = {}
        self._probes: dict[str, _Probe] = {}
        self._healed: set[str] = set()
        self.share = share
        self.adopt(share)

    @property
    def _patient_until(self) -> float:
        """When what has not worked since the boot is not starting any more."""
        return self._booted + BOOTING * self.slower

    def adopt(self, share: Share) -> None:
        """Watch this from now on; what is in both is not forgotten."""
        self.share = share
        self._tracks = {name: t for name, t in self._tracks.items() if name in share.units}
        self._probes = {name: self._probes.get(name, _Probe()) for name in share.services}
        self.status = {name: s for name, s in self.status.items() if name in self._probes}

    def seen(self, unit: Unit, now: float) -> None:
        """A unit is so by now."""
        if unit.name not in self.share.units:
            return
        track = self._tracks.get(unit.name)
        if track is None:
            entered = unit.since if unit.up else now
            track = _Track(unit, left=None if unit.up else now, entered=min(entered, now))
            self._tracks[unit.name] = track
            track.crashed = unit.crashed
        else:
            track.fold(unit, now)
        track.settle(now)

    def probed(self, service: str, reason: str | None, now: float) -> bool:
        """A probe answered, or why not. True: ask again at once."""
        probe = self._probes.get(service)
        if probe is None:
            return False
        if reason is None or isinstance(reason, Degraded):
            probe.reason, probe.failures, probe.good = None, 0, now
            return False
        probe.reason, probe.failures = reason, probe.failures + 1
        return probe.failures < FAILURES

    def halted(self, found: Mapping[str, str]) -> bool:
        """Services whose processes are stopped by a signal now, and why; True: that is news."""
        news = False
        for service, probe in self._probes.items():
            why = found.get(service, "")
            if why != probe.halted:
                # What was asked before says nothing: it has to answer anew once it goes on.
                self._probes[service] = _Probe(halted=why)
                news = True
        return news

    def to_probe(self) -> list[str]:
        """Services that can be asked: their units run."""
        return [
            service
            for service in self.share.services
            if self._is_probed(service)
            and not self._probes[service].halted
            and len(self._of(service)) == len(self.share.units_of(service))
            and all(unit.up for unit in self.units(service))
        ]

    def helped(self, service: str, helped: bool) -> None:
        """This node is mending it itself: the report that it is well will say so."""
        (self._healed.add if helped else self._healed.discard)(service)

    def forgiven(self, now: float) -> list[str]:
        """Units whose restarts are long ago. They count from nothing again."""
        found = []
        for name, track in self._tracks.items():
            unit = track.unit
            if unit.up and unit.restarts and now >= track.entered + FORGIVEN:
                track.fold(replace(unit, restarts=0), track.entered)
                found.append(name)
        return found

    def units(self, service: str) -> list[Unit]:
        """Its units as they were seen last."""
        return [track.unit for track in self._of(service)]

    def pids(self, service: str) -> dict[str, int]:
        """Its units that run, and the main process of each."""
        return {unit.name: unit.pid for unit in self.units(service) if unit.up}

    def update(self, now: float) -> list[Change]:
        """What has become of the services by now: one change for each that is worth a report."""
        found = []
        for service in self.share.services:
            change = self._judge(service, now)
            if change is None:
                continue
            if change.status == OK:
                self._worked.add(service)
            elif service not in self._worked and now < self._patient_until:
                continue
            if self.status.get(service) == change.status:
                continue
            self.status[service] = change.status
            known = self.told.get(service)
            if known == change.status or (known is None and change.status != OK):
                continue
            self.told[service] = change.status
            if known is not None:  # the first ok of all is no news
                found.append(change)
                if change.status == OK:
                    self._healed.discard(service)
        return found

    @property
    def complete(self) -> bool:
        """Whether every unit has been seen, and every probe has said something."""
        return len(self._tracks) == len(self.share.units) and all(
            self._probes[name].good is not None or self._probes[name].failures
            for name in self.to_probe()
        )

    def bad(self) -> dict[str, str]:
        """Every service that does not work, reported or not."""
        return {name: status for name, status in self.status.items() if status != OK}

    def deadline(self, now: float) -> float | None:
        """When :meth:`update` is worth calling, should nothing happen until then."""
        times = [
            t for track in self._tracks.values() if (t := track.deadline(self.slower)) is not None
        ]
        times.append(self._patient_until)
        return min((t for t in times if t > now), default=None)

    def _of(self, service: str) -> list[_Track]:
        return [self._tracks[unit] for unit in self.share.units_of(service) if unit in self._tracks]

    def _judge(self, service: str, now: float) -> Change | None:
        """What it is by now; None while that cannot be said, or is about to be something else."""
        tracks = self._of(service)
        if len(tracks) < len(self.share.units_of(service)):
            return None
        for track in tracks:
            track.settle(now)
        for track in tracks:
            if track.looping:
                return self._change(service, LOOPING, track)
        pending = False
        for track in tracks:
            if track.left is not None:
                if now >= track.left + track.patience(self.slower):
                    return self._change(service, DOWN, track)
                pending = True
        return None if pending else self._answering(service, tracks, now)

    def _answering(self, service: str, tracks: list[_Track], now: float) -> Change | None:
        """Of a service whose units all run."""
        probe = self._probes[service]
        if probe.halted:
            return self._change(service, HUNG, tracks[0], probe.halted)
        entered = max(track.entered for track in tracks)
        answered = probe.good is not None and probe.good >= entered
        if probe.failures >= FAILURES:
            starting = entered + STARTING * self.slower
            if now < (self._patient_until if answered else starting):
                return None
            return self._change(service, HUNG, tracks[0], probe.reason)
        if probe.failures or (not answered and self._is_probed(service)):
            return None
        return self._change(service, OK, tracks[0], "")

    def _is_probed(self, service: str) -> bool:
        """A kind that nobody asks never answers: then running is working."""
        return self.share.probes.get(service, {}).get("kind") in self.kinds

    def _change(
        self, service: str, status: str, track: _Track, reason: str | None = None
    ) -> Change:
        return Change(
            service,
            status,
            unit="" if status == OK else full_name(track.unit.name),
            reason=track.unit.describe() if reason is None else reason,
            restarts=sum(unit.restarts for unit in self.units(service)),
            healed=service in self._healed and status == OK,
        )
