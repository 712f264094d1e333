"""The part of the journal that knows what each node has sent: which numbers came in, and who beats.

A node numbers its reports and keeps each until it is told that all up to a number are known. A
number that is missing while later ones are here may still come, until its node says by a beat that
it holds it no more. Where no beat says so, one that does not come is given up after a while, or
nothing after it could ever be acknowledged.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from saltern_journal_schema import Database

#: Outboxes of one node that are remembered beside its first, the last ones that were heard of.
EPOCHS_KEPT = 3

#: Numbers beyond a gap that are kept of one outbox. An honest one holds no more than a thousand.
AHEAD_MOST = 2000

#: Seconds until a missing number is given up. A node sends each again after 60 at the latest.
GAP_PATIENCE = 150

#: Before the name of a node: the single value that is the epoch of its first outbox.
_FIRST = "first outbox of "
#: The same for the digest of the epoch that the node itself has named, when it was asked.
_PROVEN = "proven outbox of "


class Beat(NamedTuple):
    """The last beat of a node, and its last sign of life."""

    at: float  # of the beat: ``bad`` is as of then
    clock: float  # of the last sign of life, by the machine's monotonic clock
    bad: Mapping[str, str]  # service -> status, of those that are not ok


class _Box:
    """The numbers of one outbox that are known: all up to one, and some ahead of it."""

    def __init__(self, upto: int, ahead: set[int]) -> None:
        self.upto = upto
        self.ahead = ahead
        self.added: list[int] = []

    def take(self, number: int) -> bool:
        """Know ``number``; False when there is no room for it."""
        if number == self.upto + 1:
            self.pass_over(number)
        elif len(self.ahead) < AHEAD_MOST:
            self.ahead.add(number)
            self.added.append(number)
        else:
            return False
        return True

    def pass_over(self, number: int) -> None:
        """Everything up to ``number``, and what follows it without a gap, is known."""
        self.upto = number
        while self.upto + 1 in self.ahead:
            self.upto += 1


class Outboxes(Database):
    """Which reports are new, what to acknowledge, and who was heard."""

    def first_seen(
        self, numbers: Sequence[tuple[str, str | None, int | None]], now: float
    ) -> list[bool]:
        """For each (node, epoch, number): whether it is new. It is known from now on.

        What has no number is always new. What is too far ahead of a gap is not: its node will
        send it again.
        """
        boxes: dict[tuple[str, str], _Box] = {}
        fresh = []
        for node, epoch, number in numbers:
            if epoch is None or number is None:
                fresh.append(True)
                continue
            if (node, epoch) not in boxes:
                boxes[node, epoch] = _Box(self.seen(node, epoch), self._ahead(node, epoch))
            box = boxes[node, epoch]
            known = number <= box.upto or number in box.ahead
            fresh.append(not known and box.take(number))
            if not known and not fresh[-1]:
                self.count(too_far_ahead=1)
        for (node, epoch), box in boxes.items():
            self._keep(node, epoch, box, now)
        return fresh

    def _ahead(self, node: str, epoch: str) -> set[int]:
        rows = self._rows("SELECT number FROM ahead WHERE node = ? AND epoch = ?", node, epoch)
        return {row["number"] for row in rows}

    def _keep(self, node: str, epoch: str, box: _Box, now: float) -> None:
        """What is known of an outbox by now; its node is to be told."""
        changed = self._write(
            "UPDATE outboxes SET upto = ?, heard = ?, told = 0 WHERE node = ? AND epoch = ?",
            box.upto,
            now,
            node,
            epoch,
        )
        if not changed:
            self._write("INSERT INTO outboxes VALUES (?, ?, ?, ?, 0)", node, epoch, box.upto, now)
            self._forget_old(node, epoch)
        self._db.executemany(
            "INSERT INTO ahead VALUES (?, ?, ?, ?)",
            [(node, epoch, number, now) for number in box.added if number > box.upto],
        )
        self._write(
            "DELETE FROM ahead WHERE node = ? AND epoch = ? AND number <= ?", node, epoch, box.upto
        )

    def _forget_old(self, node: str, new: str) -> None:
        """Make room for the outbox ``new``.

        A node keeps its outbox for life, while others may send reports in its name with as many
        epochs as they like: so its first is never forgotten.
        """
        first = self.meta(_FIRST + node)
        if first is None:
            first = new
            self.set_meta(**{_FIRST + node: new})
        self._write(
            "DELETE FROM outboxes WHERE node = ? AND epoch != ? AND epoch NOT IN (SELECT epoch"
            " FROM outboxes WHERE node = ? AND epoch != ? ORDER BY heard DESC LIMIT ?)",
            node,
            first,
            node,
            first,
            EPOCHS_KEPT,
        )
        self._write(
            "DELETE FROM ahead WHERE node = ?"
            " AND epoch NOT IN (SELECT epoch FROM outboxes WHERE node = ?)",
            node,
            node,
        )

    def seen(self, node: str, epoch: str) -> int:
        """The number up to which everything of this outbox is known."""
        rows = self._rows("SELECT upto FROM outboxes WHERE node = ? AND epoch = ?", node, epoch)
        return int(rows[0]["upto"]) if rows else 0

    def give_up(self, node: str, epoch: str, upto: int) -> None:
        """Nothing up to the number ``upto`` will come any more: its node does not have it."""
        with self.batch():
            box = _Box(self.seen(node, epoch), self._ahead(node, epoch))
            if upto > box.upto:
                missing = upto - box.upto - sum(number <= upto for number in box.ahead)
                self.count(given_up=missing)
                box.pass_over(upto)
                self._keep(node, epoch, box, self.clock())

    def close_below(self, oldest: Mapping[tuple[str, str], int]) -> None:
        """Give up what is missing below the lowest number that outboxes, (node, epoch), hold."""
        for row in self._rows("SELECT DISTINCT node, epoch FROM ahead"):
            number = oldest.get((row["node"], row["epoch"]))
            if number is not None:
                self.give_up(row["node"], row["epoch"], number - 1)

    def close_gaps(self) -> None:
        """Give up the numbers whose successors have been waiting for too long."""
        rows = self._rows(
            "SELECT node, epoch, min(number) AS first FROM ahead GROUP BY node, epoch"
            " HAVING min(at) < ?",
            self.clock() - GAP_PATIENCE,
        )
        for row in rows:
            self.give_up(row["node"], row["epoch"], row["first"] - 1)

    def acks(self) -> dict[str, dict[str, int]]:
        """What is to be told: node -> epoch -> the number up to which that outbox is known.

        Which outbox of a node is its real one only the node can say.
        """
        found: dict[str, dict[str, int]] = {}
        for row in self._rows("SELECT node, epoch, upto FROM outboxes WHERE told = 0"):
            found.setdefault(row["node"], {})[row["epoch"]] = row["upto"]
        return found

    def acked(self, told: Mapping[str, Mapping[str, int]]) -> None:
        """These were told. A node that did not hear it sends again, and is told again."""
        with self.batch():
            self._db.executemany(
                "UPDATE outboxes SET told = 1 WHERE node = ? AND epoch = ? AND upto = ?",
                [
                    (node, epoch, upto)
                    for node, boxes in told.items()
                    for epoch, upto in boxes.items()
                ],
            )

    def forget_outboxes(self, node: str) -> None:
        """Who has this name from now on is another node, with an outbox of its own."""
        with self.batch():
            for what in (_FIRST, _PROVEN):
                self._write("DELETE FROM meta WHERE name = ?", what + node)
            self._write("DELETE FROM outboxes WHERE node = ?", node)
            self._write("DELETE FROM ahead WHERE node = ?", node)

    def prove(self, digests: Mapping[str, str]) -> None:
        """These nodes were asked, and named the digest of their outbox's epoch."""
        self.set_meta(**{_PROVEN + node: digest for node, digest in digests.items()})

    def proven(self) -> dict[str, str]:
        """Node -> digest of the epoch by which its own events are known."""
        rows = self._rows(
            "SELECT substr(name, ?) AS node, value FROM meta WHERE name LIKE ?",
            len(_PROVEN) + 1,
            f"{_PROVEN}%",
        )
        return {row["node"]: row["value"] for row in rows}

    # -- presence ----------------------------------------------------------------------------

    def beat(self, beats: Mapping[str, Beat]) -> None:
        """Keep the last beat of nodes."""
        with self.batch():
            self._db.executemany(
                "INSERT OR REPLACE INTO presence VALUES (?, ?, ?, ?)",
                [(node, b.at, b.clock, json.dumps(dict(b.bad))) for node, b in beats.items()],
            )

    def heard(self, nodes: Mapping[str, float]) -> None:
        """These gave a sign of life: node -> when, by the machine's monotonic clock.

        A node that has not beaten yet does not count as heard: not all of it has been seen.
        """
        with self.batch():
            self._db.executemany(
                "UPDATE presence SET clock = ?2 WHERE node = ?1 AND clock < ?2", nodes.items()
            )

    def beats(self) -> dict[str, Beat]:
        """The last beat of each node."""
        return {
            row["node"]: Beat(row["at"], row["clock"], json.loads(row["bad"]))
            for row in self._rows("SELECT * FROM presence")
        }

    def forget_beats(self, nodes: Iterable[str] | None = None) -> None:
        """Nobody was heard yet (the machine was restarted), or these nodes are none of ours."""
        with self.batch():
            if nodes is None:
                self._write("DELETE FROM presence")
            for node in nodes or ():
                self._write("DELETE FROM presence WHERE node = ?", node)
