"""node_watch.running: the minion is restarted once, and not while its watch runs."""

from __future__ import annotations

from typing import Any

import pytest
import support
from salt.exceptions import CommandExecutionError

state = support.load_module("_states", "node_watch")


class Healing:
    """The execution module's view of a node."""

    def __init__(self) -> None:
        self.state = "off"
        self.armed: list[int] = []
        self.fails = False

    def watching(self) -> str:
        return self.state

    def arm(self, quiet: int) -> str:
        if self.fails:
            raise CommandExecutionError("no code")
        self.armed.append(quiet)
        self.state = "starting"
        return self.state


@pytest.fixture
def healing() -> Healing:
    return Healing()


@pytest.fixture
def configure_loader_modules(healing: Healing) -> dict[Any, Any]:
    functions = {"healing.watching": healing.watching, "healing.arm": healing.arm}
    return {state: {"__salt__": functions, "__opts__": {"test": False}}}


def test_a_minion_without_its_watch_is_restarted_once(healing: Healing) -> None:
    ret = state.running("saltern_watch")
    assert ret["result"] is True and ret["changes"]
    assert healing.armed == [state.QUIET]
    for healing.state in ("starting", "running"):
        again = state.running("saltern_watch")
        assert again["result"] is True and not again["changes"]
    assert len(healing.armed) == 1


def test_a_test_run_restarts_nothing(healing: Healing) -> None:
    state.__opts__["test"] = True
    ret = state.running("saltern_watch")
    assert ret["result"] is None and ret["changes"]
    assert healing.armed == []


def test_what_hinders_it_is_said(healing: Healing) -> None:
    healing.fails = True
    ret = state.running("saltern_watch")
    assert ret["result"] is False and ret["comment"] == "no code"


def test_it_loads_with_its_module(monkeypatch: pytest.MonkeyPatch) -> None:
    assert state.__virtual__() == "node_watch"
    monkeypatch.delitem(state.__salt__, "healing.watching")
    assert state.__virtual__()[0] is False
