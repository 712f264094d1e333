"""What one node costs the master and itself: ``python -m bench.pillar [ROUNDS]``."""

from __future__ import annotations

import itertools
import pathlib
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from typing import Any

import yaml

from bench import clouds, harness
from bench.harness import Row, median
from lab.paths import ROOT

TITLE = "pillar and states"
LIMIT = 2.0
#: A thousand nodes may make the share of one no dearer than this many times that of ten.
FLAT = 1.5
SIZES = (10, 100, 1000)
ROUNDS = 9
EXAMPLE = ROOT / "examples/large.yaml"


def pillar(opts: dict[str, Any]) -> dict[str, Any]:
    """The master's work for one request of a node."""
    import salt.pillar

    made = salt.pillar.get_pillar(opts, opts["grains"], opts["id"], "base")
    found: dict[str, Any] = made.compile_pillar()
    if "_errors" in found:
        raise RuntimeError(str(found["_errors"]))
    return found


def low(opts: dict[str, Any]) -> list[Any]:
    """The node's work: everything it would do in a highstate, in order; modules are loaded anew."""
    import salt.loader

    modules = salt.loader.minion_mods(opts, utils=salt.loader.utils(opts))
    found: list[Any] = modules["state.show_lowstate"]()
    if not all(isinstance(chunk, dict) for chunk in found):
        raise RuntimeError("\n".join(map(str, found)))
    return found


def compiled(opts: dict[str, Any]) -> list[Any]:
    """Both, one after the other."""
    return low({**opts, "pillar": pillar(opts)})


def _next_of(nodes: Iterator[dict[str, Any]]) -> None:
    pillar(next(nodes))


def prepared(home: pathlib.Path, count: int) -> dict[str, Any]:
    """Options for the cloud with ``count`` compute nodes, its secrets made and its model read."""
    folder = home / str(count)
    folder.mkdir()
    model = folder / "cloud.yaml"
    made = clouds.with_computes(yaml.safe_load(EXAMPLE.read_text(encoding="utf-8")), count)
    model.write_text(yaml.safe_dump(made, sort_keys=False), encoding="utf-8")
    return clouds.options(ROOT, home, model)


def compile_rows(opts: dict[str, Any], rounds: int) -> list[Row]:
    """One node of each kind: its pillar and all of its states."""
    rows = []
    for node in ("lb1", "db1", "api1", "cmp00001"):
        own = clouds.as_node(opts, node)
        taken = [harness.seconds(partial(compiled, own)) for _ in range(rounds)]
        rows.append(Row(f"pillar + states of {node}", median(taken), target=LIMIT))
    return rows


def master_rows(home: pathlib.Path, rounds: int) -> list[Row]:
    """The master's work for a compute node, in clouds of several sizes."""
    by_size = {}
    cold = []
    for count in SIZES:
        opts = prepared(home, count)
        first = clouds.as_node(opts, "cmp00001")
        cold.append(
            Row(
                f"first pillar after a change of the model, {count} computes",
                harness.seconds(partial(pillar, first)),
            )  # fmt: skip
        )
        by_size[f"{count}"] = [
            clouds.as_node(opts, f"cmp{n + 1:05d}") for n in range(min(rounds, count))
        ]
    bare = {**clouds.as_node(opts, "cmp00001"), "ext_pillar": []}
    actions = {size: partial(_next_of, itertools.cycle(nodes)) for size, nodes in by_size.items()}
    found = harness.interleaved(
        {**actions, "bare": lambda: pillar(bare)}, rounds, harness.processor_seconds
    )
    floor = 1000 * median(found.pop("bare"))
    rows = [
        Row(
            f"pillar of one node, {size} computes",
            1000 * median(taken),
            "ms",
            beside=f"an empty pillar: {floor:.1f} ms",
        )  # fmt: skip
        for size, taken in found.items()
    ]
    growth = median(found[str(SIZES[-1])]) / median(found[str(SIZES[0])])
    return [*cold, *rows, Row(f"{SIZES[-1]} computes / {SIZES[0]}", growth, "", FLAT)]


def measure(rounds: int = ROUNDS) -> None:
    """Print both tables."""
    with tempfile.TemporaryDirectory(prefix="saltern-bench-") as name:
        home = pathlib.Path(name)
        master = master_rows(home, rounds)
        opts = clouds.options(ROOT, home, home / "100/cloud.yaml")
        nodes = compile_rows(opts, max(1, rounds // 3))
    harness.show(f"{TITLE}: one node of a cloud with 100 compute nodes", nodes)
    harness.show(f"{TITLE}: processor time of the master per node", master)


if __name__ == "__main__":
    sys.exit(harness.run(TITLE, lambda: measure(*map(int, sys.argv[1:]))))
