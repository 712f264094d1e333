from typing import Any

import pytest
from saltern import haproxy
from saltern.haproxy import OPERATOR, ROLLING

HEAD = (
    "# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight"
)
ROWS = ("1 a 10.0.0.1 2 4 1 1", "2 b 10.0.0.2 2 12 1 1", "3 c 10.0.0.3 0 5 1 1")
STATE = "\n".join(["1", HEAD, *(f"2 api {row}" for row in ROWS), "", ""])
STAT = """# pxname,svname,scur,status,bck,lastchg,check_status,addr,last_chk,
api,a,3,UP,0,5,* L7OK,10.0.0.1:80,,
api,b,0,DRAIN,0,,L7OK,10.0.0.2:80,,
api,c,0,MAINT,1,7,,10.0.0.3:80,,
api,BACKEND,3,UP,0,5,,,,

"""


def seen(**states: tuple[str, str]) -> list[dict[str, Any]]:
    """Servers of the backend ``api``: name=(admin, status)."""
    return [
        {"backend": "api", "server": name, "admin": admin, "status": status}
        for name, (admin, status) in states.items()
    ]


def test_servers_say_what_was_asked_for_and_what_came_of_it() -> None:
    found = haproxy.servers(haproxy.parse_stat(STAT), haproxy.parse_admin(STATE))
    assert [(s["server"], s["admin"], s["status"]) for s in found] == [
        ("a", "ready", "UP"),
        ("b", "drain", "DRAIN"),
        ("c", "maint", "MAINT"),
    ]
    assert found[0] == {
        "backend": "api",
        "server": "a",
        "address": "10.0.0.1:80",
        "admin": "ready",
        "status": "UP",
        "backup": False,
        "sessions": 3,
        "check": "L7OK",
        "reason": "",
        "since": 5,
    }
    assert found[2]["backup"] is True


@pytest.mark.parametrize("parse", [haproxy.parse_stat, haproxy.parse_admin])
@pytest.mark.parametrize("text", ["", "Unknown command.\n", "1\nno header\n"])
def test_words_of_haproxy_are_not_taken_for_data(parse: Any, text: str) -> None:
    with pytest.raises(ValueError, match="not an answer"):
        parse(text)


def test_info_is_key_and_value() -> None:
    assert haproxy.parse_info("Name: HAProxy\nUptime: 0d 0h00m01s\n\n") == {
        "Name": "HAProxy",
        "Uptime": "0d 0h00m01s",
    }


@pytest.mark.parametrize(
    ("admin", "hold", "decision"),
    [
        ("maint", None, "admit"),  # how every server starts
        ("maint", OPERATOR, "held"),
        ("maint", ROLLING, "admit"),
        ("drain", None, "held"),  # made by hand on the socket
        ("drain", OPERATOR, "held"),
        ("drain", ROLLING, "admit"),  # an interrupted rolling restart is finished
        ("ready", OPERATOR, "already"),
        ("ready", None, "already"),
    ],
)
def test_who_took_it_out_decides_whether_it_comes_back(
    admin: str, hold: str | None, decision: str
) -> None:
    holds = {"api/a": hold} if hold else {}
    plan = haproxy.admissions(seen(a=(admin, "?")), [("api", "a")], holds)
    assert getattr(plan, decision) == [("api", "a")]
    assert sum(map(len, vars(plan).values())) == 1


@pytest.mark.parametrize(
    ("admin", "recorded", "hold"),
    [
        ("ready", None, ""),
        ("ready", OPERATOR, ""),  # let in by hand, on the socket
        ("ready", ROLLING, ""),
        ("maint", None, ""),  # how every server starts
        ("maint", "", ""),
        ("maint", "who?", ""),
        ("maint", OPERATOR, OPERATOR),
        ("maint", ROLLING, ROLLING),
        ("drain", None, OPERATOR),  # made by hand, on the socket
        ("drain", "who?", OPERATOR),
        ("drain", OPERATOR, OPERATOR),
        ("drain", ROLLING, ROLLING),
    ],
)
def test_who_keeps_a_server_out(admin: str, recorded: str | None, hold: str) -> None:
    assert haproxy.holder(admin, recorded) == hold


def test_each_server_is_told_with_its_own_hold() -> None:
    observed = seen(a=("maint", "MAINT"), b=("drain", "DRAIN"), c=("ready", "UP"))
    found = haproxy.with_holds(observed, {"api/a": ROLLING, "db/b": ROLLING, "api/c": OPERATOR})
    assert [(s["server"], s["hold"]) for s in found] == [("a", ROLLING), ("b", OPERATOR), ("c", "")]
    assert found[0] == {**observed[0], "hold": ROLLING}


def test_while_nobody_knows_the_holds_what_is_out_is_an_operators() -> None:
    observed = seen(a=("maint", "MAINT"), b=("drain", "DRAIN"), c=("ready", "UP"))
    found = haproxy.with_holds(observed, None)
    assert [s["hold"] for s in found] == [OPERATOR, OPERATOR, ""]


def test_a_server_that_haproxy_does_not_know_is_missing() -> None:
    assert haproxy.admissions([], [("api", "a")], {}).missing == [("api", "a")]


def test_wanted_servers_by_service_and_node() -> None:
    proxies = [
        {"service": name, "members": [{"name": "a"}, {"name": "b"}]} for name in ("api", "db")
    ]
    assert len(haproxy.wanted(proxies)) == 4
    assert haproxy.wanted(proxies, ["db", "cache"]) == [("db", "a"), ("db", "b")]
    assert haproxy.wanted(proxies, node="b") == [("api", "b"), ("db", "b")]


@pytest.mark.parametrize(
    ("others", "last"),
    [
        ({}, False),  # there is only one: restarting it is an outage in any case
        ({"b": ("ready", "UP")}, False),
        ({"b": ("ready", "no check")}, False),
        ({"b": ("ready", "DOWN")}, True),
        ({"b": ("ready", "UP 1/2")}, True),
        ({"b": ("drain", "DRAIN"), "c": ("maint", "MAINT")}, True),
    ],
)
def test_the_last_usable_server_is_recognised(
    others: dict[str, tuple[str, str]], last: bool
) -> None:
    assert haproxy.last_one(seen(a=("ready", "UP"), **others), ("api", "a")) is last
