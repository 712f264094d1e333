"""Galera: what it says, and who may start, join or bootstrap."""

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

HEALTHY = {
    "wsrep_ready": "ON",
    "wsrep_connected": "ON",
    "wsrep_cluster_status": "Primary",
    "wsrep_local_state": "4",
    "wsrep_local_state_comment": "Synced",
    "wsrep_cluster_size": "3",
    "wsrep_local_state_uuid": A,
    "wsrep_last_committed": "5",
    "wsrep_cluster_conf_id": "3",
    "wsrep_incoming_addresses": ",10.0.0.1:3306,10.0.0.2:3306",
    "wsrep_flow_control_paused": "0.25",
}
GRASTATE = (
    f"# GALERA saved state\nversion: 2.1\nuuid:    {A}\nseqno:   {{}}\nsafe_to_bootstrap: {{}}\n"
)
GVWSTATE = "my_uuid: 36d7\nview_id: 3 36d7 4\nbootstrap: 0\nmember: 36d7 0\nmember: 3a6d 0\n"


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


def test_a_healthy_member():
    status = galera.parse_status(HEALTHY)
    assert galera.faults(status, donor_serves=False) == []
    assert galera.warnings(status, 3) == []
    assert status["members"] == ["10.0.0.1:3306", "10.0.0.2:3306"]
    assert status["flow_control_paused"] == 0.25


def test_a_server_outside_of_any_cluster():
    status = galera.parse_status({"wsrep_cluster_status": "", "wsrep_ready": "OFF"})
    assert galera.faults(status, True) == [
        "not in the primary component (no cluster)",
        "wsrep is not ready",
        "not synced (unknown)",
    ]


def test_a_donor_serves_only_where_the_copy_does_not_lock_it():
    donor = galera.parse_status(
        {**HEALTHY, "wsrep_local_state": "2", "wsrep_local_state_comment": "Donor/Desynced"}
    )
    assert galera.faults(donor, donor_serves=True) == []
    assert galera.faults(donor, donor_serves=False) == ["not synced (Donor/Desynced)"]
    assert galera.warnings(donor, 4) == [
        "3 of 4 members are in the cluster",
        "desynced: a donor, or told so",
    ]


@pytest.mark.parametrize("text", [None, "", "\0\0\0\n"])
def test_no_grastate(text):
    assert galera.parse_grastate(text) is None


def test_grastate():
    expected = {"uuid": A, "seqno": -1, "safe_to_bootstrap": True}
    assert galera.parse_grastate(GRASTATE.format(-1, 1)) == expected


@pytest.mark.parametrize("text", ["garbage", f"uuid: {A}\nseqno: x", "uuid: me\nseqno: 1"])
def test_a_damaged_grastate_is_an_error(text):
    with pytest.raises(ValueError, match=r"grastate\.dat"):
        galera.parse_grastate(text)


def test_gvwstate():
    assert galera.parse_gvwstate(GVWSTATE) == {"id": "3 36d7 4", "members": 2}
    assert galera.parse_gvwstate(None) is None


def test_position():
    assert galera.parse_position(f"mariadbd --wsrep_start_position={A}:7 ") == {
        "uuid": A,
        "seqno": 7,
    }
    assert galera.parse_position(f"--wsrep_start_position={galera.NOBODY}:-1") is None
    assert galera.parse_position(f"--wsrep_start_position={A}:-1") is None
    assert galera.parse_position("") is None


def test_errors_of_the_log_without_time_stamps_and_without_the_useless_one():
    lines = ["0 [Note] x", "2026 0 [ERROR] WSREP: one", "0 [ERROR] two", "0 [ERROR] Aborting"]
    assert galera.errors(lines) == ["WSREP: one", "two"]


def test_the_password_is_kept_as_mariadb_keeps_it():
    # SELECT PASSWORD('mypass')
    expected = "*6C8989366EAF75BB670AD8EA7A7FC1176A95CEF4"
    assert galera.password_hash("mypass") == expected


# -- what a member knows ---------------------------------------------------------------------


def test_observation_of_a_clean_stop_believes_grastate():
    found = galera.observation(
        service="stopped", grastate=GRASTATE.format(10, 1), databases=["mysql", "nova"]
    )
    assert (found["uuid"], found["seqno"], found["safe_to_bootstrap"]) == (A, 10, True)
    assert found["databases"] == ["nova"]


def test_observation_of_a_crash_believes_innodb():
    found = galera.observation(
        service="stopped",
        grastate=GRASTATE.format(-1, 0),
        gvwstate=GVWSTATE,
        recovered={"uuid": A, "seqno": 7},
    )
    assert (found["uuid"], found["seqno"], found["damaged"]) == (A, 7, "")
    assert found["view"] == {"id": "3 36d7 4", "members": 2}


def test_observation_of_a_running_member_believes_the_server():
    found = galera.observation(
        service="running",
        status=galera.parse_status(HEALTHY),
        grastate=GRASTATE.format(-1, 0),
    )
    assert (found["uuid"], found["seqno"], found["cluster_status"]) == (A, 5, "Primary")


@pytest.mark.parametrize(
    ("recovered", "damage"),
    [
        (None, "holds no position"),
        ({"uuid": B, "seqno": 3}, "different clusters"),
    ],
)
def test_grastate_and_data_must_agree(recovered, damage):
    found = galera.observation(
        service="stopped", grastate=GRASTATE.format(-1, 0), recovered=recovered
    )
    assert damage in found["damaged"]


def test_a_file_that_cannot_be_understood_is_damage_and_so_is_trouble():
    found = galera.observation(service="stopped", grastate="garbage")
    assert "names no cluster" in found["damaged"]
    found = galera.observation(service="stopped", grastate="garbage", trouble="disk is gone")
    assert found["damaged"] == "disk is gone"
    assert galera.observation(service="starting", grastate="garbage")["damaged"] == ""


def test_a_copy_that_broke_off_is_incomplete():
    broken = galera.observation(
        service="stopped", grastate=GRASTATE.format(-1, 0), sst_in_progress=True
    )
    assert broken["incomplete"] and not broken["damaged"]
    blanked = galera.observation(
        service="stopped",
        grastate=GRASTATE.replace(A, galera.NOBODY).format(-1, 0),
        recovered={"uuid": A, "seqno": 3},
    )
    assert blanked["incomplete"]


# -- formation -------------------------------------------------------------------------------


def test_a_fresh_cluster_bootstraps_the_first_and_starts_the_others_side_by_side():
    assert form(fresh(), fresh(), fresh()) == [
        (("ctl1",), "bootstrap"),
        (("ctl2", "ctl3"), "start"),
    ]


def test_a_cluster_of_one():
    assert plan(galera.formation(["ctl1"], {"ctl1": fresh()})) == [(("ctl1",), "bootstrap")]


def test_a_formed_cluster_is_left_alone():
    assert form(live(), live(), live(state=2)) == []


def test_one_member_is_down():
    assert form(live(), seen(seqno=3), live()) == [(("ctl2",), "start")]


def test_whoever_joins_already_is_waited_for_and_an_unreachable_one_is_not():
    assert form(live(), live(state=1), None) == [(("ctl2",), "start")]


def test_a_member_behind_a_partition_cannot_be_helped_by_starting_it():
    assert form(live(), live(), seen(service="running", cluster_status="non-Primary")) == []


def test_a_server_that_was_started_before_it_was_configured_is_started_again():
    packaged = fresh(service="running", cluster_status="Disconnected")
    assert form(live(), live(), packaged) == [(("ctl3",), "start")]


def test_a_wiped_member_joins():
    assert form(live(), live(), fresh()) == [(("ctl3",), "start")]


def test_the_health_check_is_let_in_by_one_member():
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
def test_joining_never_replaces_data_that_only_one_member_has(facts, reason):
    with pytest.raises(Refused, match=f"{reason}.*move /var/lib/mysql away"):
        form(live(), live(), seen(**facts))


def test_what_can_be_done_safely_is_done_before_refusing():
    assert form(live(), seen(), seen(uuid=B)) == [(("ctl2",), "start")]


def test_two_primary_components_are_for_a_human():
    with pytest.raises(Refused, match="different clusters"):
        form(live(), live(uuid=B), live())


def test_all_crashed_together_are_started_at_the_same_time():
    view = {"id": "v", "members": 3}
    crashed = seen(view=view)
    assert form(crashed, crashed, crashed) == [(("ctl1", "ctl2", "ctl3"), "start")]


def test_after_an_uneven_crash_the_last_view_starts_first():
    older = seen(seqno=8, view={"id": "older", "members": 3})
    assert form(seen(view=VIEW), older, seen(view=VIEW, service="starting")) == [
        (("ctl1", "ctl3"), "start"),
        (("ctl2",), "start"),
    ]


def test_a_view_that_is_not_whole_is_not_waited_for():
    partial = seen(view={"id": "v", "members": 3})
    assert form(partial, partial, fresh())[0] == (("ctl1",), "bootstrap")


def test_a_whole_view_that_is_not_the_newest_is_not_started():
    assert form(seen(view=VIEW), seen(view=VIEW), seen(seqno=11))[0] == (("ctl3",), "bootstrap")


def test_the_most_advanced_bootstraps():
    steps = galera.formation(
        NODES, {"ctl1": seen(), "ctl2": seen(seqno=12), "ctl3": seen(seqno=11)}
    )
    assert plan(steps) == [(("ctl2",), "bootstrap"), (("ctl1", "ctl3"), "start")]
    assert steps[0].kwargs["proof"]["ctl3"]["seqno"] == 11


def test_between_equals_the_one_that_runs_then_the_one_that_left_last_then_the_first():
    assert form(seen(), seen(safe_to_bootstrap=True), seen())[0][0] == ("ctl2",)
    lonely = seen(service="running", cluster_status="non-Primary")
    assert form(seen(), seen(safe_to_bootstrap=True), lonely)[0][0] == ("ctl3",)
    assert form(seen(), seen(), seen())[0][0] == ("ctl1",)


def test_a_wiped_or_half_copied_member_never_bootstraps():
    half = seen(incomplete=True, seqno=99)
    assert form(fresh(), half, seen())[0] == (("ctl3",), "bootstrap")


def test_a_plain_mariadb_becomes_the_first_member_when_nobody_else_has_data():
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
def test_refusals(observed, reason):
    with pytest.raises(Refused, match=reason):
        form(*observed)


# -- proof -----------------------------------------------------------------------------------


def test_proven():
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
def test_not_proven(own, others, reason):
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
def test_a_bootstrap_that_is_planned_is_always_provable(observed):
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
def test_leaving(size, expected, allowed):
    assert (galera.cannot_leave(size, expected) == "") is allowed
