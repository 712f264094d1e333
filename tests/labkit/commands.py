"""Salt's commands on the lab, typed as a person types them: ``lab/salt``, ``lab/salt-run``."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import support

from lab import podman
from lab.model import MASTER
from lab.paths import STATE

RESULTS = STATE / "results"
POLL = 0.5  # seconds between two looks at what we wait for
IDLE = 900  # seconds until an operation of somebody else must have ended


@dataclass(frozen=True)
class Done:
    """A command that ended."""

    code: int
    out: str
    err: str
    seconds: float

    def tail(self, lines: int = 30) -> str:
        """The end of what it printed, for a message."""
        said = [*self.out.splitlines(), *self.err.splitlines()]
        return f"exit code {self.code} after {self.seconds:.1f} s\n" + "\n".join(said[-lines:])


def run(*command: str, timeout: float) -> Done:
    """Run one of ``lab/``'s commands from the checkout.

    :raises AssertionError: when it has not ended after ``timeout`` seconds.
    """
    began = time.monotonic()
    try:
        done = subprocess.run(
            [str(support.ROOT / command[0]), *command[1:]],
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=timeout,
        )
    except subprocess.TimeoutExpired as exc:
        said = (exc.stderr or b"").decode(errors="replace")[-2000:]
        raise AssertionError(f"{' '.join(command)}: no end after {timeout:.0f} s\n{said}") from exc
    return Done(done.returncode, done.stdout, done.stderr, time.monotonic() - began)


@dataclass(frozen=True)
class Answers:
    """What the nodes said to one job, and the exit code of ``salt``."""

    code: int
    nodes: Mapping[str, Any]
    said: str


def salt(
    nodes: Sequence[str] | None, function: str, *arguments: str, timeout: float = 240
) -> Answers:
    """``salt '*' FUNCTION``, or only on ``nodes``.

    One answer after the other: with ``--static``, salt's exit code says nothing about the nodes.
    """
    target = ["*"] if nodes is None else ["--list", ",".join(nodes)]
    how = ("--out=json", "--out-indent=-1", "--timeout=15")
    done = run("lab/salt", *how, *target, function, *arguments, timeout=timeout)
    said: dict[str, Any] = {}
    for found in _documents(done.out):
        said.update(found)
    return Answers(done.code, said, done.tail())


def _documents(text: str) -> Iterator[dict[str, Any]]:
    """The JSON objects of ``text``, one to a line; other lines are Salt's remarks."""
    for line in text.splitlines():
        if line.startswith("{"):
            yield json.loads(line)


def runner(function: str, *arguments: str, timeout: float = 240) -> Done:
    """``salt-run FUNCTION`` with its answer as JSON on stdout."""
    return run("lab/salt-run", function, *arguments, "--out=json", timeout=timeout)


@dataclass(frozen=True)
class Outcome:
    """An orchestration that ended: each of its states as Salt returns it."""

    done: Done
    states: Sequence[Mapping[str, Any]]

    @property
    def code(self) -> int:
        """Exit code of ``salt-run``."""
        return self.done.code

    @property
    def changes(self) -> dict[str, Any]:
        """State -> what it changed, for those that changed something."""
        return {state["__id__"]: state["changes"] for state in self.states if state["changes"]}

    @property
    def comments(self) -> str:
        """What the states say, one after the other."""
        return "\n".join(str(state["comment"]) for state in self.states)

    @property
    def failed(self) -> str:
        """What the first state that failed says; empty when none did."""
        return next((str(s["comment"]) for s in self.states if s["result"] is False), "")


def orchestrate(name: str, timeout: float) -> Outcome:
    """``salt-run state.orch orch.NAME``, once nobody else's operation is running."""
    wait_for("another operation on the cloud to end", idle, IDLE)
    done = runner("state.orch", f"orch.{name}", timeout=timeout)
    start = done.out.find("{")
    if start < 0:
        return Outcome(done, [])
    [answer] = json.loads(done.out[start:])["data"].values()
    states = answer.values() if isinstance(answer, dict) else ()
    return Outcome(done, sorted(states, key=lambda state: state["__run_num__"]))


def idle() -> bool:
    """Whether no orchestration is running on the master."""
    return not podman.attempt(MASTER, "pgrep", "--full", r"salt-run .*state\.orch")


def wait_for(what: str, ready: Callable[[], object], seconds: float, every: float = POLL) -> None:
    """Ask ``ready`` every so many seconds until it answers with something true.

    What takes long to ask - a salt-run keeps one of two cores busy for two seconds - is asked more
    seldom: it takes from what is waited for.

    :raises AssertionError: after ``seconds``.
    """
    deadline = time.monotonic() + seconds
    while True:
        began = time.monotonic()
        if ready():
            return
        now = time.monotonic()
        assert now < deadline, f"waited {seconds:.0f} s in vain for {what}"
        time.sleep(max(every, 2 * (now - began)))


def keep(name: str, data: Any) -> None:
    """Keep figures as ``.lab/results/NAME.json``: they are measured here and asserted elsewhere."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")


def record(operation: str) -> dict[str, Any]:
    """What the master keeps of the last ``operation`` that ended: its steps and their seconds."""
    path = f"/var/cache/salt/master/saltern/operations/{operation}.json"
    loaded: dict[str, Any] = json.loads(podman.inside(MASTER, "cat", path))
    return loaded
