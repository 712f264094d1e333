"""systemd over D-Bus: every change of a unit, whatever becomes of the bus."""

from __future__ import annotations

import pathlib
import selectors
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest
import saltern_systemd
from fake_systemd import MOST, FakeBus
from saltern.reactor.watched import Unit
from saltern_systemd import Gone, Systemd


@pytest.fixture
def bus(tmp_path: pathlib.Path) -> Iterator[FakeBus]:
    fake = FakeBus(tmp_path)
    fake.add("keystone")
    fake.add("mariadb", MainPID=7)
    yield fake
    fake.close()


class Listener:
    """What a watch hears, and waiting for it."""

    def __init__(self, bus: FakeBus, *names: str) -> None:
        self.heard: list[Unit] = []
        self.link = Systemd(names, self.heard.append, bus.address)
        self.ready = selectors.DefaultSelector()
        self.ready.register(self.link.fileno(), selectors.EVENT_READ)

    def until(self, reached: Callable[[], object], patience: float = 5.0) -> None:
        deadline = time.monotonic() + patience
        while not reached():
            assert self.ready.select(deadline - time.monotonic()), "nothing came"
            self.link.read()

    def until_asked(self, reached: Callable[[], object]) -> None:
        """For what shows on the other side: nothing may come back when it is so."""
        deadline = time.monotonic() + 5
        while not reached():
            assert time.monotonic() < deadline, "it was not asked"
            self.ready.select(0.01)
            self.link.read()

    def last(self, name: str) -> Unit | None:
        return next((unit for unit in reversed(self.heard) if unit.name == name), None)

    def is_(self, name: str, **facts: object) -> Callable[[], bool]:
        def reached() -> bool:
            unit = self.last(name)
            return unit is not None and all(getattr(unit, k) == v for k, v in facts.items())

        return reached


def test_the_state_at_the_start_and_every_change(bus: FakeBus) -> None:
    listener = Listener(bus, "keystone", "mariadb")
    listener.until(lambda: {unit.name for unit in listener.heard} == {"keystone", "mariadb"})
    assert listener.last("mariadb") == Unit(
        *("mariadb", "loaded", "enabled", "active", "running", "success", 0, 7, False, 1.0)
    )
    bus.become("keystone", ActiveState="activating", SubState="auto-restart", NRestarts=1)
    listener.until(listener.is_("keystone", active="activating", restarts=1, crashed=True))
    bus.become("keystone", ActiveState="active", SubState="running", MainPID=9, Job=(4, "/j"))
    listener.until(listener.is_("keystone", up=True, pid=9, queued=True))
    assert not any("mariadb" in rule for rule in bus.rules if "keystone" in rule)


def test_what_goes_is_asked_whether_it_was_disabled(bus: FakeBus) -> None:
    listener = Listener(bus, "keystone")
    listener.until(listener.is_("keystone", up=True))
    bus.units["keystone.service"]["UnitFileState"] = "masked"
    bus.become("keystone", ActiveState="inactive", SubState="dead")
    listener.until(listener.is_("keystone", up=False, deliberate=True))


def test_a_lost_signal_is_found_by_looking_again(bus: FakeBus) -> None:
    listener = Listener(bus, "keystone", "mariadb")
    listener.until(lambda: len(listener.heard) == 2)
    bus.become("keystone", signal=False, ActiveState="failed", SubState="failed")
    listener.link.look_again()
    listener.until(listener.is_("keystone", active="failed"))
    assert len([unit for unit in listener.heard if unit.name == "mariadb"]) == 1


def test_a_unit_that_is_not_there_yet_is_found_when_it_comes(bus: FakeBus) -> None:
    missing = {"LoadState": "not-found", "ActiveState": "inactive", "SubState": "dead"}
    bus.add("glance-api", **missing)
    listener = Listener(bus, "glance-api")
    listener.until(listener.is_("glance-api", load="not-found", up=False))
    bus.add("glance-api")
    listener.link.look_again()
    listener.until(listener.is_("glance-api", load="loaded", up=True))


def test_signals_of_others_are_not_believed(bus: FakeBus) -> None:
    listener = Listener(bus, "keystone", "mariadb")
    listener.until(lambda: len(listener.heard) == 2)
    bus.become("keystone", sender=":1.66", ActiveState="failed")
    bus.become("mariadb", MainPID=8)
    listener.until(listener.is_("mariadb", pid=8))
    assert listener.is_("keystone", up=True)()


def test_a_unit_without_a_property_is_told_all_the_same(bus: FakeBus) -> None:
    del bus.units["keystone.service"]["NRestarts"]
    listener = Listener(bus, "keystone")
    listener.until(listener.is_("keystone", up=True, restarts=0))


def crowd(bus: FakeBus) -> Listener:
    """Who listens to more units of a busy systemd than the bus lets anybody ask about at once."""
    names = [f"unit{number}" for number in range(30)]
    for name in names:
        bus.add(name)
    bus.be_busy()
    listener = Listener(bus, *names)
    listener.until_asked(lambda: bus.held and len(bus.held) >= min(saltern_systemd.AT_ONCE, MOST))
    return listener


def test_a_busy_systemd_is_not_asked_more_than_the_bus_takes(bus: FakeBus) -> None:
    listener = crowd(bus)
    bus.be_idle()
    listener.until(lambda: len(listener.heard) == 30)
    assert all(unit.up for unit in listener.heard)
    assert bus.refused == 0


def test_what_could_not_be_asked_is_asked_again_and_not_guessed(
    bus: FakeBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saltern_systemd, "AT_ONCE", 1000)
    listener = crowd(bus)
    listener.until_asked(lambda: bus.refused == 30 * 10 - MOST)
    bus.be_idle()
    listener.until(lambda: len(listener.heard) == MOST // 10 + 1)
    listener.link.look_again()
    listener.until(lambda: len({unit.name for unit in listener.heard}) == 30)
    assert all(unit.up for unit in listener.heard)


@pytest.mark.parametrize("end", ["begin_anew", "hang_up"])
def test_what_ends_the_connection_is_said(bus: FakeBus, end: str) -> None:
    listener = Listener(bus, "keystone")
    listener.until(listener.is_("keystone", up=True))
    getattr(bus, end)()
    with pytest.raises(Gone, match=r"anew|hung up"):
        listener.until(lambda: False)
    listener.link.close()
    again = Listener(bus, "keystone")
    again.until(again.is_("keystone", up=True))


def test_a_bus_without_systemd(bus: FakeBus) -> None:
    bus.absent = True
    listener = Listener(bus, "keystone")
    with pytest.raises(Gone, match="NameHasNoOwner"):
        listener.until(lambda: False)


def test_no_bus_at_all(tmp_path: pathlib.Path) -> None:
    with pytest.raises(Gone, match="no system bus"):
        Systemd([], lambda unit: None, f"unix:path={tmp_path / 'nobody'}")
    assert saltern_systemd.is_installed()


def answers(monkeypatch: pytest.MonkeyPatch, code: int, out: str, err: str = "") -> None:
    def run(argv: list[str], **kwargs: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(argv, code, out, err)

    monkeypatch.setattr("subprocess.run", run)


def test_by_systemctl(monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch, 0, "Id=a.service\nActiveState=active\nMainPID=5\n\nActiveState=failed\n")
    a, b = saltern_systemd.show(["a", "b"])
    assert (a.up, a.pid, b.active) == (True, 5, "failed")
    assert saltern_systemd.show([]) == []


def test_a_systemctl_that_fails_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch, 1, "", "Failed to connect to bus")
    with pytest.raises(Gone, match="Failed to connect"):
        saltern_systemd.show(["a"])

    def missing(argv: list[str], **kwargs: object) -> None:
        raise FileNotFoundError(argv[0])

    monkeypatch.setattr("subprocess.run", missing)
    with pytest.raises(Gone, match="systemctl"):
        saltern_systemd.show(["a"])
