"""
Decides about what the intake has written, and acts. Configured by master.d/saltern.conf.
"""

import pathlib
import sys

import saltern_watchdog

__virtualname__ = "saltern_reactor"


def __virtual__():
    return __virtualname__


def start():
    """
    Decide for as long as the master runs.
    """
    opts = dict(__opts__)

    def work():
        # Salt has our code on Python's path only while it loads an engine.
        sys.path.insert(0, str(pathlib.Path(saltern_watchdog.__file__).parent))
        # Only in the process that does the work: its keeper stays small.
        import saltern_engines

        saltern_engines.reactor(opts)

    saltern_watchdog.keep(work)
