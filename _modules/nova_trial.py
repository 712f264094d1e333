"""
The trial of a compute host: while it is new it is disabled, and gets no instance but ours.

Nova disables a new host by itself (``enable_new_services = false``). ``orch.deploy`` and
``orch.join`` boot an instance on each, and :func:`release` those where it worked. What an operator
disabled is never enabled here.
"""

import time

import saltern_sdk
from salt.exceptions import CommandExecutionError
from saltern import computes

__virtualname__ = "nova_trial"

CONFIG = "/etc/nova/nova.conf"
POLL = 0.5  # seconds between two looks at a host that has not told placement what it has
PLACEMENT = "1.6"  # the version of placement's API that has traits
TRIES = 5  # times that we read and write traits, when the host itself writes them in between


def __virtual__():
    if "nova.services" in __salt__:
        return __virtualname__
    return False, "nova_trial: the execution module nova did not load"


def new_hosts():
    """
    Return the hosts that Nova disabled itself because they are new, sorted; asked of the database.

    CLI Example:

    .. code-block:: bash

        salt ctl1 nova_trial.new_hosts
    """
    return computes.registered(
        __salt__["openstack_schema.query"](CONFIG, "database", computes.SQL_HOLDS)
    )


def hold(host, reason, dated=False):
    """
    ``nova.disable`` in Saltern's name: what an operator disabled keeps the operator's reason.

    host
        Name of the host, e.g. ``cmp1``.

    reason
        Why. It begins with ``saltern: ``, by which :func:`release` knows it.

    dated
        Add the time of now to the reason. A host that is held for this reason is not dated anew.

    Returns True when something was changed. Raises CommandExecutionError when there is no such
    host.

    CLI Example:

    .. code-block:: bash

        salt ctl1 nova_trial.hold cmp1 'saltern: gone' dated=True
    """
    if not reason.startswith(computes.OURS):
        raise CommandExecutionError(f"{reason!r} does not begin with {computes.OURS!r}")
    seen = _seen(host)
    had = seen["reason"] or ""
    wanted = computes.shorten(reason)
    if not seen["enabled"]:
        if not computes.ours(seen["reason"]):
            return False
        if had == wanted or (dated and had.startswith(f"{wanted} ")):
            return False
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return __salt__["nova.disable"](host, f"{wanted} {now}" if dated else wanted)


def release(host):
    """
    ``nova.enable`` for a host that was new, failed its trial or was gone; not for one that an
    operator disabled.

    host
        Name of the host, e.g. ``cmp1``.

    Returns True when it was disabled before and is not any more. Raises CommandExecutionError when
    there is no such host.

    CLI Example:

    .. code-block:: bash

        salt ctl1 nova_trial.release cmp1
    """
    seen = _seen(host)
    if seen["enabled"] or not computes.ours(seen["reason"]):
        return False
    return __salt__["nova.enable"](host)


def _seen(host):
    found = __salt__["nova.services"](host=host, binary="nova-compute")
    if not found:
        raise CommandExecutionError(
            f"no nova-compute on {host}; known hosts: salt {__opts__['id']} nova.services"
        )
    return found[0]


def allow(hosts, allowed=True, timeout=60):
    """
    Let an instance that is asked for on one of ``hosts`` by name get there although it is disabled.

    Placement offers no host with the mark of a disabled one, not even to who names it. Without its
    mark the scheduler still gives the host to nobody who does not name it, because it is disabled.
    The host puts the mark back within minutes.

    hosts
        Hosts to try, e.g. ``[cmp1]``.

    allowed
        False puts the mark back at once.

    timeout
        Seconds until a host that has just started has told placement what it has.

    Returns the hosts whose mark was changed. Raises CommandExecutionError for a host that Nova or
    placement does not know.

    CLI Example:

    .. code-block:: bash

        salt ctl1 nova_trial.allow '[cmp1]'
    """
    deadline = time.monotonic() + timeout
    with saltern_sdk.session(__pillar__, CommandExecutionError, "Nova") as conn:
        known = {
            (h.service_details or {}).get("host"): h.id
            for h in conn.compute.hypervisors(details=True)
        }
        if unknown := sorted(set(hosts) - known.keys()):
            raise CommandExecutionError(
                f"Nova knows no hypervisor of {', '.join(unknown)}; "
                f"next: salt {__opts__['id']} nova.discover_hosts"
            )
        return [
            host
            for host in hosts
            if _mark(conn.placement, host, known[host], not allowed, deadline)
        ]


def _mark(placement, host, provider, wanted, deadline):
    """Give ``provider`` the mark of a disabled host, or take it; True when that was a change."""
    url = f"/resource_providers/{provider}/traits"
    for _ in range(TRIES):
        found = placement.get(url, microversion=PLACEMENT)
        while not (found.ok and found.json()["traits"]) and time.monotonic() < deadline:
            time.sleep(POLL)
            found = placement.get(url, microversion=PLACEMENT)
        if not found.ok:
            raise CommandExecutionError(f"placement on {host}: {found.status_code} {found.text}")
        seen = found.json()
        traits = set(seen["traits"])
        if (computes.TRAIT in traits) == wanted:
            return False
        body = {
            "resource_provider_generation": seen["resource_provider_generation"],
            "traits": sorted(traits ^ {computes.TRAIT}),
        }
        if placement.put(url, json=body, microversion=PLACEMENT).ok:
            return True
    raise CommandExecutionError(f"placement on {host}: its traits change all the time; try again")
