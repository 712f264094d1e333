"""The file of the journal: its tables, and how it is read and written.

One SQLite file in WAL mode: readers never wait, two processes may write, and what was committed is
there after a power loss (``synchronous=FULL``). A copy of the file is a backup; with ``-wal`` and
``-shm`` beside it while a process has it open, alone once the last one has closed it.
"""

from __future__ import annotations

import pathlib
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

VERSION = 1

#: Seconds to wait for the other process; its longest transaction takes a tenth of one.
PATIENCE = 30

#: A ``due`` that means: when something changes.
WHENEVER = 1e18

TABLES = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS reports (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at REAL NOT NULL,
    tag TEXT NOT NULL,
    node TEXT NOT NULL,
    source TEXT NOT NULL,
    rule TEXT NOT NULL,
    body TEXT NOT NULL,
    priority INTEGER NOT NULL,
    due REAL,                -- when to decide; NULL once nothing is left to decide
    observed INTEGER         -- what was known when it was last decided
);
CREATE INDEX IF NOT EXISTS reports_undecided ON reports (priority, id) WHERE due IS NOT NULL;
CREATE INDEX IF NOT EXISTS reports_due ON reports (due) WHERE due IS NOT NULL;
CREATE TABLE IF NOT EXISTS observed (id INTEGER PRIMARY KEY, at REAL NOT NULL, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS records (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at REAL NOT NULL,
    kind TEXT NOT NULL,
    report INTEGER,
    action INTEGER,
    body TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS records_report ON records (report) WHERE report IS NOT NULL;
CREATE INDEX IF NOT EXISTS records_action ON records (action, kind) WHERE action IS NOT NULL;
CREATE INDEX IF NOT EXISTS records_at ON records (at);
CREATE TABLE IF NOT EXISTS outboxes (
    node TEXT NOT NULL,
    epoch TEXT NOT NULL,
    upto INTEGER NOT NULL,   -- every number up to this one is known
    heard REAL NOT NULL,     -- when a report of this epoch last came in
    told INTEGER NOT NULL,   -- 0: the node waits to be told
    PRIMARY KEY (node, epoch)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS ahead (   -- numbers beyond a gap
    node TEXT NOT NULL, epoch TEXT NOT NULL, number INTEGER NOT NULL, at REAL NOT NULL,
    PRIMARY KEY (node, epoch, number)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS presence (
    node TEXT PRIMARY KEY,
    at REAL NOT NULL,
    clock REAL NOT NULL,     -- of the last sign of life, by the monotonic clock
    bad TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS rejected (
    id INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, tag TEXT NOT NULL, node TEXT NOT NULL,
    reason TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS counters (name TEXT PRIMARY KEY, count INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS notices (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    incident TEXT NOT NULL,
    target TEXT NOT NULL,
    payload TEXT NOT NULL,
    at REAL NOT NULL,
    due REAL,                -- when to try (again); NULL once it is delivered or given up
    tries INTEGER NOT NULL DEFAULT 0,
    ended REAL,
    why TEXT NOT NULL DEFAULT '',
    UNIQUE (incident, target)
);
CREATE INDEX IF NOT EXISTS notices_due ON notices (due) WHERE due IS NOT NULL;
"""


class JournalError(RuntimeError):
    """The journal cannot be used; the message says what to do."""


def connect(path: pathlib.Path) -> sqlite3.Connection:
    """A connection to the journal at ``path``, which is made when there is none.

    :raises JournalError: when the file is damaged or of a later Saltern.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        db = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None, check_same_thread=False)
    except sqlite3.OperationalError as exc:
        raise JournalError(f"{path}: {exc}") from exc
    db.row_factory = sqlite3.Row
    try:
        _prepare(db, path)
    except sqlite3.OperationalError as exc:
        db.close()
        raise JournalError(f"{path}: {exc}") from exc
    except sqlite3.DatabaseError as exc:
        db.close()
        raise JournalError(
            f"{path}: {exc}; next: stop salt-master, put a backup in its place (without -wal and "
            "-shm beside it) or move it away; a new one is made, and the scan finds what is wrong"
        ) from exc
    except JournalError:
        db.close()
        raise
    return db


def _prepare(db: sqlite3.Connection, path: pathlib.Path) -> None:
    [version] = db.execute("PRAGMA user_version").fetchone()
    if version > VERSION:
        raise JournalError(f"{path} is of a later Saltern (version {version}, not {VERSION})")
    if not version:
        db.execute("PRAGMA auto_vacuum=INCREMENTAL")
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=FULL")
    db.execute("PRAGMA journal_size_limit=16777216")
    if not version:
        db.execute("BEGIN IMMEDIATE")
        for statement in TABLES.split(";\n"):
            db.execute(statement)
        db.execute(f"PRAGMA user_version={VERSION}")
        db.execute("COMMIT")


class Database:
    """The file of the journal, for several threads of a process."""

    def __init__(self, path: pathlib.Path, clock: Callable[[], float] = time.time) -> None:
        self.path = path
        self.clock = clock
        self._db = connect(path)
        self._lock = threading.RLock()
        self._depth = 0

    def close(self) -> None:
        """Let go of the file; what is committed is in it."""
        with self._lock:
            self._db.close()

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Everything written within this is committed at once, or not at all."""
        with self._lock:
            if not self._depth:
                self._db.execute("BEGIN IMMEDIATE")
            self._depth += 1
            try:
                yield
            except BaseException:
                self._depth -= 1
                if not self._depth:
                    self._db.execute("ROLLBACK")
                raise
            self._depth -= 1
            if not self._depth:
                self._db.execute("COMMIT")

    def _rows(self, sql: str, *values: Any) -> list[Any]:
        with self._lock:
            return self._db.execute(sql, values).fetchall()

    def _write(self, sql: str, *values: Any) -> int:
        """Rows that ``sql`` changed."""
        with self.batch():
            return self._db.execute(sql, values).rowcount

    def count(self, **more: int) -> None:
        """Add to counters; they are made as they are needed."""
        with self.batch():
            self._db.executemany(
                "INSERT INTO counters VALUES (?, ?) ON CONFLICT (name)"
                " DO UPDATE SET count = count + excluded.count",
                list(more.items()),
            )

    def counters(self) -> dict[str, int]:
        """Everything that was counted since the journal was made."""
        return {row["name"]: row["count"] for row in self._rows("SELECT * FROM counters")}

    def meta(self, name: str) -> str | None:
        """A single value, such as ``epoch``, ``canary_fired`` or ``canary_back``."""
        rows = self._rows("SELECT value FROM meta WHERE name = ?", name)
        return str(rows[0]["value"]) if rows else None

    def set_meta(self, **values: str) -> None:
        """Set single values."""
        with self.batch():
            self._db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", list(values.items()))
