"""Saltern's reactor beside stock Salt's, in one run: ``python -m bench.reactor [OPTIONS]``."""

from __future__ import annotations

import argparse
import math
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from bench import harness, reactor_load, reactor_site
from bench.harness import Row, percentile
from bench.idle import PROC, resident
from bench.reactor_load import Came, Load, Ours, Stock

TITLE = "the reactor"
EVENTS = 15_000
#: Of so many events of the burst one is critical. A node acts on one at a time, and takes a second.
CRITICAL_EVERY = 1_500
#: Of a sustained load: seconds, and reports per second: what Salt's bus takes from one sender.
LENGTH, LONG, RATE = 60, 600, 950
#: Events of the burst in which engines are killed, per second, and how often.
BURST, PACE, KILLS = 400, 100, 4
IDLE, REST = 50, 20
MIB = 2**20


@dataclass
class Measured:
    """Everything about one reactor."""

    idle: list[float] = field(default_factory=list)
    burst: Came | None = None
    per_second: float = 0.0
    killed: Came | None = None
    kills: int = 0
    sustained: Came | None = None
    fired_per_second: float = 0.0
    loaded: float = 0.0  # MiB at the end of the sustained load
    processor: float = 0.0  # percent of a core at rest
    memory: float = 0.0  # MiB at rest


def ticks(pid: int) -> int:
    """Processor time of a process in clock ticks."""
    fields = (PROC / f"{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def engines(load: Load) -> list[int]:
    """Pids of the reactor's processes.

    :raises RuntimeError: when there are none: nothing would be measured, and look like little.
    """
    pids = load.site.engines()
    if not pids:
        raise RuntimeError("the reactor does not run any more")
    return pids


def cost(load: Load, seconds: float) -> tuple[float, float]:
    """Percent of a core and MiB of the reactor's processes, over ``seconds``."""
    pids = engines(load)
    before = sum(map(ticks, pids))
    time.sleep(seconds)  # the measurement itself: what is used in so many seconds
    used = sum(map(ticks, pids)) - before
    return 100 * used / os.sysconf("SC_CLK_TCK") / seconds, memory(load)


def memory(load: Load) -> float:
    """MiB of the reactor's processes; what several share is divided among them."""
    rollups = [(PROC / f"{pid}/smaps_rollup").read_text() for pid in engines(load)]
    return sum(map(resident, rollups)) / MIB


@contextmanager
def killer(load: Load, kills: int, within: float) -> Iterator[list[int]]:
    """kill -9 of one of the reactor's processes, at random moments of the next seconds.

    Yields the pids that were killed; at a moment at which none runs there is nothing to kill.
    """
    chance = random.Random(11)  # noqa: S311 - the same moments in every run
    moments = sorted(chance.uniform(0.1, within) for _ in range(kills))
    ended = threading.Event()
    killed: list[int] = []

    def work() -> None:
        began = time.monotonic()
        for moment in moments:
            if ended.wait(max(0.0, began + moment - time.monotonic())):
                return
            if pids := load.site.engines():
                killed.append(chance.choice(pids))
                with suppress(ProcessLookupError):
                    os.kill(killed[-1], signal.SIGKILL)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield killed
    finally:
        ended.set()
        thread.join()


def one_by_one(load: Load, count: int) -> list[float]:
    """Seconds from an event to the beginning of its action on the minion, nothing else going on."""
    found = []
    for _ in range(count):
        shots = load.shots(0, 1)
        came = reactor_load.outcome(load, shots, reactor_load.fire(load, shots))
        found += came.critical
        time.sleep(0.3)  # the action ends
    return found


def measured(load: Load, options: argparse.Namespace) -> Measured:
    """All measurements of one reactor, the quiet ones first."""
    found = Measured()
    one_by_one(load, 2)  # the first loads what it needs
    found.processor, found.memory = cost(load, options.rest)
    harness.console.print(f"{type(load).__name__}: {options.idle} events one by one")
    found.idle = one_by_one(load, options.idle)
    harness.console.print(f"{type(load).__name__}: a burst of {options.events} events")
    since = time.time()
    shots = load.shots(options.events, critical_of(options.events))
    found.burst = reactor_load.outcome(load, shots, reactor_load.fire(load, shots))
    found.per_second = rate_of(load, since)
    harness.console.print(f"{type(load).__name__}: {BURST} events, {options.kills} kills")
    shots = load.shots(BURST, 0)
    with killer(load, options.kills, BURST / PACE) as killed:
        fired = reactor_load.fire(load, shots, PACE)
    found.kills = len(killed)
    found.killed = reactor_load.outcome(load, shots, fired)
    if isinstance(load, Ours):
        rate = options.rate
        harness.console.print(f"Ours: {rate} reports a second for {options.length} s")
        began = time.monotonic()
        shots = load.shots(options.length * rate, 0)
        fired = reactor_load.fire(load, shots, rate)
        found.fired_per_second = len(shots) / (time.monotonic() - began)
        found.loaded = memory(load)
        found.sustained = reactor_load.outcome(load, shots, fired)
    return found


def critical_of(events: int) -> int:
    """How many critical ones there are in a burst."""
    return max(1, events // CRITICAL_EVERY)


def rate_of(load: Load, since: float) -> float:
    """Decisions or reactions per second since then, from the first of them to the last."""
    times = [at for at in load.times() if at >= since]
    return len(times) / max(times[-1] - times[0], 0.1) if times else 0.0


def rows(ours: Measured, stock: Measured | None, options: argparse.Namespace) -> list[Row]:
    """The table: ours measured, the target, and stock Salt's beside it."""

    def beside(text: str) -> str:
        return f"stock: {text}" if stock else ""

    def late(values: Sequence[float], share: float) -> float:
        return 1000 * percentile(values, share) if values else math.inf

    def shown(values: Sequence[float], share: float) -> str:
        return f"{late(values, share):.0f} ms" if values else "none"

    assert ours.burst and ours.killed and ours.sustained
    theirs = stock or Measured()
    critical = critical_of(options.events)
    burst, killed = theirs.burst, theirs.killed
    return [
        Row(f"burst of {options.events}: lost", ours.burst.lost, "events", 0,
            beside(f"{burst.lost}" if burst else "")),
        Row(f"{critical} critical ones among them: not acted on", ours.burst.unacted, "", 0,
            beside(f"{burst.unacted}" if burst else "")),
        Row("those acted on: event -> action, p99", late(ours.burst.critical, 0.99), "ms", 2000,
            beside(shown(burst.critical, 0.99) if burst else "")),
        Row("decided and journaled in the burst", ours.per_second, "per s", 1000,
            beside(f"{theirs.per_second:.0f} reactions per s"), at_least=True),
        Row(f"{ours.kills} x kill -9 in {BURST} events: lost", ours.killed.lost, "events", 0,
            beside(f"{killed.lost} ({theirs.kills} kills)" if killed else "")),
        Row("the same: done twice", ours.killed.doubled + ours.killed.acted_twice, "events", 0,
            beside(f"{killed.doubled}" if killed else "")),
        Row(f"idle: event -> action on the minion, p50 of {len(ours.idle)}",
            late(ours.idle, 0.5), "ms", 50, beside(shown(theirs.idle, 0.5))),
        Row("the same, p99", late(ours.idle, 0.99), "ms", 300,
            beside(shown(theirs.idle, 0.99))),
        Row(f"{options.length * options.rate} reports, {ours.fired_per_second:.0f} per s: lost",
            ours.sustained.lost, "events", 0),
        Row("the same: memory of the engines (PSS)", ours.loaded, "MiB", 300),
        Row("engines at rest: processor", ours.processor, "% of a core", 1,
            beside(f"{theirs.processor:.1f} %")),
        Row("engines at rest: memory (PSS)", ours.memory, "MiB", 120,
            beside(f"{theirs.memory:.0f} MiB")),
    ]  # fmt: skip


def measure(options: argparse.Namespace) -> None:
    """Print the table."""
    stock = None
    if not options.ours:
        with reactor_site.stock() as site:
            stock = measured(Stock(site), options)
    with reactor_site.ours() as site:
        load = Ours(site)
        ours = measured(load, options)
        load.close()
    harness.show(
        f"{TITLE}: one master, one minion, both on this machine", rows(ours, stock, options)
    )


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(prog="bench.reactor", description=__doc__)
    parser.add_argument("--events", type=int, default=EVENTS, help="of the burst")
    parser.add_argument("--length", type=int, default=LENGTH, help="of the sustained load, seconds")
    parser.add_argument("--long", dest="length", action="store_const", const=LONG)
    parser.add_argument("--rate", type=int, default=RATE, help="of the sustained load, per second")
    parser.add_argument("--idle", type=int, default=IDLE, help="events one by one")
    parser.add_argument("--kills", type=int, default=KILLS, help="of engines")
    parser.add_argument("--rest", type=int, default=REST, help="seconds at rest")
    parser.add_argument("--ours", action="store_true", help="without stock Salt's")
    return parser.parse_args(words)


if __name__ == "__main__":
    found = arguments()
    sys.exit(harness.run(TITLE, lambda: measure(found)))
