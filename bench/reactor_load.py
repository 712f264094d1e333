"""Events for a reactor, and what came of them: of stock Salt's and of Saltern's in the same way."""

from __future__ import annotations

import multiprocessing
import pathlib
import sqlite3
import threading
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Any, Protocol

from tornado.iostream import StreamClosedError

from bench.reactor_site import EPOCH, NODE, SERVICES, Site, read_marks

# isort: split
from saltern.reactor.outbox import digest  # after reactor_site, which makes it importable

#: Seconds without any progress after which what is missing counts as lost.
QUIET = 20.0
#: Seconds between two beats of a node, and after which it sends again what was not acknowledged.
BEAT, AGAIN = 3.0, 5.0
#: Reports of a paced load that wait for their acknowledgement at most, as in an outbox: the master
#: keeps 2,000 beyond one that the bus has dropped. So many of them are sent again at a time.
HELD, AGAIN_MOST = 1900, 100

_forked = multiprocessing.get_context("fork")


@dataclass(frozen=True)
class Shot:
    """One event. ``name`` is how it is found again."""

    name: str
    critical: bool
    tag: str
    data: dict[str, Any]


class Load(Protocol):
    """One reactor under load."""

    site: Site

    def shots(self, count: int, critical: int) -> list[Shot]:
        """``count`` events of noise with ``critical`` others spread among them."""

    def taken(self) -> list[str]:
        """Names of the noise that was taken, each as often as it was."""

    def times(self) -> list[float]:
        """When each piece of noise was reacted to, in order; seconds since the epoch."""

    def sends(self, shots: Sequence[Shot]) -> None:
        """These are fired now, and it is the sender's business to see that they arrive."""

    def fired(self, count: int) -> None:
        """So many of them have been fired."""

    def room(self) -> bool:
        """Whether one more may be fired."""


def spread(count: int, critical: int) -> list[bool]:
    """Whether each of ``count + critical`` events is critical; evenly, the last one is."""
    total = count + critical
    at = {round((number + 1) * total / critical) - 1 for number in range(critical)}
    return [number in at for number in range(total)]


class Stock:
    """Salt's reactor: noise runs a runner, a critical event a function on the minion."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self._next = 0

    def shots(self, count: int, critical: int) -> list[Shot]:
        """See :class:`Load`."""
        found = []
        for urgent in spread(count, critical):
            self._next += 1
            tag = "bench/critical" if urgent else "bench/noise"
            found.append(Shot(str(self._next), urgent, tag, {"number": self._next}))
        return found

    def taken(self) -> list[str]:
        """What its runner has written down."""
        return [name for name, _ in read_marks(self.site.noise)]

    def times(self) -> list[float]:
        """When its runner wrote."""
        return sorted(at for _, at in read_marks(self.site.noise))

    def sends(self, shots: Sequence[Shot]) -> None:
        """Nobody sends again."""

    def fired(self, count: int) -> None:
        """Nobody counts."""

    def room(self) -> bool:
        """Salt's bus takes what comes."""
        return True


class Ours:
    """Saltern's engines, with a node that beats and sends again what was not acknowledged.

    Noise is a report about something that the node does not run: it is journaled and decided like
    any other, and nothing is done. A critical event is a service of the node that is down.
    """

    def __init__(self, site: Site) -> None:
        self.site = site
        self.journal = site.home / "master/cache/saltern/reactor/journal.db"
        self._epoch = EPOCH
        self._number = 0
        self._fresh = list(SERVICES)
        self._unacked: dict[int, Shot] = {}
        self._down: list[str] = []
        self._first = 1
        self._fired = _forked.Value("q", 0, lock=False)
        self._acked = _forked.Value("q", 0, lock=False)
        self._ended = threading.Event()
        for work in (
            self._listen,
            lambda: self._repeat(BEAT, self._beat),
            lambda: self._repeat(AGAIN, self._send_again),
        ):
            threading.Thread(target=work, daemon=True).start()

    def close(self) -> None:
        """The node falls silent."""
        self._ended.set()

    def shots(self, count: int, critical: int) -> list[Shot]:
        """See :class:`Load`."""
        return [self._report(urgent) for urgent in spread(count, critical)]

    def taken(self) -> list[str]:
        """What is in the journal."""
        return [name for (name,) in self.ask(
            "SELECT json_extract(body, '$.service') FROM reports WHERE source = 'node'"
            " AND json_extract(body, '$.service') LIKE 'noise-%'"
        )]  # fmt: skip

    def times(self) -> list[float]:
        """When it was decided, as the journal says."""
        return [at for (at,) in self.ask(
            "SELECT d.at FROM records d JOIN reports r ON r.id = d.report WHERE d.kind = 'decision'"
            " AND json_extract(r.body, '$.service') LIKE 'noise-%' ORDER BY d.at"
        )]  # fmt: skip

    def sends(self, shots: Sequence[Shot]) -> None:
        """Each is kept from when it was fired until the master says that it has it."""
        self._first = shots[0].data["data"]["number"]
        self._fired.value = self._first - 1
        self._unacked.update({shot.data["data"]["number"]: shot for shot in shots})

    def fired(self, count: int) -> None:
        """From now on these are sent again."""
        self._fired.value = self._first + count - 1

    def room(self) -> bool:
        """Whether the outbox has room."""
        return bool(self._fired.value < self._acked.value + HELD)

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        """Rows of the journal."""
        if not self.journal.exists():
            return []
        with closing(sqlite3.connect(f"file:{self.journal}?mode=ro", uri=True, timeout=10)) as db:
            return db.execute(query).fetchall()

    def _report(self, urgent: bool) -> Shot:
        self._number += 1
        name = self._fresh.pop(0) if urgent else f"noise-{self._number:06d}"
        self._down += [name] if urgent else []
        body = {"service": name, "status": "down", "reason": "bench", "unit": f"{name}.service",
                "restarts": 0, "healed": False}  # fmt: skip
        return Shot(name, urgent, *self._event("service", self._number, body))

    def _event(self, kind: str, number: int, body: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """As the master puts an event of a minion on its bus."""
        tag = f"saltern/node/{NODE}/{kind}"
        data = {"epoch": self._epoch, "number": number, "at": time.time(), **body}
        return tag, {"id": NODE, "tag": tag, "data": data, "cmd": "_minion_event", "pretag": None}

    def _repeat(self, every: float, work: Callable[[Any], None]) -> None:
        """``work`` on a bus; on another one when it breaks, as nodes do: an outbox outlives it."""
        while not self._ended.is_set():
            with suppress(StreamClosedError), self.site.bus() as bus:
                while not self._ended.wait(every):
                    work(bus)

    def _beat(self, bus: Any) -> None:
        healed = {name for name, _ in read_marks(self.site.marks)}
        bad = {name: "down" for name in list(self._down) if name not in healed}
        tag, data = self._event("beat", self._number, {"bad": bad})
        bus.fire_event(data, tag)

    def _listen(self) -> None:
        with self.site.minion_bus() as bus:
            while not self._ended.is_set():
                event = bus.get_event(wait=1, tag="saltern/acked", full=True)
                told = event["data"].get(NODE, {}) if event else {}
                self._acked.value = max(self._acked.value, told.get(digest(self._epoch), 0))

    def _send_again(self, bus: Any) -> None:
        numbers = sorted(self._unacked)
        acked, fired = self._acked.value, self._fired.value
        for number in numbers[: bisect_right(numbers, acked)]:
            del self._unacked[number]
        waiting = numbers[bisect_right(numbers, acked) : bisect_right(numbers, fired)]
        for number in waiting[:AGAIN_MOST]:
            bus.fire_event(self._unacked[number].data, self._unacked[number].tag)


def fire(load: Load, shots: Sequence[Shot], per_second: float | None = None) -> pathlib.Path:
    """Fire ``shots`` from a process of its own; the file in which it notes when it fired."""
    notes = load.site.home / f"fired-{time.monotonic_ns()}"
    load.sends(shots)
    work = _forked.Process(target=_fire, args=(load, shots, per_second, notes))
    work.start()
    work.join()
    load.fired(len(shots))
    return notes


def _fire(load: Load, shots: Sequence[Shot], per_second: float | None, notes: pathlib.Path) -> None:
    began = time.monotonic()
    with load.site.bus() as bus, notes.open("w", encoding="ascii") as said:
        for number, shot in enumerate(shots):
            if per_second:
                time.sleep(max(0.0, began + number / per_second - time.monotonic()))
                load.fired(number)
                while not load.room():
                    time.sleep(0.01)
            if shot.critical:
                said.write(f"{shot.name} {time.time():.6f}\n")
            bus.fire_event(shot.data, shot.tag)


@dataclass(frozen=True)
class Came:
    """What came of events: noise that is missing or was taken twice, and how long criticals took"""

    lost: int
    doubled: int
    critical: list[float]  # seconds, of those that were acted on
    unacted: int
    acted_twice: int


def outcome(load: Load, shots: Sequence[Shot], fired: pathlib.Path) -> Came:
    """Wait until all of ``shots`` has been taken and acted on, or nothing moves any more."""
    noise = {shot.name for shot in shots if not shot.critical}
    began = dict(read_marks(fired))
    moved, before = time.monotonic(), (-1, -1)
    while True:
        taken = Counter(name for name in load.taken() if name in noise)
        marks = [(name, at) for name, at in read_marks(load.site.marks) if name in began]
        first = dict(reversed(marks))
        now = (len(taken), len(first))
        if now != before:
            moved, before = time.monotonic(), now
        if now == (len(noise), len(began)) or time.monotonic() - moved > QUIET:
            break
        time.sleep(0.25)
    return Came(
        lost=len(noise) - len(taken),
        doubled=sum(count - 1 for count in taken.values()),
        critical=[first[name] - began[name] for name in first],
        unacted=len(began) - len(first),
        acted_twice=len(marks) - len(first),
    )
