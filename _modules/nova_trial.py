"""
The trial of a compute host: while it is new it is disabled, and gets no instance but ours.

Nova disables a new host by itself (``enable_new_services = false``). ``orch.deploy`` and
``orch.join`` have :func:`prove` boot an instance on each, which enables those where it worked. What
an operator disabled is never enabled here.
"""

import collections
import time

import saltern_canary
import saltern_sdk
from salt.exceptions import CommandExecutionError
from saltern import computes, validation

__virtualname__ = "nova_trial"

KNOWN = 60  # seconds until a host that has just started has told placement what it has
POLL = 0.5  # seconds between two looks at a host that has not told placement what it has
LOOK = 5.0  # seconds between two looks whether Nova hears of a host
SILENT = 60.0  # seconds for which Nova hears nothing of a host that has gone away in its trial
PLACEMENT = "1.6"  # the version of placement's API that has traits
TRIES = 5  # times that we read and write traits, when the host itself writes them in between


def __virtual__():
    if "nova.services" in __salt__:
        return __virtualname__
    return False, "nova_trial: the execution module nova did not load"


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


def prove(hosts, image="/usr/share/saltern/canary.raw", timeout=300, together=8):
    """
    Boot an instance on each of ``hosts``, disabled as they are, and enable those where it got its
    address and its metadata.

    hosts
        Hosts that Nova knows, e.g. ``[cmp3, cmp4]``.

    image
        Raw disk of the canary: a path on this node, or ``salt://...`` on the master's file server.

    timeout
        Seconds that one instance may take from being asked for to having said everything.

    together
        So many instances at a time. The next one is asked for when one has said everything.

    Returns ``{host: why it stays disabled}``, with an empty string for hosts that are enabled now.
    Raises CommandExecutionError when the cause is no host's own: then nobody was enabled. What is
    left is removed by :func:`cloud_validation.clean`, for which enabling does not wait.

    CLI Example:

    .. code-block:: bash

        salt ctl1 nova_trial.prove '[cmp3]'
    """
    try:
        with saltern_sdk.connect(__pillar__) as conn:
            saltern_canary.clean(conn)
            name = saltern_canary.new_name()
            wanted = __pillar__["cloud"]["values"]["nova"]["validation"]
            network, _ = saltern_canary.network(conn, name, wanted, router=False)
            needs = (
                saltern_canary.upload(conn, name, saltern_canary.disk(image, __salt__)),
                saltern_canary.smallest(conn, name),
                network,
            )
            return _one_after_the_other(
                hosts, together, lambda host: _Trial(conn, name, host, needs, timeout)
            )
    except (LookupError, ImportError, *saltern_canary.errors()) as exc:
        raise CommandExecutionError(
            f"no instance can be tried: {exc}; next: salt '*' openstack.health"
        ) from exc


def _one_after_the_other(hosts, together, begin):
    """What came of each host; at most ``together`` trials run at a time."""
    waiting, running, found = collections.deque(hosts), collections.deque(), {}
    while waiting or running:
        while waiting and len(running) < together:
            running.append((waiting[0], begin(waiting.popleft())))
        host, trial = running.popleft()
        found[host] = trial.end()
    return found


class _Trial:
    """The instance on one host, from being asked for to its verdict."""

    def __init__(self, conn, name, host, needs, timeout):
        self._conn, self._name, self._host, self._needs = conn, name, host, needs
        self._deadline = time.monotonic() + timeout
        self._looked, self._up = 0.0, time.monotonic()
        self._server, self._refused = None, ""
        try:
            self._ask()
        except (CommandExecutionError, *saltern_canary.errors()) as exc:
            self._refused = str(exc)

    def end(self):
        """Why the host stays disabled; it is enabled when there is no reason."""
        if self._refused:
            return self._refused
        try:
            server = self._active()
            said = saltern_canary.heard(self._conn, server, self._deadline)
            checks = validation.instance_checks(said, saltern_canary.address(server), routed=False)
            if bad := [f"{check}: {detail}" for check, ok, detail in checks if not ok]:
                return "; ".join(bad)
            release(self._host)
        except (CommandExecutionError, *saltern_canary.errors()) as exc:
            return str(exc)
        saltern_canary.remove(self._conn, "server", server)  # or it is done with the rest
        return ""

    def _ask(self):
        """Ask for the instance; True when the host had the mark of a disabled one until now."""
        known = min(self._deadline, time.monotonic() + KNOWN)
        marked = bool(_allow(self._conn, [self._host], known))
        if marked or self._server is None:
            self._server = saltern_canary.ask(self._conn, self._name, self._host, *self._needs)
        return marked

    def _active(self):
        """The instance once it runs.

        A host reports to placement once a minute, and puts its mark back then: what the scheduler
        refused in between is asked for again.
        """
        while True:
            try:
                return saltern_canary.until_active(
                    self._conn, self._server, self._deadline, self._patience
                )
            except saltern_canary.NoHost:
                if not self._ask():
                    raise

    def _patience(self):
        """Raise when the host went away: Nova would go on waiting, and the others with it."""
        now = time.monotonic()
        if now < self._looked + LOOK:
            return
        self._looked = now
        services = self._conn.compute.services(host=self._host, binary="nova-compute")
        if any(service.state == "up" for service in services):
            self._up = now
        elif now > self._up + SILENT:
            raise CommandExecutionError(
                f"Nova has heard nothing of {self._host} for {SILENT:.0f} s; it went away"
            )


def allow(hosts, allowed=True, timeout=KNOWN):
    """
    Let an instance that is asked for on one of ``hosts`` by name get there although it is disabled.

    Placement offers no host with the mark of a disabled one, not even to who names it. Without its
    mark the scheduler still gives the host to nobody who does not name it, because it is disabled.
    The host puts the mark back with its next report to placement, within a minute.

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
    with saltern_sdk.session(__pillar__, CommandExecutionError, "Nova") as conn:
        return _allow(conn, hosts, time.monotonic() + timeout, allowed)


def _allow(conn, hosts, deadline, allowed=True):
    known = {
        (h.service_details or {}).get("host"): h.id for h in conn.compute.hypervisors(details=True)
    }
    if unknown := sorted(set(hosts) - known.keys()):
        raise CommandExecutionError(
            f"Nova knows no hypervisor of {', '.join(unknown)}; "
            f"next: salt {__opts__['id']} nova.discover_hosts"
        )
    return [
        host for host in hosts if _mark(conn.placement, host, known[host], not allowed, deadline)
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
