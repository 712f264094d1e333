"""What counts as down or hung on a machine that boots, or whose processes wait for a core."""

from __future__ import annotations

from fake_watch import CRASHED, DEAD, SHARE, T0, all_well, statuses, unit
from saltern.health import BOOTING
from saltern.reactor import watching
from saltern.reactor.watching import Watch


def booting(booted: float) -> Watch:
    """A node whose power came back, and whose services had worked before."""
    watch = Watch(SHARE, {"keystone": "ok", "galera": "ok"}, kinds=["http"], booted=booted)
    for name in SHARE.units:
        watch.seen(unit(name, **CRASHED), T0)
    return watch


def test_what_starts_with_its_machine_is_not_reported() -> None:
    watch = booting(T0 - 10)
    until = T0 - 10 + BOOTING
    assert watch.deadline(T0 + 20) == until
    assert watch.update(until - 0.1) == []
    assert watch.bad() == {}
    assert statuses(watch.update(until)) == [("keystone", "down"), ("galera", "down")]


def test_what_has_worked_since_the_boot_is_reported_when_it_fails() -> None:
    watch = booting(T0 - 10)
    watch.seen(unit("keystone"), T0 + 20)
    watch.probed("keystone", None, T0 + 21)
    assert watch.update(T0 + 21) == [], "it comes up as it was told before"
    watch.seen(unit("keystone", **DEAD), T0 + 30)
    assert statuses(watch.update(T0 + 31)) == [("keystone", "down")]


def test_what_is_slow_to_answer_while_its_machine_starts_is_not_hung() -> None:
    watch = booting(T0 - 10)
    until = T0 - 10 + BOOTING
    watch.seen(unit("keystone"), T0 + 20)
    watch.probed("keystone", None, T0 + 21)
    assert watch.update(T0 + 21) == []
    for second in (30, 32):
        watch.probed("keystone", "no answer within 2 s", T0 + second)
    assert watch.update(until - 0.1) == []
    assert statuses(watch.update(until)) == [("keystone", "hung"), ("galera", "down")]


def test_on_a_starved_machine_everything_may_take_longer() -> None:
    watch = all_well()
    watch.slower = 4.0
    watch.seen(unit("keystone", **CRASHED), T0)
    assert watch.deadline(T0) == T0 + 4 * watching.BLINK
    assert watch.update(T0 + 4 * watching.BLINK - 0.1) == []
    assert statuses(watch.update(T0 + 4 * watching.BLINK)) == [("keystone", "down")]
    young = booting(T0 - 10)
    young.slower = 4.0
    assert young.deadline(T0 + 20) == T0 - 10 + 4 * BOOTING
    assert young.update(T0 - 10 + 4 * BOOTING - 0.1) == []


def test_what_starts_on_a_starved_machine_has_longer_to_answer() -> None:
    watch = all_well()
    watch.slower = 4.0
    watch.seen(unit("keystone", pid=101), T0)
    for second in (8, 16):
        watch.probed("keystone", "no answer within 8 s", T0 + second)
    assert watch.update(T0 + 4 * watching.STARTING - 0.1) == []
    assert statuses(watch.update(T0 + 4 * watching.STARTING)) == [("keystone", "hung")]


def test_what_is_stopped_by_a_signal_while_its_machine_starts_is_hung() -> None:
    watch = booting(T0 - 10)
    watch.seen(unit("keystone"), T0 + 20)
    watch.probed("keystone", None, T0 + 21)
    assert watch.update(T0 + 21) == []
    watch.halted({"keystone": "stopped by a signal"})
    assert statuses(watch.update(T0 + 22)) == [("keystone", "hung")]


def test_what_was_down_before_the_boot_stays_so_until_it_works() -> None:
    watch = Watch(SHARE, {"keystone": "down"}, kinds=["http"], booted=T0)
    watch.seen(unit("keystone", **DEAD), T0)
    assert watch.update(T0 + 1) == [] and watch.bad() == {"keystone": "down"}
    watch.seen(unit("keystone"), T0 + 20)
    watch.probed("keystone", None, T0 + 21)
    assert statuses(watch.update(T0 + 21)) == [("keystone", "ok")]


def test_a_watch_that_begins_long_after_the_boot_reports_at_once() -> None:
    watch = booting(T0 - BOOTING)
    assert statuses(watch.update(T0 + 2)) == [("keystone", "down"), ("galera", "down")]
