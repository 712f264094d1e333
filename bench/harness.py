"""What every benchmark shares: rounds, percentiles, a table of targets and measurements."""

from __future__ import annotations

import math
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from lab import podman
from lab.model import MASTER

#: Tables are wider than what a pipe or a CI log claims to be.
console = Console(highlight=False, width=None if sys.stdout.isatty() else 140)


class Skipped(RuntimeError):
    """This benchmark cannot run here; the message says what it needs."""


@dataclass(frozen=True)
class Row:
    """One measurement, the most (or least) that it may be, and what it stands beside."""

    what: str
    measured: float  # an int where it was counted
    unit: str = "s"
    target: float | None = None
    beside: str = ""  # what a user would pick instead, and its figure
    at_least: bool = False  # more is better

    @property
    def verdict(self) -> str:
        """``ok`` or ``MISSED``; empty without a target."""
        if self.target is None:
            return ""
        kept = self.measured >= self.target if self.at_least else self.measured <= self.target
        return "ok" if kept else "MISSED"


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest of ``values`` that at least ``share`` (0 to 1) of them do not exceed.

    :raises ValueError: when there are none.
    """
    if not values:
        raise ValueError("no values")
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def median(values: Sequence[float]) -> float:
    """The middle of ``values``."""
    return percentile(values, 0.5)


def seconds(action: Callable[[], object]) -> float:
    """How long ``action`` takes."""
    began = time.monotonic()
    action()
    return time.monotonic() - began


def processor_seconds(action: Callable[[], object]) -> float:
    """How long ``action`` keeps this process busy, whatever else the machine does meanwhile."""
    began = time.process_time()
    action()
    return time.process_time() - began


def interleaved(
    actions: Mapping[str, Callable[[], object]],
    rounds: int,
    clock: Callable[[Callable[[], object]], float] = seconds,
) -> dict[str, list[float]]:
    """Seconds of each action in each round.

    All actions run in every round and the first of a round is another one each time, so that what
    else the machine does falls on all of them alike.
    """
    names = list(actions)
    found: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        turn = number % len(names)
        for name in [*names[turn:], *names[:turn]]:
            found[name].append(clock(actions[name]))
    return found


def figure(value: float, unit: str) -> str:
    """``value`` with three digits that count; a whole number as it is."""
    if isinstance(value, int):
        return f"{value} {unit}".strip()
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3
    return f"{value:.{digits}f} {unit}".strip()


def table(title: str, rows: Sequence[Row]) -> Table:
    """``rows`` for people; columns that nobody fills are left out."""
    shown = Table(title=title, title_justify="left", box=None, pad_edge=False)
    shown.add_column("what")
    shown.add_column("measured", justify="right")
    judged, compared = any(r.target is not None for r in rows), any(r.beside for r in rows)
    if judged:
        shown.add_column("target", justify="right")
        shown.add_column("")
    if compared:
        shown.add_column("beside it")
    for row in rows:
        cells = [row.what, figure(row.measured, row.unit)]
        if judged:
            sign = ">=" if row.at_least else "<="
            limit = "" if row.target is None else f"{sign} {figure(row.target, row.unit)}"
            cells += [limit, row.verdict]
        shown.add_row(*cells, *([row.beside] if compared else []))
    return shown


def show(title: str, rows: Sequence[Row]) -> None:
    """Print ``rows`` as a table."""
    console.print()
    console.print(table(title, rows))


def need_lab() -> list[str]:
    """The machines of the lab, all of them running.

    :raises Skipped: when the lab is not up.
    """
    try:
        there = podman.machines()
    except (OSError, RuntimeError) as exc:
        raise Skipped(f"podman lists no machines ({type(exc).__name__})") from exc
    if there.get(MASTER, {}).get("state") != "running":
        raise Skipped("the lab is not up (sudo make demo)")
    return [name for name, machine in there.items() if machine["state"] == "running"]


def on_master(*command: str, timeout: float = 120) -> str:
    """What ``command`` prints on the master, whatever its exit code says about the cloud."""
    return podman.attempt(MASTER, *command, timeout=timeout)


def run(title: str, body: Callable[[], object]) -> int:
    """Run one benchmark; returns the exit code. One that cannot run here says so and is no failure.

    A target that is missed is told in the table and is no failure either: how fast a machine is
    belongs into no test.
    """
    try:
        body()
    except Skipped as exc:
        console.print(f"\n{title}: skipped: {exc}", markup=False)
    except (RuntimeError, subprocess.SubprocessError) as exc:
        print(f"\n{title}: {exc}", file=sys.stderr)
        return 1
    return 0
