"""Galera: who may start, join or bootstrap."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from saltern import galera
from saltern.steps import Refused, Step

A = "f6310fc9-e64c-11f1-93d8-1b7ea625c393"
B = "36d86266-e665-11f1-80b0-effa5835095b"
NODES = ["ctl1", "ctl2", "ctl3"]
VIEW = {"id": "3 36d7f732 4", "members": 2}


def seen(**facts: Any) -> dict[str, Any]:
    """A stopped member that was stopped cleanly at A:10, but for ``facts``."""
    return {
        "service": "stopped",
        "cluster_status": "",
        "state": None,
        "uuid": A,
        "seqno": 10,
        "safe_to_bootstrap": False,
        "view": None,
        "databases": ["nova"],
        "incomplete": False,
        "damaged": "",
        "checkable": True,
        **facts,
    }


def live(**facts: Any) -> dict[str, Any]:
    return seen(**{"service": "running", "cluster_status": "Primary", "state": 4, **facts})


def fresh(**facts: Any) -> dict[str, Any]:
    return seen(**{"uuid": None, "seqno": None, "databases": [], **facts})


def plan(steps: list[Step]) -> list[tuple[tuple[str, ...], str]]:
    return [(step.nodes, step.function.removeprefix("galera.")) for step in steps]


def form(*observed: dict[str, Any] | None) -> list[tuple[tuple[str, ...], str]]:
    return plan(galera.formation(NODES, dict(zip(NODES, observed, strict=True))))


# -- what it says ----------------------------------------------------------------------------


def test_a_fresh_cluster_bootstraps_the_first_and_starts_the_others_side_by_side() -> None:
    assert form(fresh(), fresh(), fresh()) == [
        (("ctl1",), "bootstrap"),
        (("ctl2", "ctl3"), "start"),
    ]


def test_a_cluster_of_one() -> None:
    assert plan(galera.formation(["ctl1"], {"ctl1": fresh()})) == [(("ctl1",), "bootstrap")]


def test_a_formed_cluster_is_left_alone() -> None:
    assert form(live(), live(), live(state=2)) == []


def test_one_member_is_down() -> None:
    assert form(live(), seen(seqno=3), live()) == [(("ctl2",), "start")]


def test_whoever_joins_already_is_waited_for_and_an_unreachable_one_is_not() -> None:
    assert form(live(), live(state=1), None) == [(("ctl2",), "start")]


def test_a_member_behind_a_partition_cannot_be_helped_by_starting_it() -> None:
    assert form(live(), live(), seen(service="running", cluster_status="non-Primary")) == []


def test_a_server_that_was_started_before_it_was_configured_is_started_again() -> None:
    packaged = fresh(service="running", cluster_status="Disconnected")
    assert form(live(), live(), packaged) == [(("ctl3",), "start")]


def test_a_wiped_member_joins() -> None:
    assert form(live(), live(), fresh()) == [(("ctl3",), "start")]


def test_the_health_check_is_let_in_by_one_member() -> None:
    assert form(live(checkable=False), live(checkable=False), live(checkable=False)) == [
        (("ctl1",), "admit_check")
    ]


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"uuid": B}, "another cluster"),
        ({"uuid": None, "seqno": None}, "databases of its own: nova"),
        ({"damaged": "grastate.dat names no cluster"}, "names no cluster"),
    ],
)
def test_joining_never_replaces_data_that_only_one_member_has(facts: Any, reason: Any) -> None:
    with pytest.raises(Refused, match=f"{reason}.*move /var/lib/mysql away"):
        form(live(), live(), seen(**facts))


def test_what_can_be_done_safely_is_done_before_refusing() -> None:
    assert form(live(), seen(), seen(uuid=B)) == [(("ctl2",), "start")]


def test_two_primary_components_are_for_a_human() -> None:
    with pytest.raises(Refused, match="different clusters"):
        form(live(), live(uuid=B), live())


def test_all_crashed_together_are_started_at_the_same_time() -> None:
    view = {"id": "v", "members": 3}
    crashed = seen(view=view)
    assert form(crashed, crashed, crashed) == [(("ctl1", "ctl2", "ctl3"), "start")]


def test_after_an_uneven_crash_the_last_view_starts_first() -> None:
    older = seen(seqno=8, view={"id": "older", "members": 3})
    assert form(seen(view=VIEW), older, seen(view=VIEW, service="starting")) == [
        (("ctl1", "ctl3"), "start"),
        (("ctl2",), "start"),
    ]


def test_a_view_that_is_not_whole_is_not_waited_for() -> None:
    partial = seen(view={"id": "v", "members": 3})
    assert form(partial, partial, fresh())[0] == (("ctl1",), "bootstrap")


def test_a_whole_view_that_is_not_the_newest_is_not_started() -> None:
    assert form(seen(view=VIEW), seen(view=VIEW), seen(seqno=11))[0] == (("ctl3",), "bootstrap")


def test_the_most_advanced_bootstraps() -> None:
    steps = galera.formation(
        NODES, {"ctl1": seen(), "ctl2": seen(seqno=12), "ctl3": seen(seqno=11)}
    )
    assert plan(steps) == [(("ctl2",), "bootstrap"), (("ctl1", "ctl3"), "start")]
    assert steps[0].kwargs["proof"]["ctl3"]["seqno"] == 11


def test_between_equals_the_one_that_runs_then_the_one_that_left_last_then_the_first() -> None:
    assert form(seen(), seen(safe_to_bootstrap=True), seen())[0][0] == ("ctl2",)
    lonely = seen(service="running", cluster_status="non-Primary")
    assert form(seen(), seen(safe_to_bootstrap=True), lonely)[0][0] == ("ctl3",)
    assert form(seen(), seen(), seen())[0][0] == ("ctl1",)


def test_a_wiped_or_half_copied_member_never_bootstraps() -> None:
    half = seen(incomplete=True, seqno=99)
    assert form(fresh(), half, seen())[0] == (("ctl3",), "bootstrap")


def test_a_plain_mariadb_becomes_the_first_member_when_nobody_else_has_data() -> None:
    plain = seen(uuid=None, seqno=None)
    assert form(fresh(), plain, fresh())[0] == (("ctl2",), "bootstrap")


@pytest.mark.parametrize(
    ("observed", "reason"),
    [
        ((seen(), seen(), None), "ctl3 cannot be asked.*force=True"),
        ((seen(), seen(), seen(damaged="no seqno")), "ctl3: no seqno"),
        ((seen(), seen(), seen(uuid=B)), "different clusters"),
        ((seen(), seen(), seen(uuid=None, seqno=None)), "never in this cluster"),
        ((seen(uuid=None), fresh(), seen(uuid=None)), "never in this cluster"),
        ((fresh(), fresh(), fresh(incomplete=True)), "only part of the data"),
    ],
)
def test_refusals(observed: Any, reason: Any) -> None:
    with pytest.raises(Refused, match=reason):
        form(*observed)


# -- proof -----------------------------------------------------------------------------------


def test_proven() -> None:
    proof = {"ctl1": seen(), "ctl2": seen(seqno=9), "ctl3": fresh()}
    assert galera.unproven("ctl1", NODES, proof, seen()) == []


@pytest.mark.parametrize(
    ("own", "others", "reason"),
    [
        (seen(), {"ctl2": None}, "nothing is known about ctl2"),
        (seen(), {"ctl2": live()}, "ctl2 is in a primary component"),
        (live(), {}, "ctl1 is in a primary component itself"),
        (seen(incomplete=True), {}, "ctl1: its data is incomplete"),
        (seen(damaged="no seqno"), {}, "ctl1: no seqno"),
        (seen(seqno=11), {"ctl1": seen()}, "has moved"),
        (seen(), {"ctl2": seen(damaged="no seqno")}, "ctl2: no seqno"),
        (seen(), {"ctl2": seen(uuid=None)}, "ctl2 holds databases that were never"),
        (fresh(), {"ctl2": seen()}, "ctl2 holds data of a cluster, ctl1 does not"),
        (seen(), {"ctl2": seen(uuid=B)}, "ctl2 holds the data of another cluster"),
        (seen(), {"ctl2": seen(seqno=12)}, "ctl2 is ahead: 12 against 10"),
    ],
)
def test_not_proven(own: Any, others: Any, reason: Any) -> None:
    proof = {"ctl1": own, "ctl2": fresh(), "ctl3": fresh(), **others}
    assert any(reason in found for found in galera.unproven("ctl1", NODES, proof, own))


members = st.builds(
    lambda uuid, seqno, incomplete, kind: (
        fresh() if kind == "fresh" else seen(uuid=uuid, seqno=seqno, incomplete=incomplete)
    ),
    st.sampled_from([A, B]),
    st.integers(0, 5),
    st.booleans(),
    st.sampled_from(["fresh", "data", "data"]),
)


@given(st.lists(st.none() | members, min_size=3, max_size=3))
def test_a_bootstrap_that_is_planned_is_always_provable(observed: Any) -> None:
    found = dict(zip(NODES, observed, strict=True))
    try:
        steps = galera.formation(NODES, found)
    except Refused:
        return
    first = steps[0]
    assert first.function == "galera.bootstrap"
    node = first.nodes[0]
    own = found[node]
    assert own is not None
    assert galera.unproven(node, NODES, first.kwargs["proof"], own) == []


@pytest.mark.parametrize(
    ("size", "expected", "allowed"),
    [(3, 3, True), (2, 3, False), (1, 1, True), (2, 2, True), (4, 5, True), (3, 5, False)],
)
def test_leaving(size: Any, expected: Any, allowed: Any) -> None:
    assert (galera.cannot_leave(size, expected) == "") is allowed
