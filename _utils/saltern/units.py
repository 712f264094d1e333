"""What systemd says about units, and what follows from it: up, failed, or older than its files."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

#: Everything we ever ask about a unit: one ``systemctl show`` answers for all units at once.
PROPERTIES = (
    "LoadState",
    "UnitFileState",
    "ActiveState",
    "SubState",
    "Type",
    "Result",
    "NRestarts",
    "MainPID",
    "NeedDaemonReload",
    "Job",
    "ExecMainStartTimestamp",
    "ActiveEnterTimestamp",
)

#: The command; the units follow. Microseconds, because a file is written just before a start.
SHOW = ("systemctl", "show", "--timestamp=us+utc", "--property", ",".join(PROPERTIES), "--")

#: A process that systemd calls active as soon as it is forked must live this long to count as up.
SETTLE = 0.4

#: systemd's own restarts after which a start is given up instead of watched until the timeout.
RESTARTS_TOLERATED = 3

#: Types whose ``active`` means that the process has said so itself.
_SPEAKING_TYPES = frozenset({"notify", "notify-reload", "forking", "dbus", "oneshot"})

#: Unit file states that start at boot, or for which enabling means nothing. A ``generated`` unit
#: (an init script's) is none of them: enabling makes systemd read the real unit file beside it.
_ENABLED = frozenset({"enabled", "static", "alias", "indirect"})

_SUFFIXES = (".service", ".socket", ".target", ".timer", ".mount", ".path")

_SECRETS = (
    (re.compile(r"([/,][^:/@,\s]+:)[^@\s,]+@"), r"\1***@"),
    (
        re.compile(r"(?i)\b(\w*(?:password|passwd|secret|token|cookie)\w*['\"]?\s*[=:]\s*)\S+"),
        r"\1***",
    ),
)


@dataclass(frozen=True)
class Unit:
    """One unit as systemd sees it now."""

    name: str
    load: str  # loaded, not-found, masked, bad-setting, error
    file_state: str  # enabled, disabled, masked, static, ...; empty without a file
    active: str  # active, activating, reloading, deactivating, inactive, failed
    sub: str  # running, exited, auto-restart, dead, ...
    type: str
    result: str  # success, exit-code, signal, start-limit-hit, ...
    restarts: int  # by systemd itself, since somebody started it on purpose
    pid: int
    queued: bool  # systemd still has a job for it
    needs_reload: bool  # its files on disk are newer than what systemd has read
    started: float | None  # seconds since the epoch, of the main process where there is one

    @property
    def exists(self) -> bool:
        return self.load != "not-found"

    @property
    def masked(self) -> bool:
        return self.load == "masked" or self.file_state.startswith("masked")

    @property
    def enabled(self) -> bool:
        return not self.masked and self.file_state in _ENABLED

    @property
    def up(self) -> bool:
        return self.active in ("active", "reloading")

    @property
    def coming(self) -> bool:
        """Up, on its way up, or about to be."""
        return self.up or self.active == "activating" or self.queued

    def shown(self) -> dict[str, Any]:
        """As plain data, with what follows from it."""
        return {
            "active": self.active,
            "sub": self.sub,
            "exists": self.exists,
            "up": self.up,
            "coming": self.coming,
            "enabled": self.enabled,
            "masked": self.masked,
            "needs_reload": self.needs_reload,
            "restarts": self.restarts,
            "pid": self.pid,
            "started": self.started,
            "summary": describe(self),
        }


def full_name(name: str) -> str:
    """``keystone`` -> ``keystone.service``; a name that says its type is left alone."""
    return name if name.endswith(_SUFFIXES) else f"{name}.service"


def parse_show(units: Sequence[str], text: str) -> dict[str, Unit]:
    """What ``systemctl show`` printed for ``units``: blocks in the order in which they were asked.

    :raises ValueError: when systemd did not answer for every unit.
    """
    blocks = [
        dict(line.partition("=")[::2] for line in block.splitlines())
        for block in text.strip().split("\n\n")
    ]
    if len(blocks) != len(units) or (units and not blocks[0]):
        raise ValueError(f"systemctl show answered for {len(blocks)} of {len(units)} units")
    return {name: _unit(name, block) for name, block in zip(units, blocks, strict=True)}


def _unit(name: str, said: Mapping[str, str]) -> Unit:
    stamp = said.get("ExecMainStartTimestamp") or said.get("ActiveEnterTimestamp", "")
    return Unit(
        name=name,
        load=said.get("LoadState", ""),
        file_state=said.get("UnitFileState", ""),
        active=said.get("ActiveState", ""),
        sub=said.get("SubState", ""),
        type=said.get("Type", ""),
        result=said.get("Result", ""),
        restarts=int(said.get("NRestarts") or 0),
        pid=int(said.get("MainPID") or 0),
        queued=bool(int(said.get("Job") or 0)),
        needs_reload=said.get("NeedDaemonReload") == "yes",
        started=parse_timestamp(stamp),
    )


def parse_timestamp(text: str) -> float | None:
    """Seconds since the epoch of ``Sun 2026-11-22 10:41:03.123456 UTC``; None when unset."""
    if text in ("", "n/a", "0"):
        return None
    _weekday, day, time, _zone = text.split()
    return datetime.fromisoformat(f"{day} {time}").replace(tzinfo=UTC).timestamp()


def progress(unit: Unit, now: float) -> str:
    """How a start is going: ``up``, ``failed`` or ``waiting``."""
    if unit.load in ("not-found", "bad-setting", "error", "masked") or unit.active == "failed":
        return "failed"
    if unit.restarts >= RESTARTS_TOLERATED:
        return "failed"
    if not unit.up:
        return "waiting"
    if unit.type in _SPEAKING_TYPES or unit.started is None or now - unit.started >= SETTLE:
        return "up"
    return "waiting"


def describe(unit: Unit) -> str:
    """What is wrong with it, in short: ``activating (auto-restart), exit-code, restarted ...``."""
    if not unit.exists:
        return "no such unit"
    if unit.masked:
        return "masked"
    if unit.load not in ("loaded", ""):
        return f"its unit file is unusable ({unit.load})"
    words = [f"{unit.active} ({unit.sub})" if unit.sub else unit.active]
    if unit.result not in ("success", ""):
        words.append(unit.result)
    if unit.restarts:
        words.append(f"restarted {unit.restarts} times by systemd")
    return ", ".join(words)


def newer(mtimes: Mapping[str, float], started: float | None) -> list[str]:
    """Files changed since a process ``started``; none for a process that does not run."""
    return [] if started is None else sorted(f for f, at in mtimes.items() if at > started)


def scrub(lines: Iterable[str]) -> list[str]:
    """Log lines without passwords: what services print on their way down often quotes them."""
    clean = []
    for line in lines:
        for pattern, replacement in _SECRETS:
            line = pattern.sub(replacement, line)
        clean.append(line)
    return clean
