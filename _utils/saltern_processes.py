"""Processes that live and do nothing, stopped by a signal (SIGSTOP), and the age of the first.

Where a probe has to wait until it has had no answer, the kernel says it at once.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

PROC = Path("/proc")

#: State of a process in ``/proc/PID/stat``, see proc(5). One that a debugger holds is in ``t``, on
#: purpose.
STOPPED = b"T"

#: When a process began, in ticks since the machine was switched on: so many fields after its state.
BEGAN = 19


def since_boot() -> float:
    """Seconds since init began: of this machine, or of the container that we are in."""
    ticks = int(_after_name(1).split()[BEGAN])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")


def why_halted(pids: Mapping[str, int]) -> str:
    """Which units are stopped, main process and all that it has started; or "".

    :param pids: unit -> its main process; 0 where none runs.
    """
    names = [name for name, pid in pids.items() if pid and _all_stopped(pid)]
    return f"every process of {', '.join(names)} is stopped by a signal (SIGSTOP)" if names else ""


def _all_stopped(pid: int) -> bool:
    # Mostly the first look is the only one: this is asked several times a second.
    return _state(pid) == STOPPED and all(_all_stopped(child) for child in _children(pid))


def _state(pid: int) -> bytes:
    """One letter; nothing for a process that has ended."""
    try:
        return _after_name(pid)[:1]
    except (FileNotFoundError, ProcessLookupError):
        return b""


def _after_name(pid: int) -> bytes:
    said = _read(PROC / str(pid) / "stat")
    return said[said.rfind(b") ") + 2 :]  # the name, in brackets, may hold anything


def _read(path: Path) -> bytes:
    # 8 microseconds; Python's own files take 19.
    handle = os.open(path, os.O_RDONLY)
    try:
        return os.read(handle, 4096)
    finally:
        os.close(handle)


def _children(pid: int) -> Iterator[int]:
    for file in (PROC / str(pid) / "task").glob("*/children"):
        try:
            yield from map(int, file.read_text().split())
        except (FileNotFoundError, ProcessLookupError):
            continue
