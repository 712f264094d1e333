"""cloud_operation state: nodes that join, over the lab's model and a fleet with state."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import saltern_operation
import support
from fake_fleet import FakeFleet, fails
from fake_nova import FakeNova
from saltern import computes, deploy, fitness
from saltern.cloud import Cloud

state = support.load_module("_states", "cloud_operation")

LAB = support.cloud("lab")
CROWD = ["cmp3", "cmp4", "cmp5"]


def with_a_crowd() -> Cloud:
    """The lab with three more computes."""
    nodes = dict(LAB.model["nodes"])
    for number, node in enumerate(CROWD, 200):
        addresses = {
            network: f"{address.rpartition('.')[0]}.{number}"
            for network, address in nodes["cmp2"]["addresses"].items()
        }
        nodes[node] = {**nodes["cmp2"], "addresses": addresses}
    return support.cloud("lab", nodes=nodes)


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
        self.model = LAB
        self.store = SimpleNamespace(cloud=lambda resolve: self.model)
        self.known: dict[str, float] = {}
        self.lost: dict[str, list[str]] = {}
        self.found: list[str] = []
        self.examined: list[list[str]] = []

    @property
    def said(self) -> str:
        return str(self.progress.out.getvalue())  # type: ignore[attr-defined]

    def cloud(self) -> Cloud:
        return self.model

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
        return [line for line in self.found if line.partition(":")[0] in cloud.nodes]


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


@pytest.fixture
def crowd(operation: FakeOperation) -> FakeOperation:
    """The lab to which three computes come at once."""
    operation.model = with_a_crowd()
    for node in CROWD:
        operation.nova.add(node, computes.AUTOMATIC)
    operation.nova.marked |= set(CROWD)
    return operation


BAD_STATE = {"x": {"__id__": "h", "__sls__": "s", "result": False, "comment": "did not answer"}}


def ill(node: str, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    bad = {"nova-compute": "down"} if node == "cmp4" else {}
    return {s: {"status": bad.get(s, "ok"), "reason": "did not answer"} for s in kwargs["services"]}


#: Where one of three may fail -> the answers that make it.
FALLS: dict[str, dict[str, Callable[[str, Mapping[str, Any]], Any]]] = {
    "its states": {
        "state.sls": lambda n, k: BAD_STATE if n == "cmp4" else {},
    },
    "its restart": {
        "unit.pending": lambda n, k: {"u": {"service": "nova-compute"}},
        "unit.restart_pending": lambda n, k: fails("did not answer")(n, k) if n == "cmp4" else {},
    },
    "its health": {"openstack.health": ill},
    "its cell": {
        "state.sls": lambda n, k: BAD_STATE if "cmp4" in k["pillar"].get("joining", ()) else {},
    },
}


@pytest.mark.parametrize("where", [*FALLS, "its fitness", "its trial"])
def test_one_that_fails_holds_up_no_other(crowd: FakeOperation, where: str) -> None:
    crowd.fleet.handlers.update(FALLS.get(where, {}))
    if where == "its fitness":
        crowd.found = ["cmp4: did not answer"]
    if where == "its trial":
        crowd.nova.bad = {"cmp4": "did not answer"}
    done = join(CROWD)
    assert [ret["result"] for ret in done] == [True] * 4 + [False]
    reasons = [line for line in done[-1]["comment"].splitlines() if line.startswith("-")]
    assert len(reasons) == 1
    assert reasons[0].startswith("- cmp4: ") and "did not answer" in reasons[0]
    assert reasons[0].count("cmp4") == 1
    assert sorted(crowd.known) == ["cmp3", "cmp5"]
    assert [h for h in CROWD if crowd.nova.hosts[h]["enabled"]] == ["cmp3", "cmp5"]
    if where != "its trial":
        assert "did not answer; left behind" in crowd.said
        assert {host for hosts in crowd.nova.booted for host in hosts} == {"cmp3", "cmp5"}


def test_where_all_fail_each_is_told_once(crowd: FakeOperation) -> None:
    crowd.fleet.handlers["state.sls"] = lambda n, k: BAD_STATE
    ret = join(CROWD)[-1]
    assert ret["name"] == "built"
    assert [line for line in ret["comment"].splitlines() if line.startswith("-")] == [
        f"- {node}: s: h: did not answer" for node in CROWD
    ]
    assert crowd.nova.booted == []


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
