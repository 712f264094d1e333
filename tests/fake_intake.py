"""A bus with events on it, and the reader that takes them into a journal."""

from __future__ import annotations

import pathlib
from collections.abc import Iterable
from typing import Any

from fake_reactor import NODES, FakeRulebook
from saltern.reactor import outbox
from saltern_intake import Intake
from saltern_journal import Journal
from saltern_keys import AcceptedKeys

#: Of every node's outbox here.
EPOCH = "ab12"


class FakeBus:
    """Gives what it holds; then nothing, once."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.waits: list[float] = []

    def get_event(self, wait: float, full: bool) -> Any:
        assert full
        self.waits.append(wait)
        return self.events.pop(0) if self.events else None


class Rig:
    def __init__(self, home: pathlib.Path) -> None:
        (home / "minions").mkdir()
        for node in NODES:
            (home / "minions" / node).touch()
        self.home = home
        self.journal = Journal(home / "journal.db")
        self.journal.prove(dict.fromkeys(NODES, outbox.digest(EPOCH)))
        self.bus = FakeBus()
        self.woken = 0
        self.now = 100.0
        self.rulebook = FakeRulebook()
        self.rulebook.next = self.rulebook.book
        self.intake = Intake(
            self.journal,
            self.rulebook,  # type: ignore[arg-type]
            AcceptedKeys(str(home)),
            self._wake,
            lambda: self.now,
        )

    def _wake(self) -> None:
        self.woken += 1

    def take(self, events: Iterable[tuple[str, Any]]) -> None:
        self.bus.events += [{"tag": tag, "data": data} for tag, data in events]
        while self.bus.events:
            self.intake.turn(self.bus)


def sent(node: str, kind: str = "service", **body: Any) -> tuple[str, dict[str, Any]]:
    raw = {"id": node, "tag": f"saltern/node/{node}/{kind}", "data": body, "cmd": "_minion_event"}
    return f"saltern/node/{node}/{kind}", raw


def beat(node: str, **body: Any) -> tuple[str, dict[str, Any]]:
    return sent(node, "beat", **{"bad": {}, "epoch": EPOCH, **body})


def down(node: str = "ctl1", number: int | None = None, **more: Any) -> tuple[str, dict[str, Any]]:
    numbering: dict[str, Any] = {} if number is None else {"epoch": EPOCH, "number": number}
    return sent(node, service="api", status="down", **numbering, **more)


def together(node: str, *reports: Any, **more: Any) -> tuple[str, dict[str, Any]]:
    return sent(node, "reports", **{"epoch": "ab12", "reports": list(reports), **more})


def one(number: int, kind: str = "service", **more: Any) -> dict[str, Any]:
    return {"kind": kind, "number": number, "service": "api", "status": "down", **more}
