"""
The cloud as a whole, for people: is the model right, what would a deploy do, how is the cloud.

Operations that change the cloud are orchestrations (``salt-run state.orch orch.deploy``); what is
here looks, or does the one small thing its name says.
"""

import secrets as entropy

import salt.utils.sdb
import saltern_fleet
import saltern_operation
import saltern_store
from salt.exceptions import SaltInvocationError, SaltRunnerError
from saltern import plan as planning
from saltern import secrets, stateruns
from saltern import status as overview
from saltern.fleet import failures
from saltern.values import endpoint

HEALTH_TIMEOUT = 30


def _store():
    return saltern_store.Store(saltern_operation.root_of(__opts__))


def _resolve(uri):
    return salt.utils.sdb.sdb_get(uri, __opts__)


def _cloud():
    cloud, found = _store().examine()
    if cloud is None:
        raise SaltRunnerError("the model has faults:\n" + "\n".join(f"- {line}" for line in found))
    return cloud


def _fleet():
    return saltern_fleet.SaltFleet(__opts__["conf_file"])


def validate():
    """
    Say whether the model describes a cloud that can be built; name every fault at once.

    Returns one line for people. Raises with all faults, so that the exit code tells too.

    CLI Example:

    .. code-block:: bash

        salt-run saltern.validate
    """
    cloud = _cloud()
    services = [service for wave in cloud.waves for service in wave]
    return (
        f"{cloud.name}: {len(cloud.nodes)} nodes, {len(services)} services "
        f"in {len(cloud.waves)} waves; no faults"
    )


def plan():
    """
    Say what a deploy would do, to whom, and which services it would restart. Changes nothing.

    Returns ``{"summary": text, "nodes": {node: {"changes": [...], "restarts": [...], "faults":
    [...]}}, "unreachable": [...]}``; nodes with nothing to do are left out.

    CLI Example:

    .. code-block:: bash

        salt-run saltern.plan
    """
    return planning.plan(_cloud(), _fleet())


def status():
    """
    The cloud on one screen: every node, and each service on it that is not ok, with the reason.

    CLI Example:

    .. code-block:: bash

        salt-run saltern.status
    """
    cloud = _cloud()
    answers = _fleet().call(cloud.nodes, "openstack.health", timeout=HEALTH_TIMEOUT, kwargs={})
    return overview.summary(cloud, answers)


def backends():
    """
    What an external load balancer needs: each service with its address, port, check and members.

    CLI Example:

    .. code-block:: bash

        salt-run saltern.backends
    """
    return endpoint.appliance(_cloud())


def password(user="admin"):
    """
    The password of a Keystone user that Saltern made.

    user
        ``admin``, or a service user such as ``glance``.

    CLI Example:

    .. code-block:: bash

        salt-run saltern.password admin
    """
    held = _store().secrets(_resolve)
    key = "keystone.admin" if user == "admin" else f"{user}.service"
    if key not in held:
        known = sorted(k.removesuffix(".service") for k in held if k.endswith(".service"))
        raise SaltInvocationError(f"no user {user!r}; there are: {', '.join(['admin', *known])}")
    return held[key]


def rotate_fernet_keys():
    """
    Rotate the keys that tokens are made with, and hand them to every Keystone node.

    Tokens made with the previous key stay valid. Scheduled weekly by master.d/saltern.conf.
    Raises when a node did not take the new keys: run it again only once that node is back, because
    a second rotation would leave its tokens unreadable elsewhere.

    CLI Example:

    .. code-block:: bash

        salt-run saltern.rotate_fernet_keys
    """
    nodes = _cloud().nodes_running("keystone")
    fleet = _fleet()
    answers = fleet.call(
        nodes, "openstack.health", timeout=HEALTH_TIMEOUT, kwargs={"services": ["keystone"]}
    )
    missing = failures(answers, "before rotating") + [
        f"{node}: before rotating: keystone is {state['status']}: {state['reason']}"
        for node, answer in sorted(answers.items())
        for state in (answer.value.values() if answer.ok else ())
        if state["status"] != "ok"
    ]
    if missing:
        raise SaltRunnerError("; ".join(missing))
    _store().replace_secret(
        "keystone", "fernet", lambda keys: secrets.rotate_fernet(keys, entropy.token_bytes)
    )
    answers = fleet.call(
        nodes, "state.sls", timeout=300, kwargs={"mods": "keystone.config", "queue": True}
    )
    failed = [
        f"{node}: {line}"
        for node, answer in sorted(answers.items())
        for line in stateruns.failures(answer.value)
    ]
    if failed:
        raise SaltRunnerError("; ".join(failed))
    return dict.fromkeys(nodes, "rotated")
