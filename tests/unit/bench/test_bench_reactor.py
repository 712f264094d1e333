"""The parts of the reactor's benchmark that compute: what is fired, what came of it, the table."""

from __future__ import annotations

import pathlib
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import pytest
from rich.console import Console
from tornado.iostream import StreamClosedError

from bench import harness, reactor, reactor_load
from bench.reactor_load import Came, Shot
from bench.reactor_site import read_marks


class Site:
    """A folder in which a minion would write down what it did."""

    def __init__(self, home: pathlib.Path) -> None:
        self.home = home
        self.marks = home / "marks"
        self.noise = home / "noise"

    def engines(self) -> list[int]:
        return []


class Load:
    """A reactor that loses, doubles and acts as told."""

    def __init__(self, home: pathlib.Path, taken: list[str]) -> None:
        self.site: Any = Site(home)
        self._taken = taken

    def shots(self, count: int, critical: int) -> list[Shot]:
        urgent = reactor_load.spread(count, critical)
        return [Shot(str(n), u, "tag", {}) for n, u in enumerate(urgent)]

    def taken(self) -> list[str]:
        return self._taken

    def times(self) -> list[float]:
        return [10.0, 20.0, 20.5, 21.0, 22.0]

    def sends(self, shots: Sequence[Shot]) -> None:
        raise AssertionError("nothing is fired here")

    def fired(self, count: int) -> None:
        raise AssertionError("nothing is fired here")

    def room(self) -> bool:
        raise AssertionError("nothing is fired here")


def test_critical_events_are_spread_and_the_last_one_is_critical() -> None:
    found = reactor_load.spread(95, 5)
    assert (len(found), sum(found), found[-1]) == (100, 5, True)
    assert [n for n, urgent in enumerate(found) if urgent] == [19, 39, 59, 79, 99]


@pytest.mark.parametrize(("count", "critical"), [(0, 1), (1, 1), (7, 0), (400, 0), (500, 20)])
def test_none_is_lost_in_the_spreading(count: int, critical: int) -> None:
    found = reactor_load.spread(count, critical)
    assert (len(found), sum(found)) == (count + critical, critical)


def test_what_came_of_it(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reactor_load, "QUIET", 0.0)
    load = Load(tmp_path, ["0", "1", "1", "2", "from an earlier burst"])
    shots = load.shots(6, 2)  # noise 0 1 2 4 5 6, critical 3 and 7
    fired = tmp_path / "fired"
    fired.write_text("3 100.0\n7 101.0\n")
    load.site.marks.write_text("other 99.0\n3 100.5\n3 102.0\n")
    assert reactor_load.outcome(load, shots, fired) == Came(
        lost=3, doubled=1, critical=[0.5], unacted=1, acted_twice=1
    )


def test_it_ends_as_soon_as_all_is_there(tmp_path: pathlib.Path) -> None:
    load = Load(tmp_path, ["0"])
    shots = load.shots(1, 1)
    (tmp_path / "fired").write_text("1 100.0\n")
    load.site.marks.write_text("1 100.25\n")
    began = time.monotonic()
    came = reactor_load.outcome(load, shots, tmp_path / "fired")
    assert time.monotonic() - began < reactor_load.QUIET / 2
    assert came == Came(lost=0, doubled=0, critical=[0.25], unacted=0, acted_twice=0)


class Wire:
    """A bus that breaks once, and nobody who acknowledges."""

    def __init__(self, home: pathlib.Path) -> None:
        self.home, self.marks = home, home / "marks"
        self.came: list[int] = []
        self.breaks = 1

    @contextmanager
    def bus(self) -> Iterator[Wire]:
        yield self

    minion_bus = bus

    def get_event(self, wait: float, tag: str, full: bool) -> None:
        time.sleep(0.01)

    def fire_event(self, data: dict[str, Any], tag: str) -> None:
        if self.breaks:
            self.breaks -= 1
            raise StreamClosedError
        self.came.append(data["data"]["number"])


def test_what_was_fired_and_not_acknowledged_is_sent_again_also_when_the_bus_breaks(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reactor_load, "AGAIN", 0.2)
    monkeypatch.setattr(reactor_load, "BEAT", 60.0)
    monkeypatch.setattr(reactor_load, "AGAIN_MOST", 3)
    monkeypatch.setattr(reactor_load, "HELD", 10)
    wire = Wire(tmp_path)
    load = reactor_load.Ours(cast("Any", wire))
    shots = load.shots(20, 0)
    load.sends(shots)
    for count, room in ((9, True), (10, False), (2, True)):
        load.fired(count)
        assert load.room() is room
    deadline = time.monotonic() + 10
    while len(wire.came) < 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    load.close()
    assert set(wire.came[-4:]) == {1, 2}, "what was not fired is not sent again"


def test_marks_of_nobody(tmp_path: pathlib.Path) -> None:
    assert read_marks(tmp_path / "none") == []


def printed(ours: reactor.Measured, stock: reactor.Measured | None) -> str:
    console = Console(width=160, color_system=None)
    options = reactor.arguments(["--events", "1000", "--length", "60"])
    with console.capture() as capture:
        console.print(harness.table("title", reactor.rows(ours, stock, options)))
    return capture.get()


def measured(lost: int, seconds: float) -> reactor.Measured:
    came = Came(lost=lost, doubled=0, critical=[seconds], unacted=0, acted_twice=0)
    return reactor.Measured(
        idle=[seconds],
        burst=came,
        per_second=1200.0,
        killed=came,
        sustained=came,
        memory=100.0,
        processor=0.5,
    )


def test_the_table_shows_both_and_judges_ours() -> None:
    text = printed(measured(0, 0.04), measured(872, 3.0))
    assert "MISSED" not in text
    assert "stock: 872" in text
    assert "stock: 3000 ms" in text


def test_a_lost_event_is_a_missed_target() -> None:
    text = printed(measured(1, 0.04), None)
    assert text.count("MISSED") == 3
    assert "stock" not in text


def test_a_stock_reactor_that_acted_on_nothing_has_no_latency() -> None:
    stock = measured(5, 1.0)
    stock.burst = Came(lost=5, doubled=0, critical=[], unacted=20, acted_twice=0)
    assert "stock: none" in printed(measured(0, 0.04), stock)


def test_the_rate_is_that_of_this_burst(tmp_path: pathlib.Path) -> None:
    assert reactor.rate_of(Load(tmp_path, []), since=15.0) == 2.0
    assert reactor.rate_of(Load(tmp_path, []), since=30.0) == 0.0


def test_a_reactor_that_does_not_run_costs_not_nothing(tmp_path: pathlib.Path) -> None:
    with pytest.raises(RuntimeError, match="does not run"):
        reactor.memory(Load(tmp_path, []))


def test_the_long_run_is_an_option() -> None:
    assert reactor.arguments([]).length == reactor.LENGTH
    assert reactor.arguments(["--long"]).length == reactor.LONG
