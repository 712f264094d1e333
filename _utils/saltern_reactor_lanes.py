"""Where operations run: lanes with a number of places each, one operation per node at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping

#: Lane -> operations side by side. A join is one operation, however many nodes it brings.
PLACES: Mapping[str, int] = {"services": 4, "joins": 1, "checks": 2}
#: Seconds after which an operation counts as stuck; a state run alone may take 1800.
STUCK = {"services": 2400, "joins": 7200, "checks": 600}


class Running:
    """One operation under way; ``since`` is of the monotonic clock."""

    def __init__(self, lane: str, nodes: Iterable[str], name: str, since: float) -> None:
        self.lane = lane
        self.nodes = frozenset(nodes)
        self.name = name
        self.since = since


class Lanes:
    """Each operation has a thread of its own while it runs; at rest there is none."""

    def __init__(self, done: Callable[[], None], clock: Callable[[], float] = time.monotonic):
        self._done = done
        self._clock = clock
        self._guard = threading.Lock()
        self._running: set[Running] = set()

    def take(self, lane: str, nodes: Iterable[str], name: str) -> Running | str:
        """A place in ``lane``, alone on ``nodes``; or why there is none now."""
        one = Running(lane, nodes, name, self._clock())
        with self._guard:
            for other in self._running:
                if shared := other.nodes & one.nodes:
                    return f"{other.name} is under way on {', '.join(sorted(shared))}"
            if sum(other.lane == lane for other in self._running) >= PLACES[lane]:
                return f"all places of lane {lane} are taken"
            self._running.add(one)
        return one

    def enter(self, lane: str, nodes: Iterable[str], name: str) -> Running:
        """A place however many are taken: for what was begun before a restart."""
        one = Running(lane, nodes, name, self._clock())
        with self._guard:
            self._running.add(one)
        return one

    def leave(self, one: Running) -> None:
        """Give a place back that nothing was started in, or that has ended."""
        with self._guard:
            self._running.discard(one)

    def running(self) -> list[Running]:
        """What is under way, the oldest first."""
        with self._guard:
            return sorted(self._running, key=lambda running: running.since)

    def stuck(self) -> list[str]:
        """A line for each operation that has been under way for too long."""
        now = self._clock()
        return [
            f"{one.name} on {', '.join(sorted(one.nodes))}: {now - one.since:.0f} s and no end"
            for one in self.running()
            if now - one.since > STUCK[one.lane]
        ]

    def start(self, one: Running, work: Callable[[], None]) -> None:
        """Run ``work`` in the place that :meth:`take` gave."""
        # A daemon: the master must be able to stop while a node takes its time.
        threading.Thread(target=self._run, args=(one, work), name=one.name, daemon=True).start()

    def _run(self, one: Running, work: Callable[[], None]) -> None:
        try:
            work()
        finally:
            self.leave(one)
            self._done()
