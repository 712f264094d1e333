"""Keeps the work of an engine going: a process that dies is there again within a moment.

Salt's own process manager looks after its engines every ten seconds only.
"""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import time
from collections.abc import Callable

log = logging.getLogger(__name__)

#: Seconds until a process that died is started again: doubled while it dies at once.
FIRST, MOST = 0.1, 10.0
#: Seconds after which a process has not died at once.
STABLE = 30.0

PR_SET_PDEATHSIG = 1


def keep(work: Callable[[], None]) -> None:
    """Run ``work`` in a child of this process, again and again; does not return.

    The child dies with this process, even by ``kill -9``: two that do the same work would do it
    twice.
    """
    pause = FIRST
    while True:
        began = time.monotonic()
        parent = os.getpid()
        child = os.fork()
        if not child:
            _work(work, parent)
        try:
            _, status = os.waitpid(child, 0)
        except BaseException:
            os.kill(child, signal.SIGKILL)
            raise
        pause = FIRST if time.monotonic() - began > STABLE else min(2 * pause, MOST)
        code = os.waitstatus_to_exitcode(status)
        log.error("pid %d ended with %d; it is started again in %.1f s", child, code, pause)
        time.sleep(pause)


def _work(work: Callable[[], None], parent: int) -> None:
    try:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        for number in (signal.SIGTERM, signal.SIGINT):  # the parent's would end its siblings
            signal.signal(number, signal.SIG_DFL)
        if os.getppid() != parent:  # it died before it could be watched
            os._exit(1)
        work()
    except BaseException:
        log.exception("pid %d ends", os.getpid())
    finally:
        os._exit(1)
