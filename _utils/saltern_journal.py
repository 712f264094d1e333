"""The journal of the reactor: what was reported, what was decided about it, what came of it.

Nothing is acted on before it is here, and whatever is here survives a kill at any point. The
processes of the reactor share it, and people read it (``salt-run saltern.history``).
"""

from __future__ import annotations

import json
import pathlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import is_dataclass
from typing import Any

import saltern_journal_schema as schema
from saltern.reactor.terms import Observed, Rejected, Report, Status
from saltern_journal_notices import Notices
from saltern_journal_outboxes import Outboxes

#: A report, and the epoch and number that its node gave it; None for one of our own.
Entry = tuple[Report, str | None, int | None]

#: Kinds of records that are named by their own id, and the field that it goes into.
OWN_ID: Mapping[str, str] = {"decision": "decision", "began": "action", "paused": "pause"}

#: Rejections that are kept to be looked at; all of them are counted.
REJECTED_KEPT = 200

SECONDS_A_DAY = 86400


def path_of(cachedir: str) -> pathlib.Path:
    """Where the journal of the master with this ``cachedir`` lies."""
    return pathlib.Path(cachedir) / "saltern/reactor/journal.db"


class Journal(Outboxes, Notices):
    """One journal; its methods may be called from several threads."""

    # -- reports -----------------------------------------------------------------------------

    def add(self, reports: Sequence[Entry], priorities: Mapping[str, int] | None = None) -> int:
        """Keep ``reports``, in one commit; those that are known already fall out.

        priorities
            Rule -> its rank; the lowest is decided first.

        Returns how many of them are new.
        """
        ranks = priorities or {}
        now = self.clock()
        new = 0
        with self.batch():
            fresh = self.first_seen([(r.node, epoch, number) for r, epoch, number in reports], now)
            for (report, _, _), is_new in zip(reports, fresh, strict=True):
                if is_new:
                    new += 1
                    self._db.execute(
                        "INSERT INTO reports (at, tag, node, source, rule, body, priority, due)"
                        " VALUES (?, ?, ?, ?, ?, ?, ?, 0)",
                        (
                            now,
                            report.tag,
                            report.node,
                            report.source,
                            report.rule,
                            _dump(report.body),
                            ranks.get(report.rule, 0),
                        ),
                    )
            if new < len(reports):
                self.count(copies=len(reports) - new)
        return new

    def undecided(self, limit: int, now: float | None = None) -> list[Report]:
        """Reports that are due to be decided, the most urgent first, then the oldest."""
        return [
            _report(row)
            for row in self._rows(
                "SELECT * FROM reports WHERE due IS NOT NULL AND due <= ? ORDER BY priority, id"
                " LIMIT ?",
                self.clock() if now is None else now,
                limit,
            )
        ]

    def waiting(self) -> int:
        """How many reports are not decided for good."""
        return int(self._rows("SELECT count(*) FROM reports WHERE due IS NOT NULL")[0][0])

    def undecided_of(self, rule: str, limit: int) -> list[Report]:
        """Reports of ``rule`` that are not decided for good, due or not, the oldest first."""
        return [
            _report(row)
            for row in self._rows(
                "SELECT * FROM reports WHERE due IS NOT NULL AND rule = ? ORDER BY id LIMIT ?",
                rule,
                limit,
            )
        ]

    def next_due(self) -> float | None:
        """When the earliest undecided report is due; None when there is none with a time."""
        [(due,)] = self._rows("SELECT min(due) FROM reports WHERE due < ?", schema.WHENEVER)
        return None if due is None else float(due)

    def report(self, id_: int) -> Report | None:
        """The report with this id, if it is still kept."""
        rows = self._rows("SELECT * FROM reports WHERE id = ?", id_)
        return _report(rows[0]) if rows else None

    def reports(self, since: float = 0, node: str | None = None) -> Iterator[Report]:
        """Reports that came in after ``since``, the oldest first."""
        wanted = "SELECT * FROM reports WHERE at >= ? AND id > ? AND (? IS NULL OR node = ?)"
        last = 0
        while rows := self._rows(f"{wanted} ORDER BY id LIMIT 1000", since, last, node, node):
            yield from map(_report, rows)
            last = rows[-1]["id"]

    def decided(self, report: int, observed: int | None = None) -> None:
        """Nothing is left to decide about ``report``."""
        self._write("UPDATE reports SET due = NULL, observed = ? WHERE id = ?", observed, report)

    def again(self, report: int, at: float | None, observed: int | None = None) -> None:
        """Decide about ``report`` at ``at``; None: when something changes."""
        due = schema.WHENEVER if at is None else at
        self._write("UPDATE reports SET due = ?, observed = ? WHERE id = ?", due, observed, report)

    def stir(self) -> int:
        """Something has changed: what waited for that is due. Returns how many reports that is."""
        return self._write("UPDATE reports SET due = 0 WHERE due >= ?", schema.WHENEVER)

    def forget_report(self, report: int) -> None:
        """Drop a report that nobody will ask about (the canary's)."""
        self._write("DELETE FROM reports WHERE id = ?", report)

    # -- what was known ----------------------------------------------------------------------

    def keep_observed(self, observed: Observed) -> int:
        """Keep what is known now; the id is given to what is decided with it."""
        with self.batch():
            body = _dump(observed)
            done = self._db.execute(
                "INSERT INTO observed (at, body) VALUES (?, ?)", (self.clock(), body)
            )
            return int(done.lastrowid or 0)

    def observed(self, report: int) -> Observed | None:
        """What ``report`` was last decided with."""
        rows = self._rows(
            "SELECT o.body FROM observed o JOIN reports r ON r.observed = o.id WHERE r.id = ?",
            report,
        )
        return _observed(json.loads(rows[0]["body"])) if rows else None

    # -- records -----------------------------------------------------------------------------

    def record(self, kind: str, **fields: Any) -> int:
        """Write down what happened; returns its id, by which later records name it."""
        action = fields.get("action")
        with self.batch():
            at = fields.pop("at", None) or self.clock()
            done = self._db.execute(
                "INSERT INTO records (at, kind, report, action, body) VALUES (?, ?, ?, ?, ?)",
                (at, kind, fields.get("report"), action, _dump(fields)),
            )
            id_ = int(done.lastrowid or 0)
            if kind == "began":
                self._db.execute("UPDATE records SET action = ? WHERE id = ?", (id_, id_))
        return id_

    def records(
        self, since: int = 0, *, after: float = 0, report: int | None = None
    ) -> Iterator[dict[str, Any]]:
        """Records with an id above ``since`` and not older than ``after``, in their order."""
        wanted = "SELECT * FROM records WHERE id > ? AND at >= ? AND (? IS NULL OR report = ?)"
        last = since
        while rows := self._rows(f"{wanted} ORDER BY id LIMIT 1000", last, after, report, report):
            yield from map(_record, rows)
            last = rows[-1]["id"]

    def unfinished(self) -> list[dict[str, Any]]:
        """Actions that began and have not ended: running, or cut off by a restart."""
        return [
            _record(row)
            for row in self._rows(
                "SELECT * FROM records b WHERE kind = 'began' AND NOT EXISTS (SELECT 1 FROM records"
                " e WHERE e.action = b.id AND e.kind = 'ended') ORDER BY id"
            )
        ]

    # -- rejections and counters -------------------------------------------------------------

    def reject(self, *rejected: Rejected) -> None:
        """Count events that nobody may look at, and keep the last of them."""
        if not rejected:
            return
        with self.batch():
            self.count(rejected=len(rejected))
            self._db.executemany(
                "INSERT INTO rejected (at, tag, node, reason) VALUES (?, ?, ?, ?)",
                [
                    (self.clock(), _plain(r.tag), _plain(r.node), _plain(r.reason))
                    for r in rejected[-REJECTED_KEPT:]
                ],
            )
            self._db.execute(
                "DELETE FROM rejected WHERE id <= (SELECT max(id) FROM rejected) - ?",
                (REJECTED_KEPT,),
            )

    def rejections(self) -> list[dict[str, Any]]:
        """The last rejected events, the newest first."""
        rows = self._rows("SELECT at, tag, node, reason FROM rejected ORDER BY id DESC")
        return [dict(row) for row in rows]

    # -- the engine itself -------------------------------------------------------------------

    def next_epoch(self) -> int:
        """A fencing epoch that is higher than every one before it, also before a lost journal."""
        with self.batch():
            epoch = max(int(self.meta("epoch") or 0) + 1, int(self.clock()))
            self.set_meta(epoch=str(epoch))
        return epoch

    def prune(self, before: float) -> int:
        """Forget what is older than ``before`` and done with. Returns how many rows that were."""
        with self.batch():
            gone = sum(
                self._write(sql, before)
                for sql in (
                    "DELETE FROM reports WHERE at < ? AND due IS NULL",
                    "DELETE FROM records WHERE at < ? AND NOT (kind = 'began' AND NOT EXISTS"
                    " (SELECT 1 FROM records e WHERE e.action = records.id AND e.kind = 'ended'))"
                    " AND kind != 'paused'",
                    "DELETE FROM records WHERE kind = 'paused'"
                    " AND json_extract(body, '$.until') < ?",
                    "DELETE FROM observed WHERE at < ?"
                    " AND id NOT IN (SELECT observed FROM reports WHERE observed IS NOT NULL)",
                    "DELETE FROM notices WHERE at < ? AND due IS NULL",
                )
            )
        with self._lock:
            self._db.execute("PRAGMA incremental_vacuum(2000)").fetchall()
        return gone


# -- to and from JSON ------------------------------------------------------------------------


def _dump(value: Any) -> str:
    return json.dumps(value, default=_default, ensure_ascii=True, separators=(",", ":"))


def _default(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {name: getattr(value, name) for name in value.__dataclass_fields__}
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Iterable):
        return sorted(value)
    raise TypeError(f"no JSON for {type(value).__name__}")


def _plain(text: str) -> str:
    """What SQLite can hold: no half of a surrogate pair, nothing long."""
    return text[:300].encode("utf-8", "replace").decode()


def _report(row: Any) -> Report:
    return Report(
        id=row["id"],
        at=row["at"],
        tag=row["tag"],
        node=row["node"],
        source=row["source"],
        rule=row["rule"],
        body=json.loads(row["body"]),
    )


def _record(row: Any) -> dict[str, Any]:
    record = {"id": row["id"], "at": row["at"], "kind": row["kind"], **json.loads(row["body"])}
    if row["kind"] in OWN_ID:
        record.setdefault(OWN_ID[row["kind"]], row["id"])
    return record


def _observed(held: Mapping[str, Any]) -> Observed:
    return Observed(
        accepted=frozenset(held["accepted"]),
        answering=held["answering"],
        services={
            node: {name: Status(**status) for name, status in services.items()}
            for node, services in held["services"].items()
        },
        joined=frozenset(held["joined"]),
        busy=held["busy"],
    )
