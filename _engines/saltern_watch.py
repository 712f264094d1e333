"""
Watch the services of this node and tell the master what becomes of them, the moment it does.

.. code-block:: yaml

    engines:
      - saltern_watch: {}

What is to be watched is in ``/etc/saltern/watch.json``, which ``salt/watch`` writes: so the watch
works on a node that comes up while the master is away. Reports are numbered and kept until the
master has acknowledged them; see docs/design.md.

An engine is a fork of salt-minion: it would carry all of Salt, and whatever the minion had loaded
of our code when it was older. So this one becomes a process of its own, still a child that the
minion starts again when it ends.
"""

import importlib.util
import json
import logging
import os
import sys

log = logging.getLogger(__name__)

__virtualname__ = "saltern_watch"


def __virtual__():
    if __opts__.get("__role") == "minion":
        return __virtualname__
    return False, "saltern_watch: it watches a node, so it runs in a minion"


def start(run="/run/saltern", share="/etc/saltern/watch.json"):
    """
    Become the process of the watch.

    run
        Folder of the file that is locked as long as the watch lives.

    share
        The file that says what is to be watched.
    """
    found = importlib.util.find_spec("saltern_watch_process")
    if found is None or found.origin is None:
        log.error(
            "the code of the watch is not here; next: salt %s saltutil.sync_all", __opts__["id"]
        )
        return
    options = {name: __opts__[name] for name in ("id", "sock_dir", "hash_type", "cachedir")}
    argv = [sys.executable, found.origin, json.dumps({**options, "run": run, "share": share})]
    environment = {
        **os.environ,
        "PYTHONDONTWRITEBYTECODE": "1",  # a sync would have to remove what we left there
        "MALLOC_ARENA_MAX": "1",  # threads that only wait need no memory of their own
    }
    os.execve(sys.executable, argv, environment)  # noqa: S606 - a list, no shell
