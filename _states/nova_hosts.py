"""
Keep every compute known to a cell: before that it is up, and gets no instance. A new one is
disabled, and says so in our words, until a trial has proven it.

.. code-block:: yaml

    nova-hosts:
      nova_hosts.mapped:
        - hosts: [cmp1, cmp2]
"""

from salt.exceptions import CommandExecutionError
from saltern import computes
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
        new = set(__salt__["nova_trial.new_hosts"]())
        return {
            host: "unknown" if host not in known else "new" if host in new else "mapped"
            for host in hosts
        }

    def act(changes):
        unknown = sorted(host for host, seen in changes.items() if seen["old"] == "unknown")
        if unknown:
            __salt__["nova.discover_hosts"](unknown, timeout=timeout)
        for host in __salt__["nova_trial.new_hosts"]():
            if host in hosts:
                __salt__["nova_trial.hold"](host, computes.NEW)

    return converge(
        name,
        desired=dict.fromkeys(hosts, "mapped"),
        observe=observe,
        act=act,
        test=__opts__["test"],
        errors=(CommandExecutionError,),
    )
