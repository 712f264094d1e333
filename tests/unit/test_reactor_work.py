"""Where operations run, what they work with, and what becomes of them after a restart."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time
from typing import Any

import pytest
import saltern_reactor_work as working
from fake_fleet import FakeFleet
from fake_reactor import Bench, cloud, until
from saltern import lock
from saltern.reactor import operations
from saltern.reactor.terms import Decision, Fault, Outcome
from saltern_reactor_lanes import Lanes, Running


@pytest.fixture
def bench(tmp_path: pathlib.Path) -> Bench:
    return Bench(tmp_path)


# -- lanes -------------------------------------------------------------------------------------


def test_a_lane_has_its_places_and_a_node_one_operation() -> None:
    ended: list[int] = []
    lanes = Lanes(lambda: ended.append(1))
    first = lanes.take("checks", ["ctl1"], "look at ctl1")
    assert isinstance(first, Running)
    assert lanes.take("services", ["ctl1"], "restart") == "look at ctl1 is under way on ctl1"
    second = lanes.take("checks", ["ctl2"], "look at ctl2")
    assert lanes.take("checks", ["ctl3"], "look") == "all places of lane checks are taken"
    assert isinstance(second, Running)
    lanes.leave(second)
    assert isinstance(lanes.take("checks", ["ctl3"], "look"), Running)
    lanes.enter("checks", ["ctl1"], "what runs already")
    lanes.start(first, lambda: None)
    until(lambda: ended)
    assert len(lanes.running()) == 2


def test_a_place_is_free_again_after_an_operation_that_broke(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    lanes = Lanes(lambda: None)
    place = lanes.take("joins", [], "join")
    assert isinstance(place, Running)
    lanes.start(place, lambda: 1 // 0)  # type: ignore[arg-type]
    until(lambda: not lanes.running())


def test_what_never_ends_is_named() -> None:
    now = [0.0]
    lanes = Lanes(lambda: None, lambda: now[0])
    lanes.take("checks", ["ctl1"], "look at ctl1")
    assert not lanes.stuck()
    now[0] = 601
    assert lanes.stuck() == ["look at ctl1 on ctl1: 601 s and no end"]


# -- work --------------------------------------------------------------------------------------


def hands(bench: Bench, fleet: FakeFleet, conf: pathlib.Path | None = None) -> working.Operations:
    where = conf or bench.home / "conf/master"
    return working.Operations(fleet, bench.world, where, bench.home, 7)


def test_an_operation_gets_what_it_works_with(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[operations.Context] = []

    def restart(context: operations.Context, decision: Decision) -> Outcome:
        seen.append(context)
        with context.report.step("s", ["ctl1"]):
            context.report.note("n")
        return Outcome(True, decision.operation)

    monkeypatch.setattr(operations, "OPERATIONS", {"restart": restart})
    act = Decision(1, "failed", Fault("ctl1", "service", "api"), "act", (), "restart")
    fleet = FakeFleet()
    assert hands(bench, fleet).perform(act, cloud(), ["ctl1", "ctl2"]).detail == "restart"
    assert (seen[0].epoch, seen[0].nodes, seen[0].fleet) == (7, ("ctl1", "ctl2"), fleet)


def test_asking_teaches_the_world(bench: Bench) -> None:
    hands(bench, FakeFleet()).ask({"ctl2": ["db"], "ctl3": ["db", "api"]})
    assert bench.observed().services["ctl2"]["db"].status == "ok"
    assert bench.world.asked_since("ctl3", "db", bench.clock.now)


def began(operation: str, node: str = "ctl1", kind: str = "service") -> dict[str, Any]:
    fault = {"node": node, "kind": kind, "subject": "api" if kind == "service" else ""}
    return {"rule": "failed", "operation": operation, "report": 1, "fault": fault, "rung": 0}


def test_after_a_restart_a_job_that_still_runs_is_waited_for_and_then_looked_at(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(working, "LOOK_EVERY", 0.01)
    jobs = [[{"fun": "test.sleep"}, {"fun": "healing.restart"}], [{"fun": "state.sls"}], []]
    fleet = FakeFleet(saltutil__running=lambda node, kwargs: jobs.pop(0))
    found = hands(bench, fleet).recover(began("restart"), cloud())
    assert found.ok
    assert found.detail.startswith("after a restart of the reactor: ")
    assert fleet.functions() == ["saltutil.running"] * 3 + ["openstack.health"]


def test_after_a_restart_nobody_can_be_asked_about_the_whole_cloud(bench: Bench) -> None:
    fleet = FakeFleet()
    assert not hands(bench, fleet).recover(began("admit", node=""), cloud()).ok
    assert not fleet.asked


def test_a_join_goes_on_without_the_reactor(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(working, "LOOK_EVERY", 0.01)
    holders = ["pid 9", "pid 9", ""]
    monkeypatch.setattr(lock, "holder", lambda _: holders.pop(0))
    assert hands(bench, FakeFleet()).recover(began("join", "cmp1", "new"), cloud()).ok
    holders[:] = [""]
    lost = hands(bench, FakeFleet()).recover(began("join", "cmp9", "new"), cloud())
    assert (lost.ok, "has ended without it" in lost.detail) == (False, True)
    monkeypatch.setattr(working, "STILL_RUNNING", 0)
    holders[:] = ["pid 9"]
    held = hands(bench, FakeFleet()).recover(began("join", "cmp9", "new"), cloud())
    assert "pid 9 still holds the lock" in held.detail


@pytest.mark.parametrize("code", [0, 2])
def test_an_orchestration_is_a_process_of_its_own(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    script = (
        f"import json, os, sys; print(json.dumps([sys.argv[1:], os.getsid(0)])); sys.exit({code})"
    )
    monkeypatch.setattr(working, "SALT_RUN", (sys.executable, "-c", script))
    conf = bench.home / "conf/master"
    done = hands(bench, FakeFleet(), conf)._launch("orch.join", {"nodes": ["cmp3", "a b"]})
    assert done.ok is (code == 0)
    words, session = json.loads(pathlib.Path(done.evidence["log"]).read_text())
    assert words[-2:] == ["orch.join", 'pillar={"nodes": ["cmp3", "a b"]}']
    assert f"--config-dir={conf.parent}" in words
    assert session != os.getsid(0)
    assert code == 0 or "orch.join" in done.detail


SAID = """[ERROR   ] - cmp4: no answer
- cmp5: s: h: disk full
These get no instances until they are proven. Mend this, then run it again: ...
master_master:
  Name: their services run - Function: cloud_operation.built - Result: Changed
----------
          ID: the nodes have joined
     Comment: - cmp4: no answer
              - cmp5: s: h: disk full
              These get no instances until they are proven. Mend this, then run it again: ...
     Changes:
              ----------
              cmp3:
                  proven, joined
"""


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (SAID.splitlines(), ["cmp4: no answer", "cmp5: s: h: disk full"]),
        (["", "Traceback", "  KeyError: 'x'"], ["Traceback", "KeyError: 'x'"]),
        ([f"- cmp{i}: no answer" for i in range(99)], [f"cmp{i}: no answer" for i in range(12)]),
    ],
)
def test_of_an_orchestration_that_failed_the_reasons_are_told(
    said: list[str], why: list[str]
) -> None:
    assert working._why(said) == why


# -- the watchdog ------------------------------------------------------------------------------

KEPT = """
import os, sys, time
import saltern_watchdog
def work():
    print(os.getpid(), flush=True)
    time.sleep(60)
saltern_watchdog.keep(work)
"""


def test_a_process_that_dies_is_there_again_and_does_not_outlive_its_keeper() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", KEPT],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={"PYTHONPATH": ":".join(sys.path)},
    ) as keeper:
        assert keeper.stdout
        first = int(keeper.stdout.readline())
        began = time.monotonic()
        os.kill(first, signal.SIGKILL)
        second = int(keeper.stdout.readline())
        assert second != first
        assert time.monotonic() - began < 3
        keeper.kill()
        killed = time.monotonic()
        assert keeper.stdout.read() == "", "its pipe is closed once the child is gone as well"
        assert time.monotonic() - killed < 20, "the child outlived it"
