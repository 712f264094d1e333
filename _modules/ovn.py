"""
OVN's northbound and southbound databases on this node: members of two raft clusters.

A database is created or joined here and nowhere else (the units refuse to start without one), and
only because the deploy, which has seen every member, said so.
"""

import pathlib
import time

import salt.utils.path
import saltern_probes
from salt.exceptions import CommandExecutionError
from saltern import ovn

__virtualname__ = "ovn"

FILES = {"nb": "/var/lib/ovn/ovnnb_db.db", "sb": "/var/lib/ovn/ovnsb_db.db"}
SOCKETS = {"nb": "/run/ovn/ovnnb_db.ctl", "sb": "/run/ovn/ovnsb_db.ctl"}
SCHEMAS = {"nb": "/usr/share/ovn/ovn-nb.ovsschema", "sb": "/usr/share/ovn/ovn-sb.ovsschema"}
DATABASE_UNITS = {"nb": "ovn-ovsdb-server-nb", "sb": "ovn-ovsdb-server-sb"}
UNITS = [*DATABASE_UNITS.values(), "ovn-northd", "ovn-central"]

POLL = 0.2  # seconds between two looks at a database that is about to serve


def __virtual__():
    if salt.utils.path.which("ovsdb-tool"):
        return __virtualname__
    return False, "ovn: ovsdb-tool is not installed"


def _values():
    try:
        return __pillar__["cloud"]["values"]["ovn"]["central"]
    except KeyError as exc:
        raise CommandExecutionError(
            "this node holds no OVN database by the model: see `salt-run saltern.plan`"
        ) from exc


def _tool(*args):
    ret = __salt__["cmd.run_all"](
        ["ovsdb-tool", *args], python_shell=False, timeout=60, ignore_retcode=True
    )
    return ret["retcode"], ret["stdout"].strip(), ret["stderr"] or ret["stdout"]


def _must(*args):
    code, out, err = _tool(*args)
    if code:
        raise CommandExecutionError(f"ovsdb-tool {args[0]} {args[1]}: {err}")
    return out


def _local(name, address=None):
    values = _values()
    return f"tcp:{address or values['address']}:{values['raft'][name]}"


def _file(name):
    """``absent``, ``standalone`` or ``clustered``."""
    if not pathlib.Path(FILES[name]).exists():
        return "absent"
    return "standalone" if _tool("db-is-standalone", FILES[name])[0] == 0 else "clustered"


def _status(name):
    """``cluster/status`` of the server as data; None when it does not run or has no cluster."""
    try:
        return ovn.parse_status(
            saltern_probes.unixctl(SOCKETS[name], "cluster/status", ovn.DATABASES[name])
        )
    except (OSError, ValueError):
        return None


def _observe(name):
    found = {"file": _file(name), "local": _local(name), "running": False, **ovn.parse_status("")}
    status = _status(name)
    if status:
        return {**found, **status, "running": True}
    if found["file"] == "clustered":
        code, out, _ = _tool("db-cid", FILES[name])  # fails while the join was never finished
        found["cluster"] = out if code == 0 else None
    return found


def status():
    """
    What this node's servers say of their clusters.

    Returns ``{nb: {...}, sb: {...}}``, each with ``cluster``, ``server``, ``address``, ``status``
    (``cluster member`` when all is well), ``role``, ``leader`` (``self``, a short server id, or
    None), ``term`` and ``servers`` (short id -> address); None for a server that does not run.

    CLI Example:

    .. code-block:: bash

        salt ctl1 ovn.status
    """
    return {name: _status(name) for name in ovn.DATABASES}


def observe():
    """
    Everything that the formation has to know of this member, without changing anything.

    Returns ``{nb: {file, local, running, <as status>}, sb: {...}, northd: bool}``; ``file`` is
    absent, standalone or clustered, ``local`` the address that this member has in the cluster.

    CLI Example:

    .. code-block:: bash

        salt 'ctl*' ovn.observe
    """
    shown = __salt__["unit.show"](["ovn-northd"])["ovn-northd"]
    return {**{name: _observe(name) for name in ovn.DATABASES}, "northd": shown["up"]}


def start(create=(), timeout=ovn.START_TIMEOUT):
    """
    Start the databases and northd, and wait until both databases serve.

    A database that this node does not hold is joined from the other members, unless ``create``
    names it. One that Debian created for itself when the package was installed is kept beside the
    new one as ``*.standalone``.

    create
        Databases (``nb``, ``sb``) to create. A database that exists is never created again.

    timeout
        Seconds until a database that does not serve counts as failed.

    Returns what :py:func:`status` returns. Raises CommandExecutionError when a database does not
    become a member of a cluster with a leader.

    CLI Example:

    .. code-block:: bash

        salt ctl1 ovn.start
    """
    for name in ovn.DATABASES:
        kind = _file(name)
        if kind != "clustered":
            _make(name, kind, name in create)
    __salt__["unit.start"](UNITS, timeout=timeout)
    return _await(timeout)


def _make(name, kind, create):
    values = _values()
    path = FILES[name]
    if not create and not values["peers"]:
        raise CommandExecutionError(
            f"{ovn.DATABASES[name]}: this node is the only member and holds no database; when it is"
            f" new: salt {__opts__['id']} ovn.start create='[{name}]'"
        )
    if kind == "standalone":
        __salt__["unit.stop"]([DATABASE_UNITS[name]])
        pathlib.Path(path).replace(f"{path}.standalone")
    pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
    if create:
        timer = f"--election-timer={values['election_timer']}"
        _must(timer, "create-cluster", path, SCHEMAS[name], _local(name))
    else:
        remotes = [_local(name, peer) for peer in values["peers"]]
        _must("join-cluster", path, ovn.DATABASES[name], _local(name), *remotes)


def _await(timeout):
    deadline = time.monotonic() + timeout
    while True:
        found = {name: _observe(name) for name in ovn.DATABASES}
        left = [name for name, database in found.items() if not ovn.settled(database)]
        if not left:
            return status()
        if time.monotonic() > deadline:
            lines = [
                f"{ovn.DATABASES[n]}: {found[n]['status']}, leader {found[n]['leader']}"
                for n in left
            ]
            raise CommandExecutionError(
                f"not serving after {timeout} s: {'; '.join(lines)}; a database serves when most of"
                " its members run: salt -C 'I@cloud:services:ovn-central' ovn.status, and"
                " journalctl -u ovn-ovsdb-server-nb -u ovn-ovsdb-server-sb"
            )
        time.sleep(POLL)


def forget(database, server, address):
    """
    Take a server that is gone for good out of the cluster of ``database``.

    It refuses this node's own server and an id that does not have this address: a member that
    lives must not be taken out because somebody mistyped.

    database
        ``nb`` or ``sb``.

    server
        Short id of the server, as in :py:func:`status`.

    address
        Address that the server must have, e.g. ``tcp:10.0.0.11:6643``.

    CLI Example:

    .. code-block:: bash

        salt ctl1 ovn.forget sb 8f0d tcp:10.0.0.13:6644
    """
    found = _status(database)
    if not found:
        raise CommandExecutionError(
            f"{ovn.DATABASES[database]} does not run here: salt {__opts__['id']} ovn.start"
        )
    if found["servers"].get(server) != address:
        raise CommandExecutionError(
            f"no server {server} at {address} in {ovn.DATABASES[database]}: {found['servers']}"
        )
    if address == found["address"]:
        raise CommandExecutionError(f"{server} is this node's own server: not forgotten")
    try:
        return saltern_probes.unixctl(
            SOCKETS[database], "cluster/kick", ovn.DATABASES[database], server
        )
    except (OSError, ValueError) as exc:
        raise CommandExecutionError(f"cluster/kick {server}: {exc}") from exc


def restart_member(timeout=ovn.START_TIMEOUT):
    """
    Restart this member's databases one after the other, and northd; wait until all serve again.

    timeout
        Seconds until a database that does not serve again counts as failed.

    Returns what :py:func:`status` returns. The caller makes sure that the other members serve.

    CLI Example:

    .. code-block:: bash

        salt ctl1 ovn.restart_member
    """
    for unit in DATABASE_UNITS.values():
        __salt__["unit.restart"]([unit], timeout=timeout)
        _await(timeout)
    __salt__["unit.restart"](["ovn-northd"], timeout=timeout)
    return status()
