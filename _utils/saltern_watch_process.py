"""The process of the watch: what ``_engines/saltern_watch.py`` becomes. Not for people to start.

It ends when its code on disk is newer than itself or when salt-minion is gone; salt-minion starts
it anew within ten seconds.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

import saltern_minion_bus
import saltern_processes
import saltern_watcher

log = logging.getLogger("saltern_watch")

#: Seconds between two attempts to be the only watch of this node.
ALONE = 1.0
#: Seconds for which a file in Salt's list of running jobs is believed: a killed job leaves its own.
JOB_MOST = 3600.0


class Life:
    """Why this process should end: its minion did, or its files are other ones by now."""

    def __init__(self) -> None:
        self._parent = os.getppid()
        self._stamp = self._seen = stamp()

    def over(self) -> str:
        """The reason, or ""."""
        if os.getppid() != self._parent:
            return "salt-minion is gone"
        now, before = stamp(), self._seen
        self._seen = now
        # A sync writes file after file: only when it seems to be done.
        return "its code has changed" if now != self._stamp and now == before else ""


def stamp() -> dict[str, tuple[int, int] | None]:
    """When each file of ours that this process has loaded was written, and its size."""
    ours = {
        str(module.__file__)
        for name, module in list(sys.modules.items())
        if name.partition(".")[0].partition("_")[0] == "saltern" and module.__file__
    }
    return {path: _written(Path(path)) for path in sorted({*ours, __file__})}


def _written(path: Path) -> tuple[int, int] | None:
    try:
        facts = path.stat()
    except OSError:
        return None
    return facts.st_mtime_ns, facts.st_size


def last_job(folder: Path) -> float:
    """When a job was last seen to begin, run or end here, by the monotonic clock."""
    now = time.time()
    try:
        changed = folder.stat().st_mtime
        busy = now - changed < JOB_MOST and any(folder.iterdir())
    except OSError:
        return 0.0
    return time.monotonic() - (0.0 if busy else max(0.0, now - changed))


def become_the_only(handle: TextIO, life: Life) -> str:
    """Lock ``handle``; a reason to end instead, or "". The watch of a minion that was killed finds
    out soon, and lets go.
    """
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            reason = life.over()
            if reason:
                return reason
            time.sleep(ALONE)
            continue
        return ""


async def watch(options: Mapping[str, Any], life: Life) -> str:
    """Watch until there is a reason to end."""
    cache = Path(options["cachedir"])
    bus = saltern_minion_bus.MinionBus(
        *saltern_minion_bus.sockets(
            Path(options["sock_dir"]), str(options["id"]), str(options["hash_type"])
        )
    )
    watcher = saltern_watcher.Watcher(
        str(options["id"]),
        cache / "saltern",
        bus,
        share=Path(options["share"]),
        changed=life.over,
        jobs=lambda: last_job(cache / "proc"),
        booted=time.monotonic() - saltern_processes.since_boot(),
    )
    ears = asyncio.get_running_loop().create_task(
        bus.listen(saltern_watcher.ACKED, watcher.received)
    )
    try:
        return await watcher.run()
    finally:
        ears.cancel()
        bus.close()


def main(words: list[str]) -> int:
    """Run with the options that the engine gives, as JSON."""
    # What salt-minion had blocked or caught when it forked is not ours.
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    logging.basicConfig(
        format="[%(levelname)-8s] saltern_watch: %(message)s",
        level="WARNING",
        # Salt's modules come with a handler that keeps everything until the process ends.
        force=True,
    )
    options = json.loads(words[0])
    life = Life()
    folder = Path(options["run"])
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "watch.lock").open("a") as handle:
        reason = become_the_only(handle, life) or asyncio.run(watch(options, life))
    log.warning("the watch of this node ends: %s", reason)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
