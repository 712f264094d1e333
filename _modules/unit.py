"""
systemd units of this node's services: what runs, since when, and what runs with old files.

A state never restarts a service. What runs with files older than the ones on disk is *pending*,
and ``orch.deploy`` restarts it in its turn with :func:`restart_pending`.
"""

import pathlib
import time

import salt.utils.path
import saltern_pressure
import saltern_systemctl
from salt.exceptions import CommandExecutionError
from saltern import units as systemd

__virtualname__ = "unit"
__func_alias__ = {"reload_": "reload"}

POLL = (0.2, 1.0)  # seconds between two looks at units that are starting, at first and at most
JOURNAL_LINES = 8


def __virtual__():
    if salt.utils.path.which("systemctl"):
        return __virtualname__
    return False, "unit: this node is not run by systemd"


def _run(*argv, timeout=30):
    try:
        done = saltern_systemctl.run(*argv, timeout=timeout)
    except saltern_systemctl.NoAnswer as exc:
        raise CommandExecutionError(f"{exc}; next: systemctl list-jobs") from exc
    return {"retcode": done.returncode, "stdout": done.stdout, "stderr": done.stderr.strip()}


def _systemctl(*argv, timeout=30):
    ret = _run("systemctl", *argv, timeout=timeout)
    if ret["retcode"]:
        raise CommandExecutionError(f"systemctl {' '.join(argv)}: {ret['stderr'] or ret['stdout']}")


def _listed(units):
    """Names out of an argument: one, a list, or nothing, which means all units of this node."""
    if units is None:
        return list(__pillar__.get("cloud", {}).get("units", {}))
    return [units] if isinstance(units, str) else list(units)


def _observe(names):
    if not names:
        return {}
    ret = _run(*systemd.SHOW, *(systemd.full_name(name) for name in names))
    try:
        return systemd.parse_show(names, ret["stdout"])
    except ValueError as exc:
        raise CommandExecutionError(
            f"systemd does not answer for {', '.join(names)}: {ret['stderr'] or exc}"
        ) from exc


def show(units=None):
    """
    What systemd says about units, in one call.

    units
        One name or a list of names, ``.service`` may be left out; default: every unit of the
        services that this node runs by the model.

    Returns ``{unit: {active, sub, exists, up, coming, enabled, masked, needs_reload, restarts, pid,
    started, summary}}``. ``coming`` is true when it is up, starting or queued; ``started`` is in
    seconds since the epoch, None when it never ran. Raises CommandExecutionError when systemd does
    not answer.

    CLI Example:

    .. code-block:: bash

        salt ctl1 unit.show keystone
    """
    return {name: unit.shown() for name, unit in _observe(_listed(units)).items()}


def started_at(units=None):
    """
    When the main process of each running unit was started.

    units
        One name or a list; default: every unit of this node's services.

    Returns ``{unit: {pid, started}}`` for the units that run; ``started`` in seconds since the
    epoch. Two equal answers prove that nothing was restarted in between.

    CLI Example:

    .. code-block:: bash

        salt '*' unit.started_at
    """
    return {
        name: {"pid": unit.pid, "started": unit.started}
        for name, unit in _observe(_listed(units)).items()
        if unit.up
    }


def _mtimes(paths):
    """Modification time of each file; globs are expanded, directories stand for all they hold."""
    found = {}
    for entry in paths:
        root = pathlib.Path(entry)
        for path in root.parent.glob(root.name) if "*" in root.name else [root]:
            inside = path.rglob("*") if path.is_dir() else ()
            for one in (path, *inside):
                try:
                    found[str(one)] = one.stat().st_mtime
                except FileNotFoundError:  # not every file of the catalog exists on every node
                    continue
    return found


def pending(services=None):
    """
    Units that run with files older than the ones on disk, and which files those are.

    services
        Look at the units of these services only (list or comma-separated); default: all.

    Returns ``{unit: {service: str, files: [path, ...]}}``; empty when nothing waits for a restart.

    CLI Example:

    .. code-block:: bash

        salt '*' unit.pending
    """
    wanted = services.split(",") if isinstance(services, str) else services
    units = __pillar__.get("cloud", {}).get("units", {})
    known = {n: u for n, u in units.items() if wanted is None or u["service"] in wanted}
    ret = {}
    for name, unit in _observe(list(known)).items():
        files = systemd.newer(_mtimes(known[name]["files"]), unit.started) if unit.up else []
        if files:
            ret[name] = {"service": known[name]["service"], "files": files}
    return ret


def restart_pending(services=None, timeout=120):
    """
    Restart, side by side, the units that run with old files, and wait until they are up again.

    Members of a quorum are not for this function: their own module restarts one at a time.

    services
        Only units of these services (list or comma-separated); default: all.

    timeout
        Seconds until a unit that is not up counts as failed; four times as many while the machine
        is starved (``/proc/pressure/cpu``).

    Returns what was restarted, as :func:`pending`. Raises as :func:`start`.

    CLI Example:

    .. code-block:: bash

        salt ctl1 unit.restart_pending keystone,glance
    """
    waiting = pending(services)
    if waiting:
        restart(list(waiting), timeout=timeout)
    return waiting


def restart(units, timeout=120):
    """
    Restart units side by side and wait until all of them are up.

    units
        One name or a list.

    timeout
        Seconds until a unit that is not up counts as failed; four times as many while the machine
        is starved (``/proc/pressure/cpu``).

    Returns and raises as :func:`start`.

    CLI Example:

    .. code-block:: bash

        salt ctl1 unit.restart keystone
    """
    return _launch("restart", _listed(units), wait=True, timeout=timeout)


def start(units, wait=True, timeout=120):
    """
    Start units side by side; what runs is left alone.

    units
        One name or a list.

    wait
        False returns as soon as systemd has queued the starts: a gate has to look later.

    timeout
        Seconds until a unit that is not up counts as failed; four times as many while the machine
        is starved (``/proc/pressure/cpu``).

    Returns ``{unit: {pid, started}}``. Raises CommandExecutionError with the last log lines of
    every unit that did not come up.

    CLI Example:

    .. code-block:: bash

        salt ctl1 unit.start '[nova-api, nova-scheduler]'
    """
    return _launch("start", _listed(units), wait=wait, timeout=timeout)


def _launch(verb, names, wait, timeout):
    before = _observe(names)
    if any(unit.needs_reload for unit in before.values()):
        reload_()
    full = [systemd.full_name(name) for name in names]
    if any(unit.active == "failed" for unit in before.values()):
        _systemctl("reset-failed", *full)  # or systemd refuses what has failed too often
    _systemctl("--no-block", verb, *full)
    if wait:
        _await(names, timeout, not_before=time.time() if verb == "restart" else None, was=before)
    return {
        name: {"pid": unit.pid, "started": unit.started} for name, unit in _observe(names).items()
    }


def _await(names, timeout, not_before, was):
    """Until every unit is up; with ``not_before``, up with another process than it ``was``.

    Nothing starts in time where everything has to wait for a core: there ``timeout`` is longer.
    """
    began = time.monotonic()
    pause, longest = POLL
    left = list(names)
    bad = {}
    while left:
        slower, took = saltern_pressure.slower(), time.monotonic() - began
        for name, unit in _observe(left).items():
            outcome = systemd.progress(unit, time.time())
            if not_before and outcome == "up" and unit.started == was[name].started:
                outcome = "waiting"  # the job is queued, the old process has not gone yet
            if outcome == "failed":
                bad[name] = systemd.describe(unit)
            elif outcome == "waiting" and took > timeout * slower:
                bad[name] = f"not up after {took:.0f} s: {systemd.describe(unit)}"
            if outcome == "up" or name in bad:
                left.remove(name)
        if left:
            time.sleep(pause)
            pause = min(pause * 1.3, longest)
    if bad:
        raise CommandExecutionError("\n".join(_failure(n, why) for n, why in sorted(bad.items())))


def _failure(name, why):
    full = systemd.full_name(name)
    log = ("journalctl", "--no-pager", "-q", "-o", "cat", "-n", str(JOURNAL_LINES))
    lines = _run(*log, f"_SYSTEMD_UNIT={full}")["stdout"] or _run(*log, "-u", full)["stdout"]
    said = "".join(f"\n    {line}" for line in systemd.scrub(lines.splitlines()))
    return (
        f"{name}: {why}{said or ' (it logged nothing)'}\n"
        f"  next: journalctl -u {name} on {__opts__.get('id', 'this node')}, then run this again"
    )


def reload_():
    """
    Have systemd read its unit files again.

    Returns True. Raises CommandExecutionError when systemd refuses.

    CLI Example:

    .. code-block:: bash

        salt ctl1 unit.reload
    """
    _systemctl("daemon-reload", timeout=60)
    return True


def enable(units):
    """
    Start units at boot; masked ones are unmasked. Nothing is started now.

    units
        One name or a list.

    Returns True. Raises CommandExecutionError when systemd refuses.

    CLI Example:

    .. code-block:: bash

        salt ctl1 unit.enable keystone
    """
    names = _listed(units)
    if masked := [systemd.full_name(n) for n, unit in _observe(names).items() if unit.masked]:
        _systemctl("unmask", *masked)
    _systemctl("enable", *(systemd.full_name(name) for name in names), timeout=60)
    return True


def disable(units):
    """
    Do not start units at boot. What runs keeps running.

    units
        One name or a list.

    Returns True. Raises CommandExecutionError when systemd refuses.

    CLI Example:

    .. code-block:: bash

        salt ctl1 unit.disable keystone
    """
    _systemctl("disable", *(systemd.full_name(name) for name in _listed(units)), timeout=60)
    return True


def stop(units, timeout=120):
    """
    Stop units and wait until they are down.

    units
        One name or a list.

    timeout
        Seconds until systemctl is given up.

    Returns True. Raises CommandExecutionError when a unit does not stop in time.

    CLI Example:

    .. code-block:: bash

        salt ctl1 unit.stop keystone
    """
    _systemctl("stop", *(systemd.full_name(name) for name in _listed(units)), timeout=timeout)
    return True


def mask(units):
    """
    Make starting units impossible; works for units that are not installed yet. Nothing is stopped.

    units
        One name or a list.

    Returns True. Raises CommandExecutionError when systemd refuses.

    CLI Example:

    .. code-block:: bash

        salt ctl1 unit.mask nova-serialproxy
    """
    _systemctl("mask", *(systemd.full_name(name) for name in _listed(units)), timeout=60)
    return True


def unmask(units):
    """
    Make starting units possible again. Nothing is started or enabled.

    units
        One name or a list.

    Returns True. Raises CommandExecutionError when systemd refuses.

    CLI Example:

    .. code-block:: bash

        salt ctl1 unit.unmask nova-serialproxy
    """
    _systemctl("unmask", *(systemd.full_name(name) for name in _listed(units)), timeout=60)
    return True
