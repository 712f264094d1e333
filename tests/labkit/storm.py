"""Many reports at once, by the nodes' own minions or on the master's bus, and what came of them."""

from __future__ import annotations

import json
import secrets
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from lab import podman, shape
from lab.model import MASTER
from labkit import commands

PYTHON = "/opt/salt/bin/python3"
UTILS = "/var/cache/salt/minion/extmods/utils"
JOURNAL = "/var/cache/salt/master/saltern/reactor/journal.db"
BACK = 30  # seconds until a process that was killed must be there again

#: Runs on a node: an outbox of its own, sent as the watch sends, until all of it is acknowledged.
#: What it reports is about services that the node does not have: taken, decided, and nothing done.
SENDER = f"""
import asyncio, pathlib, sys, tempfile, time
sys.path.insert(0, {UTILS!r})
import salt.config
from saltern_minion_bus import MinionBus, sockets
from saltern.reactor import outbox
from saltern_outbox import Store

async def main(name, count, patience):
    opts = salt.config.minion_config("/etc/salt/minion")
    bus = MinionBus(*sockets(pathlib.Path(opts["sock_dir"]), opts["id"], opts["hash_type"]))
    with tempfile.TemporaryDirectory() as folder:
        store = Store(pathlib.Path(folder) / "box.db", bound=count + 1)
        store.tell({{}}, [
            {{"service": f"{{name}}-{{n}}", "status": "down", "at": time.time()}}
            for n in range(count)
        ])
        heard = asyncio.create_task(
            bus.listen("saltern/acked", lambda tag, data: store.acked(data.get(opts["id"])))
        )
        deadline = time.monotonic() + patience
        while store.box.items and time.monotonic() < deadline:
            for kind, body in outbox.events(store.box.due(time.monotonic()), store.epoch):
                await bus.send(f"saltern/node/{{opts['id']}}/{{kind}}", body)
            await asyncio.sleep(0.05)
        heard.cancel()
        print(len(store.box.items))

asyncio.run(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
"""

#: Runs on the master: reports as they lie on its bus when a minion has sent them, but unnumbered.
BURST = """
import sys, time, salt.config, salt.utils.event
opts = salt.config.master_config("/etc/salt/master")
node, name, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
with salt.utils.event.get_event("master", opts=opts, listen=False) as bus:
    for n in range(count):
        data = {"service": f"{name}-{n}", "status": "down", "at": time.time()}
        bus.fire_event({"id": node, "data": data}, f"saltern/node/{node}/service")
"""


class Storm:
    """``count`` reports of each of ``nodes``, on their way; :meth:`end` waits until all are in."""

    def __init__(self, nodes: Sequence[str], count: int, patience: int) -> None:
        self.expected = len(nodes) * count
        self._patience = patience
        self._name = f"noise-{secrets.token_hex(4)}"
        self._senders = [self._send(node, count) for node in nodes]

    def _send(self, node: str, count: int) -> subprocess.Popen[bytes]:
        words = [PYTHON, "-c", SENDER, self._name, str(count), str(self._patience)]
        return subprocess.Popen(
            ["podman", "exec", shape.container(node), *words], stdout=subprocess.PIPE
        )

    def end(self) -> list[int]:
        """How many reports of each node nobody has acknowledged in time."""
        return [int(s.communicate(timeout=self._patience + 30)[0] or -1) for s in self._senders]

    def burst(self, node: str, count: int) -> None:
        """``count`` reports more on the master's bus, as fast as it takes them.

        They have no numbers: what the bus drops of them is lost, and is not asked for here.
        """
        podman.inside(MASTER, PYTHON, "-c", BURST, node, f"burst-{self._name}", str(count))

    def taken(self) -> tuple[int, int]:
        """Reports in the journal, and how many of them are there again."""
        [[rows, different]] = journal(
            "SELECT count(*), count(DISTINCT node || json_extract(body, '$.service')) FROM reports"
            " WHERE json_extract(body, '$.service') LIKE ?",
            f"{self._name}-%",
        )
        return rows, rows - different


def journal(query: str, *values: str) -> Any:
    """Rows of the reactor's journal, with ``values`` for the ``?`` in ``query``."""
    script = (
        "import json, sqlite3, sys;"
        f"db = sqlite3.connect('file:{JOURNAL}?mode=ro', uri=True, timeout=20);"
        "print(json.dumps(db.execute(sys.argv[1], sys.argv[2:]).fetchall()))"
    )
    return json.loads(podman.inside(MASTER, PYTHON, "-c", script, query, *values))


def kill(process: str) -> float:
    """kill -9 of the ``reactor`` or the ``intake``; seconds until another one does its work."""
    pid = _pid(process)
    began = time.monotonic()
    with suppress(subprocess.CalledProcessError):  # it is being started just now
        podman.inside(MASTER, "kill", "-9", pid)
    commands.wait_for(f"another {process}", lambda: _pid(process) != pid, BACK)
    return time.monotonic() - began


def _pid(process: str) -> str:
    [[pid]] = journal("SELECT value FROM meta WHERE name = ?", f"{process}_pid")
    return str(pid)
