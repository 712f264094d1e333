"""
Nova from a controller: its services, its hypervisors, and the cells that hold them.

What is in a database is asked there, which takes milliseconds; what Nova has to decide is asked of
its API, as Nova's own service user.
"""

import contextlib
import time

import saltern_sdk
from salt.exceptions import CommandExecutionError
from saltern import nova

__virtualname__ = "nova"

CONFIG = "/etc/nova/nova.conf"
COMMAND_TIMEOUT = 120  # seconds for one nova-manage command, which imports half of Nova first
POLL = 0.5  # seconds between two looks for a host that has not reported yet


def __virtual__():
    return __virtualname__


@contextlib.contextmanager
def _api():
    with saltern_sdk.session(__pillar__, CommandExecutionError, "Nova") as conn:
        yield conn.compute


def _manage(*args):
    return __salt__["openstack_schema.sync"](
        "nova", ["nova-manage", *args], config=CONFIG, timeout=COMMAND_TIMEOUT
    )


def services(host=None, binary=None):
    """
    Return Nova's services as its API sees them.

    host, binary
        Only those, e.g. ``cmp1`` or ``nova-compute``.

    Returns a list of ``{binary, host, up, enabled, reason, updated}``. Raises CommandExecutionError
    when the API does not answer, or this node holds no password for it.

    CLI Example:

    .. code-block:: bash

        salt ctl1 nova.services binary=nova-compute
    """
    with _api() as compute:
        query = {k: v for k, v in (("host", host), ("binary", binary)) if v}
        found = [
            {
                "binary": s.binary,
                "host": s.host,
                "state": s.state,
                "status": s.status,
                "disabled_reason": s.disabled_reason,
                "updated_at": s.updated_at,
            }
            for s in compute.services(**query)
        ]
    return [nova.service(record) for record in found]


def hypervisors():
    """
    Return the hypervisors: a list of ``{name, host, up, enabled, type, address}``.

    CLI Example:

    .. code-block:: bash

        salt ctl1 nova.hypervisors
    """
    with _api() as compute:
        return [
            {
                "name": h.name,
                "host": (h.service_details or {}).get("host"),
                "up": h.state == "up",
                "enabled": h.status == "enabled",
                "type": h.hypervisor_type,
                "address": h.host_ip,
            }
            for h in compute.hypervisors(details=True)
        ]


def enable(host, binary="nova-compute"):
    """
    Let ``host`` take new instances.

    host
        Name of the host, e.g. ``cmp1``.

    binary
        Service to enable there.

    Returns True when it was disabled before. Raises CommandExecutionError when there is no such
    service.

    CLI Example:

    .. code-block:: bash

        salt ctl1 nova.enable cmp1
    """
    with _api() as compute:
        service = _service(compute, host, binary)
        if service.status == "enabled":
            return False
        compute.enable_service(service)
        return True


def disable(host, reason, binary="nova-compute"):
    """
    Keep new instances away from ``host``; those that run there go on running.

    host
        Name of the host, e.g. ``cmp1``.

    reason
        Why, for the people who will wonder.

    binary
        Service to disable there.

    Returns True when it was enabled before. Raises CommandExecutionError when there is no such
    service.

    CLI Example:

    .. code-block:: bash

        salt ctl1 nova.disable cmp1 reason='new memory modules'
    """
    with _api() as compute:
        service = _service(compute, host, binary)
        if service.status == "disabled" and service.disabled_reason == reason:
            return False
        # By its id: of a record that is disabled already the SDK would send the reason alone, but
        # Nova wants both.
        compute.disable_service(service.id, disabled_reason=reason)
        return True


def _service(compute, host, binary):
    found = list(compute.services(host=host, binary=binary))
    if not found:
        raise CommandExecutionError(
            f"no {binary} on {host}; known hosts: salt {__opts__['id']} nova.services"
        )
    return found[0]


def cells():
    """
    Return the cells: ``{name: [{uuid, database, transport}, ...]}``, asked of the database.

    CLI Example:

    .. code-block:: bash

        salt ctl1 nova.cells
    """
    return nova.cells(__salt__["openstack_schema.query"](CONFIG, "api_database", nova.SQL_CELLS))


def create_cell(name, database, transport):
    """
    Create a cell. Nova would create a second one of the same name, so ask :py:func:`cells` first.

    name
        ``cell0`` for the cell of what never reached a host, any other name for a real one.

    database, transport
        URLs, best as templates (``{scheme}://{username}:...``) that hold no password.

    CLI Example:

    .. code-block:: bash

        salt ctl1 nova.create_cell cell0 \\
            '{scheme}://{username}:{password}@{hostname}:{port}/nova_cell0?{query}' none:///
    """
    if cells().get(name):
        raise CommandExecutionError(f"there is a cell {name} already: see nova.cells")
    if name == "cell0":
        return _manage("cell_v2", "map_cell0", "--database_connection", database)
    return _manage(
        *("cell_v2", "create_cell", "--name", name),
        *("--database_connection", database, "--transport-url", transport),
    )


def update_cell(uuid, name, database, transport):
    """
    Give the cell ``uuid`` this name and these URLs.

    uuid
        Of the cell, as in :py:func:`cells`.

    name, database, transport
        As for :py:func:`create_cell`.

    CLI Example:

    .. code-block:: bash

        salt ctl1 nova.update_cell 1e0c2c5a-... cell1 '{scheme}://...' '{scheme}://...'
    """
    return _manage(
        *("cell_v2", "update_cell", "--cell_uuid", uuid, "--name", name),
        *("--database_connection", database, "--transport-url", transport),
    )


def mapped_hosts():
    """
    Return the hosts that a cell knows, sorted: only they can be given instances.

    CLI Example:

    .. code-block:: bash

        salt ctl1 nova.mapped_hosts
    """
    rows = __salt__["openstack_schema.query"](CONFIG, "api_database", nova.SQL_MAPPED)
    return sorted(row[0] for row in rows)


def reported_hosts():
    """
    Return the hosts whose nova-compute has registered itself and its hypervisor, sorted.

    CLI Example:

    .. code-block:: bash

        salt ctl1 nova.reported_hosts
    """
    rows = __salt__["openstack_schema.query"](CONFIG, "database", nova.SQL_REPORTED)
    return sorted({row[0] for row in rows})


def discover_hosts(hosts=None, timeout=60):
    """
    Tell the cells about computes that they do not know yet.

    hosts
        Wait until these have reported; default: whoever has.

    timeout
        Seconds to wait for them.

    Returns the hosts that are mapped afterwards. Raises CommandExecutionError when a host did not
    report, after mapping the others.

    CLI Example:

    .. code-block:: bash

        salt ctl1 nova.discover_hosts
    """
    wanted = set(hosts or ())
    deadline = time.monotonic() + timeout
    while (silent := wanted - set(reported_hosts())) and time.monotonic() < deadline:
        time.sleep(POLL)
    failure = None
    try:
        # By service: a host that was deleted and is back has a compute node that counts as mapped.
        _manage("cell_v2", "discover_hosts", "--by-service")
    except CommandExecutionError as exc:  # the scheduler's own search may have been faster
        failure = exc
    mapped = mapped_hosts()
    if silent:
        raise CommandExecutionError(
            f"nova-compute on {', '.join(sorted(silent))} did not report within {timeout} s: see"
            " journalctl -u nova-compute and /var/log/nova/nova-compute.log there"
        )
    if failure and not wanted <= set(mapped):
        raise failure
    return mapped
