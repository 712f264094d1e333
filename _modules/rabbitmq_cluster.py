"""
This node's RabbitMQ broker and its cluster.

``rabbitmqctl`` starts an Erlang VM (0.5 s of CPU) and can hang for half a minute in a partition: it
is called only where a socket cannot answer, with a timeout of its own each time. What should be
done with several brokers is decided in ``saltern.rabbitmq_cluster``.
"""

import json
import os
import pathlib
import shutil
import socket
import tempfile
import time

import salt.utils.path
from salt.exceptions import CommandExecutionError
from saltern import probes
from saltern import rabbitmq_cluster as rabbitmq

__virtualname__ = "rabbitmq_cluster"

UNIT = "rabbitmq-server"
DATA = pathlib.Path("/var/lib/rabbitmq/mnesia")
DISTRIBUTION_PORT = 25672
LOCAL = 0.5  # seconds for a port of this node
QUICK = 1.4  # seconds for the one tool that health may call
CALL = 20  # seconds for any other call of a tool
POLL = 0.3  # seconds between two looks while waiting
SETTLE = 60  # seconds for queues to find their members again after a restart


def __virtual__():
    if salt.utils.path.which("rabbitmqctl"):
        return __virtualname__
    return False, "rabbitmq_cluster: rabbitmqctl is not installed"


def _values():
    return __pillar__.get("cloud", {}).get("values", {}).get("rabbitmq", {})


def _node():
    return _values().get("node", f"rabbit@{__opts__['id']}")


def _configured():
    """Erlang names of all brokers of the model, this one when there is no model."""
    return _values().get("nodes", [_node()])


def _run(*argv, timeout=CALL):
    return __salt__["cmd.run_all"](
        list(argv),
        python_shell=False,
        timeout=timeout,
        ignore_retcode=True,
        output_loglevel="quiet",  # definitions hold password hashes
    )


def _ctl(*args, timeout=CALL, tool="rabbitmqctl"):
    ret = _run(tool, "--quiet", *args, timeout=timeout)
    if ret["retcode"] != 0:
        said = (ret["stderr"] or ret["stdout"]).strip() or f"no answer in {timeout} s"
        raise CommandExecutionError(
            f"{tool} {args[0]}: {said.splitlines()[0]}. Next: rabbitmq_cluster.node_state,"
            f" journalctl -u {UNIT}"
        )
    return ret["stdout"]


def _import(definitions):
    """Hand ``definitions`` to the broker by file: from a pipe, rabbitmqctl 4.0.5 waits for ever."""
    handle, path = tempfile.mkstemp(dir=DATA.parent, suffix=".json")  # 0600
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as out:
            out.write(definitions)
        shutil.chown(path, "rabbitmq", "rabbitmq")
        _ctl("import_definitions", path)
    finally:
        pathlib.Path(path).unlink()


def _ask(*args, timeout=CALL):
    try:
        return rabbitmq.parse_json(_ctl(*args, "--formatter", "json", timeout=timeout))
    except ValueError as exc:
        raise CommandExecutionError(f"rabbitmqctl {args[0]} did not answer in JSON") from exc


def _definitions():
    """Vhosts, users, permissions and queues, in one call (``--formatter`` would quote it)."""
    try:
        return rabbitmq.parse_json(_ctl("export_definitions", "-", "--format", "json"))
    except ValueError as exc:
        raise CommandExecutionError("rabbitmqctl export_definitions gave no JSON") from exc


def _open(port):
    address = _values().get("address", "127.0.0.1")
    try:
        socket.create_connection((address, port), timeout=LOCAL).close()
    except OSError:
        return False
    return True


def alive():
    """
    Whether the broker greets clients. Costs a millisecond; a broker that paused itself does not.

    Returns True or False, within 2 seconds.

    CLI Example:

    .. code-block:: bash

        salt 'ctl*' rabbitmq_cluster.alive
    """
    values = _values()
    if not _open(values.get("port", 5672)):
        return False
    spec = {"address": values.get("address", "127.0.0.1"), "port": values.get("port", 5672)}
    try:
        return probes.rabbitmq(spec) is None
    except OSError:
        return False


def node_state():
    """
    The state of this broker, which systemd does not know: one that paused itself is ``active``
    there.

    Returns ``running``, ``booting``, ``stopped``, ``app_stopped`` (the VM runs, the broker does
    not), ``paused`` (it sees only a minority), ``bad_cookie`` (the file is not what it was started
    with) or ``unreachable``. Within 2 seconds; for a running broker in a millisecond.

    CLI Example:

    .. code-block:: bash

        salt 'ctl*' rabbitmq_cluster.node_state
    """
    if alive():
        return "running"
    active = __salt__["unit.show"](UNIT)[UNIT]["active"]
    distribution = active == "active" and _open(DISTRIBUTION_PORT)
    cli = None
    if distribution:
        ret = _run("rabbitmqctl", "--quiet", "eval", "rabbit:is_running().", timeout=QUICK)
        cli = (1 if ret["retcode"] is None else ret["retcode"], ret["stdout"] + ret["stderr"])
    return rabbitmq.state_of(active, False, distribution, cli)


def membership():
    """
    Which nodes this broker shares a cluster with.

    Returns ``{members, running, partitions, alarms}`` with Erlang names (``rabbit@ctl1``). Raises
    CommandExecutionError when the broker does not answer, as in a partition.

    CLI Example:

    .. code-block:: bash

        salt ctl1 rabbitmq_cluster.membership
    """
    return rabbitmq.parse_membership(_ask("cluster_status"))


def observe():
    """
    What a formation needs to know about this broker. Reads only.

    Returns ``{state, members, running, fresh, queues}``: ``fresh`` is a broker without any data,
    ``queues`` how many queues one that is alone holds. ``members`` is empty when it cannot say.

    CLI Example:

    .. code-block:: bash

        salt 'ctl*' rabbitmq_cluster.observe
    """
    found = {"state": node_state(), "members": [], "running": [], "queues": 0}
    found["fresh"] = not (DATA / _node() / "cluster_nodes.config").exists()
    if found["state"] == "running":
        try:
            known = membership()
            if len(known["members"]) < 2 <= len(_configured()):
                found["queues"] = len(_definitions().get("queues", ()))
        except CommandExecutionError:
            return found  # a partition: the cluster is there, it only cannot say so
        found.update(members=known["members"], running=known["running"])
    return found


def quorum_critical():
    """
    Queues that would lose their quorum if this broker stopped now.

    Returns a sorted list of names, empty when it may be stopped. Raises CommandExecutionError when
    the check does not answer.

    CLI Example:

    .. code-block:: bash

        salt ctl1 rabbitmq_cluster.quorum_critical
    """
    check = ("check_if_node_is_quorum_critical", "--formatter", "json")
    ret = _run("rabbitmq-diagnostics", "--quiet", *check)
    found = rabbitmq.parse_critical(ret["retcode"], ret["stdout"], ret["stderr"])
    if found is None:
        raise CommandExecutionError(
            "whether queues depend on this broker cannot be told; see rabbitmq_cluster.membership"
        )
    return found


def queue_health(vhost="openstack"):
    """
    Replicated queues of ``vhost`` that have copies missing or offline.

    Returns ``{kinds: {type: number}, short: [{name, members, online}]}``. Raises
    CommandExecutionError when the broker does not answer, or there is no such vhost.

    CLI Example:

    .. code-block:: bash

        salt ctl1 rabbitmq_cluster.queue_health
    """
    known = {item["name"] for item in _ask("list_vhosts", "name")}
    if vhost not in known:  # list_queues would answer with an empty list
        raise CommandExecutionError(f"there is no vhost {vhost}, only {sorted(known)}")
    queues = _ask("list_queues", "-p", vhost, "name", "type", "members", "online")
    return rabbitmq.parse_queues(queues, _configured())


def start(timeout=300):
    """
    Start this broker and wait until it serves clients.

    All members of a stopped cluster must be started at the same time: each waits for the last one.

    timeout
        Seconds.

    Returns the state, ``running``. Raises CommandExecutionError with the state it is left in.

    CLI Example:

    .. code-block:: bash

        salt 'ctl*' rabbitmq_cluster.start
    """
    state = node_state()
    if state == "stopped":
        __salt__["unit.start"](UNIT, wait=False)
    elif state == "app_stopped":
        _ctl("start_app", timeout=timeout)
    return _await_running(timeout)


def _await_running(timeout):
    deadline = time.monotonic() + timeout
    while not alive():
        shown = __salt__["unit.show"](UNIT)[UNIT]
        given_up = shown["active"] == "failed" or shown["restarts"] > 5
        if given_up or time.monotonic() > deadline:
            raise CommandExecutionError(
                f"the broker does not serve: {node_state()}, {shown['summary']}. Next: journalctl"
                f" -u {UNIT}, /var/log/rabbitmq, then rabbitmq_cluster.observe on all members"
            )
        time.sleep(POLL)
    return "running"


def restart_member(timeout=240):
    """
    Restart this broker, unless queues or the cluster would lose their majority.

    timeout
        Seconds until all brokers of the cluster must run again.

    Returns :func:`membership` from afterwards. Raises CommandExecutionError when it is not safe,
    and when it does not come back.

    CLI Example:

    .. code-block:: bash

        salt ctl2 rabbitmq_cluster.restart_member
    """
    members = len(_configured())
    if alive() and members > 1:
        reason = rabbitmq.cannot_leave(len(membership()["running"]), members) or _depending()
        if reason:
            raise CommandExecutionError(f"not restarting: {reason}")
    __salt__["unit.restart"](UNIT, timeout=timeout)
    _await_running(timeout)
    return wait_online(members, timeout=timeout)


def _depending():
    """Wait for queues that are still finding their members; say which do not."""
    deadline = time.monotonic() + SETTLE
    while critical := quorum_critical():
        if time.monotonic() > deadline:
            return f"it holds the quorum of {len(critical)} queues ({', '.join(critical[:5])})"
        time.sleep(1)
    return ""


def wait_online(n=1, timeout=60):
    """
    Wait until ``n`` brokers of this cluster run.

    n
        Number of brokers, this one included.

    timeout
        Seconds.

    Returns :func:`membership`. Raises CommandExecutionError when the time is over.

    CLI Example:

    .. code-block:: bash

        salt ctl1 rabbitmq_cluster.wait_online 3 timeout=60
    """
    _ctl("await_online_nodes", str(int(n)), "--timeout", str(int(timeout)), timeout=timeout + 5)
    return membership()


def join(seed):
    """
    Reset this broker, which must be alone and hold no queues, and join it to the cluster of
    ``seed``.

    seed
        Erlang name of a running member, e.g. ``rabbit@ctl1``.

    Returns :func:`membership`. Raises CommandExecutionError, before anything is changed, for a
    broker that has something to lose.

    CLI Example:

    .. code-block:: bash

        salt ctl2 rabbitmq_cluster.join rabbit@ctl1
    """
    members = membership()["members"]
    if len(members) > 1:
        raise CommandExecutionError(f"not joining {seed}: already clustered as {members}")
    queues = len(_definitions().get("queues", ()))
    if queues:
        raise CommandExecutionError(f"not joining {seed}: {queues} queues would be lost")
    for step in (["stop_app"], ["reset"], ["join_cluster", seed], ["start_app"]):
        _ctl(*step, timeout=60)
    return membership()


def forget(node):
    """
    Take a broker that will not come back out of this cluster.

    node
        Its Erlang name, e.g. ``rabbit@ctl3``. It must not run, and a majority of the others must.

    Returns :func:`membership`. Raises CommandExecutionError when it still runs, is no member, or
    the cluster is not whole without it.

    CLI Example:

    .. code-block:: bash

        salt ctl1 rabbitmq_cluster.forget rabbit@ctl3
    """
    known = membership()
    if node not in known["members"]:
        raise CommandExecutionError(f"{node} is no member, they are {known['members']}")
    if node in known["running"]:
        raise CommandExecutionError(f"not forgetting {node}: it runs. Stop it there first")
    if len(known["running"]) * 2 <= len(known["members"]):
        raise CommandExecutionError(f"not forgetting {node}: only {known['running']} run")
    _ctl("forget_cluster_node", node, timeout=60)
    return membership()


def grow(node):
    """
    Give a broker a copy of every quorum queue that has none there: a wiped one lost its own.

    node
        Erlang name of a running member, e.g. ``rabbit@ctl3``.

    Returns True. Raises CommandExecutionError when it does not run, or a queue refuses.

    CLI Example:

    .. code-block:: bash

        salt ctl1 rabbitmq_cluster.grow rabbit@ctl3
    """
    if node not in membership()["running"]:
        raise CommandExecutionError(f"{node} does not run: start it first")
    _ctl("grow", node, "all", timeout=60, tool="rabbitmq-queues")
    return True


def _secret(pillar):
    """The password at ``pillar``. It is never an argument: those are kept in the job cache."""
    password = __salt__["pillar.get"](pillar, unmask=True)
    if not password:
        raise CommandExecutionError(
            f"there is no password at pillar {pillar}: is this node the leader of rabbitmq?"
        )
    return password


def access(vhost, user, pillar):
    """
    What the broker knows of the account that the services use. For the state of the same name.

    vhost, user
        Names.

    pillar
        Where in this node's pillar the password is.

    Returns ``{vhost, default_queue_type, user, password, permissions, guest}``; the password is
    only said to be ``as specified`` or ``another``. Raises CommandExecutionError without a password
    in the pillar, or when the broker does not answer.

    CLI Example:

    .. code-block:: bash

        salt ctl1 rabbitmq_cluster.access openstack openstack pillar=broker:password
    """
    return rabbitmq.access(_definitions(), vhost, user, _secret(pillar))


def set_access(vhost, user, pillar, default_queue_type="quorum"):
    """
    Create or correct vhost, user, password and permissions, and remove ``guest``.

    Only a salted hash of the password leaves this process, in a file that only the broker can read.

    vhost, user
        Names.

    pillar
        Where in this node's pillar the password is.

    default_queue_type
        Type of a queue whose creator asks for none.

    Returns True. Raises CommandExecutionError without a password in the pillar, or when the broker
    refuses.

    CLI Example:

    .. code-block:: bash

        salt ctl1 rabbitmq_cluster.set_access openstack openstack pillar=broker:password
    """
    stored = rabbitmq.password_hash(_secret(pillar), os.urandom(4))
    wanted = rabbitmq.account(vhost, user, stored, default_queue_type)
    if "guest" in {item["user"] for item in _ask("list_users")}:
        _ctl("delete_user", "guest")
    _import(json.dumps(wanted))
    done = {"vhost": True, "user": True, "permissions": True, "password": "as specified"}
    deadline = time.monotonic() + CALL  # the broker imports after rabbitmqctl has returned
    while not done.items() <= access(vhost, user, pillar).items():
        if time.monotonic() > deadline:
            raise CommandExecutionError(
                f"the broker did not import {user} within {CALL} s; see journalctl -u {UNIT}"
            )
        time.sleep(POLL)
    return True
