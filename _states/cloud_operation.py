"""
The steps of an orchestration on the whole cloud. They run on the master, from ``orch/*.sls``.

.. code-block:: yaml

    one operation at a time:
      cloud_operation.exclusive:
        - name: lab
"""

import json
import os

import salt.utils.sdb
import saltern_operation
from saltern import deploy, fitness, joining, lock, trials
from saltern.cloud import ModelError
from saltern.fleet import Failed, lines
from saltern.values import functions

__virtualname__ = "cloud_operation"


def __virtual__():
    return __virtualname__


def _operation():
    return saltern_operation.current(__opts__, "orchestration")


def _resolve(uri):
    return salt.utils.sdb.sdb_get(uri, __opts__)


def _failed(ret, reasons, hint):
    lines = [f"- {reason}" for reason in reasons]
    ret.update(result=False, comment="\n".join([*lines, hint]))
    return ret


def exclusive(name):
    """
    Ensure no other operation on the cloud ``name`` runs until this one ends.

    name
        Name of the cloud.
    """
    ret = {"name": name, "result": True, "changes": {}, "comment": "operation is exclusive"}
    if __opts__["test"]:
        return ret  # a lock is not a change to the cloud, and a dry run takes none
    try:
        _operation().hold(name, owner=f"pid {os.getpid()}")
    except lock.Busy as exc:
        return _failed(ret, [str(exc)], "Wait for it to end, or end that process.")
    return ret


def _joiners(nodes):
    """The nodes that join, in the order in which they were named; None when it is no join."""
    if nodes is None:
        return None
    named = nodes.split(",") if isinstance(nodes, str) else nodes
    return list(dict.fromkeys(str(node).strip() for node in named))


def _others_told(op, nodes):
    return joining.others_told(op.store.cloud(_resolve), nodes, functions())


def _again(nodes):
    """The command that does it again."""
    if nodes is None:
        return "salt-run state.orch orch.deploy"
    return f"salt-run state.orch orch.join pillar='{json.dumps({'nodes': nodes})}'"


def fit(name, retry=None, nodes=None):
    """
    Ensure every node of the model answers and is fit for its roles; list every fault at once.

    name
        What to call the step.

    nodes
        Nodes that join (list or comma-separated). Where nobody else has to change for them, only
        they have to be fit, and one that is not is left behind by the others. Default: all nodes
        have to be.

    retry
        The command to run again once the faults are mended, for the message.
    """
    ret = {"name": name, "result": True, "changes": {}, "comment": "every node is fit"}
    op = _operation()
    op.progress.heading = name
    try:
        cloud = op.cloud()
    except ModelError as exc:
        return _failed(
            ret, str(exc).split("; "), "Nothing was changed. See: salt-run saltern.validate"
        )
    nodes = _joiners(nodes)
    if nodes is not None:
        if wrong := joining.strangers(cloud, nodes):
            return _failed(ret, wrong, "Nothing was changed.")
        why = _others_told(op, nodes)
        op.progress.note(f"the whole cloud is walked: {why[0]}" if why else "nobody else changes")
        cloud = cloud if why else joining.part(cloud, nodes)
    expected = op.expected(_resolve)

    def unfit(joiners):
        return fitness.examine(joining.part(cloud, joiners), op.fleet, expected)

    with op.progress.step("preflight", cloud.nodes):
        try:
            if isinstance(cloud, joining.Part):
                failed = joining.one_by_one(cloud.nodes, unfit)
                deploy.leave_behind(op.lost, failed, op.progress)
            elif found := fitness.examine(cloud, op.fleet, expected):
                raise Failed(found)
        except Failed as exc:
            return _failed(
                ret, exc.reasons, f"Nothing was changed. Mend these, then: {retry or _again(nodes)}"
            )
    return ret


def wave(name, wave):
    """
    Ensure the services of one wave run on all their nodes as the model says.

    name
        What to call the wave in messages.

    wave
        Its number, from 0.
    """
    ret = {"name": name, "result": True, "changes": {}, "comment": f"{name} is as specified"}
    op = _operation()
    work = _work(op, None)
    return _brought(ret, work, lambda: _walk(op, work, int(wave), name), None)


def built(name, nodes):
    """
    Ensure the services of nodes that join run as the model says: in one run of their states where
    nobody else has to change for them, by all waves on all nodes otherwise. In the former case a
    node that fails is left behind by the others; ``joined`` names it.

    name
        What to call the step.

    nodes
        Nodes that join (list or comma-separated).
    """
    ret = {"name": name, "result": True, "changes": {}, "comment": f"{name} as specified"}
    op = _operation()
    op.progress.heading = name
    nodes = _joiners(nodes)
    work = _work(op, nodes)
    count = len(op.cloud().waves)

    def every_wave():
        for number in range(count):
            _walk(op, work, number, f"wave {number + 1} of {count}")

    return _brought(ret, work, work.at_once if work.only is not None else every_wave, nodes)


def _walk(op, work, number, heading):
    op.progress.heading = heading
    op.progress.note(", ".join(op.cloud().waves[number]))
    work.wave(number)


def _brought(ret, work, do, nodes):
    """What came of ``do``, which brings nodes to the model by ``work``."""
    try:
        do()
    except Failed as exc:
        ret["changes"] = _titles(work.changes)
        return _failed(ret, exc.reasons, f"Mend this, then run it again: {_again(nodes)}")
    return _changed(ret, work.changes)


def _titles(changes):
    """``changes`` without their texts: these are long, and would come after the reasons."""
    return {node: list(found) for node, found in changes.items()}


def _work(op, nodes):
    """A deployment on all nodes, or on those that join when nobody else has to change for them."""
    only = None if nodes is None or _others_told(op, nodes) else nodes
    return deploy.Deployment(
        op.cloud(), op.fleet, op.progress, test=__opts__["test"], only=only, lost=op.lost
    )


def _left(op, nodes):
    """Those of ``nodes`` that were not left behind."""
    return [node for node in nodes if node not in op.lost]


def _changed(ret, changes):
    if not changes:
        return {**ret, "changes": {}}
    where = ", ".join(sorted(changes))
    if __opts__["test"]:
        comment = f"{ret['name']}: would change on {where}"
        return {**ret, "result": None, "changes": changes, "comment": comment}
    return {**ret, "changes": changes, "comment": f"{ret['name']}: changed on {where}"}


def introduced(name, nodes):
    """
    Ensure what the catalog has to follow on other nodes is done for the nodes that join, e.g. hosts
    mapped to a cell.

    Where the whole cloud was walked, all of this is done already.

    name
        What to call the step.

    nodes
        Nodes that join (list or comma-separated).
    """
    ret = {"name": name, "result": True, "changes": {}, "comment": "the others know them"}
    op = _operation()
    op.progress.heading = name
    nodes = _joiners(nodes)
    work = _work(op, nodes)
    if work.only is None:
        return ret
    stamp = op.stamp()

    def strange(joiners):
        try:
            return joining.introduce(work, joiners, stamp)
        except Failed as exc:
            return exc.reasons

    try:
        failed = joining.one_by_one(_left(op, nodes), strange)
        deploy.leave_behind(op.lost, failed, op.progress)
    except Failed as exc:
        if not __opts__["test"]:
            ret["changes"] = _titles(work.changes)
            return _failed(ret, exc.reasons, f"Mend this, then run it again: {_again(nodes)}")
    return _changed(ret, work.changes)


def named(name, nodes):
    """
    Ensure the rest of the cloud knows the nodes that join by name: they are in the hosts files of
    whoever answers. Who does not gets them with the next deployment.

    Where the whole cloud was walked, they are there already.

    name
        What to call the step.

    nodes
        Nodes that join (list or comma-separated).
    """
    ret = {"name": name, "result": True, "changes": {}, "comment": "the others know their names"}
    op = _operation()
    op.progress.heading = name
    nodes = _joiners(nodes)
    work = _work(op, nodes)
    if work.only is not None:
        joining.name(work, _left(op, nodes), op.joined())
    return _changed(ret, work.changes)


def joined(name, nodes=None):
    """
    Ensure the nodes are a proven part of the cloud: an instance did its work on each compute host
    that is new, which is then enabled; and it is kept that the nodes have joined.

    A host that fails stays disabled and is named, as is who was left behind before; the others'
    join stands.

    name
        What to call the step.

    nodes
        Nodes (list or comma-separated); default: every node of the model.
    """
    ret = {"name": name, "result": True, "changes": {}, "comment": "all have joined"}
    op = _operation()
    op.progress.heading = name
    cloud = op.cloud()
    wanted = _left(op, cloud.nodes if nodes is None else _joiners(nodes))
    hosts = [node for node in cloud.nodes_running("nova-compute") if node in wanted]
    proof = trials.prove(cloud, op.fleet, op.progress, hosts, test=__opts__["test"])
    if __opts__["test"]:
        new = [node for node in wanted if node not in op.joined()]
        found = {**dict.fromkeys(new, "joined"), **dict.fromkeys(proof.waiting, "on trial")}
        return _changed(ret, found)
    new = op.note_joined((node for node in wanted if node not in proof.failed), cloud.nodes)
    ret["changes"] = {
        node: ", ".join(
            [*(["proven"] if node in proof.proven else []), *(["joined"] if node in new else [])]
        )
        for node in wanted
        if node in proof.proven or node in new
    }
    failed = {**op.lost, **{host: [reason] for host, reason in proof.failed.items()}}
    if failed:
        return _failed(
            ret,
            lines(failed),
            "These get no instances until they are proven. Mend this, then run it again: "
            + _again(_joiners(nodes)),
        )
    return _changed(ret, ret["changes"])


def ended(name):
    """
    Ensure what happened is told and kept: each step with its seconds.

    name
        Name of the operation, under which the record is kept.
    """
    op = _operation()
    op.progress.heading = name
    for step in op.progress.steps:
        where = (
            ", ".join(step["nodes"]) if len(step["nodes"]) <= 8 else f"{len(step['nodes'])} nodes"
        )
        line = f"{step['seconds']:7.1f} s  {step['heading']}: {step['step']} ({where})"
        print(line, file=op.progress.out)
    path = op.write_record(name, {"operation": name})
    return {"name": name, "result": True, "changes": {}, "comment": f"recorded in {path}"}


def validated(name, validator, hosts=None, timeout=900):
    """
    Ensure the cloud does its work: APIs answer a real token, an instance boots and is reached.

    name
        What to call the step.

    validator
        Node from which the cloud is tried.

    hosts
        Compute nodes to boot an instance on, or ``all``; by default one instance wherever the
        scheduler puts it.

    timeout
        Seconds for the whole validation.
    """
    ret = {"name": name, "result": True, "changes": {}, "comment": ""}
    if __opts__["test"]:
        return {**ret, "result": None, "comment": f"the cloud would be tried from {validator}"}
    op = _operation()
    op.progress.heading = "validate"
    image = op.cloud().option("validation_image")
    with op.progress.step("validation", [validator]):
        answer = op.fleet.call(
            [validator],
            "cloud_validation.run",
            timeout=timeout + 60,
            kwargs={"hosts": hosts, "timeout": timeout, "image": image},
        )[validator]
    if not answer.ok:
        return _failed(ret, [f"{validator}: {answer.value}"], "See: salt-run saltern.status")
    lines = [
        f"{check['seconds']:6.1f} s  {check['name']}: {check['detail']}"
        for check in answer.value["checks"]
    ]
    for line in lines:
        op.progress.note(line)
    return {**ret, "comment": "\n".join(lines)}
