"""unit state: starts and enables, never restarts, and tells the truth under test=True."""

from __future__ import annotations

from typing import Any
from unittest.mock import create_autospec

import pytest
import support
from salt.exceptions import CommandExecutionError

execution = support.load_module("_modules", "unit")
state = support.load_module("_states", "unit")


class FakeSystemd:
    """Units that start when told, unless they are broken."""

    def __init__(self) -> None:
        self.units: dict[str, dict[str, Any]] = {}
        self.calls: list[tuple[str, tuple[str, ...]]] = []
        self.broken: set[str] = set()

    def unit(self, name: str) -> dict[str, Any]:
        fresh = {
            "up": False,
            "coming": False,
            "enabled": False,
            "masked": False,
            "needs_reload": False,
        }
        return self.units.setdefault(name, fresh)

    def show(self, units: list[str]) -> dict[str, dict[str, Any]]:
        return {name: dict(self.unit(name)) for name in units}

    def _set(self, what: str, units: list[str], **facts: bool) -> bool:
        self.calls.append((what, tuple(units)))
        for name in units:
            self.unit(name).update(facts)
        return True

    def start(self, units: list[str], wait: bool = True, timeout: int = 0) -> bool:
        if self.broken & set(units):
            raise CommandExecutionError("nova-api: failed (failed), exit-code")
        return self._set("start", units, up=wait, coming=True)

    def stop(self, units: list[str], timeout: int = 0) -> bool:
        return self._set("stop", units, up=False, coming=False)

    def enable(self, units: list[str]) -> bool:
        return self._set("enable", units, enabled=True, masked=False, needs_reload=False)

    def disable(self, units: list[str]) -> bool:
        return self._set("disable", units, enabled=False)

    def mask(self, units: list[str]) -> bool:
        return self._set("mask", units, masked=True, enabled=False)

    def unmask(self, units: list[str]) -> bool:
        return self._set("unmask", units, masked=False)

    def reload_(self) -> bool:
        return self._set("reload", list(self.units), needs_reload=False)


RUNNING = {"up": True, "coming": True, "enabled": True, "masked": False, "needs_reload": False}


@pytest.fixture
def systemd() -> FakeSystemd:
    return FakeSystemd()


@pytest.fixture(params=[False, True], ids=["real", "test=True"])
def testmode(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def configure_loader_modules(systemd: FakeSystemd, testmode: bool) -> dict[Any, Any]:
    functions = ("show", "start", "stop", "enable", "disable", "mask", "unmask", "reload_")
    salt = {
        f"unit.{name.rstrip('_')}": create_autospec(
            getattr(execution, name), side_effect=getattr(systemd, name)
        )
        for name in functions
    }
    return {state: {"__opts__": {"test": testmode}, "__salt__": salt}}


def names(systemd: FakeSystemd) -> list[str]:
    return [call for call, _ in systemd.calls]


def test_a_stopped_unit_is_enabled_and_started(systemd: FakeSystemd, testmode: bool) -> None:
    ret = state.running("nova-api")
    assert ret["result"] is (None if testmode else True)
    assert set(ret["changes"]) == {"nova-api enabled", "nova-api up"}
    assert names(systemd) == ([] if testmode else ["enable", "start"])


def test_what_runs_is_left_alone(systemd: FakeSystemd, testmode: bool) -> None:
    systemd.units["nova-api"] = dict(RUNNING)
    ret = state.running("nova-api")
    assert (ret["result"], ret["changes"], systemd.calls) == (True, {}, [])


def test_a_changed_unit_file_is_read_but_nothing_restarts(
    systemd: FakeSystemd, testmode: bool
) -> None:
    systemd.units["nova-api"] = {**RUNNING, "needs_reload": True}
    ret = state.running("nova-api")
    assert list(ret["changes"]) == ["nova-api needs_reload"]
    assert names(systemd) == ([] if testmode else ["reload"])


def test_a_masked_unit_is_unmasked(systemd: FakeSystemd, testmode: bool) -> None:
    systemd.unit("nova-api")["masked"] = True
    ret = state.running("nova-api", enable=False)
    assert "nova-api enabled" not in ret["changes"]
    assert names(systemd) == ([] if testmode else ["unmask", "start"])


def test_several_start_together_and_only_those_that_do_not_run(
    systemd: FakeSystemd, testmode: bool
) -> None:
    systemd.units["b"] = dict(RUNNING)
    state.running("all of it", units=["a", "b", "c"])
    assert systemd.calls == ([] if testmode else [("enable", ("a", "c")), ("start", ("a", "c"))])


def test_without_waiting_the_comment_says_so(systemd: FakeSystemd, testmode: bool) -> None:
    ret = state.running("nova-api", wait=False)
    assert ret["result"] is (None if testmode else True)
    assert testmode or ret["comment"] == "nova-api changed; starting, not yet seen running"
    assert state.running("nova-api", wait=False)["changes"] == (
        {} if not testmode else ret["changes"]
    )


def test_a_unit_that_does_not_come_up_fails_with_its_words(
    systemd: FakeSystemd, testmode: bool
) -> None:
    systemd.broken = {"nova-api"}
    ret = state.running("nova-api")
    assert ret["result"] is (None if testmode else False)
    assert testmode or "exit-code" in ret["comment"]


def test_a_quorum_member_is_enabled_and_not_started(systemd: FakeSystemd, testmode: bool) -> None:
    systemd.unit("mariadb")["needs_reload"] = True
    ret = state.enabled("mariadb")
    assert set(ret["changes"]) == {"mariadb enabled", "mariadb needs_reload"}
    assert names(systemd) == ([] if testmode else ["enable"])
    systemd.units["mariadb"] = {**RUNNING, "needs_reload": True}
    state.enabled("mariadb")
    assert names(systemd) == ([] if testmode else ["enable", "reload"])


def test_dead_stops_and_disables(systemd: FakeSystemd, testmode: bool) -> None:
    systemd.units["x"] = dict(RUNNING)
    ret = state.dead("x")
    assert ret["result"] is (None if testmode else True)
    assert names(systemd) == ([] if testmode else ["disable", "stop"])
    assert state.dead("ghost")["changes"] == {}


def test_masking_stops_first_unless_told_otherwise(systemd: FakeSystemd, testmode: bool) -> None:
    systemd.units["x"] = dict(RUNNING)
    state.masked("x")
    assert names(systemd) == ([] if testmode else ["stop", "mask"])
    systemd.units["y"] = dict(RUNNING)
    assert set(state.masked("y", stop=False)["changes"]) == {"y masked"}
    assert systemd.units["y"]["up"] is True


def test_nothing_to_mask_is_content(systemd: FakeSystemd, testmode: bool) -> None:
    assert state.masked("nothing", units=[])["changes"] == {}
    assert systemd.calls == []


def test_a_silent_systemd_is_reported_not_raised(
    systemd: FakeSystemd, testmode: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(units: list[str]) -> None:
        raise CommandExecutionError("systemd does not answer")

    monkeypatch.setitem(state.__salt__, "unit.show", broken)
    assert state.running("x")["result"] is False


def test_it_loads_only_with_its_execution_module(
    testmode: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert state.__virtual__() == "unit"
    monkeypatch.delitem(state.__salt__, "unit.show")
    assert state.__virtual__()[0] is False
