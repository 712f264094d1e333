"""
This node's HAProxy: what it knows of its servers, and which of them get traffic.

A server of the model starts disabled. :func:`admit` checks it from here, as HAProxy would, and lets
it in; who is in, drained or in maintenance is saved at once and outlives reloads, restarts and
reboots. A server that an operator took out (:func:`drain`, :func:`maint`) stays out until
:func:`ready` or :func:`admit`.
"""

import hashlib
import pathlib

import salt.utils.path
import saltern_haproxy_link as link
import saltern_haproxy_traffic as traffic
from salt.exceptions import CommandExecutionError
from saltern import haproxy

__virtualname__ = "haproxy"
__func_alias__ = {"reload_": "reload"}

CONFIG = "/etc/haproxy/haproxy.cfg"
HELPER = "/usr/local/sbin/saltern-haproxy"
LOADED = pathlib.Path("/run/saltern/haproxy.loaded")


def __virtual__():
    if salt.utils.path.which("haproxy"):
        return __virtualname__
    return False, "haproxy: haproxy is not installed"


# -- the socket ----------------------------------------------------------------------------------


def _linked(function, *args):
    try:
        return function(*args)
    except (link.NoAnswer, traffic.Refused) as exc:
        raise CommandExecutionError(str(exc)) from exc


def stat():
    """
    Every row of HAProxy's statistics: frontends, backends and servers.

    Returns a list of ``{column: text}`` with HAProxy's own columns (``pxname``, ``svname``,
    ``status``, ``scur``, ..). Raises CommandExecutionError when HAProxy does not answer within 2 s.

    CLI Example:

    .. code-block:: bash

        salt lb1 haproxy.stat
    """
    return _linked(link.stat)


def servers(backend=None):
    """
    Servers behind this balancer.

    backend
        Only those of this service; default: all.

    Returns a list of ``{backend, server, address, admin, status, backup, sessions, check, reason,
    since, hold}``: ``admin`` is what was asked for (``ready``, ``drain``, ``maint``; a server not
    admitted yet is in ``maint``), ``status`` is HAProxy's (``UP``, ``DOWN``, ``DRAIN``, ``MAINT``),
    ``since`` the seconds since it changed. ``hold`` is who keeps it out: ``operator``, ``rolling``
    (:func:`drain_node`: a rolling restart, or the reactor that isolated it), or ``""``. Raises
    CommandExecutionError when HAProxy does not answer within 2 s.

    CLI Example:

    .. code-block:: bash

        salt 'lb*' haproxy.servers keystone
    """
    observed = _linked(traffic.observe)
    return [seen for seen in observed if backend in (None, seen["backend"])]


def info():
    """
    HAProxy's version, uptime (s), connections and limits, as it says itself.

    Returns ``{key: text}`` of ``show info``. Raises CommandExecutionError when it does not answer
    within 2 s.

    CLI Example:

    .. code-block:: bash

        salt 'lb*' haproxy.info
    """
    return haproxy.parse_info(_linked(link.ask, "show info"))


# -- configuration -------------------------------------------------------------------------------


def check_config(path=CONFIG):
    """
    Let HAProxy check a configuration without loading it.

    path
        The file.

    Returns True. Raises CommandExecutionError with HAProxy's words when it would refuse the file.

    CLI Example:

    .. code-block:: bash

        salt lb1 haproxy.check_config /etc/haproxy/haproxy.cfg
    """
    ret = __salt__["cmd.run_all"](
        ["haproxy", "-c", "-f", path], python_shell=False, timeout=30, ignore_retcode=True
    )
    if ret["retcode"]:
        raise CommandExecutionError(f"{path}: {ret['stderr'] or ret['stdout']}")
    return True


def configuration(path=CONFIG):
    """
    Which configuration HAProxy was given, and which is on disk, as short fingerprints.

    path
        The file that it reads.

    Returns ``{loaded, on_disk}``; None for a file that is not there or when HAProxy was never
    started.

    CLI Example:

    .. code-block:: bash

        salt 'lb*' haproxy.configuration
    """
    file = pathlib.Path(path)
    return {
        "loaded": LOADED.read_text().split()[0][:12] if LOADED.exists() else None,
        "on_disk": hashlib.sha256(file.read_bytes()).hexdigest()[:12] if file.exists() else None,
    }


def reload_():
    """
    Load the configuration on disk, losing neither connections nor who is admitted and drained.

    Returns True. Raises CommandExecutionError when HAProxy refuses it; the former configuration
    serves on.

    CLI Example:

    .. code-block:: bash

        salt lb1 haproxy.reload
    """
    _run("reloading haproxy", ["systemctl", "reload", "haproxy"], timeout=90)
    return True


def save_state():
    """
    Save who is admitted, drained or in maintenance. What changes it here does so by itself.

    Returns True. Raises CommandExecutionError when the state cannot be read or written.

    CLI Example:

    .. code-block:: bash

        salt lb1 haproxy.save_state
    """
    _run("saving HAProxy's state", [HELPER, "save"], timeout=30)
    return True


def _run(what, argv, timeout):
    ret = __salt__["cmd.run_all"](argv, python_shell=False, timeout=timeout, ignore_retcode=True)
    if ret["retcode"]:
        raise CommandExecutionError(
            f"{what}: {ret['stderr'] or ret['stdout']}; look at journalctl -u haproxy"
        )


# -- in and out ----------------------------------------------------------------------------------


def _proxies():
    found = __pillar__.get("cloud", {}).get("values", {}).get("haproxy", {}).get("proxies")
    if found is None:
        raise CommandExecutionError("this node has no haproxy in the model (pillar.cloud.values)")
    return found


def _listed(services):
    return [services] if isinstance(services, str) else services


def drain(backend, server, timeout=60, force=False):
    """
    Give a server no new work and wait until it has none. It stays out until :func:`ready` or
    :func:`admit`.

    backend, server
        The service and the node, e.g. ``keystone`` and ``ctl1``.

    timeout
        Seconds to wait until its last session has ended.

    force
        Also when no other server of the backend is usable.

    Returns True. Raises CommandExecutionError when it is the last usable one, or with the number of
    sessions left after ``timeout``; it is drained then, and calling again waits on.

    CLI Example:

    .. code-block:: bash

        salt 'lb*' haproxy.drain keystone ctl1
    """
    _linked(traffic.drain, (backend, server), timeout, force, save_state)
    return True


def maint(backend, server, force=False):
    """
    Take a server out at once, without checks. It stays out until :func:`ready` or :func:`admit`.

    backend, server
        The service and the node, e.g. ``keystone`` and ``ctl1``.

    force
        Also when no other server of the backend is usable.

    Returns True. Raises CommandExecutionError when it is the last usable one.

    CLI Example:

    .. code-block:: bash

        salt 'lb*' haproxy.maint glance ctl2
    """
    _linked(traffic.take_out, [(backend, server)], "maint", haproxy.OPERATOR, force)
    save_state()
    return True


def ready(backend, server):
    """
    Undo :func:`drain` or :func:`maint` without a check of our own: HAProxy's checks decide.

    backend, server
        The service and the node, e.g. ``keystone`` and ``ctl1``.

    Returns True. Raises CommandExecutionError when there is no such server.

    CLI Example:

    .. code-block:: bash

        salt 'lb*' haproxy.ready keystone ctl1
    """
    _linked(traffic.find, (backend, server))
    _linked(traffic.let_in, [(backend, server)])
    save_state()
    return True


def admit(backend, server=None, timeout=60):
    """
    Send work to servers that answer healthy, also to those that an operator had taken out.

    backend
        The service, e.g. ``keystone``.

    server
        One node; default: every server of the backend.

    timeout
        Seconds to wait until they answer.

    Returns ``{admitted: [..], already: [..], held: []}`` of ``backend/server``. Raises
    CommandExecutionError that names each server which did not become healthy, and why; the others
    are admitted all the same.

    CLI Example:

    .. code-block:: bash

        salt 'lb*' haproxy.admit keystone ctl1
    """
    keys = haproxy.wanted(_proxies(), [backend], server)
    if not keys:
        raise CommandExecutionError(f"the model has no server {backend}/{server or '*'} to balance")
    return _admit(keys, timeout, held=dict.fromkeys(map("/".join, keys), haproxy.ROLLING))


def admit_services(services=None, timeout=60):
    """
    Send work to every healthy server of the services, except to those that an operator took out.

    services
        Names; those that are not balanced are passed over. Default: every balanced service.

    timeout
        Seconds to wait until they are healthy here.

    Returns and raises what :func:`admit` does; what stays out is in ``held``.

    CLI Example:

    .. code-block:: bash

        salt 'lb*' haproxy.admit_services '[keystone, glance]'
    """
    held = _linked(traffic.holds)
    return _admit(haproxy.wanted(_proxies(), _listed(services)), timeout, held)


def admit_node(node, services=None, timeout=60):
    """
    :func:`admit_services` for the servers of one node: the end of :func:`drain_node`.

    node, services
        Its id, and the names of some of its services; default: every balanced one.

    timeout
        Seconds to wait until they are healthy here.

    Returns and raises what :func:`admit_services` does.

    CLI Example:

    .. code-block:: bash

        salt 'lb*' haproxy.admit_node ctl1
    """
    held = _linked(traffic.holds)
    return _admit(haproxy.wanted(_proxies(), _listed(services), node), timeout, held)


def drain_node(node, services=None, timeout=10):
    """
    Take the servers of one node out for a restart: no new work, and time for what they have.

    What an operator took out stays as it is. Sessions on a backend with one writer are ended at
    once, so that there are never two writers; other sessions may outlast ``timeout`` (a console, an
    upload): the restart ends them.

    node, services
        Its id, and the names of some of its services; default: every balanced one.

    timeout
        Seconds to wait until another server is usable, and again until the sessions have ended.

    Returns ``{drained: [..], sessions: {backend/server: number left}}``. Raises
    CommandExecutionError when no other server of a backend is usable.

    CLI Example:

    .. code-block:: bash

        salt 'lb*' haproxy.drain_node ctl1 '[keystone]'
    """
    proxies = _proxies()
    wanted = haproxy.wanted(proxies, _listed(services), node)
    return _linked(traffic.drain_node, proxies, wanted, timeout, save_state)


def recheck(node, services=None):
    """
    Check the servers of one node now, and send nothing more to those that fail.

    For when somebody knows already that one is ill. HAProxy's own checks go on and bring it back as
    soon as it answers. The last usable server of a backend stays; one writer is left to HAProxy.

    node, services
        Its id, and the names of some of its services; default: every balanced one.

    Returns ``{backend/server: why it fails}`` of those that get no more requests. Raises
    CommandExecutionError when HAProxy does not answer.

    CLI Example:

    .. code-block:: bash

        salt 'lb*' haproxy.recheck ctl1 '[keystone]'
    """
    proxies = _proxies()
    return _linked(traffic.recheck, proxies, haproxy.wanted(proxies, _listed(services), node))


def _admit(keys, timeout, held):
    return _linked(traffic.admit, _proxies(), keys, timeout, held, save_state)
