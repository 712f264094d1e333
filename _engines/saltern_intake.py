"""
Reads the master's event bus into the journal of the reactor. Configured by master.d/saltern.conf.
"""

import saltern_watchdog

__virtualname__ = "saltern_intake"


def __virtual__():
    return __virtualname__


def start():
    """
    Read for as long as the master runs.
    """
    opts = dict(__opts__)

    def work():
        # Only in the process that does the work: its keeper stays small.
        import saltern_engines

        saltern_engines.intake(opts)

    saltern_watchdog.keep(work)
