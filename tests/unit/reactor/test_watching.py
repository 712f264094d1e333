"""When a service counts as down, hung or looping, and when not yet."""

from __future__ import annotations

from typing import Any

import pytest
from fake_watch import CRASHED, DEAD, SHARE, T0, all_well, statuses, unit
from saltern.health import Degraded
from saltern.reactor import watching
from saltern.reactor.watched import Share
from saltern.reactor.watching import Change, Watch


def test_what_works_from_the_start_is_no_news_but_is_known() -> None:
    watch = all_well()
    assert watch.told == {"keystone": "ok", "galera": "ok"}
    assert watch.bad() == {}
    assert watch.complete
    assert watch.deadline(T0) is None


def test_a_service_that_never_worked_is_the_deploy_s() -> None:
    watch = Watch(SHARE, kinds=["http"])
    for name in SHARE.units:
        watch.seen(unit(name, load="not-found", active="inactive", sub="dead", pid=0), T0)
    assert watch.update(T0 + 60) == []
    assert watch.bad() == {"keystone": "down", "galera": "down"}
    for name in SHARE.units:
        watch.seen(unit(name), T0 + 70)
    watch.probed("keystone", None, T0 + 71)
    assert watch.update(T0 + 71) == []
    watch.seen(unit("keystone", **DEAD), T0 + 80)
    assert statuses(watch.update(T0 + 81)) == [("keystone", "down")]


def test_a_blink_is_no_outage() -> None:
    watch = all_well()
    watch.seen(unit("keystone", **CRASHED), T0)
    assert watch.deadline(T0) == T0 + watching.BLINK
    assert watch.update(T0 + 1.4) == []
    watch.seen(unit("keystone", restarts=1, pid=101), T0 + 1.4)
    watch.probed("keystone", None, T0 + 1.5)
    assert watch.update(T0 + 100) == []


def test_a_crash_that_lasts_is_down_and_is_told_when_it_is_over() -> None:
    watch = all_well()
    watch.seen(unit("keystone", **CRASHED), T0)
    [change] = watch.update(T0 + watching.BLINK)
    assert change == Change(
        *("keystone", "down", "keystone.service"),
        reason="keystone is activating (auto-restart), signal",
    )
    watch.seen(unit("keystone", active="activating", sub="start", restarts=1), T0 + 2)
    watch.seen(unit("keystone", restarts=1, pid=101), T0 + 4)
    assert watch.update(T0 + 4) == []  # it runs, but has not answered since
    watch.probed("keystone", None, T0 + 5)
    [change] = watch.update(T0 + 5)
    assert (change.status, change.unit, change.reason, change.restarts) == ("ok", "", "", 1)


def test_the_crash_is_not_forgotten_while_it_starts() -> None:
    """Starting after a crash is nobody's purpose."""
    watch = all_well()
    watch.seen(unit("keystone", **CRASHED), T0)
    watch.seen(unit("keystone", active="activating", sub="start", restarts=1), T0 + 0.5)
    assert statuses(watch.update(T0 + watching.BLINK)) == [("keystone", "down")]


def test_a_restart_on_purpose_is_reported_only_when_it_takes_too_long() -> None:
    watch = all_well()
    watch.seen(unit("keystone", active="deactivating", sub="stop-sigterm", queued=True), T0)
    watch.seen(unit("keystone", queued=True, **DEAD), T0 + 3)
    watch.seen(unit("keystone", active="activating", sub="start", queued=True), T0 + 4)
    assert watch.update(T0 + watching.PURPOSE - 0.1) == []
    assert statuses(watch.update(T0 + watching.PURPOSE)) == [("keystone", "down")]


def test_a_service_that_somebody_stopped_is_down() -> None:
    watch = all_well()
    watch.seen(unit("keystone", **DEAD), T0)
    assert watch.update(T0 + watching.SETTLE - 0.1) == []
    [change] = watch.update(T0 + watching.SETTLE)
    assert change.reason == "keystone is inactive (dead)"


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"file_state": "disabled"}, "keystone is inactive (dead), disabled"),
        ({"load": "masked", "file_state": "masked"}, "keystone is inactive (dead), masked"),
        ({"result": "exit-code"}, "keystone is inactive (dead), exit-code"),
        ({"restarts": 2}, "keystone is inactive (dead), restarted 2 times by systemd"),
        ({"load": "bad-setting", "active": "", "sub": ""}, "keystone is unknown, bad-setting"),
    ],
)
def test_the_reason_says_what_a_person_would_look_for(facts: dict[str, Any], words: str) -> None:
    watch = all_well()
    watch.seen(unit("keystone", **{**DEAD, **facts}), T0)
    assert watch.update(T0 + 1)[0].reason == words


def test_three_restarts_in_a_minute_are_a_crash_loop_until_it_is_calm() -> None:
    watch = all_well()
    for n in (1, 2, 3):
        watch.seen(unit("keystone", **CRASHED, restarts=n - 1), T0 + n * 5)
        watch.seen(unit("keystone", restarts=n, pid=100 + n), T0 + n * 5 + 0.5)
        watch.probed("keystone", None, T0 + n * 5 + 0.6)
        found = watch.update(T0 + n * 5 + 0.6)
        assert statuses(found) == ([("keystone", "looping")] if n == 3 else [])
    assert watch.deadline(T0 + 16) == T0 + 15.5 + watching.LOOP_CALM
    assert watch.update(T0 + 15.5 + watching.LOOP_CALM - 0.1) == []
    assert statuses(watch.update(T0 + 15.5 + watching.LOOP_CALM)) == [("keystone", "ok")]


def test_restarts_that_are_far_apart_are_no_loop() -> None:
    watch = all_well()
    for n in (1, 2, 3, 4):
        watch.seen(unit("keystone", restarts=n, pid=100 + n), T0 + n * 31)
        watch.probed("keystone", None, T0 + n * 31 + 1)
        assert watch.update(T0 + n * 31 + 1) == []


def test_a_loop_ends_when_somebody_starts_it_anew_and_may_begin_again() -> None:
    watch = all_well()
    watch.seen(unit("keystone", restarts=3, pid=103), T0)
    assert statuses(watch.update(T0)) == [("keystone", "looping")]
    watch.seen(unit("keystone", restarts=0, pid=104), T0 + 5)
    watch.probed("keystone", None, T0 + 6)
    assert statuses(watch.update(T0 + 6)) == [("keystone", "ok")]
    watch.seen(unit("keystone", restarts=3, pid=107), T0 + 20)
    assert statuses(watch.update(T0 + 20)) == [("keystone", "looping")]


def test_a_loop_with_long_pauses_stays_one() -> None:
    watch = all_well()
    watch.seen(unit("keystone", **CRASHED, restarts=3), T0)
    watch.update(T0)
    assert watch.update(T0 + 300) == []
    assert watch.bad() == {"keystone": "looping"}


def test_a_probe_must_fail_twice() -> None:
    watch = all_well()
    assert watch.probed("keystone", "answers 500", T0) is True
    assert watch.update(T0) == []
    assert watch.probed("keystone", "answers 500", T0 + 2) is False
    [change] = watch.update(T0 + 2)
    assert (change.status, change.reason, change.unit) == (
        *("hung", "answers 500", "keystone.service"),
    )
    assert watch.probed("keystone", None, T0 + 4) is False
    assert statuses(watch.update(T0 + 4)) == [("keystone", "ok")]


def test_a_service_that_answers_on_purpose_that_it_is_off_works() -> None:
    watch = all_well()
    for _ in range(3):
        assert watch.probed("keystone", Degraded("DISABLED BY FILE"), T0) is False
    assert watch.update(T0) == []


def test_a_process_that_has_just_started_may_take_its_time_to_answer() -> None:
    watch = all_well()
    watch.seen(unit("keystone", pid=200, since=T0), T0)
    watch.probed("keystone", "refused", T0 + 1)
    watch.probed("keystone", "refused", T0 + 1)
    assert watch.update(T0 + watching.STARTING - 0.1) == []
    assert statuses(watch.update(T0 + watching.STARTING)) == [("keystone", "hung")]


def test_a_process_that_answered_once_has_no_such_excuse() -> None:
    watch = all_well()
    watch.seen(unit("keystone", pid=200), T0)
    watch.probed("keystone", None, T0 + 1)
    watch.probed("keystone", "refused", T0 + 2)
    watch.probed("keystone", "refused", T0 + 2)
    assert statuses(watch.update(T0 + 2)) == [("keystone", "hung")]


def test_a_service_is_what_the_worst_of_its_units_is() -> None:
    watch = all_well()
    watch.seen(unit("galera-check", **DEAD), T0)
    [change] = watch.update(T0 + 1)
    assert (change.service, change.unit) == ("galera", "galera-check.service")
    assert [u.name for u in watch.units("galera")] == ["mariadb", "galera-check"]


def test_what_is_not_answered_yet_after_a_restart_of_the_watch_is_not_called_well() -> None:
    watch = Watch(SHARE, {"keystone": "hung", "galera": "ok"}, kinds=["http"])
    for name in SHARE.units:
        watch.seen(unit(name, since=1.0), T0)
    assert not watch.complete
    assert watch.update(T0) == []
    assert watch.to_probe() == ["keystone"]  # nobody asks the other kind
    watch.probed("keystone", "no", T0)
    watch.probed("keystone", "no", T0)
    assert watch.complete
    assert watch.update(T0 + 60) == []
    assert watch.bad() == {"keystone": "hung"}
    watch.probed("keystone", None, T0 + 61)
    assert statuses(watch.update(T0 + 61)) == [("keystone", "ok")]


def test_only_what_runs_is_probed() -> None:
    watch = all_well()
    assert watch.to_probe() == ["keystone"]
    watch.seen(unit("keystone", **DEAD), T0)
    assert watch.to_probe() == []
    assert Watch(SHARE, kinds=["http"]).to_probe() == []


def test_what_was_seen_of_a_unit_late_is_judged_from_then() -> None:
    watch = Watch(SHARE, {"keystone": "ok"}, kinds=["http"])
    watch.seen(unit("keystone", **CRASHED), T0)
    assert watch.update(T0 + watching.BLINK - 0.1) == []
    assert statuses(watch.update(T0 + watching.BLINK)) == [("keystone", "down")]


def test_strangers_are_not_looked_at() -> None:
    watch = all_well()
    watch.seen(unit("ssh", **DEAD), T0)
    assert watch.probed("ssh", "no", T0) is False
    assert watch.update(T0 + 60) == []


def test_another_share_keeps_what_is_in_both() -> None:
    watch = all_well()
    watch.seen(unit("keystone", **DEAD), T0)
    watch.update(T0 + 1)
    watch.adopt(Share({"keystone": "keystone", "glance-api": "glance"}, {}))
    assert watch.bad() == {"keystone": "down"}
    assert watch.units("galera") == []
    assert watch.update(T0 + 2) == []
    assert not watch.complete
    watch.adopt(SHARE)
    for name in ("mariadb", "galera-check"):
        watch.seen(unit(name), T0 + 3)
    assert watch.update(T0 + 3) == []  # it has worked before, and it was told so


def test_who_mended_it_is_in_the_report() -> None:
    watch = all_well()
    watch.seen(unit("keystone", **DEAD), T0)
    watch.update(T0 + 1)
    watch.helped("keystone", True)
    watch.helped("galera", True)
    watch.helped("galera", False)
    for name in ("keystone", "mariadb"):
        watch.seen(unit(name, pid=300), T0 + 20)
    watch.probed("keystone", None, T0 + 21)
    [change] = watch.update(T0 + 21)
    assert change.body() == {
        "service": "keystone",
        "status": "ok",
        "unit": "",
        "reason": "",
        "restarts": 0,
        "healed": True,
    }
    watch.seen(unit("keystone", **DEAD), T0 + 30)
    watch.update(T0 + 31)
    watch.seen(unit("keystone", pid=301), T0 + 32)
    watch.probed("keystone", None, T0 + 33)
    assert [change.healed for change in watch.update(T0 + 33)] == [False]


def test_a_long_reason_is_cut() -> None:
    assert len(Change("a", "hung", reason="x" * 1000).body()["reason"]) == watching.REASON


def test_what_is_stopped_by_a_signal_hangs_at_once() -> None:
    watch = all_well()
    assert watch.pids("keystone") == {"keystone": 100}
    assert watch.halted({"keystone": "stopped"})
    assert not watch.halted({"keystone": "stopped"}), "it is no news any more"
    [change] = watch.update(T0)
    assert (change.service, change.status, change.reason) == ("keystone", "hung", "stopped")
    assert watch.to_probe() == []
    watch.probed("keystone", None, T0 + 1)
    assert watch.update(T0 + 1) == [], "it was asked before it was stopped"
    assert watch.halted({})
    assert watch.to_probe() == ["keystone"]
    assert watch.update(T0 + 2) == [], "it has not answered yet"
    watch.probed("keystone", None, T0 + 2)
    assert statuses(watch.update(T0 + 2)) == [("keystone", "ok")]


def test_what_nobody_asks_can_be_stopped_by_a_signal_too() -> None:
    watch = all_well()
    watch.halted({"galera": "stopped"})
    assert statuses(watch.update(T0)) == [("galera", "hung")]
    watch.halted({})
    assert statuses(watch.update(T0 + 1)) == [("galera", "ok")]


def test_restarts_of_long_ago_are_forgiven() -> None:
    watch = all_well()
    watch.seen(unit("keystone", restarts=2, pid=101), T0)
    assert watch.forgiven(T0 + watching.FORGIVEN - 1) == []
    assert watch.forgiven(T0 + watching.FORGIVEN) == ["keystone"]
    assert watch.forgiven(T0 + watching.FORGIVEN) == []
    assert [u.restarts for u in watch.units("keystone")] == [0]
    watch.probed("keystone", None, T0 + 1)
    assert watch.update(T0 + watching.FORGIVEN) == []
