"""What the reactor goes by: the model and its rules, as their files say now."""

from __future__ import annotations

import logging
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import saltern_store
from saltern.cloud import Cloud
from saltern.reactor import rules as reading
from saltern.reactor.rules import Rule

log = logging.getLogger(__name__)

#: What a report of the worst rule waits for at most: those of its own severity that came before.
SEVERITIES = ("critical", "warning", "notice")
LANES = ("services", "joins", "checks")


class Book(NamedTuple):
    """One state of the files."""

    cloud: Cloud | None = None
    rules: Mapping[str, Rule] = {}
    faults: tuple[str, ...] = ()

    @property
    def settings(self) -> Mapping[str, Any]:
        """``reactor:`` of the model."""
        held: Mapping[str, Any] = self.cloud.model.get("reactor", {}) if self.cloud else {}
        return held

    @property
    def priorities(self) -> dict[str, int]:
        """Rule -> its rank: the severe ones first, then lane by lane."""
        return {
            name: SEVERITIES.index(rule.severity) * len(LANES) + LANES.index(rule.lane)
            for name, rule in self.rules.items()
        }


class Rulebook:
    """Reads the files again when they change. What is faulty stays as it was when it was good."""

    def __init__(self, store: saltern_store.Store) -> None:
        self._store = store
        self._stamp: Any = None
        self.book = Book()

    def look(self) -> bool:
        """Whether something is different from last time; :attr:`book` has it then."""
        cloud, found = self._store.examine()
        stamp = (id(cloud), found, _stamp(self._store.root / "reactor"))
        if stamp == self._stamp:
            return False
        self._stamp = stamp
        held = cloud or self.book.cloud
        texts = self._store.rules()
        rules, faults = reading.read(texts, reading.modes(held.model if held else {}))
        kept = {n: r for n, r in self.book.rules.items() if n in texts and n not in rules}
        faults = [*(f"model: {line}" for line in found), *faults]
        for line in faults:
            log.error("%s; what was good before stays in use", line)
        self.book = Book(held, {**rules, **kept}, tuple(faults))
        return True


def _stamp(folder: pathlib.Path) -> list[tuple[str, int, int]]:
    found = []
    for path in sorted(folder.glob("*.yaml")):
        try:
            stat = path.stat()
        except FileNotFoundError:  # it was removed meanwhile
            continue
        found.append((path.name, stat.st_mtime_ns, stat.st_size))
    return found
