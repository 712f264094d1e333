"""What the reactor does on the cloud: operations, orchestrations, and looking after a restart."""

from __future__ import annotations

import json
import logging
import pathlib
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import saltern_operation
from saltern import lock
from saltern.cloud import Cloud
from saltern.fleet import Fleet
from saltern.reactor import operations
from saltern.reactor.terms import Decision, Fault, Outcome
from saltern_reactor_actions import JOIN
from saltern_reactor_world import World

log = logging.getLogger(__name__)

#: Seconds that nodes have to tell the health of a few services.
HEALTH_TIMEOUT = 20
#: Seconds for which what was begun before a restart may still be running, and between two looks.
STILL_RUNNING = 1800
LOOK_EVERY = 2.0
#: Lines of an orchestration's output at most that are kept as its result.
LAST_LINES = 12
#: What an operation may have left running on a node begins so.
OURS = ("galera.", "haproxy.", "healing.", "ovn.", "rabbitmq_cluster.", "state.", "unit.")
#: What Salt puts before a reason in its log, and in the result.
_BEFORE = re.compile(r"^(\[\w+ *\]|Comment:) *")
#: A salt-run of the Salt that runs this, wherever that is installed.
SALT_RUN = (sys.executable, "-c", "from salt.scripts import salt_run; salt_run()")


class Operations:
    """Does the work of decisions through the fleet."""

    def __init__(
        self, fleet: Fleet, world: World, conf_file: pathlib.Path, home: pathlib.Path, epoch: int
    ) -> None:
        self._fleet = fleet
        self._world = world
        self._conf_file = conf_file
        self._home = home
        self._epoch = epoch

    def perform(self, decision: Decision, cloud: Cloud, nodes: Sequence[str]) -> Outcome:
        """Do the operation of ``decision`` on ``nodes``; what it came to."""
        context = operations.Context(
            cloud,
            self._fleet,
            _Log(),
            self._launch,
            self._epoch,
            tuple(nodes),
            lambda node: saltern_operation.left(self._home, node),
        )
        return operations.OPERATIONS[decision.operation](context, decision)

    def ask(self, questions: Mapping[str, Sequence[str]]) -> None:
        """Ask nodes for the health of services; the world learns the answers."""
        services = sorted({service for names in questions.values() for service in names})
        asked = self._world.clock()
        answers = self._fleet.call(
            sorted(questions),
            "openstack.health",
            timeout=HEALTH_TIMEOUT,
            kwargs={"services": services},
        )
        self._world.answered(answers, asked, services)

    # -- after a restart ---------------------------------------------------------------------

    def recover(self, began: Mapping[str, Any], cloud: Cloud) -> Outcome:
        """What has become of an action that began before a restart; it is not done again."""
        fault = Fault(**began["fault"])
        if began["operation"] == JOIN:
            return self._join_ended(fault, cloud)
        if not fault.node:
            return Outcome(False, "the reactor was restarted meanwhile; nobody can be asked")
        self._await_jobs(fault.node)
        look = Decision(began["report"], began["rule"], fault, "act", (), operation="look")
        found = self.perform(look, cloud, [fault.node])
        return Outcome(found.ok, f"after a restart of the reactor: {found.detail}", found.evidence)

    def _join_ended(self, fault: Fault, cloud: Cloud) -> Outcome:
        """An orchestration goes on without the reactor, and has the lock for as long."""
        path = self._world.lock_path(cloud)
        deadline = time.monotonic() + STILL_RUNNING
        while (who := lock.holder(path)) and time.monotonic() < deadline:
            time.sleep(LOOK_EVERY)  # another process: there is nothing to wait for but its lock
        if fault.node in self._world.joined():
            return Outcome(True, "it joined while the reactor was restarted")
        why = f"{who} still holds the lock" if who else "its orchestration has ended without it"
        return Outcome(False, f"it did not join while the reactor was restarted: {why}")

    def _await_jobs(self, node: str) -> None:
        """Until nothing that the reactor may have sent runs on ``node`` any more."""
        deadline = time.monotonic() + STILL_RUNNING
        while time.monotonic() < deadline:
            answer = self._fleet.call([node], "saltutil.running", timeout=10, kwargs={})[node]
            jobs = answer.value if answer.ok and isinstance(answer.value, list) else []
            if not any(str(job.get("fun")).startswith(OURS) for job in jobs):
                return
            time.sleep(LOOK_EVERY)  # a job's end makes an event only for who published it

    # -- orchestrations ----------------------------------------------------------------------

    def _launch(self, orch: str, pillar: Mapping[str, Any]) -> Outcome:
        """Run the orchestration ``orch`` as a process that a restart of ours does not end."""
        path = (
            self._home / "reactor/orchestrations" / f"{orch}-{time.strftime('%Y%m%d-%H%M%S')}.log"
        )
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        words = (f"--config-dir={self._conf_file.parent}", "--no-color", "state.orch", orch)
        with path.open("wb") as out:
            done = subprocess.run(  # noqa: S603 - a list; nothing in it is read by a shell
                [*SALT_RUN, *words, f"pillar={json.dumps(dict(pillar))}"],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                check=False,
            )
        if done.returncode == 0:
            return Outcome(True, f"{orch} went well", {"log": str(path)})
        why = " | ".join(_why(path.read_text(encoding="utf-8", errors="replace").splitlines()))
        return Outcome(False, f"{orch} failed: {why}", {"log": str(path)})


def _why(said: Sequence[str]) -> list[str]:
    """The reasons in what an orchestration has said; its last lines when it gave none.

    Salt says them twice: in its log, and in the result.
    """
    found = [_BEFORE.sub("", line.strip()) for line in said]
    reasons = dict.fromkeys(line.removeprefix("- ") for line in found if line.startswith("- "))
    return (list(reasons) or [line for line in found[-LAST_LINES:] if line])[:LAST_LINES]


class _Log:
    """Tells the log what an operation does."""

    @contextmanager
    def step(self, name: str, nodes: Sequence[str]) -> Iterator[None]:
        """Around one piece of work."""
        log.info("%s on %s", name, ", ".join(nodes))
        yield

    def note(self, text: str) -> None:
        """Something worth a line."""
        log.info("%s", text)
