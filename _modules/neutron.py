"""Neutron from a controller: what its API knows of the agents below it."""

import saltern_sdk
from salt.exceptions import CommandExecutionError

__virtualname__ = "neutron"


def __virtual__():
    return __virtualname__


def agents(host=None):
    """
    Return the agents: a list of ``{binary, host, alive, enabled}``.

    host
        Only those on this host.

    Raises CommandExecutionError when the API does not answer, or this node has no password.

    CLI Example:

    .. code-block:: bash

        salt ctl1 neutron.agents host=cmp1
    """
    with saltern_sdk.session(__pillar__, CommandExecutionError, "Neutron") as conn:
        query = {"host": host} if host else {}
        return [
            {
                "binary": agent.binary,
                "host": agent.host,
                "alive": agent.is_alive,
                "enabled": agent.is_admin_state_up,
            }
            for agent in conn.network.agents(**query)
        ]
