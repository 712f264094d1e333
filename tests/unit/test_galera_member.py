"""Galera: what one member says, and what its files say while it is silent."""

from __future__ import annotations

from typing import Any

import pytest
from saltern import galera

A = "f6310fc9-e64c-11f1-93d8-1b7ea625c393"
B = "36d86266-e665-11f1-80b0-effa5835095b"

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


def test_a_healthy_member() -> None:
    status = galera.parse_status(HEALTHY)
    assert galera.faults(status, donor_serves=False) == []
    assert galera.warnings(status, 3) == []
    assert status["members"] == ["10.0.0.1:3306", "10.0.0.2:3306"]
    assert status["flow_control_paused"] == 0.25


def test_a_server_outside_of_any_cluster() -> None:
    status = galera.parse_status({"wsrep_cluster_status": "", "wsrep_ready": "OFF"})
    assert galera.faults(status, True) == [
        "not in the primary component (no cluster)",
        "wsrep is not ready",
        "not synced (unknown)",
    ]


def test_a_donor_serves_only_where_the_copy_does_not_lock_it() -> None:
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
def test_no_grastate(text: Any) -> None:
    assert galera.parse_grastate(text) is None


def test_grastate() -> None:
    expected = {"uuid": A, "seqno": -1, "safe_to_bootstrap": True}
    assert galera.parse_grastate(GRASTATE.format(-1, 1)) == expected


@pytest.mark.parametrize("text", ["garbage", f"uuid: {A}\nseqno: x", "uuid: me\nseqno: 1"])
def test_a_damaged_grastate_is_an_error(text: Any) -> None:
    with pytest.raises(ValueError, match=r"grastate\.dat"):
        galera.parse_grastate(text)


def test_gvwstate() -> None:
    assert galera.parse_gvwstate(GVWSTATE) == {"id": "3 36d7 4", "members": 2}
    assert galera.parse_gvwstate(None) is None


def test_position() -> None:
    assert galera.parse_position(f"mariadbd --wsrep_start_position={A}:7 ") == {
        "uuid": A,
        "seqno": 7,
    }
    assert galera.parse_position(f"--wsrep_start_position={galera.NOBODY}:-1") is None
    assert galera.parse_position(f"--wsrep_start_position={A}:-1") is None
    assert galera.parse_position("") is None


def test_errors_of_the_log_without_time_stamps_and_without_the_useless_one() -> None:
    lines = ["0 [Note] x", "2026 0 [ERROR] WSREP: one", "0 [ERROR] two", "0 [ERROR] Aborting"]
    assert galera.errors(lines) == ["WSREP: one", "two"]


def test_the_password_is_kept_as_mariadb_keeps_it() -> None:
    # SELECT PASSWORD('mypass')
    expected = "*6C8989366EAF75BB670AD8EA7A7FC1176A95CEF4"
    assert galera.password_hash("mypass") == expected


# -- what a member knows ---------------------------------------------------------------------


def test_observation_of_a_clean_stop_believes_grastate() -> None:
    found = galera.observation(
        service="stopped", grastate=GRASTATE.format(10, 1), databases=["mysql", "nova"]
    )
    assert (found["uuid"], found["seqno"], found["safe_to_bootstrap"]) == (A, 10, True)
    assert found["databases"] == ["nova"]


def test_observation_of_a_crash_believes_innodb() -> None:
    found = galera.observation(
        service="stopped",
        grastate=GRASTATE.format(-1, 0),
        gvwstate=GVWSTATE,
        recovered={"uuid": A, "seqno": 7},
    )
    assert (found["uuid"], found["seqno"], found["damaged"]) == (A, 7, "")
    assert found["view"] == {"id": "3 36d7 4", "members": 2}


def test_observation_of_a_running_member_believes_the_server() -> None:
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
def test_grastate_and_data_must_agree(recovered: Any, damage: Any) -> None:
    found = galera.observation(
        service="stopped", grastate=GRASTATE.format(-1, 0), recovered=recovered
    )
    assert damage in found["damaged"]


def test_a_file_that_cannot_be_understood_is_damage_and_so_is_trouble() -> None:
    found = galera.observation(service="stopped", grastate="garbage")
    assert "names no cluster" in found["damaged"]
    found = galera.observation(service="stopped", grastate="garbage", trouble="disk is gone")
    assert found["damaged"] == "disk is gone"
    assert galera.observation(service="starting", grastate="garbage")["damaged"] == ""


def test_a_copy_that_broke_off_is_incomplete() -> None:
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
