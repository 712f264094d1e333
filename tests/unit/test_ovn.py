"""Formation of OVN's databases: never two clusters, never a lost one."""

from __future__ import annotations

from typing import Any

import pytest
from saltern import ovn
from saltern.health import Degraded
from saltern.steps import Refused

MEMBERS = ["ctl1", "ctl2", "ctl3"]
CLUSTER = "beca2d5b-24d9-437c-b7ed-4a895611e1bb"

STATUS = f"""2510
Name: OVN_Northbound
Cluster ID: beca ({CLUSTER})
Server ID: 2510 (2510a014-ff90-4b5f-935f-930d0a3368cb)
Address: tcp:10.0.0.1:6643
Status: cluster member
Role: leader
Term: 2
Leader: self
Vote: self

Servers:
    2510 (2510 at tcp:10.0.0.1:6643) (self) next_index=3 match_index=7
    18c1 (18c1 at tcp:10.0.0.3:6643) next_index=8 match_index=7 last msg 281 ms ago
"""


def test_what_a_server_says() -> None:
    said = ovn.parse_status(STATUS)
    assert said["cluster"] == CLUSTER
    assert (said["status"], said["role"], said["leader"], said["term"]) == (
        "cluster member",
        "leader",
        "self",
        2,
    )
    assert said["servers"] == {"2510": "tcp:10.0.0.1:6643", "18c1": "tcp:10.0.0.3:6643"}


def test_what_a_server_without_a_cluster_says() -> None:
    said = ovn.parse_status("Leader: unknown\n")
    assert said["leader"] is None and said["servers"] == {} and said["cluster"] is None


@pytest.mark.parametrize(
    ("edit", "members", "reason", "degraded"),
    [
        (("", ""), 2, None, False),
        (("cluster member", "joining cluster"), 2, "no member of a cluster (joining", False),
        (("Leader: self", "Leader: unknown"), 2, "no leader (it is a leader)", False),
        (("", ""), 3, "2 of 3 members", True),
        (("281 ms", "40000 ms"), 2, "hears nothing from 18c1", True),
        (("Role: leader", "Role: follower"), 2, None, False),
    ],
)
def test_what_a_status_means(
    edit: tuple[str, str], members: int, reason: str | None, degraded: bool
) -> None:
    text = STATUS.replace(*edit) if edit[0] else STATUS
    said = ovn.raft(text, members)
    assert (said is None) if reason is None else (said and reason in said)
    assert isinstance(said, Degraded) is degraded


def local(member: str, db: str) -> str:
    return f"tcp:10.0.0.{member[-1]}:{6643 if db == 'nb' else 6644}"


def database(
    member: str, db: str, kind: str = "up", servers: list[str] | None = None, cluster: str = CLUSTER
) -> dict[str, Any]:
    """``up`` (the leader is ctl1), ``stopped``, ``lost`` (no leader in sight) or ``absent``."""
    known = {f"{db}{m[-1]}": local(m, db) for m in (servers or MEMBERS)}
    running = kind in ("up", "lost")
    return {
        "file": "absent" if kind in ("absent", "standalone") else "clustered",
        "local": local(member, db),
        "cluster": None if kind == "absent" else cluster,
        "status": "cluster member" if running else "unknown",
        "role": ("leader" if member == "ctl1" else "follower") if kind == "up" else "unknown",
        "leader": "self" if kind == "up" else None,
        "servers": known if running else {},
    }


def member(name: str, kind: str = "up", northd: bool = True, **other: Any) -> dict[str, Any]:
    return {
        **{db: database(name, db, kind, **other) for db in ovn.DATABASES},
        "northd": northd and kind == "up",
    }


def steps(observed: dict[str, Any]) -> list[tuple[tuple[str, ...], str, dict[str, Any]]]:
    return [(s.nodes, s.function, dict(s.kwargs)) for s in ovn.formation(MEMBERS, observed)]


def test_fresh_nodes_one_creates_the_others_join_side_by_side() -> None:
    assert steps({m: member(m, "absent") for m in MEMBERS}) == [
        (("ctl1",), "ovn.start", {"create": ["nb", "sb"]}),
        (("ctl2", "ctl3"), "ovn.start", {}),
    ]


def test_a_single_member_is_a_cluster_too() -> None:
    found = ovn.formation(["ctl1"], {"ctl1": member("ctl1", "absent")})
    assert [s.nodes for s in found] == [("ctl1",)]


def test_a_formed_cluster_is_left_alone() -> None:
    assert steps({m: member(m) for m in MEMBERS}) == []


def test_a_stopped_member_is_started() -> None:
    observed = {m: member(m) for m in MEMBERS} | {"ctl3": member("ctl3", "stopped")}
    assert steps(observed) == [(("ctl3",), "ovn.start", {})]


def test_a_member_without_northd_is_started() -> None:
    observed = {m: member(m) for m in MEMBERS} | {"ctl2": member("ctl2", northd=False)}
    assert steps(observed) == [(("ctl2",), "ovn.start", {})]


def test_all_stopped_start_together() -> None:
    assert steps({m: member(m, "stopped") for m in MEMBERS}) == [
        (("ctl1", "ctl2", "ctl3"), "ovn.start", {})
    ]


def test_what_exists_is_started_before_anybody_joins() -> None:
    observed = {m: member(m, "stopped") for m in MEMBERS} | {"ctl3": member("ctl3", "absent")}
    assert steps(observed) == [(("ctl1", "ctl2"), "ovn.start", {})]


def test_a_wiped_member_is_forgotten_before_it_joins_again() -> None:
    observed = {m: member(m) for m in MEMBERS} | {"ctl3": member("ctl3", "absent")}
    forget = [
        {"database": db, "server": f"{db}3", "address": local("ctl3", db)} for db in ovn.DATABASES
    ]
    assert steps(observed) == [
        (("ctl1",), "ovn.forget", forget[0]),
        (("ctl1",), "ovn.forget", forget[1]),
        (("ctl3",), "ovn.start", {}),
    ]


def test_new_members_join_a_cluster_of_one() -> None:
    observed = {m: member(m, "absent") for m in MEMBERS} | {
        "ctl1": member("ctl1", servers=["ctl1"])
    }
    assert steps(observed) == [(("ctl2", "ctl3"), "ovn.start", {})]


def test_a_first_run_that_was_cut_off_between_the_databases_goes_on() -> None:
    observed = {m: member(m, "absent") for m in MEMBERS}
    observed["ctl2"]["nb"] = database("ctl2", "nb", "stopped")
    assert steps(observed) == [
        (("ctl2",), "ovn.start", {"create": ["sb"]}),
        (("ctl1", "ctl3"), "ovn.start", {}),
    ]


def test_a_member_that_never_finished_joining_is_started() -> None:
    observed = {m: member(m) for m in MEMBERS} | {"ctl3": member("ctl3", "stopped", cluster="")}
    assert steps(observed) == [(("ctl3",), "ovn.start", {})]


def test_a_silent_member_does_not_stop_the_others() -> None:
    observed: dict[str, Any] = {m: member(m) for m in MEMBERS} | {"ctl3": None}
    assert steps(observed) == []


@pytest.mark.parametrize(
    ("observed", "reason"),
    [
        (
            {"ctl1": member("ctl1", "absent"), "ctl2": member("ctl2", "absent"), "ctl3": None},
            "ctl3 did not answer and may",
        ),
        (
            {m: member(m) for m in MEMBERS} | {"ctl3": member("ctl3", cluster="other")},
            "different clusters",
        ),
        (
            {
                "ctl1": member("ctl1", "lost"),
                "ctl2": member("ctl2", "absent"),
                "ctl3": member("ctl3", "absent"),
            },
            "only ctl1 of 3 servers still hold it",
        ),
    ],
)
def test_it_refuses_what_could_lose_or_split_the_databases(
    observed: dict[str, Any], reason: str
) -> None:
    with pytest.raises(Refused, match=reason) as refused:
        ovn.formation(MEMBERS, observed)
    assert all(name in str(refused.value) for name in ovn.DATABASES.values())
