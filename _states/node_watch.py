"""
The watch of this node: the engine in salt-minion that tells the master what becomes of services.

.. code-block:: yaml

    watch-running:
      node_watch.running:
        - name: saltern_watch
        - require:
          - file: watch-config
"""

from salt.exceptions import CommandExecutionError
from saltern.converge import converge

__virtualname__ = "node_watch"

#: Seconds without a job after which a restart of the minion disturbs nobody.
QUIET = 60


def __virtual__():
    if "healing.watching" in __salt__:
        return __virtualname__
    return False, "node_watch: the execution module healing did not load"


def running(name, quiet=QUIET):
    """
    Ensure the watch runs, or will when salt-minion has been restarted, which this arranges once.

    A minion that runs the watch is never restarted: newer code takes over by itself.

    name
        A title.

    quiet
        Seconds without any job on this node before the minion is restarted.
    """
    states = {"running": "watched", "starting": "watched", "off": "not watched"}
    return converge(
        name,
        desired={"this node": "watched"},
        observe=lambda: {"this node": states[__salt__["healing.watching"]()]},
        act=lambda changes: __salt__["healing.arm"](quiet=quiet),
        test=__opts__["test"],
        errors=(CommandExecutionError,),
    )
