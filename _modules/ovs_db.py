"""Open vSwitch on this node, by way of its database."""

import json

import salt.utils.path
from salt.exceptions import CommandExecutionError
from saltern import ovs

__virtualname__ = "ovs_db"

TIMEOUT = 20  # seconds until ovs-vsctl gives up waiting for the switch


def __virtual__():
    if salt.utils.path.which("ovs-vsctl"):
        return __virtualname__
    return False, "ovs_db: ovs-vsctl is not installed"


def _vsctl(*args):
    ret = __salt__["cmd.run_all"](
        ["ovs-vsctl", f"--timeout={TIMEOUT}", *args],
        python_shell=False,
        timeout=TIMEOUT + 10,
        ignore_retcode=True,
    )
    if ret["retcode"]:
        raise CommandExecutionError(
            f"ovs-vsctl {args[0]}: {ret['stderr'] or ret['stdout']}; see journalctl -u ovsdb-server"
            " -u ovs-vswitchd"
        )
    return ret["stdout"]


def _table(name, *columns):
    asked = f"--columns={','.join(columns)}"
    return ovs.rows(json.loads(_vsctl("--format=json", asked, "list", name)))


def settings():
    """
    Return the switch's own settings: ``{external_ids: {}, other_config: {}, managers: []}``.

    CLI Example:

    .. code-block:: bash

        salt cmp1 ovs_db.settings
    """
    row = _table("Open_vSwitch", "external_ids", "other_config")[0]
    return {**row, "managers": _vsctl("get-manager").split()}


def set_settings(external_ids=None, other_config=None, manager=None):
    """
    Set some of the switch's settings and leave the others alone.

    external_ids, other_config
        Keys to set, with their values.

    manager
        Where the database listens or connects to, e.g. ``ptcp:6640:127.0.0.1``.

    CLI Example:

    .. code-block:: bash

        salt cmp1 ovs_db.set_settings external_ids='{ovn-encap-type: geneve}'
    """
    pairs = [
        f"{column}:{key}={ovs.quoted(value)}"
        for column, values in (("external_ids", external_ids), ("other_config", other_config))
        for key, value in (values or {}).items()
    ]
    if pairs:
        _vsctl("set", "Open_vSwitch", ".", *pairs)
    if manager:
        _vsctl("set-manager", manager)
    return True


def bridges():
    """
    Return ``{bridge: {datapath: str, ports: [name, ...]}}``; the bridges' own ports are left out.

    CLI Example:

    .. code-block:: bash

        salt cmp1 ovs_db.bridges
    """
    ports = {row["_uuid"]: row["name"] for row in _table("Port", "_uuid", "name")}
    return {
        row["name"]: {
            "datapath": row["datapath_type"] or "system",
            "ports": sorted(ports[p] for p in ovs.as_list(row["ports"]) if ports[p] != row["name"]),
        }
        for row in _table("Bridge", "name", "datapath_type", "ports")
    }


def add_bridge(name, datapath="system", port=None):
    """
    Add a bridge, or change the one that is there.

    name
        Name of the bridge.

    datapath
        ``system`` for the kernel's, ``netdev`` for user space.

    port
        Device to plug into it.

    CLI Example:

    .. code-block:: bash

        salt cmp1 ovs_db.add_bridge br-provider port=eth2
    """
    args = ["--may-exist", "add-br", name, "--", "set", "Bridge", name, f"datapath_type={datapath}"]
    if port:
        args += ["--", "--may-exist", "add-port", name, port]
    _vsctl(*args)
    return True
