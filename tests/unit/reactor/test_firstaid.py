"""First aid: seldom, little, never against the master or a quorum."""

from __future__ import annotations

from typing import Any

from saltern.reactor.firstaid import AWAY, BACKOFF, PER, Aid, FirstAid, Need
from saltern.reactor.watched import Unit

FAILED = Unit("keystone", active="failed", sub="failed")
HUNG = Unit("keystone", active="active", sub="running")
LOOPS = Unit("keystone", active="activating", sub="auto-restart")


def need(*units: Unit, **how: Any) -> Need:
    facts: dict[str, Any] = {"service": "keystone", "status": "down", "since": 100.0, **how}
    return Need(units=units or (FAILED,), **facts)


def test_the_master_has_its_time() -> None:
    aid = FirstAid()
    assert aid.due([need()], 0.0, 100.0 + AWAY - 0.1) == []
    assert aid.due([need()], 0.0, 100.0 + AWAY) == [Aid("keystone", "start", ("keystone",), "down")]


def test_while_jobs_come_in_the_master_is_not_away() -> None:
    now = 200.0
    assert FirstAid().due([need()], now - AWAY + 0.1, now) == []
    assert FirstAid().due([need()], now - AWAY, now)


def test_a_few_times_with_growing_pauses_and_then_no_more() -> None:
    aid, now, tried = FirstAid(), 100.0, []
    while now < 100.0 + PER - 1:
        if aid.due([need()], 0.0, now):
            aid.began("keystone", now)
            tried.append(now - 100.0)
        now += 1.0
    first = max(AWAY, BACKOFF[0])
    assert tried == [first, first + BACKOFF[1], first + BACKOFF[1] + BACKOFF[2]]
    assert aid.due([need()], 0.0, 100.0 + PER + first)  # the first is forgotten by now


def test_each_service_has_its_own_budget() -> None:
    aid = FirstAid({"keystone": [100.0, 101.0, 102.0]})
    found = aid.due([need(), need(service="glance")], 0.0, 500.0)
    assert [one.service for one in found] == ["glance"]


def test_what_hangs_or_loops_is_restarted() -> None:
    assert FirstAid().due([need(HUNG, status="hung")], 0.0, 200.0)[0].act == "restart"
    assert FirstAid().due([need(LOOPS, status="looping")], 0.0, 200.0)[0].act == "restart"
    both = FirstAid().due([need(FAILED, LOOPS)], 0.0, 200.0)
    assert both[0].act == "restart"


def test_a_member_of_a_quorum_is_started_if_it_is_off_and_nothing_else() -> None:
    for unit, status in ((HUNG, "hung"), (LOOPS, "looping")):
        assert FirstAid().due([need(unit, status=status, quorum=True)], 0.0, 200.0) == []
    [aid] = FirstAid().due([need(FAILED, HUNG, quorum=True)], 0.0, 200.0)
    assert (aid.act, aid.units) == ("start", ("keystone",))


def test_what_somebody_took_out_of_service_stays_out() -> None:
    for unit in (
        Unit("keystone", load="masked", active="inactive"),
        Unit("keystone", load="loaded", file_state="disabled", active="inactive"),
    ):
        assert FirstAid().due([need(unit)], 0.0, 200.0) == []
