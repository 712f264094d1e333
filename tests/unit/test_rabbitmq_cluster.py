"""RabbitMQ: what its tools say, and how brokers become one cluster."""

from __future__ import annotations

import json
from typing import Any

import pytest
from saltern import rabbitmq_cluster as rabbitmq
from saltern.steps import Refused

NODES = ["ctl1", "ctl2", "ctl3"]
ALL = [f"rabbit@{node}" for node in NODES]


def seen(state: str = "running", **facts: Any) -> dict[str, Any]:
    known = ALL if state == "running" else []
    return {
        "state": state,
        "members": known,
        "running": known,
        "fresh": False,
        "queues": 0,
        **facts,
    }


def form(*observed: dict[str, Any] | None) -> list[tuple[tuple[str, ...], str]]:
    steps = rabbitmq.formation(NODES, dict(zip(NODES, observed, strict=True)))
    return [(step.nodes, step.function.removeprefix("rabbitmq_cluster.")) for step in steps]


def test_json_after_a_warning() -> None:
    assert rabbitmq.parse_json('warning: old\n{"a": [1]}') == {"a": [1]}
    assert rabbitmq.parse_json('[{"a": 1}]') == [{"a": 1}]
    with pytest.raises(ValueError):
        rabbitmq.parse_json("nothing")


def test_what_a_stopped_broker_remembers() -> None:
    text = "{['rabbit@ctl-2',rabbit@ctl1],['rabbit@ctl-2']}.\n"
    assert rabbitmq.parse_known(text) == ["rabbit@ctl-2", "rabbit@ctl1"]


def test_membership() -> None:
    status = {"disk_nodes": ["b", "a"], "running_nodes": ["a"], "alarms": [1], "partitions": {}}
    assert rabbitmq.parse_membership(status) == {
        "members": ["a", "b"],
        "running": ["a"],
        "partitions": [],
        "alarms": ["1"],
    }


@pytest.mark.parametrize(
    ("retcode", "stdout", "stderr", "expected"),
    [
        (0, "", "", []),
        (69, "", '{"queues": [{"name": "q2"}, {"name": "q1"}], "result": "error"}', ["q1", "q2"]),
        (69, '{"queues": [{"name": "q1"}]}', "", ["q1"]),
        (69, "", "Error: unable to perform", None),
    ],
)
def test_quorum_critical(retcode: Any, stdout: Any, stderr: Any, expected: Any) -> None:
    assert rabbitmq.parse_critical(retcode, stdout, stderr) == expected


def test_queues_without_all_their_copies() -> None:
    queues: list[dict[str, Any]] = [
        {"name": "ok", "type": "quorum", "members": ["a", "b"], "online": ["b", "a"]},
        {"name": "away", "type": "quorum", "members": ["a", "b"], "online": ["a"]},
        {"name": "few", "type": "stream", "members": ["a"], "online": ["a"]},
        {"name": "plain", "type": "classic", "members": "", "online": ""},
    ]
    found = rabbitmq.parse_queues(queues, ["a", "b"])
    assert found["kinds"] == {"quorum": 2, "stream": 1, "classic": 1}
    assert [queue["name"] for queue in found["short"]] == ["away", "few"]


@pytest.mark.parametrize(
    ("active", "greets", "distribution", "cli", "expected"),
    [
        ("active", True, True, None, "running"),
        ("failed", False, False, None, "stopped"),
        ("activating", False, False, None, "booting"),
        ("active", False, False, None, "unreachable"),
        ("active", False, True, None, "unreachable"),
        ("active", False, True, (0, "true\n"), "booting"),
        ("active", False, True, (0, "false"), "app_stopped"),
        ("active", False, True, (69, "check if the Erlang cookie is identical"), "bad_cookie"),
        ("active", False, True, (69, "unable to perform"), "paused"),
    ],
)
def test_states(active: Any, greets: Any, distribution: Any, cli: Any, expected: Any) -> None:
    assert rabbitmq.state_of(active, greets, distribution, cli) == expected


def test_passwords_are_kept_as_rabbitmq_keeps_them() -> None:
    # The worked example of RabbitMQ's documentation on password hashing.
    stored = rabbitmq.password_hash("test12", bytes.fromhex("908dc60a"))
    assert stored == "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR"
    assert rabbitmq.password_matches(stored, "test12")
    assert not rabbitmq.password_matches(stored, "test13")


def test_the_account_that_is_imported_is_the_one_that_is_wanted() -> None:
    wanted = rabbitmq.account("openstack", "nova", rabbitmq.password_hash("pw", b"salt"), "quorum")
    assert "pw" not in json.dumps(wanted)
    assert rabbitmq.access(wanted, "openstack", "nova", "pw") == {
        "vhost": True,
        "default_queue_type": "quorum",
        "user": True,
        "password": "as specified",
        "permissions": True,
        "guest": False,
    }
    assert rabbitmq.access(wanted, "openstack", "nova", "new")["password"] == "another"


def test_a_broker_as_it_comes_from_its_package() -> None:
    found = rabbitmq.access(
        {"vhosts": [{"name": "/"}], "users": [{"name": "guest"}]}, "openstack", "openstack", "pw"
    )
    assert found == {
        "vhost": False,
        "default_queue_type": "classic",
        "user": False,
        "password": "another",
        "permissions": False,
        "guest": True,
    }


# -- formation -------------------------------------------------------------------------------


def test_fresh_brokers_start_side_by_side() -> None:
    new = seen("stopped", fresh=True)
    assert form(new, new, new) == [(("ctl1", "ctl2", "ctl3"), "start")]


def test_a_stopped_cluster_starts_side_by_side() -> None:
    assert form(seen("stopped"), seen("app_stopped"), seen("booting")) == [
        (("ctl1", "ctl2", "ctl3"), "start")
    ]


def test_a_formed_cluster_is_left_alone() -> None:
    assert form(seen(), seen(), seen()) == []


def test_a_broker_that_cannot_say_its_members_is_left_alone() -> None:
    assert form(seen(members=[]), seen(members=[]), seen("paused")) == []


def test_one_broker_is_down() -> None:
    assert form(seen(), seen("stopped"), None) == [(("ctl2",), "start")]


def test_a_wiped_broker_gets_its_copies_back() -> None:
    assert form(seen(), seen(), seen("stopped", fresh=True)) == [
        (("ctl1",), "forget"),
        (("ctl3",), "start"),
        (("ctl1",), "grow"),
    ]


def test_a_new_broker_has_nothing_to_be_forgotten() -> None:
    two = ["rabbit@ctl1", "rabbit@ctl2"]
    assert form(seen(members=two), seen(members=two), seen("stopped", fresh=True)) == [
        (("ctl3",), "start"),
        (("ctl1",), "grow"),
    ]


def test_a_wiped_broker_of_a_stopped_cluster_waits_until_those_with_data_run() -> None:
    assert form(seen("stopped", fresh=True), seen("stopped"), seen("stopped")) == [
        (("ctl2", "ctl3"), "start")
    ]


def test_a_broker_that_was_started_apart_and_has_nothing_joins() -> None:
    two = ["rabbit@ctl1", "rabbit@ctl2"]
    apart = seen(members=["rabbit@ctl3"])
    assert form(seen(members=two), seen(members=two), apart) == [(("ctl3",), "join")]


def test_an_empty_broker_that_came_up_first_makes_way_for_the_stopped_cluster() -> None:
    alone = seen(members=["rabbit@ctl3"])
    assert form(seen("stopped", members=ALL), seen("app_stopped", members=ALL), alone) == [
        (("ctl3",), "reset")
    ]


@pytest.mark.parametrize(
    ("observed", "reason"),
    [
        (
            (seen("stopped", members=ALL), None, seen(members=["rabbit@ctl3"], queues=1)),
            "ctl3 run alone and hold queues, while ctl1",
        ),
        ((seen(), seen(), seen("bad_cookie")), "cookie"),
        ((seen("stopped"), None, None), "fewer than a majority.*ctl2: not answering"),
        ((seen("paused"), seen("paused"), seen("paused")), "network between them"),
        ((seen("stopped", fresh=True), seen("stopped"), None), "two clusters"),
        ((seen(), seen(), seen(members=["rabbit@ctl3"], queues=4)), "hold queues"),
    ],
)
def test_refusals(observed: Any, reason: Any) -> None:
    with pytest.raises(Refused, match=reason):
        form(*observed)


@pytest.mark.parametrize(
    ("running", "expected", "allowed"), [(3, 3, True), (2, 3, False), (1, 1, True), (4, 5, True)]
)
def test_leaving(running: Any, expected: Any, allowed: Any) -> None:
    assert (rabbitmq.cannot_leave(running, expected) == "") is allowed
