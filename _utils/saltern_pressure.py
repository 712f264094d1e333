"""How long the processes of this machine have to wait for a core: what is slow then is not hung.

The kernel says it itself (pressure stall information, Documentation/accounting/psi.rst of Linux):
``some avg10`` of ``/proc/pressure/cpu`` is the percentage of the last ten seconds in which at least
one process could not run although it wanted to. A container sees its host's.
"""

from __future__ import annotations

from pathlib import Path

PRESSURE = Path("/proc/pressure/cpu")

#: Per cent from which on the machine is starved.
STARVED = 50.0
#: So many times as long everything may take there.
SLOWER = 4.0


def slower() -> float:
    """How many times as long as usual things may take now: 1, or :data:`SLOWER`.

    A kernel without the file (before 4.20, or started with ``psi=0``) is never starved.
    """
    return SLOWER if _waiting() >= STARVED else 1.0


def _waiting() -> float:
    try:
        some = PRESSURE.read_text(encoding="ascii").splitlines()[0]
        return float(some.split("avg10=")[1].split()[0])
    except (OSError, LookupError, ValueError):  # EOPNOTSUPP is an OSError
        return 0.0
