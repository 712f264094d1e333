"""
This node's RabbitMQ broker and its cluster.

``rabbitmqctl`` starts an Erlang VM (0.5 s of CPU) and can hang for half a minute in a partition: it
is called only where a socket cannot answer, with a timeout of its own each time. What should be
done with several brokers is decided in ``saltern.rabbitmq_cluster``.
"""

import time

import salt.utils.path
import saltern_rabbitmq
from salt.exceptions import CommandExecutionError
from saltern import rabbitmq_cluster as rabbitmq

__virtualname__ = "rabbitmq_cluster"

UNIT = saltern_rabbitmq.UNIT
DISTRIBUTION_PORT = 25672
QUICK = 1.4  # seconds for the one tool that health may call
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


def _broker():
    return saltern_rabbitmq.Broker(__salt__["cmd.run_all"])


def _address():
    return _values().get("address", "127.0.0.1")


def alive():
    """
    Whether the broker greets clients. Costs a millisecond; a broker that paused itself does not.

    Returns True or False, within 2 seconds.

    CLI Example:

    .. code-block:: bash

        salt 'ctl*' rabbitmq_cluster.alive
    """
    return saltern_rabbitmq.greets(_address(), _values().get("port", 5672))


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
    distribution = active == "active" and saltern_rabbitmq.is_open(_address(), DISTRIBUTION_PORT)
    cli = None
    if distribution:
        ret = _broker().run("rabbitmqctl", "--quiet", "eval", "rabbit:is_running().", timeout=QUICK)
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
    return _broker().membership()


def observe():
    """
    What a formation needs to know about this broker. Reads only.

    Returns ``{state, members, running, fresh, queues}``: ``fresh`` is a broker without any data,
    ``queues`` how many queues one that is alone holds. ``members`` of one that does not run are
    those that it remembers; empty when it cannot say.

    CLI Example:

    .. code-block:: bash

        salt 'ctl*' rabbitmq_cluster.observe
    """
    found = {"state": node_state(), "members": [], "running": [], "queues": 0}
    remembered = saltern_rabbitmq.DATA / _node() / "cluster_nodes.config"
    found["fresh"] = not remembered.exists()
    if found["state"] != "running" and not found["fresh"]:
        found["members"] = rabbitmq.parse_known(remembered.read_text(errors="replace"))
    elif found["state"] == "running":
        try:
            known = membership()
            if len(known["members"]) < 2 <= len(_configured()):
                found["queues"] = len(_broker().definitions().get("queues", ()))
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
    return _broker().quorum_critical()


def queue_health(vhost="openstack"):
    """
    Replicated queues of ``vhost`` that have copies missing or offline.

    Returns ``{kinds: {type: number}, short: [{name, members, online}]}``. Raises
    CommandExecutionError when the broker does not answer, or there is no such vhost.

    CLI Example:

    .. code-block:: bash

        salt ctl1 rabbitmq_cluster.queue_health
    """
    return _broker().queue_health(vhost, _configured())


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
        _broker().ctl("start_app", timeout=timeout)
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
    return _broker().wait_online(int(n), int(timeout))


def reset():
    """
    Make this broker, which must be alone and hold no queues, forget all: users and vhosts too.

    Its application is stopped afterwards. Returns True. Raises CommandExecutionError, before
    anything is changed, for a broker that has something to lose.

    CLI Example:

    .. code-block:: bash

        salt ctl3 rabbitmq_cluster.reset
    """
    _broker().reset()
    return True


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
    return _broker().join(_node(), seed)


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
    return _broker().forget(node)


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
    _broker().grow(node)
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
    return _broker().access(vhost, user, _secret(pillar))


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
    _broker().set_access(vhost, user, _secret(pillar), default_queue_type)
    return True
