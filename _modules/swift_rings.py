"""
Swift's rings on this node: which partition is kept where. Every node builds the same ones.
"""

import json
import pathlib

from salt.exceptions import CommandExecutionError
from saltern import rings

__virtualname__ = "swift_rings"

#: The same on every node and every day, so that the rings are the same.
SEED = 2025

#: Swift's own builder, in Swift's own Python; asked by stdin, in one process.
BUILD = """
import json, os, sys
from swift.common.ring import RingBuilder
asked = json.load(sys.stdin)
for kind, ring in asked["rings"].items():
    builder = RingBuilder(ring["part_power"], ring["replicas"], 0)
    for device in ring["devices"]:
        replication = {"replication_ip": device["ip"], "replication_port": device["port"]}
        builder.add_dev({**device, **replication, "meta": ""})
    builder.rebalance(seed=asked["seed"])
    path = os.path.join(asked["folder"], kind)
    builder.save(path + ".builder")
    builder.get_ring().save(path + ".ring.gz.new")
    os.replace(path + ".ring.gz.new", path + ".ring.gz")
"""


def __virtual__():
    return __virtualname__


def show(folder="/etc/swift"):
    """
    Return what each ring of a folder says, on one line per ring.

    folder
        Where Swift looks for its rings.

    Returns ``{"object": "2^10 partitions x 3: r1z1-10.0.0.1:6200/images*100 ...", ...}``; a ring
    that is not there or unreadable is not in it.

    CLI Example:

    .. code-block:: bash

        salt 'ctl*' swift_rings.show
    """
    found = {}
    for path in pathlib.Path(folder).glob("*.ring.gz"):
        try:
            found[path.name.split(".")[0]] = rings.brief(rings.describe(path.read_bytes()))
        except rings.Unreadable as exc:
            found[path.name.split(".")[0]] = f"unreadable: {exc}"
    return found


def build(wanted, folder="/etc/swift"):
    """
    Build rings. Running servers read them again by themselves.

    wanted
        ``{kind: {part_power, replicas, devices: [{id, region, zone, ip, port, device, weight}]}}``.

    folder
        Where Swift looks for its rings.

    Raises CommandExecutionError with what Swift's builder said.

    CLI Example:

    .. code-block:: bash

        salt ctl1 swift_rings.build '{object: {part_power: 10, replicas: 1, devices: [...]}}'
    """
    ret = __salt__["cmd.run_all"](
        ["/usr/bin/python3", "-W", "ignore", "-c", BUILD],
        python_shell=False,
        stdin=json.dumps({"rings": wanted, "folder": folder, "seed": SEED}),
        ignore_retcode=True,
        timeout=300,
    )
    if ret["retcode"]:
        tail = "\n".join(ret["stderr"].splitlines()[-5:])
        raise CommandExecutionError(f"Swift's ring builder failed in {folder}: {tail}")
    return True
