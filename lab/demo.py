"""``make demo``: from nothing to a validated cloud, step by step, each safe to repeat."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from lab import image, machines, podman, runtime, saltside, shape
from lab.model import MASTER, Lab
from lab.paths import STATE
from lab.progress import Steps, console

UP = ("node image", "networks", "boot the machines", "start Salt", "keys", "every node answers")
DEPLOY = ("salt-run state.orch orch.deploy", "salt-run state.orch orch.validate")
OPERATION_LOG = STATE / "demo.log"


class StepFailed(RuntimeError):
    """An operation on the cloud failed; the message says how to go on."""


def up(steps: Steps, nodes: Sequence[str] = (), accept: bool = True) -> Lab:
    """Bring the machines up with Salt running; ``nodes`` limits it to some and the master."""
    cloud = machines.load(console.print)
    unknown = [name for name in nodes if name not in cloud.machines]
    if unknown:
        raise StepFailed(
            f"the model has no node {' '.join(unknown)}; it has {' '.join(cloud.machines)}"
        )
    names = [name for name in nodes if name != MASTER] or [node.name for node in cloud.nodes]
    with steps.step(UP[0]) as step:
        reason = image.stale()
        if reason:
            step.say(reason)
            image.build(runtime.detect(), step.say)
    with steps.step(UP[1]):
        machines.make_networks(cloud)
    with steps.step(UP[2]) as step:
        machines.boot(cloud, [MASTER, *names], step.say)
    with steps.step(UP[3]) as step:
        finger = saltside.start_master()
        saltside.start_minions(cloud, names, finger, step.say)
    with steps.step(UP[4]) as step:
        new = saltside.accept(names) if accept else []
        step.say(f"{len(new)} accepted")
    with steps.step(UP[5]):
        if accept:
            saltside.wait_until_answering(names)
    for remark in machines.remarks(cloud):
        console.print(remark, markup=False)
    return cloud


def demo() -> int:
    """Everything. Returns the exit code."""
    steps = Steps(len(UP) + len(DEPLOY))
    cloud = up(steps)
    for title, operation in zip(DEPLOY, ("deploy", "validate"), strict=True):
        console.rule(title)
        with steps.plain(title):
            _on_master("salt-run", "state.orch", f"orch.{operation}")
    steps.table()
    public = cloud.vips.get("public", cloud.vips.get("internal", "?"))
    console.print(
        f"""
Dashboard:  http://{public}/horizon/   (user admin, domain Default)
Password:   ./lab/salt-run saltern.password admin

Try next:
  ./lab/salt '*' openstack.health          how every node is
  ./lab/salt-run saltern.status            the cloud on one screen
  ./lab/shell ctl1                         a shell on a controller
  ./lab/salt-run state.orch orch.validate  the deployment test again
  make clean                               remove everything again""",
        markup=False,
        highlight=False,
    )
    return 0


def _on_master(*command: str) -> None:
    """Run one of Salt's commands on the master; what it prints goes to the terminal and a log.

    Ctrl-C reaches podman here, but not what it started over there: that is told by its process id.
    """
    note = 'echo $$ >/run/saltern-demo.pid; exec "$@"'
    call = ["podman", "exec", shape.container(MASTER), "sh", "-c", note, "sh", *command]
    try:
        code = _stream(call, f"\n$ {' '.join(command)}\n")
    except KeyboardInterrupt:
        podman.attempt(MASTER, "sh", "-c", "kill -INT $(cat /run/saltern-demo.pid)")
        raise
    if code:
        raise StepFailed(
            f"{' '.join(command)}: exit code {code} (all of it: {OPERATION_LOG}).\n"
            "When the cause is gone, run `make demo` again: it goes on from here."
        )


def _stream(call: Sequence[str], title: str) -> int:
    """Run ``call`` with its output copied to the log and to the terminal."""
    with (
        OPERATION_LOG.open("ab") as log,
        subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process,
    ):
        assert process.stdout is not None  # noqa: S101 - for the type checker: stdout is a pipe
        log.write(title.encode())
        for line in process.stdout:
            log.write(line)
            log.flush()
            console.out(line.decode(errors="replace").rstrip(), highlight=False)
    return process.returncode
