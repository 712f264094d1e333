"""
Keep the settings and bridges of Open vSwitch as the model wants them.

.. code-block:: yaml

    ovn-switch-settings:
      ovs_db.settings:
        - external_ids: {ovn-encap-type: geneve, ovn-encap-ip: 10.0.1.21}
        - manager: 'ptcp:6640:127.0.0.1'

    ovn-bridge-br-provider:
      ovs_db.bridge:
        - name: br-provider
        - port: eth2
"""

from salt.exceptions import CommandExecutionError
from saltern.converge import converge

__virtualname__ = "ovs_db"

COLUMNS = ("external_ids", "other_config")


def __virtual__():
    if "ovs_db.settings" in __salt__:
        return __virtualname__
    return False, "ovs_db: the execution module did not load"


def settings(name, external_ids=None, other_config=None, manager=None):
    """
    Ensure settings of the switch. What is not named is left alone.

    name
        Title for people.

    external_ids, other_config
        Keys that must be there, with their values.

    manager
        Where the database must listen, e.g. ``ptcp:6640:127.0.0.1``.
    """
    wanted = dict(zip(COLUMNS, (external_ids or {}, other_config or {}), strict=True))
    desired = {f"{column}:{k}": str(v) for column in COLUMNS for k, v in wanted[column].items()}
    if manager:
        desired["manager"] = manager

    def observe():
        found = __salt__["ovs_db.settings"]()
        seen = {f"{column}:{k}": v for column in COLUMNS for k, v in found[column].items()}
        return {**seen, "manager": " ".join(found["managers"])}

    def act(changes):
        different = {
            column: {k: v for k, v in wanted[column].items() if f"{column}:{k}" in changes}
            for column in COLUMNS
        }
        __salt__["ovs_db.set_settings"](
            **different, manager=manager if "manager" in changes else None
        )

    return _converge(name, desired, observe, act)


def bridge(name, datapath="system", port=None):
    """
    Ensure a bridge and its uplink.

    name
        Name of the bridge.

    datapath
        ``system`` for the kernel's, ``netdev`` for user space.

    port
        Device that must be plugged into it. Further ports are left alone.
    """

    def observe():
        found = __salt__["ovs_db.bridges"]().get(name)
        if found is None:
            return {}
        return {"datapath": found["datapath"], f"port {port}": port in found["ports"]}

    return _converge(
        name,
        {"datapath": datapath, **({f"port {port}": True} if port else {})},
        observe,
        lambda changes: __salt__["ovs_db.add_bridge"](name, datapath=datapath, port=port),
    )


def _converge(name, desired, observe, act):
    return converge(
        name,
        desired=desired,
        observe=observe,
        act=act,
        test=__opts__["test"],
        errors=(CommandExecutionError,),
    )
