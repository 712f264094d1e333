"""Where the time of ``orch.deploy`` went: ``python -m bench.deploy [--fresh]``.

``--fresh`` throws the lab's machines away, boots bare ones and deploys twice.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from bench import harness
from bench.harness import Row, console
from lab import demo, machines, podman, preflight
from lab.model import MASTER
from lab.paths import STATE
from lab.progress import Steps

TITLE = "orch.deploy"
RECORD = "/var/cache/salt/master/saltern/operations/deploy.json"
#: What --fresh measured last, so that a later run can show it again.
KEPT = STATE / "bench/fresh-deploy.json"
#: The same cloud by a hand-written parallel shell on two cores, from booted bare nodes to both
#: hypervisors up: no checks, no second run, fixed addresses.
SHELL = 174.0
RATIO = 1.3
SECOND = 60.0
#: Seconds by which a step may begin before the one it waited for is noted as ended.
ROUNDING = 0.15


@dataclass(frozen=True)
class Step:
    """One step of a recorded operation."""

    number: int
    name: str
    nodes: tuple[str, ...]
    began: float
    seconds: float

    @property
    def ended(self) -> float:
        return self.began + self.seconds


def steps_of(record: Mapping[str, Any]) -> list[Step]:
    """The steps of a record, in the order in which they began."""
    found = sorted(record["steps"], key=lambda step: (step["at"], step["at"] + step["seconds"]))
    return [
        Step(
            number,
            f"{step['heading']}: {step['step']}",
            tuple(step["nodes"]),
            float(step["at"]),
            float(step["seconds"]),
        )
        for number, step in enumerate(found, 1)
    ]


def waited_for(step: Step, steps: Sequence[Step]) -> Step | None:
    """The step whose end let ``step`` begin: of those that were over, the one that ended last."""
    over = [s for s in steps if s.number < step.number and s.ended <= step.began + ROUNDING]
    return max(over, key=lambda s: (s.ended, s.number), default=None)


def critical_path(steps: Sequence[Step]) -> list[Step]:
    """The chain of steps that made the operation as long as it was, from its first to its last."""
    path = [max(steps, key=lambda step: (step.ended, step.number))] if steps else []
    while path and (before := waited_for(path[0], steps)):
        path.insert(0, before)
    return path


def steps_table(title: str, record: Mapping[str, Any]) -> Table:
    """Every step: when, how long, on whom, after which, and whether it is on the critical path."""
    steps = steps_of(record)
    path = critical_path(steps)
    shown = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for name in ("", "at", "seconds", "share", "critical", "waited for"):
        shown.add_column(name, justify="left" if name == "waited for" else "right")
    shown.add_column("step")
    for step in steps:
        before = waited_for(step, steps)
        where = ", ".join(step.nodes) if len(step.nodes) <= 8 else f"{len(step.nodes)} nodes"
        shown.add_row(
            str(step.number),
            f"{step.began:.1f}",
            f"{step.seconds:.1f}",
            f"{100 * step.seconds / max(record['seconds'], 0.1):.0f} %",
            "*" if step in path else "",
            str(before.number) if before else "",
            f"{step.name} ({where})",
        )
    between = record["seconds"] - sum(step.seconds for step in path)
    shown.add_row("", "", f"{between:.1f}", "", "*", "", "between the steps: formation, questions")
    shown.add_row("", "", f"{record['seconds']:.1f}", "", "", "", "all")
    return shown


def recorded() -> dict[str, Any]:
    """What ``orch.deploy`` noted when it ended last."""
    harness.need_lab()
    text = harness.on_master("cat", RECORD)
    try:
        found: dict[str, Any] = json.loads(text)
    except ValueError as exc:
        raise harness.Skipped(f"no deployment ended yet on this lab ({RECORD})") from exc
    return found


def fresh() -> tuple[dict[str, Any], dict[str, Any]]:
    """Bare machines, a first deployment and a second: what each of the two recorded."""
    if preflight.main():
        raise harness.Skipped("this machine cannot carry the lab")
    machines.down()
    demo.up(Steps(len(demo.UP)))
    found = []
    for turn in ("first", "second"):
        console.print(f"{turn} deployment ...")
        podman.inside(MASTER, "salt-run", "state.orch", "orch.deploy", timeout=3600)
        found.append(recorded())
    KEPT.parent.mkdir(parents=True, exist_ok=True)
    KEPT.write_text(json.dumps(found), encoding="utf-8")
    return found[0], found[1]


def totals(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[Row]:
    """Both deployments beside the shell's."""
    return [
        Row("first deployment, from bare nodes", first["seconds"], "s", RATIO * SHELL,
            f"hand-written shell: {SHELL:.0f} s"),
        Row("first deployment / shell", first["seconds"] / SHELL, "", RATIO),
        Row("second deployment, nothing to do", second["seconds"], "s", SECOND,
            "the shell cannot be run twice"),
    ]  # fmt: skip


def measure(new: bool) -> None:
    """Print the tables."""
    if new or KEPT.exists():
        first, second = fresh() if new else json.loads(KEPT.read_text(encoding="utf-8"))
        console.print()
        console.print(steps_table(f"{TITLE} from bare nodes", first))
        harness.show(
            f"{TITLE}, with --fresh" + ("" if new else ", measured before"), totals(first, second)
        )
        if new:
            return
    last = recorded()
    console.print()
    console.print(steps_table(f"{TITLE}, the last one that ended on this lab", last))
    rows = [Row("the last deployment / shell", last["seconds"] / SHELL, "", None,
                "a fair comparison starts from bare nodes: --fresh")]  # fmt: skip
    harness.show(f"{TITLE}: {last['seconds']:.0f} s", rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="bench.deploy", description=__doc__)
    parser.add_argument(
        "--fresh", action="store_true", help="remove the lab's machines, deploy anew, twice"
    )
    options = parser.parse_args()
    sys.exit(harness.run(TITLE, lambda: measure(options.fresh)))
