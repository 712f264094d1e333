"""Health of all nodes beside a ping of all nodes: ``python -m bench.health [ROUNDS]``."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable

from bench import harness
from bench.harness import Row, median, percentile
from lab.model import MASTER

TITLE = "the truth about every node"
RATIO = 1.5
ROUNDS = 9
PING, HEALTH = "salt '*' test.ping", "salt '*' openstack.health"
INSTEAD = "salt '*' cmd.run 'systemctl --failed'"


def asking(nodes: int, *command: str) -> Callable[[], None]:
    """Ask all nodes by Salt's command line, as a person does; every one must answer."""

    def ask() -> None:
        said = harness.on_master("salt", "--static", "--out=json", "*", *command)
        try:
            answers = json.loads(said)
        except ValueError as exc:
            raise RuntimeError(f"{' '.join(command)}: no answers but: {said[:500]}") from exc
        silent = [name for name, answer in answers.items() if answer is False]
        if len(answers) != nodes or silent:
            raise RuntimeError(f"{' '.join(command)}: {len(answers)} of {nodes}, silent: {silent}")

    return ask


def measure(rounds: int = ROUNDS) -> None:
    """Print the table."""
    nodes = len([name for name in harness.need_lab() if name != MASTER])
    actions = {
        PING: asking(nodes, "test.ping"),
        HEALTH: asking(nodes, "openstack.health"),
        INSTEAD: asking(nodes, "cmd.run", "systemctl --failed"),
    }
    harness.interleaved(actions, 1)  # the first of each loads its modules
    found = harness.interleaved(actions, rounds)
    ping, health, instead = (median(found[name]) for name in actions)
    harness.show(
        f"{TITLE}: {nodes} nodes, {rounds} rounds in turn, command line included",
        [
            Row(f"{PING}, median", ping),
            Row(f"{HEALTH}, median", health, beside=f"{INSTEAD}: {instead:.2f} s, asks no service"),
            Row(f"{HEALTH}, 90 of 100", percentile(found[HEALTH], 0.9)),
            Row("health / ping", health / ping, "", RATIO, f"{instead / ping:.2f}"),
        ],
    )


if __name__ == "__main__":
    sys.exit(harness.run(TITLE, lambda: measure(*map(int, sys.argv[1:]))))
