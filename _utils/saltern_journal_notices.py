"""The part of the journal that holds messages for people until they are delivered."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from saltern_journal_schema import Database


class Notices(Database):
    """An outbox: a message stays until its target has taken it, whatever happens to us."""

    def notice_add(self, incident: str, target: str, payload: Mapping[str, Any], at: float) -> int:
        """Keep a message about ``incident`` for ``target``; 0 when that one is kept already."""
        with self.batch():
            done = self._db.execute(
                "INSERT OR IGNORE INTO notices (incident, target, payload, at, due)"
                " VALUES (?, ?, ?, ?, ?)",
                (incident, target, json.dumps(payload), at, at),
            )
            return int(done.lastrowid or 0) if done.rowcount else 0

    def notices_due(self, now: float) -> list[dict[str, Any]]:
        """Messages to deliver by ``now``, the oldest first."""
        return [
            {**dict(row), "payload": json.loads(row["payload"])}
            for row in self._rows("SELECT * FROM notices WHERE due <= ? ORDER BY id", now)
        ]

    def notices_open(self) -> list[dict[str, Any]]:
        """Every message that is not delivered yet, due or not."""
        return self.notices_due(float("inf"))

    def notice_done(self, id_: int) -> None:
        """The target has taken it."""
        self._write(
            "UPDATE notices SET due = NULL, ended = ?, tries = tries + 1, why = '' WHERE id = ?",
            self.clock(),
            id_,
        )

    def notice_failed(self, id_: int, why: str, next_at: float | None) -> None:
        """The target did not take it: try again at ``next_at``, or never (None)."""
        self._write(
            "UPDATE notices SET due = ?, ended = CASE WHEN ? IS NULL THEN ? END,"
            " tries = tries + 1, why = ? WHERE id = ?",
            next_at,
            next_at,
            self.clock(),
            why,
            id_,
        )
