"""Reading the return of a state run."""

from __future__ import annotations

from typing import Any

from saltern import stateruns


def chunk(run: int, **fields: Any) -> dict[str, Any]:
    return {"__run_num__": run, "__sls__": "nova", "changes": {}, "result": True, **fields}


RUN = {
    "file_|-b_|-b_|-managed": chunk(1, __id__="b", changes={"diff": "+x"}),
    "file_|-a_|-a_|-managed": chunk(0, __id__="a", result=False, comment="no space left"),
    "unit_|-c_|-c_|-running": chunk(
        2, __id__="c", result=False, comment="One or more requisite failed: nova.a"
    ),
}


def test_changes_come_in_the_order_in_which_they_happened() -> None:
    late = {"x_|-z_|-z_|-f": chunk(9, __id__="z", changes={"n": 1}), **RUN}
    assert list(stateruns.changes(late)) == ["nova: b", "nova: z"]


def test_a_run_that_did_not_compile_changed_nothing() -> None:
    assert stateruns.changes(["Rendering SLS failed"]) == {}


def test_a_failure_names_its_state_and_not_the_ones_that_depend_on_it() -> None:
    assert stateruns.failures(RUN) == ["nova: a: no space left"]


def test_a_failure_that_is_only_a_requisite_is_told_all_the_same() -> None:
    only = {"unit_|-c_|-c_|-running": RUN["unit_|-c_|-c_|-running"]}
    assert "requisite failed" in stateruns.failures(only)[0]


def test_errors_of_rendering_are_failures() -> None:
    assert stateruns.failures(["Rendering SLS 'base:wave'\n failed"]) == [
        "Rendering SLS 'base:wave' failed"
    ]
    assert stateruns.failures("minion is shutting down") == ["minion is shutting down"]
    assert stateruns.failures({"k": "not a chunk"}) == ["not a chunk"]


def test_a_long_comment_is_cut() -> None:
    long = {"k": chunk(0, __id__="k", result=False, comment=["y" * 900, "z"])}
    assert len(stateruns.failures(long)[0]) < stateruns.COMMENT_LIMIT + 20
