"""One operation while it runs: what a person sees, and what is kept."""

from __future__ import annotations

import io
import json
import pathlib
import shutil
import subprocess
import sys
from typing import Any

import pytest
import saltern_operation
import support
from saltern import lock, preflight, share
from saltern.cloud import ModelError
from saltern.values import functions


@pytest.fixture
def opts(tmp_path: pathlib.Path) -> dict[str, Any]:
    root = tmp_path / "root"
    for room in ("catalog", "schema", "_modules", "_states", "_utils"):
        shutil.copytree(support.ROOT / room, root / room)
    (root / "pillar").mkdir()
    shutil.copy(support.ROOT / "examples/small.yaml", root / "pillar/cloud.yaml")
    return {
        "conf_file": str(tmp_path / "master"),
        "cachedir": str(tmp_path / "cache"),
        "ext_pillar": [{"other": {}}, {"saltern": {"root": str(root)}}],
    }


@pytest.fixture
def operation(opts: dict[str, Any]) -> saltern_operation.Operation:
    return saltern_operation.Operation(opts)


# -- progress --------------------------------------------------------------------------------


def test_a_step_is_told_when_it_begins_and_when_it_ends() -> None:
    progress = saltern_operation.Progress(io.StringIO())
    progress.heading = "wave 1"
    with progress.step("states", ["a", "b"]):
        begun = progress.out.getvalue()  # type: ignore[attr-defined]
    assert begun.endswith("s] wave 1: states on a, b ...\n")
    assert "wave 1: states done in 0." in progress.out.getvalue()  # type: ignore[attr-defined]
    [step] = progress.steps
    assert step["ok"] and (step["heading"], step["nodes"]) == ("wave 1", ["a", "b"])
    assert step["at"] >= 0 and step["seconds"] >= 0


def test_a_step_that_fails_is_told_and_kept_and_not_swallowed() -> None:
    progress = saltern_operation.Progress(io.StringIO())
    with pytest.raises(KeyboardInterrupt), progress.step("states", [f"n{i}" for i in range(9)]):
        raise KeyboardInterrupt
    assert progress.steps[0]["ok"] is False
    said = progress.out.getvalue()  # type: ignore[attr-defined]
    assert "states on 9 nodes" in said and "states FAILED" in said


# -- the operation ---------------------------------------------------------------------------


def test_the_cloud_is_the_one_of_the_files(operation: saltern_operation.Operation) -> None:
    assert operation.cloud().nodes == support.cloud("small").nodes
    model = operation.root / "pillar/cloud.yaml"
    model.write_text(model.read_text() + "nodez: {}\n")
    with pytest.raises(ModelError, match="nodez"):
        operation.cloud()


def test_what_nodes_have_to_hold(operation: saltern_operation.Operation) -> None:
    found = operation.expected(lambda uri: uri)
    cloud = operation.store.cloud()
    assert found.digests == {
        node: share.share(cloud, node, functions())["digest"] for node in cloud.nodes
    }
    rest = [p for kind in ("_modules", "_utils") for p in (operation.root / kind).rglob("*.py")]
    assert found.stamp != preflight.code_stamp({str(p): p.read_bytes() for p in rest})
    (operation.root / "_utils/saltern/cloud.py").write_text("# changed\n")
    assert operation.expected(lambda uri: uri).stamp != found.stamp


def test_another_process_finds_the_cloud_busy(operation: saltern_operation.Operation) -> None:
    operation.hold("small", owner="pid 7")
    operation.hold("small", owner="pid 7")  # a sub-orchestration: the same process may
    path = operation.home / "small.lock"
    other = (
        "import pathlib, sys; from saltern import lock\n"
        "lock.hold(pathlib.Path(sys.argv[1]), owner='another')"
    )
    done = subprocess.run(
        [sys.executable, "-c", other, path],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(support.ROOT / "_utils")},
    )
    assert done.returncode == 1 and "small.lock is held by pid 7" in done.stderr


def test_small_operations_that_share_the_lock_are_waited_for(
    operation: saltern_operation.Operation, monkeypatch: pytest.MonkeyPatch
) -> None:
    operation.progress.out = io.StringIO()
    path = operation.home / "small.lock"
    small = lock.shared(path, "the reactor: restart keystone")
    small.__enter__()

    def end(seconds: float) -> None:
        small.__exit__(None, None, None)

    monkeypatch.setattr("saltern_operation.time.sleep", end)
    operation.hold("small", owner="pid 7")
    assert path.read_text() == "pid 7"
    assert operation.progress.out.getvalue().count("; waiting for it to end") == 1


def test_whoever_works_on_the_whole_cloud_is_not_waited_for(
    operation: saltern_operation.Operation, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock.hold(operation.home / "small.lock", "pid 6")
    monkeypatch.setattr(lock, "_held", {})  # as if we were another process
    monkeypatch.setattr("saltern_operation.time.sleep", lambda seconds: pytest.fail("it waits"))
    with pytest.raises(lock.Busy, match="held by pid 6"):
        operation.hold("small", owner="pid 7")


def test_a_small_operation_that_never_ends_is_named(
    operation: saltern_operation.Operation, monkeypatch: pytest.MonkeyPatch
) -> None:
    operation.progress.out = io.StringIO()
    monkeypatch.setattr(saltern_operation, "SMALL_ONES", 0.05)
    monkeypatch.setattr(saltern_operation, "POLL", 0.01)
    with (
        lock.shared(operation.home / "small.lock", "the reactor: restart keystone"),
        pytest.raises(lock.Busy, match="held by the reactor: restart keystone"),
    ):
        operation.hold("small", owner="pid 7")


def test_what_happened_is_kept(operation: saltern_operation.Operation) -> None:
    operation.progress.out = io.StringIO()
    with operation.progress.step("states", ["a"]):
        pass
    path = operation.write_record("deploy", {"operation": "deploy"})
    kept = json.loads(path.read_text())
    assert (kept["operation"], kept["steps"][0]["step"]) == ("deploy", "states")
    assert kept["seconds"] >= 0


def test_the_states_of_one_process_share_an_operation(
    opts: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saltern_operation, "_current", {})
    first = saltern_operation.current(opts, "orchestration")
    assert saltern_operation.current(opts, "orchestration") is first


def test_a_master_that_knows_no_saltern() -> None:
    with pytest.raises(LookupError, match=r"master\.d/saltern\.conf"):
        saltern_operation.root_of({"ext_pillar": [{"other": {}}]})


# -- who has joined --------------------------------------------------------------------------


def test_who_has_joined_is_kept_with_the_time(operation: saltern_operation.Operation) -> None:
    assert operation.joined() == {}
    assert operation.note_joined(["a", "b"], ["a", "b", "c"]) == ["a", "b"]
    first = operation.joined()
    assert operation.note_joined(["b", "c"], ["a", "b", "c"]) == ["c"]
    assert operation.joined() == {**first, "c": operation.joined()["c"]}
    assert saltern_operation.joined(operation.home) == operation.joined()
    assert [path.name for path in operation.home.iterdir()] == ["joined.json"]


def test_a_node_that_left_the_model_has_to_join_anew(
    operation: saltern_operation.Operation,
) -> None:
    operation.note_joined(["a", "b"], ["a", "b"])
    operation.note_joined([], ["a"])
    assert list(operation.joined()) == ["a"]
    assert operation.note_joined(["b"], ["a", "b"]) == ["b"]


def test_a_node_that_was_gone_has_to_join_anew(operation: saltern_operation.Operation) -> None:
    operation.note_joined(["a", "b"], ["a", "b"])
    saltern_operation.left(operation.home, "b")
    saltern_operation.left(operation.home, "b")
    assert list(operation.joined()) == ["a"]


def test_nothing_is_written_when_nothing_changes(operation: saltern_operation.Operation) -> None:
    operation.note_joined(["a"], ["a"])
    before = (operation.home / "joined.json").stat()
    assert operation.note_joined(["a"], ["a"]) == []
    assert (operation.home / "joined.json").stat().st_ino == before.st_ino


# -- the lock --------------------------------------------------------------------------------


def test_a_lock_is_taken_once_by_a_process(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "deep/a.lock"
    assert lock.hold(path, "me") is True
    assert lock.hold(path, "me") is False
    assert path.read_text() == "me"


@pytest.mark.parametrize(("owner", "said"), [("pid 7", "pid 7"), ("", "unknown")])
def test_whoever_comes_second_learns_who_holds_it(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, owner: str, said: str
) -> None:
    path = tmp_path / "a.lock"
    lock.hold(path, owner)
    monkeypatch.setattr(lock, "_held", {})  # as if we were another process
    with pytest.raises(lock.Busy, match=f"a.lock is held by {said}"):
        lock.hold(path, "me")
