"""
Put a service of this node right, and keep the watch of this node running.

The master's reactor calls :func:`restart`; the watch engine does the same by itself while the
master is away. Nothing here decides whether it should be done: that is ``saltern.reactor``.
"""

import fcntl
import os
import pathlib
import time

import saltern_healing
import saltern_outbox
import saltern_systemd
from salt.exceptions import CommandExecutionError
from saltern.reactor import watched

__virtualname__ = "healing"
__func_alias__ = {"watching_": "watching"}

#: Seconds that the node waits for another service that is being put right.
PATIENCE = 20.0
#: Seconds in which a minion that has just started must have started the watch too.
START_WITHIN = 30.0
#: The same for a watch that has ended because it got newer code: salt-minion starts what ended
#: within ten seconds.
AGAIN_WITHIN = 15.0

MINION = "salt-minion"
RESTART = "saltern-minion-restart"
RUN = pathlib.Path("/run/saltern")

#: Kind of a probe -> the function that restarts a running member without harm to the others.
MEMBERS = {
    "galera": "galera.restart_member",
    "ovn": "ovn.restart_member",
    "rabbitmq": "rabbitmq_cluster.restart_member",
}

#: Waits until process $1 has ended and until no job has run for $3 seconds, then restarts the
#: minion: a job that comes in between would be lost. A minion takes eight seconds to stop when it
#: is asked to; where no job of somebody else runs ($4) it is killed.
DETACHED = f"""
tail --pid="$1" --sleep-interval=0.1 -f /dev/null
busy() {{
    [ -n "$(ls -A "$2" 2>/dev/null)" ] && return 0
    [ -n "$(find "$2" -maxdepth 0 -newermt "-$3 seconds" 2>/dev/null)" ]
}}
if [ "$3" -gt 0 ]; then while busy "$@"; do sleep 1; done; fi
if [ "$4" = alone ]; then systemctl kill --kill-whom=all --signal=KILL {MINION}; fi
exec systemctl restart {MINION}
"""
#: Seconds between two looks of who waits for the watch.
POLL = 0.2


def __virtual__():
    if "unit.show" in __salt__:
        return __virtualname__
    return False, "healing: the execution module unit did not load"


def _share():
    cloud = __pillar__.get("cloud")
    if not isinstance(cloud, dict) or "units" not in cloud:
        raise CommandExecutionError(
            "pillar.cloud is not there; next: salt-run saltern.validate, then "
            f"salt {__opts__['id']} saltutil.refresh_pillar"
        )
    return watched.share_of(cloud)


def share():
    """
    What the watch of this node is told: its units and probes, by the model. It holds no secret.

    Returns ``{units: {...}, probes: {...}}``. Raises CommandExecutionError without a pillar.

    CLI Example:

    .. code-block:: bash

        salt ctl1 healing.share
    """
    _share()
    return watched.to_tell(__pillar__["cloud"])


def look(services=None):
    """
    The truth about services of this node: ``openstack.health`` without the waiting.

    services
        Only these (list or comma-separated); default: all.

    Returns what ``openstack.health`` returns. Raises as it does.

    CLI Example:

    .. code-block:: bash

        salt ctl1 healing.look keystone
    """
    return __salt__["openstack.health"](services)


def restart(service, wait=30, epoch=None):
    """
    Restart what does not work of a service, and wait until it does.

    The service is looked at first: what works, is degraded or is on its way is not touched. Units
    that are off are started; a process that runs and does not answer is killed, for it would not
    end when asked; of a service with a quorum no running member is ended but by its own module.

    service
        A service of this node, by its name in the catalog.

    wait
        Seconds until a service that does not answer counts as not healed.

    epoch
        The term of office of the master that asks. One that is older than the newest that this
        node has seen is refused. People leave it out.

    Returns ``{before: status, did: nothing|waited|started|restarted|refused, after: {status,
    reason}, seconds}``; an ``after`` that is not ok means that it did not help. Raises
    CommandExecutionError when the service is not here, when another service is being put right,
    or when systemd refuses.

    CLI Example:

    .. code-block:: bash

        salt ctl1 healing.restart keystone
    """
    told = _share()
    if service not in told.services:
        raise CommandExecutionError(
            f"{service} does not run on {__opts__['id']} by the model: it has "
            f"{', '.join(told.services) or 'no services'}"
        )
    began = time.monotonic()
    if epoch is not None and not _fence().admits(int(epoch)):
        seen = __salt__["openstack.health"]([service])[service]
        return {
            "before": seen["status"],
            "did": "refused",
            "after": {"status": seen["status"], "reason": f"a newer master than {epoch} acts here"},
            "seconds": round(time.monotonic() - began, 3),
        }
    member = MEMBERS.get(told.probes[service]["kind"]) if service in told.quorum else None
    patient = saltern_healing.Patient(
        service,
        told.units_of(service),
        look=lambda: __salt__["openstack.health"]([service])[service],
        quorum=service in told.quorum,
        member=__salt__[member] if member else None,
    )
    try:
        with saltern_healing.alone(PATIENCE):
            done = saltern_healing.restart(patient, float(wait))
    except (saltern_healing.Busy, saltern_healing.Refused, saltern_systemd.Gone) as exc:
        raise CommandExecutionError(
            f"{service}: {exc}; next: systemctl status {' '.join(patient.units)}"
        ) from exc
    __context__["retcode"] = int(done["after"]["status"] != "ok")
    return done


def _fence():
    return saltern_healing.Fence(pathlib.Path(__opts__["cachedir"]) / "saltern/epoch")


def outbox():
    """
    Return the digest by which the events of this node are known to be its own, or None while it has
    no outbox.

    The master asks for it, because an event can be sent in the name of any node: what a beat is, is
    told by the epoch of the outbox, which only its node and the master know.

    CLI Example:

    .. code-block:: bash

        salt ctl1 healing.outbox
    """
    return saltern_outbox.named(pathlib.Path(__opts__["cachedir"]) / "saltern")


def watching_(wait=0):
    """
    Whether the watch of this node runs.

    wait
        Seconds to wait for it while it is starting.

    Returns ``running``, ``starting`` (salt-minion is about to be restarted, or has just been), or
    ``off``.

    CLI Example:

    .. code-block:: bash

        salt '*' healing.watching
    """
    deadline = time.monotonic() + wait
    while (state := _watch()) == "starting" and time.monotonic() < deadline:
        time.sleep(POLL)
    return state


def _watch():
    shown = __salt__["unit.show"]([RESTART, MINION])
    if shown[RESTART]["coming"]:
        return "starting"  # even if a watch runs now: it is about to be ended
    if _is_held(RUN / "watch.lock"):
        return "running"
    minion = shown[MINION]
    young = minion["started"] is not None and time.time() - minion["started"] < START_WITHIN
    return "starting" if young and not _is_older(minion) else "off"


def arm(quiet=0):
    """
    Have salt-minion start the watch of this node, by being restarted once this job has ended.

    A minion starts engines when it starts itself: one that came later needs this once. What runs
    already is left alone; newer code of a running watch takes over by itself.

    quiet
        Seconds without any job on this node before the restart. 0 restarts as soon as this job has
        ended: whoever asks waits until ``healing.watching`` says running before the next one.

    Returns what :func:`watching` returns afterwards. Raises CommandExecutionError when the minion
    had everything when it started and the watch does not run all the same.

    CLI Example:

    .. code-block:: bash

        salt '*' healing.arm
    """
    state = watching_()
    if state != "off":
        return state
    minion = __salt__["unit.show"]([MINION])[MINION]
    if not minion["exists"] or not minion["up"]:
        raise CommandExecutionError(
            f"{MINION} is no running unit of systemd here: restart it by hand to start the watch"
        )
    if not _engine().exists():
        raise CommandExecutionError(
            f"the code of the watch is not here; next: salt {__opts__['id']} saltutil.sync_all"
        )
    if not _is_older(minion):
        if _is_back(AGAIN_WITHIN):
            return "running"
        raise CommandExecutionError(
            f"the watch does not run although {MINION} was started with it; next: journalctl -u"
            f" {MINION} on {__opts__['id']}, and `engines: [saltern_watch: {{}}]` in its minion.d"
        )
    proc = pathlib.Path(__opts__["cachedir"]) / "proc"
    alone = "alone" if quiet or len(list(proc.glob("*"))) <= 1 else ""  # this job has a file too
    arguments = [str(os.getpid()), str(proc), str(int(quiet)), alone]
    words = ["/bin/sh", "-c", DETACHED, RESTART, *arguments]
    ret = __salt__["cmd.run_all"](
        ["systemd-run", "--quiet", "--collect", f"--unit={RESTART}", "--", *words],
        python_shell=False,
        timeout=30,
        ignore_retcode=True,
    )
    if ret["retcode"]:
        raise CommandExecutionError(f"systemd-run: {ret['stderr'] or ret['stdout']}")
    return "starting"


def _is_back(seconds):
    """Whether the watch runs again within ``seconds``."""
    deadline = time.monotonic() + seconds
    while (state := _watch()) != "running" and time.monotonic() < deadline:
        time.sleep(POLL)
    return state == "running"


def _is_older(minion):
    """Whether the minion started before its engine, or the settings that name it, were here."""
    needed = [_engine(), *_config().glob("saltern*.conf")]
    return any(path.stat().st_mtime > (minion["started"] or 0) for path in needed if path.exists())


def _engine():
    return pathlib.Path(__opts__["extension_modules"]) / "engines/saltern_watch.py"


def _config():
    return pathlib.Path(__opts__.get("conf_file") or "/etc/salt/minion").parent / "minion.d"


def config_folder():
    """
    The folder that salt-minion reads beside its own file.

    Returns a path. Raises nothing.

    CLI Example:

    .. code-block:: bash

        salt ctl1 healing.config_folder
    """
    return str(_config())


def _is_held(path):
    """Whether a living process has locked ``path``."""
    try:
        with path.open("a") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
