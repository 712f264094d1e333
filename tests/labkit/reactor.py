"""The reactor of the running lab, asked as an operator asks it, and kept quiet where it must be."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lab import podman
from lab.model import MASTER
from labkit import commands

LOG = "/var/log/salt/saltern-reactor.log"  # on the master
JOINS = "/var/cache/salt/master/saltern/reactor/orchestrations/orch.join-*.log"  # there too
QUIET = 180  # seconds until nothing runs or waits any more
LONG = 600  # the same after five faults in a row: what failed waits longer each time


def ask(function: str, *arguments: str) -> Any:
    """What ``salt-run saltern.FUNCTION`` returns."""
    done = commands.runner(f"saltern.{function}", *arguments)
    assert not done.code, done.tail()
    return json.loads(done.out)


def last_event() -> int:
    """Number of the newest decision, to ask :func:`since` for what comes after it."""
    return max((entry["id"] for entry in history()), default=0)


def history(*arguments: str) -> list[dict[str, Any]]:
    """Decisions of the last hour with their actions, the oldest first."""
    found: list[dict[str, Any]] = ask(
        "history", "since=1h", "limit=10000", "quiet=True", *arguments
    )
    return found


def since(number: int) -> list[dict[str, Any]]:
    """Decisions after the one with this ``number``."""
    return [entry for entry in history() if entry["id"] > number]


def acted_since(number: int) -> list[dict[str, Any]]:
    """Only those that say to do something; of a storm, :func:`since` has but the end."""
    found = ask("history", "since=1h", "limit=10000")
    return [entry for entry in found if entry["id"] > number and entry["actions"]]


def actions(entries: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """``(fault, operation)`` of everything that was begun."""
    return [(e["fault"], a["operation"]) for e in entries for a in e["actions"]]


def messages() -> list[dict[str, Any]]:
    """What people were told, out of the reactor's log file, the oldest first."""
    said = podman.attempt(MASTER, "cat", LOG)
    return [json.loads(line) for line in said.splitlines() if line.startswith("{")]


def join_logs() -> list[str]:
    """What each join of the reactor has said so far, the oldest first."""
    marker = "-- a log"
    # Where there is none yet the shell leaves the pattern as it is.
    each = f"for log in {JOINS}; do [ ! -e $log ] || {{ echo '{marker}'; cat $log; }}; done"
    return podman.attempt(MASTER, "sh", "-c", each).split(marker)[1:]


@contextmanager
def paused(why: str, *scope: str) -> Iterator[None]:
    """The reactor leaves ``scope`` (default: the whole cloud) alone inside."""
    chosen = scope or ("cloud",)
    done = commands.runner("saltern.pause", *chosen, "minutes=30", f"why={why}")
    assert not done.code, done.tail()
    number = done.out.rpartition("(id ")[2].partition(")")[0]
    try:
        yield
    finally:
        commands.runner("saltern.resume", number)


def wait_quiet(seconds: float = QUIET) -> None:
    """Until no action runs and nothing waits to be decided again."""

    def quiet() -> bool:
        pending = ask("pending")
        return not {"running", "waiting"} & set(pending)

    commands.wait_for("the reactor to have nothing to do", quiet, seconds)
