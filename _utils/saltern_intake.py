"""From Salt's bus into the journal: read, typed, committed; nothing else, so that it keeps pace.

The bus drops what is not read in time, without a word. So this is a process of its own, which opens
the bus before anything else and never waits for anybody.
"""

from __future__ import annotations

import logging
import pathlib
import re
import socket
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar

from saltern.reactor import outbox
from saltern.reactor import report as typing_of
from saltern.reactor import rules as reading
from saltern.reactor.terms import Rejected, Report
from saltern_journal import Entry, Journal
from saltern_journal_outboxes import Beat
from saltern_keys import AcceptedKeys
from saltern_rulebook import Rulebook

log = logging.getLogger(__name__)

T = TypeVar("T")

#: Events in one commit at most, and how old the first of them may become (seconds).
BATCH = 500
OLDEST = 0.1
#: Seconds without an event after which the bus counts as empty.
EMPTY = 0.001
#: Seconds between two looks at the files, two commits of beats, two looks for gaps.
LOOK_EVERY = 2.0
BEATS_EVERY = 1.0
GAPS_EVERY = 10.0

OWN = re.compile(r"saltern/node/([^/\s]{1,200})/(beat|service|overflow|reports)")
EPOCH = re.compile(r"[0-9a-f]{1,64}")
CANARY = "saltern/canary"
#: Signs of life that are kept until the next commit of beats: more than any cloud has nodes.
SIGNS_MOST = 10_000
#: Services in a beat, and the length of their names and statuses.
BAD_MOST, WORD_MOST = 200, 64


class Bus(Protocol):
    """The little of ``salt.utils.event.SaltEvent`` that is needed."""

    def get_event(self, wait: float, full: bool) -> Any:
        """The next event, None when there is none within ``wait`` seconds."""


class Bell:
    """How one process wakes the other: a datagram that says nothing."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)

    def listen(self) -> None:
        """Be the one who is woken."""
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.path.unlink(missing_ok=True)
        self._socket.bind(str(self.path))
        self.path.chmod(0o600)

    def ring(self) -> None:
        """Wake who listens. Who does not listen looks by himself before long."""
        try:
            self._socket.sendto(b"!", str(self.path))
        except (BlockingIOError, ConnectionRefusedError, FileNotFoundError):
            return

    def wait(self, seconds: float) -> None:
        """Until it rings, or so many seconds."""
        self._socket.settimeout(max(seconds, 0.001))
        try:
            self._socket.recv(1)
            self._socket.setblocking(False)
            while self._socket.recv(1):
                pass
        except (TimeoutError, BlockingIOError):
            return


class Intake:
    """One reader of the bus. :meth:`run` does not return."""

    def __init__(
        self,
        journal: Journal,
        rulebook: Rulebook,
        keys: AcceptedKeys,
        wake: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._journal = journal
        self._rulebook = rulebook
        self._keys = keys
        self._wake = wake
        self._clock = clock
        self._entries: list[Entry] = []
        self._known: list[tuple[str, str | None, int | None]] = []
        self._rejected: list[Rejected] = []
        # By node and epoch: whose epoch it is, is looked up when they are written.
        self._beats: dict[tuple[str, str | None], Beat] = {}
        self._heard: dict[tuple[str, str | None], float] = {}
        self._oldest: dict[tuple[str, str], int] = {}
        self._prefixes: tuple[str, ...] = ()
        self._looked = self._beats_at = self._gaps_at = -1e9

    def run(self, bus: Bus) -> None:
        """Drain ``bus`` for ever."""
        while True:
            self.turn(bus)

    def turn(self, bus: Bus) -> None:
        """Take what is there, up to one commit; wait for a second when nothing is."""
        self._housekeeping()
        event = bus.get_event(wait=1.0, full=True)
        until = self._clock() + OLDEST
        while event is not None:
            self.take(event)
            if len(self._entries) + len(self._rejected) >= BATCH or self._clock() >= until:
                break
            event = bus.get_event(wait=EMPTY, full=True)
        self.commit()

    def take(self, event: Mapping[str, Any]) -> None:
        """Type one event; what it comes to is written by the next :meth:`commit`."""
        tag = event["tag"]
        if not isinstance(tag, str) or not tag.startswith(self._prefixes):
            return
        raw = event["data"]
        try:
            self._sort(tag, raw)
        except Exception:  # whatever one event does, the next one is read
            log.exception("an event could not be typed: %.100r", tag)
            self._rejected.append(Rejected(tag[:200], "", "it could not be typed"))

    def _sort(self, tag: str, raw: Any) -> None:
        if tag == CANARY:
            self._canary(raw)
            return
        own = OWN.fullmatch(tag)
        node = own[1] if own else ""
        authentic = (
            own is not None
            and isinstance(raw, Mapping)
            and raw.get("id") == node
            and node in self._keys.ids()
        )
        if authentic and own and own[2] == "beat":
            self._beat(node, raw.get("data"))
            return
        if own and own[2] == outbox.REPORTS:
            if authentic:
                self._reports(tag, node, raw.get("data"))
            else:
                name = typing_of.tidy(tag, 200)
                self._rejected.append(Rejected(name, "", "they are not of the node that sent them"))
            return
        self._report(tag, raw, node if authentic else "")

    def _report(self, tag: str, raw: Any, node: str) -> None:
        """One report; ``node`` sent it, "" for one that may be anybody's."""
        epoch, number = _numbering(raw.get("data"), "number") if node else (None, None)
        if node and len(self._heard) < SIGNS_MOST:
            # who reports is there, however long his beats have to wait behind it
            self._heard[node, epoch] = self._clock()
        found = typing_of.read(tag, raw, self._rulebook.book.rules, self._keys.ids(), source="bus")
        if isinstance(found, Report):
            self._entries.append((found, epoch, number))
            return
        if isinstance(found, Rejected):
            self._rejected.append(found)
        if number is not None:  # or its node would send it again for ever
            self._known.append((node, epoch, number))

    def _reports(self, tag: str, node: str, body: Any) -> None:
        """Several reports in one event: each as if it had come alone."""
        each = body.get("reports") if isinstance(body, Mapping) else None
        if not isinstance(each, list) or len(each) > outbox.BATCH or not all(map(_kind, each)):
            self._rejected.append(Rejected(tag, node, "not a list of this node's reports"))
            return
        for one in each:
            data = {**one, "epoch": body.get("epoch")}
            self._report(f"saltern/node/{node}/{one['kind']}", {"id": node, "data": data}, node)

    def _canary(self, raw: Any) -> None:
        number = raw.get("number") if isinstance(raw, Mapping) else None
        if isinstance(number, int) and str(number) == self._journal.meta("canary_fired"):
            body = {"number": number}
            self._entries.append((Report(0, 0.0, CANARY, "", "master", "canary", body), None, None))
        else:
            self._rejected.append(Rejected(CANARY, "", "nobody has fired this canary"))

    def _beat(self, node: str, body: Any) -> None:
        bad = body.get("bad") if isinstance(body, Mapping) else None
        if not isinstance(bad, Mapping) or len(bad) > BAD_MOST or not all(map(_word, bad.items())):
            self._rejected.append(Rejected(f"saltern/node/{node}/beat", node, "not a beat"))
            return
        epoch, oldest = _epoch(body), _numbering(body, "oldest")[1]
        if len(self._beats) < SIGNS_MOST:
            self._beats[node, epoch] = Beat(time.time(), self._clock(), dict(bad))
            if epoch is not None and oldest is not None:
                self._oldest[node, epoch] = oldest

    def commit(self) -> None:
        """Write what was taken, and wake the reactor if there is something for it."""
        signs = self._clock() >= self._beats_at + BEATS_EVERY and (self._beats or self._heard)
        if not (self._entries or self._rejected or self._known or signs):
            return
        with self._journal.batch():
            added = self._journal.add(self._entries, self._rulebook.book.priorities)
            self._journal.first_seen(self._known, time.time())
            self._journal.reject(*self._rejected)
            if signs:
                proven = self._journal.proven()
                self._journal.beat(_proven(self._beats, proven))
                self._journal.heard(_proven(self._heard, proven))
                self._journal.close_below(self._oldest)
        self._entries, self._known, self._rejected = [], [], []
        if signs:
            self._beats, self._heard, self._oldest = {}, {}, {}
            self._beats_at = self._clock()
        if added:
            self._wake()

    def _housekeeping(self) -> None:
        now = self._clock()
        if now >= self._looked + LOOK_EVERY:
            self._looked = now
            if self._rulebook.look():
                found = reading.prefixes(self._rulebook.book.rules)
                self._prefixes = (*found, "saltern/")
        if now >= self._gaps_at + GAPS_EVERY:
            self._gaps_at = now
            self._journal.close_gaps()


def _kind(one: Any) -> bool:
    return isinstance(one, Mapping) and one.get("kind") in (outbox.SERVICE, outbox.OVERFLOW)


def _word(pair: tuple[Any, Any]) -> bool:
    return all(isinstance(one, str) and len(one) <= WORD_MOST for one in pair)


def _proven(signs: Mapping[tuple[str, str | None], T], proven: Mapping[str, str]) -> dict[str, T]:
    """Node -> its sign of life; what anybody else said in its name is left out.

    A node that has not named its outbox yet is believed. It is asked as soon as it has joined.
    """
    return {
        node: sign
        for (node, epoch), sign in signs.items()
        if node not in proven or (epoch is not None and outbox.digest(epoch) == proven[node])
    }


def _epoch(body: Any) -> str | None:
    """The epoch in ``body``, if it is usable."""
    epoch = body.get("epoch") if isinstance(body, Mapping) else None
    return epoch if isinstance(epoch, str) and EPOCH.fullmatch(epoch) else None


def _numbering(body: Any, field: str) -> tuple[str | None, int | None]:
    """The epoch in ``body`` and the number in its ``field``, if both are usable."""
    if (epoch := _epoch(body)) is not None:
        number = body.get(field)
        if isinstance(number, int) and not isinstance(number, bool) and 1 <= number < 2**53:
            return epoch, number
    return None, None
