"""
This node's member of the Galera cluster: what it says, what it holds, and starting it safely.

What should be done with several members is decided in ``saltern.galera``; here one member is asked
and told.
"""

import time

import salt.utils.path
import saltern_galera as member
from salt.exceptions import CommandExecutionError
from saltern import galera

__virtualname__ = "galera"

UNIT = "mariadb"
POLL = 0.2  # seconds between two looks while waiting
STOP_TIMEOUT = 600  # seconds; dirty pages are written first
RECOVERY_TIMEOUT = 25  # seconds for InnoDB to read its position
RESTARTS_TOLERATED = 2  # by systemd, until a start counts as failed


def __virtual__():
    if salt.utils.path.which("mariadbd"):
        return __virtualname__
    return False, "galera: mariadbd is not installed"


def _values():
    return __pillar__.get("cloud", {}).get("values", {}).get("galera", {})


def _process():
    """``(service, pid, restarts)``: what systemd knows of the server."""
    shown = __salt__["unit.show"](UNIT)[UNIT]
    if shown["active"] in ("inactive", "failed"):
        return "stopped", 0, shown["restarts"]
    return ("running" if shown["up"] else "starting"), shown["pid"], shown["restarts"]


def admit_check():
    """
    Let the balancer's health check log in: an account without privileges.

    All members get it by replication. Returns True. Raises CommandExecutionError when the server
    does not take it.

    CLI Example:

    .. code-block:: bash

        salt ctl1 galera.admit_check
    """
    member.admit_check(_values()["check"])
    return True


def status():
    """
    What the local server says about itself and its cluster. Never raises because it is down.

    Answers within 2 seconds, whatever hangs.

    Returns ``{healthy, reasons, warnings, ready, connected, cluster_status, state, synced,
    state_comment, cluster_size, uuid, last_committed, conf_id, members, recv_queue,
    flow_control_paused}``. ``healthy``: it can take requests; ``reasons``: why not; ``warnings``:
    what is missing although it can. Of a server that does not answer there are only ``healthy``,
    ``reasons`` and ``warnings``.

    CLI Example:

    .. code-block:: bash

        salt 'ctl*' galera.status
    """
    said, why_not = member.asked()
    if said is None:
        return {
            "healthy": False,
            "reasons": [f"MariaDB does not answer: {why_not}"],
            "warnings": [],
        }
    values = _values()
    reasons = galera.faults(said, values.get("check", {}).get("donor_serves", False))
    expected = len(values.get("nodes", ())) or said["cluster_size"]
    return {
        "healthy": not reasons,
        "reasons": reasons,
        "warnings": galera.warnings(said, expected),
        **said,
    }


def observe():
    """
    What a formation needs to know about this member. Reads only.

    Returns ``{service, cluster_status, state, uuid, seqno, safe_to_bootstrap, view, databases,
    incomplete, damaged}``: ``service`` is stopped, starting or running; ``uuid`` and ``seqno`` are
    the newest position known, None for a member that never was in a cluster; ``databases`` are
    those that no package made. Of a stopped member that crashed, the position is recovered from
    InnoDB (0.2 s).

    CLI Example:

    .. code-block:: bash

        salt 'ctl*' galera.observe
    """
    service, pid, _ = _process()
    said = None
    if service != "stopped":
        said, _ = member.asked()
        service = "running" if said else "starting"
    recovered, trouble = None, ""
    if service == "stopped":
        try:
            recovered = _recovered()
        except CommandExecutionError as exc:
            trouble = str(exc)
    elif service == "starting":
        recovered = member.started_with(pid)
    return member.observation(service, said, recovered, trouble, _values().get("check"))


def _recovered():
    """Position of a stopped server: its own word where it stopped cleanly, else InnoDB's."""
    if saved := member.saved_position():
        return saved
    ret = __salt__["cmd.run_all"](
        ["galera_recovery"], python_shell=False, timeout=RECOVERY_TIMEOUT, ignore_retcode=True
    )
    if ret["retcode"]:
        last = galera.errors(ret["stderr"].splitlines()) or [ret["stderr"][-300:]]
        raise CommandExecutionError(f"galera_recovery cannot read the data: {last[-1]}")
    return galera.parse_position(ret["stdout"])


def grastate():
    """
    What grastate.dat says.

    Returns ``{uuid, seqno, safe_to_bootstrap}``, None without the file. ``seqno`` is -1 while the
    server runs and after a crash. Raises CommandExecutionError when the file is damaged.

    CLI Example:

    .. code-block:: bash

        salt 'ctl*' galera.grastate
    """
    try:
        return galera.parse_grastate(member.read("grastate.dat"))
    except ValueError as exc:
        raise CommandExecutionError(
            f"{exc}: compare galera.position of all members before anything is started"
        ) from exc


def gvwstate():
    """
    The last primary view that this member was in and did not leave on purpose.

    Returns ``{id, members}`` (how many were in it), None when there is none.

    CLI Example:

    .. code-block:: bash

        salt 'ctl*' galera.gvwstate
    """
    return galera.parse_gvwstate(member.read("gvwstate.dat"))


def position():
    """
    The newest position of this member, running or not.

    Returns ``{uuid, seqno}``, None for one that never was in a cluster. Raises
    CommandExecutionError when the data of a stopped member cannot be read.

    CLI Example:

    .. code-block:: bash

        salt 'ctl*' galera.position
    """
    seen = observe()
    if seen["damaged"]:
        raise CommandExecutionError(seen["damaged"])
    return None if seen["uuid"] is None else {"uuid": seen["uuid"], "seqno": seen["seqno"]}


def last_error(lines=400):
    """
    The last errors in MariaDB's log: systemctl never says why a start failed.

    lines
        How many lines of the journal to look at.

    Returns a list of at most three messages, the newest last.

    CLI Example:

    .. code-block:: bash

        salt ctl1 galera.last_error
    """
    ret = __salt__["cmd.run_all"](
        ["journalctl", "--no-pager", "-q", "-o", "cat", "-u", UNIT, "-n", str(int(lines))],
        python_shell=False,
        timeout=10,
        ignore_retcode=True,
    )
    return galera.errors(ret["stdout"].splitlines())


def bootstrap(proof=None, force=False, timeout=120):
    """
    Make this member the first of its cluster. Refuses unless it is provably the most advanced.

    proof
        ``{node: observation}`` of every member, from :func:`observe`. The deploy passes it.

    force
        A human has decided that members which are not in ``proof``, or are ahead, are lost for
        good. What only they held is gone. A primary component anywhere is still a reason to refuse.

    timeout
        Seconds until it must be synced.

    Returns :func:`status`. Raises CommandExecutionError with every reason against it, and with the
    server's own errors when it does not come up.

    CLI Example:

    .. code-block:: bash

        salt ctl2 galera.bootstrap force=True
    """
    values, own = _values(), observe()
    node = values.get("node", __opts__["id"])
    members = values.get("nodes", [node])
    reasons = [] if force else galera.unproven(node, members, proof or {}, own)
    if galera.in_primary(own) and force:
        reasons.append(f"{node} is in a primary component itself")
    check_port = values.get("check", {}).get("port", 9200)
    reasons += [
        f"{peer} answers that it is in a primary component"
        for peer in values.get("peers", ())
        if member.serves(peer, check_port)
    ]
    if reasons:
        raise CommandExecutionError(
            f"not bootstrapping {node}: {'; '.join(reasons)}. Compare: salt -L"
            f" {','.join(members)} galera.observe"
        )
    if own["service"] == "running" and own["cluster_status"] == "non-Primary":
        member.make_primary()
    else:
        _begin()
    wait_synced(timeout=timeout)
    if not member.checkable(values.get("check")):
        admit_check()
    return status()


def _begin():
    """Start the stopped server as the first of a cluster, on the data it holds."""
    __salt__["unit.stop"](UNIT, timeout=STOP_TIMEOUT)
    member.begin_anew()
    ret = __salt__["cmd.run_all"](
        ["galera_new_cluster"], python_shell=False, timeout=120, ignore_retcode=True
    )
    if ret["retcode"]:
        raise CommandExecutionError(_failure("galera_new_cluster failed"))


def start(timeout=1500):
    """
    Start this member and wait until it has joined its cluster; one that runs is only waited for.

    A server that runs outside of any cluster is restarted: it was started before it was configured.

    timeout
        Seconds until it must be synced; a whole copy of the data may have to travel.

    Returns :func:`status`. Raises CommandExecutionError with the server's own errors.

    CLI Example:

    .. code-block:: bash

        salt ctl3 galera.start
    """
    service, _, _ = _process()
    said, _ = member.asked() if service != "stopped" else (None, "")
    if said and not said["connected"]:
        __salt__["unit.stop"](UNIT, timeout=STOP_TIMEOUT)
        service = "stopped"
    if service == "stopped":
        __salt__["unit.start"](UNIT, wait=False)
    return wait_synced(timeout=timeout)


def restart_member(timeout=280):
    """
    Restart this member, unless the cluster would be left without a majority.

    timeout
        Seconds until it must be synced again.

    Returns :func:`status` from afterwards. Raises CommandExecutionError when other members are
    missing, and with the server's own errors when it does not come back.

    CLI Example:

    .. code-block:: bash

        salt ctl2 galera.restart_member
    """
    said, _ = member.asked()
    if said and said["cluster_status"] == galera.PRIMARY:
        members = len(_values().get("nodes", ())) or said["cluster_size"]
        reason = galera.cannot_leave(said["cluster_size"], members)
        if reason:
            raise CommandExecutionError(f"not restarting: {reason} (orch.deploy does)")
        if not said["connected"] or said["state"] not in (galera.SYNCED, galera.DONOR):
            raise CommandExecutionError(
                f"not restarting: it is {said['state_comment']}; wait for it"
            )
    __salt__["unit.stop"](UNIT, timeout=timeout)
    return start(timeout=timeout)


def wait_synced(size=1, timeout=60):
    """
    Wait until this member is synced in a cluster of at least ``size``.

    size
        Number of members, this one included.

    timeout
        Seconds.

    Returns :func:`status`. Raises CommandExecutionError with the server's own errors when it stops
    trying, or with its state when the time is over.

    CLI Example:

    .. code-block:: bash

        salt ctl1 galera.wait_synced size=3 timeout=60
    """
    deadline = time.monotonic() + timeout
    before = _process()[2]
    while True:
        said = status()
        if said["healthy"] and said["synced"] and said["cluster_size"] >= size:
            return said
        service, _, restarts = _process()
        if service == "stopped" or restarts - before > RESTARTS_TOLERATED:
            raise CommandExecutionError(_failure("MariaDB does not stay up"))
        if time.monotonic() > deadline:
            what = "; ".join(said["reasons"] + said["warnings"])
            raise CommandExecutionError(_failure(f"not synced after {timeout} s: {what}"))
        time.sleep(POLL)


def _failure(what):
    said = "; ".join(last_error()) or "no error in its log"
    return f"{what} ({said}). Next: journalctl -u {UNIT}, then 'galera.observe' on all members"


def desync(on=True):
    """
    Let this member lag behind without slowing the others down, for a backup or heavy work.

    on
        False takes it back: the member catches up.

    Returns whether it is desynced now. Raises CommandExecutionError when the server does not
    answer.

    CLI Example:

    .. code-block:: bash

        salt ctl3 galera.desync
        salt ctl3 galera.desync on=False
    """
    return member.desync(on)
