"""
Keep every compute known to a cell: before that it is up, and gets no instance.

.. code-block:: yaml

    nova-hosts:
      nova_hosts.mapped:
        - hosts: [cmp1, cmp2]
"""

from salt.exceptions import CommandExecutionError
from saltern.converge import converge

__virtualname__ = "nova_hosts"


def __virtual__():
    if "nova.mapped_hosts" in __salt__:
        return __virtualname__
    return False, "nova_hosts: the execution module did not load"


def mapped(name, hosts, timeout=90):
    """
    Ensure that a cell knows each of ``hosts``. One that just started is waited for.

    name
        Title for people.

    hosts
        Hosts as nova-compute calls them.

    timeout
        Seconds to wait for hosts that have not reported yet.
    """

    def observe():
        known = set(__salt__["nova.mapped_hosts"]())
        return {host: "mapped" if host in known else "unknown" for host in hosts}

    return converge(
        name,
        desired=dict.fromkeys(hosts, "mapped"),
        observe=observe,
        act=lambda changes: __salt__["nova.discover_hosts"](sorted(changes), timeout=timeout),
        test=__opts__["test"],
        errors=(CommandExecutionError,),
    )
