"""
The steps of an orchestration on the whole cloud. They run on the master, from ``orch/*.sls``.

.. code-block:: yaml

    one operation at a time:
      cloud_operation.exclusive:
        - name: lab
"""

import os

import salt.utils.sdb
import saltern_operation
from saltern import deploy, fitness, lock
from saltern.cloud import ModelError
from saltern.fleet import Failed

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


def fit(name, retry="salt-run state.orch orch.deploy"):
    """
    Ensure every node of the model answers and is fit for its roles; list every fault at once.

    name
        What to call the step.

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
    with op.progress.step("preflight", cloud.nodes):
        found = fitness.examine(cloud, op.fleet, op.expected(_resolve))
    if found:
        return _failed(ret, found, f"Nothing was changed. Mend these, then: {retry}")
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
    op.progress.heading = name
    cloud = op.cloud()
    op.progress.note(", ".join(cloud.waves[int(wave)]))
    work = deploy.Deployment(cloud, op.fleet, op.progress, test=__opts__["test"])
    try:
        work.wave(int(wave))
    except Failed as exc:
        ret["changes"] = work.changes
        return _failed(
            ret, exc.reasons, "Mend this, then run it again: salt-run state.orch orch.deploy"
        )
    ret["changes"] = work.changes
    if work.changes:
        ret["comment"] = f"{name}: changed on {', '.join(sorted(work.changes))}"
        if __opts__["test"]:
            ret.update(result=None, comment=f"{name}: would change on {', '.join(work.changes)}")
    return ret


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
