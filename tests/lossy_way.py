"""The way of events from the nodes to the reactor: some are lost, some come twice, some late.

Nobody sends again what was lost here, although the nodes of a real cloud do: what is lost has to be
found without its report.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from dataclasses import dataclass

from saltern.reactor.terms import Report


@dataclass(frozen=True)
class Rates:
    """Shares of all events. One that is late is overtaken only if another comes meanwhile."""

    lost: float = 0.01
    doubled: float = 0.01
    late: float = 0.03


#: What comes late comes after so many seconds at most.
LATE = 10.0


@dataclass(frozen=True)
class Event:
    """One event on its way; ``number`` is its node's, None where it is not a node that reports."""

    order: int
    number: int | None
    report: Report
    copy: bool = False


class Way:
    """Takes events and gives them back when they arrive. Counts what it does to them."""

    def __init__(self, dice: random.Random, rates: Rates) -> None:
        self._dice = dice
        self._rates = rates
        self._under_way: list[tuple[float, int, Event]] = []
        self._numbers: Counter[str] = Counter()
        self._newest = 0
        self.fired = self.lost = self.doubled = self.overtaken = 0

    def fire(self, report: Report, now: float) -> None:
        """Send ``report`` off."""
        self.fired += 1
        number = None
        if report.source == "node":
            self._numbers[report.node] += 1
            number = self._numbers[report.node]
        event = Event(self.fired, number, report)
        if self._chance(self._rates.lost):
            self.lost += 1
            return
        self._send(event, now + (self._delay() if self._chance(self._rates.late) else 0.0))
        if self._chance(self._rates.doubled):
            self.doubled += 1
            self._send(Event(event.order, number, report, copy=True), now + self._delay())

    def arrived(self, now: float) -> list[Event]:
        """What is there by now, in the order in which it came."""
        there = sorted((item for item in self._under_way if item[0] <= now), key=lambda i: i[:2])
        self._under_way = [item for item in self._under_way if item[0] > now]
        for _, order, event in there:
            if order < self._newest and not event.copy:
                self.overtaken += 1
            self._newest = max(self._newest, order)
        return [event for _, _, event in there]

    def next(self) -> float:
        """When the next one arrives; never, where nothing is on the way."""
        return min((at for at, _, _ in self._under_way), default=math.inf)

    def clear(self) -> None:
        """Nothing is on the way any more."""
        self._under_way.clear()

    def _send(self, event: Event, at: float) -> None:
        self._under_way.append((at, event.order, event))

    def _chance(self, share: float) -> bool:
        return self._dice.random() < share

    def _delay(self) -> float:
        return self._dice.uniform(0.0, LATE)
