"""What the journal says, for people: which events came in, what was decided, what came of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from saltern import schema
from saltern.cloud import Cloud
from saltern.reactor.history import fault_of
from saltern.reactor.terms import Decision, Fault, Report
from saltern.reactor.wording import Clock, duration, fault, plain

Record = Mapping[str, Any]

WIDTH = 118
#: Verdicts that are shown only when they are asked for.
QUIET = frozenset({"ignore"})
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
#: Parts of a scope, in the order in which they are written.
PARTS = ("role", "node", "service")
LONGEST_PAUSE = 7 * 86400


@dataclass
class Action:
    """One operation, and what it came to."""

    operation: str
    began: float
    ended: float | None = None
    ok: bool | None = None  # None while it runs
    detail: str = ""

    @property
    def result(self) -> str:
        """In a word or two."""
        if self.ended is None:
            return "running"
        took = duration(self.ended - self.began)
        return f"{'ok' if self.ok else 'FAILED'} after {took}"


@dataclass
class Entry:
    """One decision, with what was done because of it."""

    id: int
    at: float
    report: int
    rule: str
    fault: Fault
    verdict: str
    operation: str
    reasons: tuple[str, ...]
    again_at: float | None = None
    actions: list[Action] = field(default_factory=list)

    def line(self, clock: Clock) -> str:
        """On one line of a screen."""
        text = f"{clock(self.at)} #{self.report} {fault(self.fault)}: {self.verdict}"
        text += f" {self.operation}" if self.operation else ""
        if self.actions:
            text += "".join(f", {one.result} {one.detail}".rstrip() for one in self.actions)
        elif self.reasons:
            text += f": {self.reasons[0]}"
        return plain(text, WIDTH)

    def data(self, clock: Clock) -> dict[str, Any]:
        """For a program."""
        return {
            **asdict(self),
            "at": clock(self.at),
            "again_at": None if self.again_at is None else clock(self.again_at),
            "fault": fault(self.fault),
            "node": self.fault.node,
            "reasons": list(self.reasons),
            "actions": [
                {**asdict(one), "began": clock(one.began), "ended": _time(one.ended, clock)}
                for one in self.actions
            ],
        }


def _time(at: float | None, clock: Clock) -> str | None:
    return None if at is None else clock(at)


def entries(records: Iterable[Record]) -> list[Entry]:
    """Every decision in ``records``, the oldest first; what belongs to none is left out."""
    found: dict[int, Entry] = {}
    actions: dict[int, Action] = {}
    for record in records:
        if record["kind"] == "decision":
            found[record["decision"]] = Entry(
                record["decision"],
                record["at"],
                record["report"],
                record["rule"],
                fault_of(record["fault"]),
                record["verdict"],
                record["operation"],
                tuple(record["reasons"]),
                record.get("again_at"),
            )
        elif record["kind"] == "began":
            actions[record["action"]] = action = Action(record["operation"], record["at"])
            if record["decision"] in found:
                found[record["decision"]].actions.append(action)
        elif record["kind"] == "ended" and record["action"] in actions:
            action = actions[record["action"]]
            action.ended, action.ok, action.detail = record["at"], record["ok"], record["detail"]
    return list(found.values())


def story(report: Report, records: Iterable[Record], clock: Clock) -> list[str]:
    """Everything about one report, for a screen."""
    mine = [entry for entry in entries(records) if entry.report == report.id]
    said = ", ".join(f"{key}={value}" for key, value in report.body.items())
    lines = [
        f"#{report.id}  {plain(report.tag)}  from {plain(report.node) or 'the master'}",
        f"  {clock(report.at)}  journaled: {plain(said) or 'nothing more'}",
    ]
    if not mine:
        lines.append("  not decided yet, or too long ago to be kept")
    for entry in mine:
        what = f"{entry.verdict} {entry.operation}".strip()
        later = f", +{duration(max(0.0, entry.at - report.at))}"
        lines.append(f"  {clock(entry.at)}  {entry.rule}{later}: {what}")
        lines += [f"    because: {plain(reason)}" for reason in entry.reasons]
        if entry.again_at is not None:
            lines.append(f"    again at {clock(entry.again_at)}")
        for action in entry.actions:
            lines.append(f"  {clock(action.began)}  {action.operation} began")
            if action.ended is not None:
                detail = f": {plain(action.detail)}" if action.detail else ""
                lines.append(f"  {clock(action.ended)}  {action.operation} {action.result}{detail}")
    return lines


# -- pauses ---------------------------------------------------------------------------------------


def scope(text: str, cloud: Cloud) -> str:
    """``text`` in the one way a scope is written: ``cloud``, ``node=ctl1,service=keystone``.

    :raises ValueError: saying what is wrong with it.
    """
    if text.strip() == "cloud":
        return "cloud"
    parts: dict[str, str] = {}
    for part in text.split(","):
        key, found, value = (word.strip() for word in part.partition("="))
        if key not in PARTS or not found or not value or key in parts:
            raise ValueError(
                f"{schema.shown(text)} is no scope: cloud, or role=, node=, service= "
                "(several with commas between them)"
            )
        parts[key] = value
    known = {
        "role": sorted({role for n in cloud.nodes for role in cloud.model["nodes"][n]["roles"]}),
        "node": cloud.nodes,
        "service": list(cloud.catalog),
    }
    for key, value in parts.items():
        if value not in known[key]:
            hint = schema.guess(value, known[key])
            raise ValueError(f"the cloud has no {key} {schema.shown(value)}{hint}")
    return ",".join(f"{key}={parts[key]}" for key in PARTS if key in parts)


def pauses(records: Iterable[Record], now: float) -> list[Record]:
    """Pauses that hold now, the oldest first."""
    held: dict[Any, Record] = {}
    for record in records:
        if record["kind"] == "paused" and record["until"] > now:
            held[record["pause"]] = record
        elif record["kind"] == "resumed":
            held.pop(record["pause"], None)
    return list(held.values())


def seconds(text: str) -> float | None:
    """``90s``, ``30m``, ``24h``, ``7d`` in seconds; ``None`` for anything else."""
    found = re.fullmatch(r"\s*(\d{1,9})\s*([smhd])\s*", text)
    return int(found.group(1)) * UNITS[found.group(2)] if found else None


# -- what would be different ----------------------------------------------------------------------


def difference(entry: Entry, now: Decision | None) -> str:
    """How ``now`` differs from what was decided then; empty where it does not."""
    then = f"{entry.verdict} {entry.operation}".strip()
    would = "nothing: there is no such rule any more"
    if now is not None:
        would = f"{now.verdict} {now.operation}".strip()
        if would == then:
            return ""
    why = f" ({now.reasons[0]})" if now and now.reasons else ""
    return plain(f"#{entry.report} {fault(entry.fault)}: was {then}, would be {would}{why}")


def last_of_each(found: Sequence[Entry]) -> list[Entry]:
    """The last decision about each report: what was known is kept of that one."""
    return list({entry.report: entry for entry in found}.values())
