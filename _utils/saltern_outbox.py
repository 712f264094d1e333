"""The outbox of this node on disk: what was reported survives ``kill -9`` and a power cut.

One SQLite file. Every change is on disk before anything is sent by it: a number that the master has
seen must never be given out a second time.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from saltern.reactor import outbox

TABLES = (
    "reports (number INTEGER PRIMARY KEY, kind TEXT, body TEXT)",
    "facts (name TEXT PRIMARY KEY, value TEXT)",
)
VERSION = 2
#: In the folder of the watch.
NAME = "outbox.db"


def named(home: Path) -> str | None:
    """The digest of the epoch of the outbox in ``home``; None while there is none."""
    try:
        with closing(sqlite3.connect(f"file:{home / NAME}?mode=ro", uri=True, timeout=1)) as db:
            row = db.execute("SELECT value FROM facts WHERE name = 'epoch'").fetchone()
    except sqlite3.DatabaseError:
        return None
    return outbox.digest(str(row[0])) if row else None


class Store:
    """The file at ``path``, and the :class:`saltern.reactor.outbox.Outbox` that it holds.

    A file that is damaged or of another version is set aside and begun anew: with a new ``epoch``,
    so that the master does not take new numbers for old ones.
    """

    def __init__(self, path: Path, bound: int = outbox.BOUND) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.path = path
        try:
            self._open()
        except (sqlite3.DatabaseError, ValueError):
            path.replace(path.with_suffix(".damaged"))
            for suffix in ("-wal", "-shm", "-journal"):
                Path(f"{path}{suffix}").unlink(missing_ok=True)
            self._open()
        rows = self._db.execute("SELECT number, kind, body FROM reports").fetchall()
        items = [outbox.Item(number, kind, json.loads(body)) for number, kind, body in rows]
        self.box = outbox.Outbox.of(int(self._fact("number")), items, bound)
        self.epoch = self._fact("epoch")
        self._digest = outbox.digest(self.epoch)

    def _open(self) -> None:
        self._db = sqlite3.connect(self.path, isolation_level=None, timeout=5)
        try:
            self._prepare()
        except BaseException:
            self._db.close()
            raise

    def _prepare(self) -> None:
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version not in (0, 1, VERSION):
            raise ValueError(f"version {version}")
        self._db.execute("PRAGMA journal_mode=DELETE")
        self._db.execute("PRAGMA synchronous=FULL")
        if self._db.execute("PRAGMA quick_check").fetchone()[0] != "ok":
            raise ValueError("damaged")
        if version == 0:
            self._db.execute("BEGIN IMMEDIATE")
            for table in TABLES:
                self._db.execute(f"CREATE TABLE {table} STRICT")
            facts = [("epoch", _epoch()), ("number", "0"), ("told", "{}")]
            self._db.executemany("INSERT INTO facts VALUES (?, ?)", facts)
            self._db.execute(f"PRAGMA user_version={VERSION}")
            self._db.execute("COMMIT")
        elif version == 1:  # other nodes were told its epoch
            self._db.execute("BEGIN IMMEDIATE")
            self._set("epoch", _epoch())
            self._db.execute(f"PRAGMA user_version={VERSION}")
            self._db.execute("COMMIT")

    def told(self) -> dict[str, str]:
        """Service -> the status of its last report."""
        found: dict[str, str] = json.loads(self._fact("told"))
        return found

    def tell(self, told: Mapping[str, str], reports: list[Mapping[str, Any]]) -> None:
        """Put reports into the outbox together with what is thereby told of the services."""
        written = [self.box.put(outbox.SERVICE, report) for report in reports]
        self._db.execute("BEGIN IMMEDIATE")
        for change in written:
            self._db.executemany(
                "DELETE FROM reports WHERE number = ?", [(number,) for number in change.dropped]
            )
            self._db.executemany(
                "INSERT OR REPLACE INTO reports VALUES (?, ?, ?)",
                [
                    (item.number, item.kind, json.dumps(item.body))
                    for item in change.items
                    if item.number in self.box.items
                ],
            )
        self._set("told", json.dumps(dict(told)))
        self._set("number", str(self.box.number))
        self._db.execute("COMMIT")

    def acked(self, told: object) -> bool:
        """Up to which number the master holds each outbox, by digest; False: not a word of this."""
        number = told.get(self._digest) if isinstance(told, Mapping) else None
        if not isinstance(number, int):
            return False
        if self.box.acked(number):
            self._db.execute("DELETE FROM reports WHERE number <= ?", (number,))
        return True

    def close(self) -> None:
        self._db.close()

    def _fact(self, name: str) -> str:
        row = self._db.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return str(row[0])

    def _set(self, name: str, value: str) -> None:
        self._db.execute("UPDATE facts SET value = ? WHERE name = ?", (value, name))


def _epoch() -> str:
    """A secret of this node and the master: nobody else can number reports in its name."""
    return secrets.token_hex(16)
