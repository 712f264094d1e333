"""The parts of the benchmarks that compute: clouds of any size, percentiles, paths, readings."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess

import pytest
import support
from rich.console import Console
from saltern import faults

from bench import clouds, deploy, harness, idle
from bench.harness import Row

RULES = json.loads((support.ROOT / "schema/cloud.json").read_text())


@pytest.mark.parametrize("count", [1, 250, 251, 1000])
def test_a_generated_cloud_is_one_that_could_be_built(count: int) -> None:
    pattern = support.example("large")
    made = clouds.with_computes(pattern, count)
    computes = [name for name, spec in made["nodes"].items() if spec["roles"] == ["compute"]]
    others = [name for name in pattern["nodes"] if not name.startswith("cmp")]
    assert len(computes) == count
    assert list(made["nodes"])[: len(others)] == others
    found = faults.check(json.dumps(made), support.catalog(), RULES)[1]
    assert found == []
    assert pattern == support.example("large"), "the pattern was changed"


@pytest.mark.parametrize("count", [0, -1, clouds.MOST + 1])
def test_a_cloud_that_has_no_addresses_is_refused(count: int) -> None:
    with pytest.raises(ValueError, match="compute nodes"):
        clouds.with_computes(support.example("large"), count)


@pytest.mark.parametrize(
    ("values", "share", "found"),
    [
        ([3.0], 0.5, 3.0),
        ([3.0, 1.0, 2.0], 0.5, 2.0),
        ([4.0, 1.0, 2.0, 3.0], 0.5, 2.0),
        ([1.0, 2.0, 3.0], 0.0, 1.0),
        (list(map(float, range(1, 11))), 0.9, 9.0),
        ([1.0, 2.0], 1.0, 2.0),
    ],
)
def test_percentiles(values: list[float], share: float, found: float) -> None:
    assert harness.percentile(values, share) == found


def test_nothing_has_no_median() -> None:
    with pytest.raises(ValueError, match="no values"):
        harness.median([])


def test_every_round_begins_with_another_one() -> None:
    order: list[str] = []
    actions = {name: lambda n=name: order.append(n) for name in "abc"}
    found = harness.interleaved(actions, 3)
    assert "".join(order) == "abcbcacab"
    assert {name: len(taken) for name, taken in found.items()} == {"a": 3, "b": 3, "c": 3}


def printed(*rows: Row) -> str:
    console = Console(width=120, color_system=None)
    with console.capture() as capture:
        console.print(harness.table("title", rows))
    return capture.get()


def test_a_table_says_which_target_was_missed() -> None:
    text = printed(Row("slow", 3.0, "s", 2.0, "by hand: 9 s"), Row("quick", 1.0, "s", 2.0))
    slow, quick = text.splitlines()[-2:]
    assert "MISSED" in slow and "<= 2.00 s" in slow and "by hand: 9 s" in slow
    assert "ok" in quick.split() and "MISSED" not in quick


def test_what_should_be_more_is_missed_when_it_is_less() -> None:
    few, many = (Row("rate", count, "per s", 1000, at_least=True) for count in (999.0, 1000.0))
    assert few.verdict == "MISSED"
    assert many.verdict == "ok"
    assert ">= 1000 per s" in printed(few)


def test_a_table_has_no_column_for_what_nobody_says() -> None:
    text = printed(Row("only", 123.456, "ms"))
    assert "target" not in text and "beside" not in text
    assert "123 ms" in text


def test_a_benchmark_that_cannot_run_is_no_failure(capsys: pytest.CaptureFixture[str]) -> None:
    def skipped() -> None:
        raise harness.Skipped("no lab")

    def broken() -> None:
        raise RuntimeError("no answers")

    assert harness.run("it", skipped) == 0
    assert harness.run("it", broken) == 1
    assert "no answers" in capsys.readouterr().err


RECORD = {
    "seconds": 10.0,
    "steps": [
        {"heading": "w1", "step": "b", "nodes": ["n"], "ok": True, "at": 2.0, "seconds": 1.0},
        {"heading": "w1", "step": "a", "nodes": ["n"], "ok": True, "at": 0.0, "seconds": 2.0},
        {"heading": "w2", "step": "long", "nodes": ["n"], "ok": True, "at": 2.1, "seconds": 5.0},
        {"heading": "w3", "step": "end", "nodes": ["n"], "ok": True, "at": 7.1, "seconds": 2.0},
    ],
}


def test_the_critical_path_leaves_out_what_nobody_waited_for() -> None:
    path = deploy.critical_path(deploy.steps_of(RECORD))
    assert [step.name for step in path] == ["w1: a", "w2: long", "w3: end"]


def test_each_step_waited_for_the_last_one_that_was_over() -> None:
    steps = deploy.steps_of(RECORD)
    before = {step.name: deploy.waited_for(step, steps) for step in steps}
    assert {name: found.name if found else None for name, found in before.items()} == {
        "w1: a": None,
        "w1: b": "w1: a",
        "w2: long": "w1: a",
        "w3: end": "w2: long",
    }


def test_steps_that_take_no_time_do_not_wait_for_each_other_in_a_ring() -> None:
    steps = [
        {"heading": "w", "step": str(n), "nodes": [], "at": 1.0, "seconds": 0.0} for n in range(3)
    ]
    path = deploy.critical_path(deploy.steps_of({"steps": steps}))
    assert [step.name for step in path] == ["w: 0", "w: 1", "w: 2"]
    assert deploy.critical_path([]) == []


def test_the_totals_stand_beside_the_shell() -> None:
    first, ratio, second = deploy.totals({"seconds": 261.0}, {"seconds": 59.0})
    assert (first.verdict, ratio.measured, second.verdict) == ("MISSED", 1.5, "ok")


def test_cgroups_of_both_kinds(tmp_path: pathlib.Path) -> None:
    old = idle.cgroup_of("2:cpu,cpuacct:/pod/x\n1:name=systemd:/pod/x/init.scope\n0::/\n")
    new = idle.cgroup_of("0::/pod/x/init.scope\n")
    assert old["cpuacct"] == "/pod/x"
    assert new == {"": "/pod/x"}
    (tmp_path / "pod/x").mkdir(parents=True)
    (tmp_path / "pod/x/cpu.stat").write_text("usage_usec 2500000\nuser_usec 1\n")
    assert idle.cpu_seconds(new, tmp_path) == 2.5
    (tmp_path / "cpuacct/pod/x").mkdir(parents=True)
    (tmp_path / "cpuacct/pod/x/cpuacct.usage").write_text("1500000000\n")
    assert idle.cpu_seconds(old, tmp_path) == 1.5


def test_memory_is_counted_once_however_many_share_it() -> None:
    assert idle.resident("Rss:  900 kB\nPss:   100 kB\nPss_Dirty:  50 kB\n") == 100 * 1024
    assert idle.resident("") == 0


def test_memory_of_one_program_is_told_apart() -> None:
    with subprocess.Popen(["/bin/sh", "-c", "read gone # saltern-here"], stdin=subprocess.PIPE):
        found = idle.memory([os.getpid()], "# saltern-here")
    assert 0 < found < idle.memory([os.getpid()])
    assert idle.memory([os.getpid()], "# saltern-" + "nowhere") == 0
