"""Reports of this node that the master has not journaled yet: numbered, sent until acknowledged.

Bookkeeping only: who sends and who writes to disk is told what to send and what has changed. Times
are seconds of a clock that never goes back.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

#: Reports kept; then the oldest are dropped, and an overflow report counts them.
BOUND = 1000
#: Seconds until a report that nobody acknowledged is sent again.
AGAIN = (5.0, 10.0, 20.0, 40.0, 60.0)
#: Reports on their way at most: beats, and what the minion does for its jobs, wait behind them. And
#: a master that has just come back has more to do than this.
WINDOW = 100
#: Reports in one event at most. The minion waits for the master after each event that it sends.
BATCH = 50
#: Seconds for which one counts as on its way: by then it is in the journal, or it was lost.
UNDERWAY = AGAIN[0]

SERVICE, OVERFLOW = "service", "overflow"
#: The last word of the tag of an event with several reports in it.
REPORTS = "reports"


def digest(epoch: str) -> str:
    """How an acknowledgement names the outbox with this ``epoch``.

    Every node that is told gets the same message, and who knows an epoch can take the numbers of
    that outbox with reports of its own.
    """
    return hashlib.sha256(epoch.encode()).hexdigest()[:32]


@dataclass
class Item:
    """One report; ``kind`` is the last word of its tag."""

    number: int
    kind: str
    body: dict[str, Any]
    tries: int = 0
    due: float = 0.0
    first: float = 0.0  # when it was sent for the first time ...
    sent: float = 0.0  # ... and for the last


def events(items: Sequence[Item], epoch: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """How ``items`` are sent: the last word of a tag, and the body, of each event."""
    for start in range(0, len(items), BATCH):
        some = items[start : start + BATCH]
        if len(some) == 1:
            yield some[0].kind, {**some[0].body, "epoch": epoch, "number": some[0].number}
        else:
            each = [{**item.body, "kind": item.kind, "number": item.number} for item in some]
            yield REPORTS, {"epoch": epoch, "reports": each}


@dataclass(frozen=True)
class Written:
    """What has to be written to disk: before anything is sent."""

    items: tuple[Item, ...] = ()
    dropped: tuple[int, ...] = ()  # numbers


@dataclass
class Outbox:
    """All reports in waiting. ``number`` is the last one given out, ever."""

    number: int = 0
    bound: int = BOUND
    items: dict[int, Item] = field(default_factory=dict)

    @classmethod
    def of(cls, number: int, items: Iterable[Item], bound: int = BOUND) -> Outbox:
        """As it was written to disk; everything is due at once."""
        kept = {item.number: item for item in sorted(items, key=lambda item: item.number)}
        return cls(max([number, *kept]), bound, kept)

    @property
    def oldest(self) -> int:
        """The lowest number in waiting, the next one to be given out where none is.

        What is below it will not be sent again: it was acknowledged, dropped or lost.
        """
        return min(self.items, default=self.number + 1)

    def put(self, kind: str, body: Mapping[str, Any]) -> Written:
        """A new report. It is due at once."""
        added = [self._add(kind, body)]
        dropped = self._make_room()
        if dropped:
            added = [item for item in added if item.number in self.items]
            added.append(self._overflowed(len(dropped), body.get("at")))
        return Written(tuple(added), tuple(dropped))

    def due(self, now: float) -> list[Item]:
        """What is to be sent now, oldest first. It counts as sent.

        A report takes all that is newer about its service along: nobody should hear only that it
        went down, who might hear at once that it is back.
        """
        room = max(0, WINDOW - len(self._underway(now)))
        services: set[Any] = set()
        ready = []
        for item in self.items.values():
            about = item.body.get("service")
            if item.due <= now or (item.kind == SERVICE and about in services):
                ready.append(item)
                services.add(about)
        del ready[room:]
        for item in ready:
            item.due = now + AGAIN[min(item.tries, len(AGAIN) - 1)]
            item.tries += 1
            item.first, item.sent = item.first or now, now
        return ready

    def deadline(self, now: float) -> float | None:
        """When something is due and there is room for it, unless an acknowledgement comes first."""
        underway = self._underway(now)
        if len(underway) >= WINDOW:
            return min(item.sent for item in underway) + UNDERWAY
        return min((item.due for item in self.items.values()), default=None)

    def _underway(self, now: float) -> list[Item]:
        return [i for i in self.items.values() if i.tries and now < i.sent + UNDERWAY]

    def acked(self, number: int) -> list[int]:
        """The master holds everything up to ``number``. Returns what left the outbox by that."""
        gone = [held for held in self.items if held <= number]
        for held in gone:
            del self.items[held]
        return gone

    def waiting(self, service: str) -> Item | None:
        """The newest report about ``service`` that nobody has acknowledged."""
        for item in reversed(self.items.values()):
            if item.kind == SERVICE and item.body.get("service") == service:
                return item
        return None

    def _add(self, kind: str, body: Mapping[str, Any]) -> Item:
        self.number += 1
        item = Item(self.number, kind, dict(body))
        self.items[self.number] = item
        return item

    def _make_room(self) -> list[int]:
        """Drop the oldest reports over the bound; what counts dropped ones is not dropped."""
        surplus = len(self.items) - self.bound
        gone = [n for n, item in self.items.items() if item.kind != OVERFLOW][: max(0, surplus)]
        for number in gone:
            del self.items[number]
        return gone

    def _overflowed(self, count: int, at: Any) -> Item:
        """Count what was dropped. A number that was sent means what it meant: then a new one."""
        for item in self.items.values():
            if item.kind == OVERFLOW and not item.tries:
                item.body["dropped"] += count
                return item
        return self._add(OVERFLOW, {"at": at, "dropped": count})
