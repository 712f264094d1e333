"""Put a service of this node right: look first, act once, look again. One at a time on a node.

``healing.restart`` (asked by the master) and the watch engine (on its own while the master is away)
both do it here, so that neither does what the other would not.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import saltern_pressure
import saltern_systemctl
import saltern_systemd
from saltern.reactor.watched import Unit, unit_to_restart
from saltern.units import full_name

#: Held while a service of this node is being put right.
LOCK = Path("/run/saltern/heal.lock")

#: Seconds between two looks while something starts.
POLL = 0.3
#: Seconds for which a service that systemd had to restart must stay as it is to count as well.
STEADY = 3.0
#: Starts by systemd after ours that ended at once: by then more of them change nothing.
HOPELESS = 2
#: Seconds for systemctl to take a job.
SYSTEMCTL = 30.0

OK, DOWN = "ok", "down"


class Busy(RuntimeError):
    """Another one is putting a service of this node right."""


class Refused(RuntimeError):
    """systemd did not take the job; the message has its words."""


#: ``{status, reason}`` of a service, fresh.
Look = Callable[[], "dict[str, Any]"]


# No dataclass: under Salt's loader of utils this module is in no sys.modules, which one needs.
class Patient(NamedTuple):
    """A service of this node, and how it is looked at."""

    service: str
    units: Sequence[str]
    look: Look
    quorum: bool = False
    #: How a member that runs but does not answer is restarted, where members must not all go.
    member: Callable[[], object] | None = None


@contextmanager
def alone(patience: float, path: Path | None = None) -> Iterator[None]:
    """Be the only one who acts on this node.

    :raises Busy: when another one does, after ``patience`` seconds.
    """
    path = path or LOCK
    path.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + patience
    with path.open("a") as handle:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as exc:
                if time.monotonic() >= deadline:
                    raise Busy(f"{path} is held: another service is being put right") from exc
            time.sleep(POLL)
        yield


def restart(patient: Patient, wait: float = 30.0) -> dict[str, Any]:
    """Restart what does not work of ``patient``, and wait until it does: ``wait`` seconds, and more
    while nothing on this machine can be fast.

    What is degraded, or on its way, is not touched. Returns ``before``, ``did`` (``nothing``,
    ``waited``, ``started``, ``restarted``), ``after`` (``{status, reason}``) and ``seconds``.

    :raises Refused: when systemd does not take the job.
    :raises saltern_systemd.Gone: when systemd does not answer.
    """
    began = time.monotonic()
    before = patient.look()
    did, after = "nothing", before
    if before["status"] == DOWN:
        shown = saltern_systemd.show(patient.units)
        did = _act(patient, shown)
        # systemd counts anew what we act on, and nothing else.
        spent = {unit.name: unit.restarts for unit in saltern_systemd.show(patient.units)}
        after = _await(patient, shown, spent, lambda: began + wait * saltern_pressure.slower())
    return {
        "before": before["status"],
        "did": did,
        "after": {"status": after["status"], "reason": after["reason"]},
        "seconds": round(time.monotonic() - began, 3),
    }


def _act(patient: Patient, shown: Sequence[Unit]) -> str:
    stopped = [unit for unit in shown if not unit.up]
    names = [unit.name for unit in stopped]
    if stopped and all(unit.moving and not unit.crashed for unit in stopped):
        return "waited"
    if stopped and (patient.quorum or all(unit.off for unit in stopped)):
        systemctl("start", names)  # takes nothing away from anybody
        return "started"
    if stopped:
        systemctl("restart", names)
        return "restarted"
    if patient.member is not None:
        patient.member()
        return "restarted"
    hung = unit_to_restart(patient.service, patient.units)
    for name in hung:
        kill(name)
    systemctl("restart", hung)
    return "restarted"


def _await(
    patient: Patient,
    was: Sequence[Unit],
    spent: Mapping[str, int],
    deadline: Callable[[], float],
) -> dict[str, Any]:
    """The truth as soon as all is well, when a unit crashes again and again, or at the deadline.

    What had to be restarted by systemd before is well when its process is still the same after a
    while. ``spent`` are restarts by systemd that do not count.
    """
    shaky = any(unit.restarts or unit.crashed for unit in was)
    since, pids = 0.0, None
    while True:
        after = patient.look()
        now = time.monotonic()
        if after["status"] == OK:
            seen = [unit.pid for unit in saltern_systemd.show(patient.units)] if shaky else []
            if seen != pids:
                since, pids = now, seen
            if not shaky or now - since >= STEADY:
                return after
        else:
            pids = None
            if _hopeless(patient, spent):
                return after
        if now >= deadline():
            if pids is not None:
                return {"status": DOWN, "reason": "it answers, but does not keep running"}
            return after
        time.sleep(POLL)


def _hopeless(patient: Patient, spent: Mapping[str, int]) -> bool:
    units = saltern_systemd.show(patient.units)
    return any(unit.restarts - spent.get(unit.name, 0) >= HOPELESS for unit in units)


def systemctl(verb: str, units: Sequence[str]) -> None:
    """Have systemd ``start`` or ``restart`` units, whatever befell them before.

    :raises Refused: with systemd's own words.
    """
    names = [full_name(name) for name in units]
    _run("reset-failed", *names, check=False)  # of a unit that is not loaded: nothing to reset
    _run("--no-block", verb, *names)


def forgive(units: Sequence[str]) -> None:
    """Have systemd forget how often it restarted units: the next crash is repaired at once again.

    :raises Refused: when systemd does not answer.
    """
    _run("reset-failed", *map(full_name, units), check=False)


def kill(unit: str) -> None:
    """End the processes of a unit that hangs or is stopped: it would not end when asked.

    Where a unit's children live on (the instances of libvirt, the agents' helpers), only the main
    process is killed.
    """
    name = full_name(unit)
    mode = _run("show", "--value", "--property", "KillMode", name).strip()
    whom = "all" if mode in ("control-group", "mixed") else "main"
    _run("kill", f"--kill-whom={whom}", "--signal=KILL", name, check=False)  # it may be gone by now


def _run(*words: str, check: bool = True) -> str:
    try:
        done = saltern_systemctl.run("systemctl", *words, timeout=SYSTEMCTL)
    except saltern_systemctl.NoAnswer as exc:
        raise Refused(str(exc)) from exc
    if check and done.returncode:
        raise Refused(f"systemctl {' '.join(words)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


class Fence:
    """The highest epoch of a master that has acted here, kept over restarts of everything."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def admits(self, epoch: int) -> bool:
        """Whether a master of ``epoch`` may act. A higher one shuts out all lower ones for ever."""
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self.path.open("a+") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            handle.seek(0)
            held = handle.read().strip()
            highest = int(held) if held.isdecimal() else 0
            if epoch < highest:
                return False
            if epoch > highest:
                handle.seek(0)
                handle.truncate()
                handle.write(f"{epoch}\n")
                handle.flush()
                os.fsync(handle.fileno())
            return True
