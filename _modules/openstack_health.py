"""
The truth about the services of this node, fast: ``salt '*' openstack.health``.

The file is not called ``openstack.py`` because that would shadow the OpenStack SDK.
"""

import json
import threading
import time

import saltern_pressure
import saltern_probes
import saltern_processes
from salt.exceptions import CommandExecutionError, SaltException
from saltern import health as verdicts
from saltern import versions

__virtualname__ = "openstack"

#: Seconds beyond its own timeout until a probe that has not come back counts as silent, whatever
#: holds it up.
GRACE = 0.5

#: Seconds between two looks while a gate waits, at first and at most.
POLL = (0.3, 1.5)


def __virtual__():
    return __virtualname__


def _cloud():
    cloud = __pillar__.get("cloud")
    if not isinstance(cloud, dict) or "services" not in cloud:
        raise CommandExecutionError(
            "pillar.cloud is not there; next: salt-run saltern.validate, then "
            f"salt {__opts__['id']} saltutil.refresh_pillar"
        )
    return cloud


def _wanted(cloud, services):
    asked = services.split(",") if isinstance(services, str) else services
    return [name for name in cloud["services"] if asked is None or name in asked]


def health(services=None, deep=False, wait=0):
    """
    Whether each service of this node works: its units run, and it answers.

    Everything asked is local to the node and has a timeout of two seconds, so that the answer
    is as fast and as true while the database, the broker or a peer is gone. While processes of the
    machine wait for a core more than half of the time (``/proc/pressure/cpu``) it is four times as
    long: what is slow then is not down.

    services
        Only these (list or comma-separated); default: every service this node runs by the model.
        Services that the node does not run are left out.

    deep
        Also log in to Keystone through the virtual address as a service user of this node, and
        read something from each API of this node with that token.

    wait
        Seconds to ask again until all is ok; 0 asks once. The last truth is returned.

    Returns ``{service: {status: ok|degraded|down, reason: str, seconds: float}}``, and a non-zero
    retcode when any service is not ok. What is down while the machine has been up for less than
    three minutes (twelve while it is as busy as that) may only be starting: with it comes
    ``booted``, the seconds since. Raises CommandExecutionError without a pillar.

    CLI Example:

    .. code-block:: bash

        salt '*' openstack.health
        salt 'ctl*' openstack.health services=keystone,nova-api wait=60
        salt ctl1 openstack.health deep=True
    """
    cloud = _cloud()
    wanted = _wanted(cloud, services)
    deadline = time.monotonic() + float(wait)
    pause, longest = POLL
    found = _look(cloud, wanted, deep)
    while (bad := [name for name in wanted if found[name]["status"] != "ok"]) and (
        time.monotonic() + pause < deadline
    ):
        time.sleep(pause)
        pause = min(pause * 1.3, longest)
        found.update(_look(cloud, bad, deep))
        if all(state["status"] == "ok" for state in found.values()):
            found = _look(cloud, wanted, deep)  # what was ok at first may be gone by now
    __context__["retcode"] = int(any(state["status"] != "ok" for state in found.values()))
    return found


def _look(cloud, names, deep):
    """One look at all of ``names``, side by side."""
    seen = {name: [] for name in names}
    took = dict.fromkeys(names, 0.0)
    tasks = [_begin(name, cloud["probes"][name]) for name in names]
    units = {u: spec["service"] for u, spec in cloud["units"].items() if spec["service"] in seen}
    shown = __salt__["unit.show"](list(units))
    for name in names:
        own = {unit: shown[unit] for unit, service in units.items() if service == name}
        seen[name].append(verdicts.of_units(own, time.time()))
        if reason := saltern_processes.why_halted({u: own[u]["pid"] for u in own if own[u]["up"]}):
            seen[name].append((verdicts.DOWN, reason))
    # Only this thread calls other modules: Salt's loader is not made for several.
    for name in names:
        kind = cloud["probes"][name]["kind"]
        if kind in MODULE_KINDS and not _is_down(seen[name]):
            started = time.monotonic()
            seen[name].append(_by_module(kind))
            took[name] = time.monotonic() - started
    for name, thread, box in filter(None, tasks):
        if _is_down(seen[name]):
            continue  # it would be said twice
        thread.join(max(0.0, box["until"] - time.monotonic()))
        took[name] = box.get("seconds", box["patience"])
        reason = box.get("reason", f"no answer within {box['patience']:g} s")
        seen[name].append(verdicts.of_reason(reason))
    if deep:
        for name, reason in _deep(cloud, names).items():
            seen[name].append(verdicts.of_reason(reason))
    age = saltern_processes.since_boot()
    booted = round(age) if age < verdicts.BOOTING * saltern_pressure.slower() else None
    return {name: _told(verdicts.worst(seen[name]), took[name], booted) for name in names}


def _told(verdict, seconds, booted):
    status, reason = verdict
    told = {"status": status, "reason": reason, "seconds": round(seconds, 3)}
    if status == verdicts.DOWN and booted is not None:
        told["booted"] = booted
    return told


def _is_down(seen):
    return any(status == verdicts.DOWN for status, _ in seen)


def _begin(name, spec):
    """Start the probe of ``name`` in a thread that nobody has to wait for."""
    if spec["kind"] not in saltern_probes.KINDS:
        return None
    patience = saltern_probes.patience() + GRACE
    box = {"patience": patience, "until": time.monotonic() + patience}

    def ask():
        started = time.monotonic()
        box["reason"] = saltern_probes.ask(spec)
        box["seconds"] = time.monotonic() - started

    thread = threading.Thread(target=ask, name=f"probe-{name}", daemon=True)
    thread.start()
    return name, thread, box


#: Kind of probe -> the function of another execution module that knows, and what its answer means.
#: The kind ``unit`` needs nothing more than its units.
MODULE_KINDS = {
    "galera": ("galera.status", verdicts.of_galera),
    "haproxy": ("haproxy.servers", verdicts.of_haproxy),
    "keepalived": ("keepalived.state", verdicts.of_keepalived),
}


def _by_module(kind):
    function, judge = MODULE_KINDS[kind]
    if function not in __salt__:
        return "down", f"{function} did not load: is the package installed?"
    try:
        return judge(__salt__[function]())
    except (SaltException, OSError, ValueError) as exc:
        return "down", f"{function}: {str(exc) or type(exc).__name__}"


def _deep(cloud, names):
    """Service -> reason, for those whose probe names something to read with a token."""
    wanted = {n: cloud["probes"][n] for n in names if "read" in cloud["probes"][n]}
    if not wanted:
        return {}
    user = verdicts.credentials(cloud["values"])
    if user is None:
        return dict.fromkeys(wanted, "no service user on this node to log in with")
    token, reason = saltern_probes.token(user["auth_url"], json.dumps(verdicts.token_request(user)))
    if token is None:
        return dict.fromkeys(wanted, f"no token from {user['auth_url']}: {reason}")
    return {name: saltern_probes.read(spec, token) for name, spec in wanted.items()}


def services():
    """
    The services of this node, unit by unit.

    Returns ``{service: {unit: {state, enabled, started, pending}}}``: ``state`` in words,
    ``started`` in seconds since the epoch (None when it never ran), ``pending`` the files that are
    newer than the process. Raises CommandExecutionError without a pillar.

    CLI Example:

    .. code-block:: bash

        salt ctl1 openstack.services
    """
    cloud = _cloud()
    shown = __salt__["unit.show"](list(cloud["units"]))
    pending = __salt__["unit.pending"]()
    ret = {name: {} for name in cloud["services"]}
    for unit, spec in cloud["units"].items():
        ret[spec["service"]][unit] = {
            "state": shown[unit]["summary"],
            "enabled": shown[unit]["enabled"],
            "started": shown[unit]["started"],
            "pending": pending.get(unit, {}).get("files", []),
        }
    return ret


def version():
    """
    OpenStack's release on this node, and the version of each package behind its services.

    Returns ``{release: "2025.1" or None, packages: {package: version}}``; ``release`` is None on a
    node that runs neither Keystone nor Nova. Raises CommandExecutionError without a pillar.

    CLI Example:

    .. code-block:: bash

        salt '*' openstack.version
    """
    names = versions.packages_of(_cloud()["units"])
    if not names:
        return {"release": None, "packages": {}}
    listing = __salt__["cmd.run_all"](
        ["dpkg-query", "-W", "-f", "${db:Status-Status} ${Package} ${Version}\n", *names],
        python_shell=False,
        timeout=10,
        ignore_retcode=True,  # it complains about each package that is not installed
    )
    packages = versions.parse_dpkg(listing["stdout"])
    return {"release": versions.release(packages), "packages": packages}
