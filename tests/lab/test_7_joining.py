"""A key is accepted and its node joins by its role, unasked; it is used once it has proven itself.

Each test has names of its own: what remembers a node by its name must not help the next one.
"""

from __future__ import annotations

import random
import statistics
import time

import pytest
from labkit import apis, commands, faults, newcomers, nodes, reactor
from labkit.model import Edit

from lab import podman

pytestmark = [pytest.mark.lab, pytest.mark.faults, pytest.mark.usefixtures("quiet")]

HEARD = 60  # seconds until the reactor must know
JOINED = 600  # seconds for a join on a machine that has other work
#: Whether joins are measured; else two come at once, one of which dies, and that is all.
MEASURED = faults.RUNS > 1
#: Computes that are accepted at once where joins are measured.
CROWD = 10
TARGET = 60.0  # seconds from an accepted key to an enabled host
CROWDED = 1.5  # times as long as one for ten at once

#: What each that was alone took, for the crowd to be compared with.
alone: list[float] = []
#: Seconds that the cores of this machine worked for each of those, the rest of the cloud included.
work: list[float] = []
#: From power to enabled, of each that had died while it joined.
finished: list[float] = []


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
    )
    work.append((faults.worked() - worked) / len(names))
    return time.monotonic() - began


@pytest.mark.skipif(not MEASURED, reason="the next test joins too: this one measures it")
@pytest.mark.parametrize("name", ["cmp3", *(f"cmp{40 + run}" for run in range(1, faults.RUNS))])
def test_a_node_whose_key_is_accepted_is_put_to_work_once(name: str, edited: Edit) -> None:
    number = reactor.last_event()
    with newcomers.modelled(edited, [name]):
        alone.append(put_to_work([name]))
        faults.figures("joined", alone, TARGET)
        faults.figures("joined-work", work, None)
        reactor.wait_quiet(JOINED)
        assert joins(number) == [(f"new node {name}", True)]


#: Where joins are measured they are cut at any step, the trial included; an instance on a host that
#: is away takes long to be given up.
@pytest.mark.parametrize("name", [f"cmp{30 + run}" for run in range(faults.RUNS)])
def test_f26_a_node_that_dies_while_it_joins_is_never_half_in_service(
    name: str, edited: Edit
) -> None:
    """Where joins are not measured another joins with it: that one is put to work by this join."""
    number = reactor.last_event()
    others = [] if MEASURED else [f"cmp{int(name.removeprefix('cmp')) + 10}"]
    names = [name, *others]
    with newcomers.modelled(edited, names):
        newcomers.boot(names)
        commands.wait_for(
            "the keys to be missed",
            lambda: "in the model, and not accepted" in reactor.ask("pending"),
            HEARD,
        )
        assert not newcomers.enabled() & set(names)
        newcomers.accept(names)
        commands.wait_for(
            "the join to begin",
            lambda: any("join" in line for line in reactor.ask("pending").get("running", ())),
            HEARD,
        )
        step = random.uniform(0, 45 if MEASURED else 25)  # noqa: S311 - no secret
        time.sleep(step)
        nodes.cut_power(name)
        failed = (f"new node {name}", False)
        commands.wait_for("the join to end", lambda: failed in joins(number), 3 * JOINED)
        came = [(f"new node {one}", True) for one in others]
        assert sorted(joins(number)) == [failed, *came], f"cut after {step:.1f} s"
        assert name not in newcomers.enabled(), f"half a node is in service, cut at {step:.1f} s"
        nodes.restore_power(name)
        back = time.monotonic()
        commands.wait_for("it to be enabled", lambda: name in newcomers.enabled(), 2 * JOINED)
        finished.append(time.monotonic() - back)
        faults.figures("F26", finished, None)
        commands.keep(f"join-{name}", {"cut after": round(step, 1)})
        commands.wait_for("all", lambda: set(names) <= newcomers.enabled(), 2 * JOINED)
        reactor.wait_quiet(JOINED)
        well = [fault for fault, ok in joins(number) if ok]
        assert sorted(well) == sorted(f"new node {one}" for one in names), "each once"
        podman.inside(name, "systemctl", "is-active", "nova-compute")


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
