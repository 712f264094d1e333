"""
The cloud as a whole, for people: is the model right, what would a deploy do, how is the cloud.

Operations that change the cloud are orchestrations (``salt-run state.orch orch.deploy``); what is
here looks, or does the one small thing its name says.
"""

import secrets as entropy
from contextlib import contextmanager
from dataclasses import asdict

import salt.utils.sdb
import saltern_fleet
import saltern_ledger
import saltern_operation
import saltern_plainly
import saltern_store
from salt.exceptions import SaltInvocationError, SaltRunnerError
from saltern import plan as planning
from saltern import secrets, stateruns
from saltern import status as overview
from saltern.fleet import failures
from saltern.reactor import rules, wording
from saltern.reactor.terms import Rejected
from saltern.values import endpoint
from saltern_journal_schema import JournalError
from saltern_notify import local_time

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


@contextmanager
def _ledger():
    try:
        yield saltern_ledger.Ledger(__opts__, _store())
    except (saltern_ledger.NoAnswer, JournalError) as exc:
        raise SaltRunnerError(str(exc)) from exc
    except ValueError as exc:
        raise SaltInvocationError(str(exc)) from exc


def _shown(lines, data):
    """A screen for people; the data where an outputter for programs (``--out``) was asked for."""
    return data if __opts__.get("output") not in (None, "nested") else "\n".join(lines)


@saltern_plainly.said
def validate():
    """
    Say whether the model describes a cloud that can be built; name every fault at once.

    The reactor's rules (``reactor/*.yaml``) are checked as well.

    Returns one line for people; or ``Error`` with all faults, and then the exit code tells too.

    CLI Example:

    .. code-block:: bash

        salt-run saltern.validate
    """
    cloud, found = _store().examine()
    modes = rules.modes(cloud.model) if cloud else {}
    known, faulty = rules.read(_store().rules(), modes)
    if not __opts__["id"].endswith("_master"):  # Salt appends it to an id that it makes itself
        faulty.append(
            f"the master is called {__opts__['id']}: orchestrations get the cloud only under a name"
            f" that ends in _master; next: `id: {__opts__['id']}_master` in /etc/salt/master.d"
        )
    if found or faulty:
        raise SaltRunnerError(
            "the model has faults:\n" + "\n".join(f"- {line}" for line in [*found, *faulty])
        )
    services = [service for wave in cloud.waves for service in wave]
    armed = sum(rule.mode == "armed" for rule in known.values())
    return (
        f"{cloud.name}: {len(cloud.nodes)} nodes, {len(services)} services "
        f"in {len(cloud.waves)} waves, {armed} of {len(known)} rules armed; no faults"
    )


@saltern_plainly.said
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


@saltern_plainly.said
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


@saltern_plainly.said
def backends():
    """
    What an external load balancer needs: each service with its address, port, check and members.

    CLI Example:

    .. code-block:: bash

        salt-run saltern.backends
    """
    return endpoint.appliance(_cloud())


@saltern_plainly.said
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


@saltern_plainly.said
def rotate_fernet_keys():
    """
    Rotate the keys that tokens are made with, and hand them to every Keystone node.

    Tokens made with the previous key stay valid. Scheduled weekly by master.d/saltern.conf.
    Fails when a node did not take the new keys: run it again only once that node is back, because
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


@saltern_plainly.said
def history(node=None, rule=None, since="24h", limit=50, quiet=False):
    """
    What the reactor has decided, and what came of it; the newest last.

    node, rule
        Only what concerns this node, or was decided by this rule.
    since
        ``30m``, ``24h``, ``7d``, or a time such as ``2030-12-31T18:00``.
    limit
        How many decisions at most.
    quiet
        Show also what was ignored: copies, and what was well when it was looked at.

    Each line begins with the time and the number of the event, for ``saltern.explain``. With
    ``--out=json``: a list of decisions, each with its reasons and actions.

    CLI Example:

    .. code-block:: bash

        salt-run saltern.history
        salt-run saltern.history node=ctl1 since=7d
    """
    with _ledger() as ledger:
        found = ledger.history(node, rule, since, int(limit), quiet)
    lines = [entry.line(local_time) for entry in found]
    return _shown(
        lines or [f"nothing was decided since {since}"], [e.data(local_time) for e in found]
    )


@saltern_plainly.said
def explain(what):
    """
    Why the reactor did what it did, or did not: event, decisions with all reasons, actions.

    what
        The number of an event (from ``saltern.history`` or a message), or the id of a node for its
        last events and how it stands now.

    CLI Example:

    .. code-block:: bash

        salt-run saltern.explain 1204
        salt-run saltern.explain ctl1
    """
    with _ledger() as ledger:
        lines, reports, found = ledger.explain(what)
    data = {
        "events": [{**asdict(one), "at": local_time(one.at)} for one in reports],
        "decisions": [entry.data(local_time) for entry in found],
    }
    return _shown(lines, data)


@saltern_plainly.said
def pending():
    """
    Everything that is not over: is the reactor at work, what runs, waits, needs a human, is paused.

    What there is none of is left out. Also names keys that are accepted and not in the model,
    messages that could not be delivered, and events that were rejected within a day.

    CLI Example:

    .. code-block:: bash

        salt-run saltern.pending
    """
    with _ledger() as ledger:
        return ledger.pending()


@saltern_plainly.said
def pause(scope="", node=None, role=None, service=None, minutes=60, until=None, why=""):
    """
    Keep the reactor's hands off something, until a time. What it would do waits or is left out.

    scope
        ``cloud``, or leave it out and name a ``node``, a ``role``, a ``service`` or several of
        them, which then all have to fit.
    node
        Only on this node.
    role
        Only on nodes with this role.
    service
        Only this service.
    minutes
        How long; at most 7 days.
    until
        When it ends, in place of ``minutes``: ``2030-12-31T18:00``.
    why
        For colleagues; has to be said.

    CLI Example:

    .. code-block:: bash

        salt-run saltern.pause node=ctl1 why='new disk'
        salt-run saltern.pause node=ctl1 service=keystone minutes=15 why='debugging'
        salt-run saltern.pause cloud minutes=480 why='move to another room'
    """
    parts = {"role": role, "node": node, "service": service}
    said = [scope] if scope else []
    text = ",".join([*said, *(f"{key}={value}" for key, value in parts.items() if value)])
    with _ledger() as ledger:
        made = ledger.pause(text, float(minutes), until, str(why), saltern_ledger.operator())
    return f"paused {made['scope']} until {local_time(made['until'])} (id {made['pause']})"


@saltern_plainly.said
def resume(what):
    """
    End a pause before its time.

    what
        Its id, or its scope as ``saltern.pending`` shows it.

    CLI Example:

    .. code-block:: bash

        salt-run saltern.resume 1311
        salt-run saltern.resume what=node=ctl1
    """
    with _ledger() as ledger:
        ended = ledger.resume(str(what), saltern_ledger.operator())
    return [f"resumed {pause['scope']} (id {pause['pause']})" for pause in ended]


@saltern_plainly.said
def simulate(file=None):
    """
    Decide what is in the journal again, by the rules and the model of today. Changes nothing.

    file
        A copy of a ``journal.db``, in place of this master's own.

    Says what would be decided differently: what a changed rule would have done.

    CLI Example:

    .. code-block:: bash

        salt-run saltern.simulate
        salt-run saltern.simulate journal-of-friday.db
    """
    with _ledger() as ledger:
        return ledger.simulate(file)


@saltern_plainly.said
def react(event, data=None, node=None):
    """
    Say what the reactor would do about an event now, with all reasons. Does nothing.

    event
        The event as JSON (``{"tag": .., "id": .., "data": {..}}``), or its tag.
    data
        With a tag: what the event holds, as JSON or YAML.
    node
        With a tag: who sent it, where the tag does not say.

    CLI Example:

    .. code-block:: bash

        salt-run saltern.react saltern/node/ctl1/service data='{service: keystone, status: down}'
    """
    with _ledger() as ledger:
        made = ledger.react(saltern_ledger.event_of(event, data, node), _fleet())
    if made is None:
        return "no rule is about such an event"
    if isinstance(made, Rejected):
        return f"rejected: {made.reason}"
    return {
        "would": f"{made.verdict} {made.operation}".strip(),
        "about": wording.fault(made.fault),
        "rule": made.rule,
        "because": list(made.reasons),
        **({"again at": local_time(made.again_at)} if made.again_at is not None else {}),
    }
