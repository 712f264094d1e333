"""
Decides about what the intake has written, and acts. Configured by master.d/saltern.conf.
"""

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
        # Only in the process that does the work: its keeper stays small.
        import saltern_engines

        saltern_engines.reactor(opts)

    saltern_watchdog.keep(work)
