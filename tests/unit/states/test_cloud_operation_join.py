"""cloud_operation state: nodes that join, over the lab's model and a fleet with state."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import saltern_operation
import support
from fake_fleet import FakeFleet, fails
from fake_nova import FakeNova
from saltern import deploy, fitness
from saltern.cloud import Cloud

state = support.load_module("_states", "cloud_operation")

LAB = support.cloud("lab")


class FakeOperation:
    """The lab, whose nodes are fit unless ``found``; it keeps who has joined."""

    def __init__(self) -> None:
        self.nova = FakeNova("cmp2")
        self.nova.add("cmp1", None, enabled=True)
        self.fleet = self.nova.fleet(
            preflight__stamp=lambda n, k: "today",
            saltutil__sync_all=lambda n, k: {},
            saltutil__refresh_pillar=lambda n, k: True,
            state__sls_id=lambda n, k: {},
            **{f"{module}.observe": lambda n, k: {} for module in deploy.FORMATIONS},
        )
        self.progress = saltern_operation.Progress(io.StringIO())
        self.store = SimpleNamespace(cloud=lambda resolve: LAB)
        self.known: dict[str, float] = {}
        self.found: list[str] = []
        self.examined: list[list[str]] = []

    @property
    def said(self) -> str:
        return str(self.progress.out.getvalue())  # type: ignore[attr-defined]

    def cloud(self) -> Cloud:
        return LAB

    def expected(self, resolve: Any) -> None:
        return None

    def stamp(self) -> str:
        return "today"

    def joined(self) -> dict[str, float]:
        return self.known

    def note_joined(self, nodes: Iterable[str], model: Iterable[str]) -> list[str]:
        new = [node for node in nodes if node not in self.known]
        self.known.update(dict.fromkeys(new, 1.0))
        return new

    def examine(self, cloud: Cloud, fleet: FakeFleet, expected: None) -> list[str]:
        self.examined.append(cloud.nodes)
        return self.found


@pytest.fixture
def operation(monkeypatch: pytest.MonkeyPatch) -> FakeOperation:
    fake = FakeOperation()
    monkeypatch.setattr(saltern_operation, "current", lambda opts, key: fake)
    monkeypatch.setattr(fitness, "examine", fake.examine)
    for module in deploy.FORMATIONS:
        monkeypatch.setitem(deploy.FORMATIONS, module, lambda members, observed: [])
    return fake


@pytest.fixture
def configure_loader_modules(operation: FakeOperation) -> dict[Any, Any]:
    return {state: {"__opts__": {"test": False}}}


@pytest.fixture
def dry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(state.__opts__, "test", True)


def join(nodes: Any) -> list[dict[str, Any]]:
    """All steps of ``orch/join.sls`` up to the first that fails."""
    steps: list[Callable[[], dict[str, Any]]] = [partial(state.fit, "fit", nodes=nodes)]
    steps += [partial(state.built, "built", nodes)]
    steps += [partial(state.introduced, "known", nodes), partial(state.named, "named", nodes)]
    steps += [partial(state.joined, "joined", nodes)]
    done = []
    for step in steps:
        done.append(step())
        if done[-1]["result"] is False:
            break
    return done


def test_a_compute_joins_while_the_rest_is_left_alone(operation: FakeOperation) -> None:
    done = join(["cmp2"])
    assert all(ret["result"] is True for ret in done), done[-1]["comment"]
    assert operation.examined == [["cmp2"]]
    touched = {n for f, asked, _ in operation.fleet.asked for n in asked if f == "state.sls"}
    assert touched == {"cmp2", LAB.leader("nova-conductor")}
    runs = [n for f, n, k in operation.fleet.asked if f == "state.sls" and "cmp2" in n]
    assert runs == [("cmp2",)], "all that its waves bring comes in one run"
    assert operation.nova.hosts["cmp2"]["enabled"]
    assert done[-1]["changes"] == {"cmp2": "proven, joined"}
    assert list(operation.known) == ["cmp2"]


def test_a_second_join_changes_nothing(operation: FakeOperation) -> None:
    join(["cmp2"])
    assert [ret["changes"] for ret in join("cmp2") if ret["changes"]] == []
    assert operation.nova.booted == [("cmp2",)]


def test_for_a_controller_the_whole_cloud_is_walked(operation: FakeOperation) -> None:
    done = join("ctl3, cmp2")
    assert done[-1]["result"] is True, done[-1]["comment"]
    assert operation.examined == [LAB.nodes]
    touched = {n for f, asked, _ in operation.fleet.asked for n in asked if f == "state.sls"}
    assert touched == set(LAB.nodes)
    assert "state.sls_id" not in operation.fleet.functions(), "the waves brought the names"
    assert done[-1]["changes"] == {"ctl3": "joined", "cmp2": "proven, joined"}
    assert "the whole cloud is walked: galera on ctl3 is balanced" in operation.said


@pytest.mark.parametrize(("nodes", "why"), [("cmp9", "not in the model"), ([], "nobody is named")])
def test_who_cannot_join_is_said_before_anything_is_done(
    operation: FakeOperation, nodes: Any, why: str
) -> None:
    [ret] = join(nodes)
    assert ret["result"] is False and why in ret["comment"]
    assert operation.examined == [] and operation.fleet.asked == []


def test_an_unfit_node_does_not_join_and_the_way_back_is_told(operation: FakeOperation) -> None:
    operation.found = ["cmp2: no disk"]
    [ret] = join(["cmp2"])
    assert ret["comment"].endswith("""salt-run state.orch orch.join pillar='{"nodes": ["cmp2"]}'""")


def test_a_host_that_fails_its_trial_stays_disabled_and_is_named(operation: FakeOperation) -> None:
    operation.nova.add("cmp1", "saltern: gone 2026")
    operation.nova.bad = {"cmp2": "no lease"}
    ret = state.joined("joined")
    assert ret["result"] is False and "- cmp2: no lease" in ret["comment"]
    assert "orch.deploy" in ret["comment"]
    assert ret["changes"]["cmp1"] == "proven, joined"
    assert set(operation.known) == set(LAB.nodes) - {"cmp2"}
    operation.nova.bad = {}
    again = state.joined("joined")
    assert (again["result"], again["changes"]) == (True, {"cmp2": "proven, joined"})
    assert state.joined("joined")["changes"] == {}


@pytest.mark.parametrize("nodes", [["cmp2"], ["ctl3"]])
def test_states_that_fail_are_told_and_nobody_is_let_in(
    operation: FakeOperation, nodes: list[str]
) -> None:
    bad = {"x": {"__id__": "conf", "__sls__": "common", "result": False, "comment": "disk full"}}
    operation.fleet.handlers["state.sls"] = lambda n, k: bad if n == nodes[0] else {}
    ret = join(nodes)[-1]
    assert (ret["name"], ret["result"]) == ("built", False)
    assert f"- {nodes[0]}: common: conf: disk full" in ret["comment"]
    assert "orch.join" in ret["comment"] and operation.nova.booted == []


def test_what_follows_elsewhere_and_fails_is_told(operation: FakeOperation) -> None:
    bad = {"x": {"__id__": "h", "__sls__": "nova", "result": False, "comment": "did not report"}}
    operation.fleet.handlers["state.sls"] = lambda n, k: bad if k["mods"] != "wave" else {}
    ret = join(["cmp2"])[-1]
    assert ret["result"] is False and "did not report" in ret["comment"]
    assert "orch.join" in ret["comment"] and operation.nova.booted == []
    operation.fleet.handlers["preflight.stamp"] = fails("did not answer")
    operation.fleet.handlers["saltutil.sync_all"] = fails("did not answer")
    assert "no nova-conductor" in state.introduced("known", ["cmp2"])["comment"]


def test_a_dry_run_changes_nothing_and_says_what_it_would(
    operation: FakeOperation, dry: None
) -> None:
    done = join(["cmp2"])
    assert done[-1]["result"] is None and done[-1]["changes"] == {"cmp2": "on trial"}
    assert operation.known == {} and operation.nova.booted == []
    assert not operation.nova.hosts["cmp2"]["enabled"]
    assert all(k["test"] for f, _, k in operation.fleet.asked if f.startswith("state."))
    operation.known = dict.fromkeys(LAB.nodes, 1.0)
    operation.nova.add("cmp2", None, enabled=True)
    assert state.joined("joined")["result"] is True


def test_a_dry_run_on_bare_nodes_guesses_no_trial(operation: FakeOperation, dry: None) -> None:
    operation.nova.silent = set(LAB.nodes)
    ret = state.joined("joined")
    assert ret["result"] is None and set(ret["changes"].values()) == {"joined"}
