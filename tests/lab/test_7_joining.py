"""A key is accepted and its node joins by its role, unasked; it is used once it has proven itself.

Each test has names of its own: what remembers a node by its name must not help the next one.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable

import pytest
from labkit import apis, commands, faults, newcomers, nodes, reactor
from labkit.model import Edit

from lab import podman

pytestmark = [pytest.mark.lab, pytest.mark.faults, pytest.mark.usefixtures("quiet")]

HEARD = 60  # seconds until the reactor must know
JOINED = 600  # seconds for a join on a machine that has other work
#: Seconds between two questions to Nova while a join is measured: twice a second they were some
#: 40 to 200 ms of its API each, on the two cores that the join works on.
ASKED_EVERY = 2.0
#: Whether joins are measured; else two come at once, one of which dies, and that is all.
MEASURED = faults.RUNS > 1
#: Computes that are accepted at once where joins are measured.
CROWD = 10
TARGET = 60.0  # seconds from an accepted key to an enabled host
CROWDED = 1.5  # times as long as one for ten at once

#: Steps of a join in which nodes die, in their order.
STEPS = ("preflight", "states", "then nova.discover", "prove new computes")

#: What each that was alone took, for the crowd to be compared with.
alone: list[float] = []
#: Seconds that the cores of this machine worked for each of those, the rest of the cloud included.
work: list[float] = []


def joins(number: int) -> list[tuple[str, bool]]:
    """``(fault, went well)`` of every join that has ended since event ``number``, in order."""
    return [
        (entry["fault"], action["ok"])
        for entry in reactor.since(number)
        for action in entry["actions"]
        if action["operation"] == "join" and action["ok"] is not None
    ]


def put_to_work(names: list[str]) -> float:
    """Seconds from their keys being accepted until all of ``names`` are enabled."""
    newcomers.boot(names)
    nova = apis.client("nova-api")
    began, worked = time.monotonic(), faults.worked()
    newcomers.accept(names)
    commands.wait_for(
        f"{', '.join(names)} to be enabled",
        lambda: set(names) <= newcomers.enabled(nova),
        3 * JOINED,
        ASKED_EVERY,
    )
    work.append((faults.worked() - worked) / len(names))
    return time.monotonic() - began


@pytest.mark.skipif(not MEASURED, reason="the next test joins too: this one measures it")
@pytest.mark.parametrize("name", ["cmp3", "cmp41", "cmp42"])
def test_a_node_whose_key_is_accepted_is_put_to_work_once(name: str, edited: Edit) -> None:
    number = reactor.last_event()
    with newcomers.modelled(edited, [name]):
        alone.append(put_to_work([name]))
        faults.figures("joined", alone, TARGET)
        faults.figures("joined-work", work, None)
        reactor.wait_quiet(JOINED)
        assert joins(number) == [(f"new node {name}", True)]


def test_f26_nodes_that_die_while_they_join_are_never_half_in_service(edited: Edit) -> None:
    """Each at a step of its own. One that lives comes with them, and is in by the same join."""
    number = reactor.last_event()
    dying = [f"cmp{30 + run}" for run in range(faults.RUNS)]
    names = [*dying, "cmp40"]
    with newcomers.modelled(edited, names):
        newcomers.boot(names)
        commands.wait_for(
            "the keys to be missed",
            lambda: "in the model, and not accepted" in reactor.ask("pending"),
            HEARD,
        )
        assert not newcomers.enabled() & set(names)
        before = len(reactor.join_logs())
        newcomers.accept(names)
        cut = _cut_one_after_the_other(dying, lambda: "".join(reactor.join_logs()[before:]))
        failed = {(f"new node {name}", False) for name in dying}
        commands.wait_for("the join to end", lambda: failed <= set(joins(number)), 3 * JOINED)
        assert set(joins(number)) == {*failed, ("new node cmp40", True)}, f"cut: {cut}"
        half = newcomers.enabled() & set(dying)
        assert not half, f"half in service: {half}, cut: {cut}"
        for name in dying:
            nodes.restore_power(name)
        faults.figures("F26", _enabled_after(dying), None)
        commands.keep("join-cut", cut)
        reactor.wait_quiet(JOINED)
        well = [fault for fault, ok in joins(number) if ok]
        assert sorted(well) == sorted(f"new node {one}" for one in names), "each once"
        for name in names:
            podman.inside(name, "systemctl", "is-active", "nova-compute")


def _cut_one_after_the_other(dying: list[str], said: Callable[[], str]) -> dict[str, str]:
    """Take the power of each at a step of its own of the join, which says what it does."""

    def begun(step: str) -> Callable[[], bool]:
        return lambda: f": {step} on " in said()

    first = random.randrange(len(STEPS))  # noqa: S311 - no secret
    steps = [STEPS[(first + run) % len(STEPS)] for run in range(len(dying))]
    cut = {}
    for name, step in zip(dying, sorted(steps, key=STEPS.index), strict=True):
        commands.wait_for(step, begun(step), JOINED)
        late = random.uniform(0, 3)  # noqa: S311 - no secret
        time.sleep(late)
        nodes.cut_power(name)
        cut[name] = f"{late:.1f} s into {step}"
    return cut


def _enabled_after(names: list[str]) -> list[float]:
    """Seconds from now until each of ``names`` is enabled."""
    began, nova = time.monotonic(), apis.client("nova-api")
    seconds: dict[str, float] = {}

    def all_in() -> bool:
        for name in newcomers.enabled(nova) & set(names):
            seconds.setdefault(name, time.monotonic() - began)
        return len(seconds) == len(names)

    commands.wait_for(f"{', '.join(names)} to be enabled", all_in, 3 * JOINED)
    return list(seconds.values())


@pytest.mark.skipif(not MEASURED, reason="in every run two come at once, and one dies: see above")
def test_f27_keys_that_are_accepted_at_once(edited: Edit) -> None:
    crowd = [f"cmp{number}" for number in range(6, 6 + CROWD)]
    number = reactor.last_event()
    if not alone:  # this test was run by itself
        with newcomers.modelled(edited, ["cmp5"]):
            alone.append(put_to_work(["cmp5"]))
            reactor.wait_quiet(JOINED)
    with newcomers.modelled(edited, crowd):
        together = put_to_work(crowd)
        reactor.wait_quiet(JOINED)
        well = {fault for fault, ok in joins(number) if ok}
        assert {f"new node {name}" for name in crowd} <= well
    one = statistics.median(alone)
    commands.keep("crowd", {"one": round(one, 1), f"{CROWD}": round(together, 1)})
    faults.figures("F27", [together / one], CROWDED)
    faults.figures("F27-work", work[-1:], None)
