"""Storms of reports, and the reactor killed in one: none is lost, none counts twice."""

from __future__ import annotations

import random
import time

import pytest
import saltern_watchdog
from labkit import commands, faults, reactor, storm

from lab import podman

pytestmark = [pytest.mark.lab, pytest.mark.faults, pytest.mark.usefixtures("quiet")]

CONTROLLERS = ("ctl2", "ctl1", "ctl3")
#: Events on the master's bus, and reports that each controller sends by its minion besides:
#: 15,000 in all.
BURST, EACH = 12_000, 1000
PATIENCE = 240  # seconds until all of a storm must be acknowledged
HEALED = 60


def test_f04_a_reactor_that_is_killed_loses_nothing() -> None:
    chance = random.Random()  # noqa: S311 - any moment
    seconds = []
    for run in range(faults.RUNS):
        if run:  # what dies again and again is started more and more slowly
            time.sleep(saltern_watchdog.STABLE)
        number = reactor.last_event()
        reports = storm.Storm(["ctl1"], 400, PATIENCE)
        for process in ("reactor", "intake", "reactor"):
            time.sleep(chance.uniform(0.1, 2.0))
            seconds.append(storm.kill(process))
        assert reports.end() == [0], "not acknowledged"
        assert reports.taken() == (400, 0)
        reactor.wait_quiet()
        assert reactor.actions(reactor.since(number)) == []
    faults.figures("F04", seconds, 3.0)


def test_f06_something_critical_passes_a_storm() -> None:
    def once(node: str) -> float:
        with faults.asking(faults.memcached(node)) as asked:
            reports = storm.Storm(CONTROLLERS, EACH, PATIENCE)
            reports.burst("ctl1", BURST // 2)
            began = time.monotonic()
            podman.inside(node, "systemctl", "stop", "memcached")
            stopped = time.monotonic()
            reports.burst("ctl1", BURST // 2)
            commands.wait_for("memcached", lambda: asked.good[-1] > stopped, HEALED)
            seconds = asked.gap(began)
        assert reports.end() == [0, 0, 0], "not acknowledged"
        assert reports.taken() == (reports.expected, 0)
        reactor.wait_quiet(PATIENCE)
        return seconds

    number = reactor.last_event()
    # In turn: what was just healed is not healed the same way again.
    hit = [CONTROLLERS[run % len(CONTROLLERS)] for run in range(faults.RUNS)]
    faults.figures("F06", [once(node) for node in hit], 2.0)
    begun = reactor.actions(reactor.acted_since(number))
    done = {fault for fault, operation in begun if operation != "look"}
    assert done == {f"memcached on {node}" for node in hit}, "and nothing else is touched"
