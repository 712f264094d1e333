"""Operations of the reactor over nodes with state: what they do, refuse, and say afterwards."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import pytest
from fake_fleet import FakeFleet, Handler, fails
from fake_nodes import DOWN, LAB, OK, Nodes
from saltern import computes, deploy
from saltern.reactor import operations
from saltern.reactor.terms import Outcome
from saltern.steps import Refused, Step


@pytest.fixture
def nodes() -> Nodes:
    return Nodes()


def test_there_is_an_operation_for_each_rung() -> None:
    assert set(operations.OPERATIONS) == {
        "restart", "reapply", "isolate", "look", "form", "admit", "mark_gone", "join",
    }  # fmt: skip


# -- restart -------------------------------------------------------------------------------------


def test_a_service_is_restarted_and_gets_requests_again(nodes: Nodes) -> None:
    nodes.down = {("ctl1", "keystone")}
    nodes.out = {("lb1", "keystone"): {"ctl1"}, ("lb2", "keystone"): {"ctl1"}}
    outcome = nodes.do("restart", "ctl1", "keystone", epoch=3)
    assert (outcome.ok, outcome.detail) == (True, "keystone on ctl1 restarted: ok; admitted")
    assert sorted(nodes.fleet.functions()[:2]) == ["haproxy.recheck", "healing.restart"]
    assert nodes.fleet.functions()[2:] == ["haproxy.admit_node"]
    assert [kw["epoch"] for name, _, kw in nodes.fleet.asked if name == "healing.restart"] == [3]
    assert not any(nodes.out.values())
    assert outcome.evidence["before"] == "down"


def test_balancers_look_at_it_while_it_is_restarted(nodes: Nodes) -> None:
    nodes.down, nodes.away = {("ctl1", "keystone")}, {"lb2"}
    together = threading.Barrier(2, timeout=10)  # neither waits for the other to end
    for name in ("healing.restart", "haproxy.recheck"):
        nodes.fleet.handlers[name] = _meeting(together, nodes.fleet.handlers[name])
    outcome = nodes.do("restart", "ctl1", "keystone")
    assert outcome.ok
    seen = {"lb1": {"keystone/ctl1": "HTTP 503"}, "lb2": "did not answer"}
    assert outcome.evidence["rechecked"] == seen
    assert nodes.asked("haproxy.recheck") == [("lb1", "lb2")]


def _meeting(together: threading.Barrier, handler: Handler) -> Handler:
    def meet(node: str, kwargs: Mapping[str, Any]) -> Any:
        if node in ("ctl1", "lb1"):
            together.wait()
        return handler(node, kwargs)

    return meet


def test_a_service_that_is_well_is_left_alone(nodes: Nodes) -> None:
    outcome = nodes.do("restart", "ctl1", "nova-conductor")
    assert outcome.ok and outcome.detail == "nova-conductor on ctl1 was left alone: ok"
    assert nodes.fleet.functions() == ["healing.restart"], "nobody balances it"


@pytest.mark.parametrize(
    ("cured_by", "said"),
    [("healing.restart", "came back by itself: ok"), ("nothing", "did not come back by itself: ")],
)
def test_what_was_only_waited_for_is_said(nodes: Nodes, cured_by: str, said: str) -> None:
    nodes.down, nodes.did, nodes.cured_by = {("ctl1", "keystone")}, "waited", cured_by
    assert f"keystone on ctl1 {said}" in nodes.do("restart", "ctl1", "keystone").detail


def test_a_restart_that_does_not_help_is_no_success_and_nothing_is_admitted(nodes: Nodes) -> None:
    nodes.down, nodes.cured_by = {("ctl1", "keystone")}, "nothing"
    outcome = nodes.do("restart", "ctl1", "keystone")
    assert (outcome.ok, outcome.detail) == (False, "keystone on ctl1 restarted: down: HTTP 503")
    assert "haproxy.admit_node" not in nodes.fleet.functions()


def test_a_node_that_has_seen_a_newer_reactor_refuses(nodes: Nodes) -> None:
    nodes.down, nodes.did = {("ctl1", "keystone")}, "refused"
    outcome = nodes.do("restart", "ctl1", "keystone", epoch=3)
    assert not outcome.ok and "refused: a newer master than 3 acts here" in outcome.detail


def test_a_node_that_does_not_answer_is_named(nodes: Nodes) -> None:
    nodes.away = {"ctl1"}
    outcome = nodes.do("restart", "ctl1", "keystone")
    assert not outcome.ok and outcome.detail == "ctl1: healing.restart: did not answer"


def test_who_heals_and_does_not_answer_in_time_is_looked_at(nodes: Nodes) -> None:
    """A rung that seems not to help makes the next one, up to taking it out of the balancer."""
    nodes.down = {("ctl1", "keystone")}
    heals = nodes.fleet.handlers["healing.restart"]

    def too_busy(node: str, kwargs: Mapping[str, Any]) -> Any:
        heals(node, kwargs)
        raise RuntimeError("did not answer")

    nodes.fleet.handlers["healing.restart"] = too_busy
    outcome = nodes.do("restart", "ctl1", "keystone")
    said = "ctl1: healing.restart: did not answer, and is well: keystone; admitted"
    assert (outcome.ok, outcome.detail) == (True, said)
    nodes.cured_by, nodes.down = "nothing", {("ctl1", "keystone")}
    assert not nodes.do("restart", "ctl1", "keystone").ok
    nodes.fleet.handlers["healing.restart"] = fails("haproxy refused")
    nodes.down = set()
    assert not nodes.do("restart", "ctl1", "keystone").ok, "an error is an answer"


def test_a_balancer_that_is_gone_does_not_make_a_restart_fail(nodes: Nodes) -> None:
    nodes.away = {"lb2"}
    outcome = nodes.do("restart", "ctl1", "keystone")
    assert outcome.ok and outcome.detail.endswith("admitted; no answer from lb2")
    nodes.away = {"lb1", "lb2"}
    assert not nodes.do("restart", "ctl1", "keystone").ok


def test_a_balancer_that_finds_it_ill_does(nodes: Nodes) -> None:
    nodes.deaf = {"lb1"}
    outcome = nodes.do("restart", "ctl1", "keystone")
    assert not outcome.ok and "lb1: haproxy.admit_node: not healthy" in outcome.detail


def test_what_an_operator_holds_is_said(nodes: Nodes) -> None:
    nodes.fleet.handlers["haproxy.admit_node"] = lambda n, k: {"held": ["keystone/ctl1"]}
    assert "an operator holds keystone/ctl1" in nodes.do("restart", "ctl1", "keystone").detail


# -- reapply -------------------------------------------------------------------------------------


def test_only_the_services_own_states_are_applied(nodes: Nodes) -> None:
    nodes.down, nodes.cured_by = {("ctl1", "glance")}, "state.sls"
    outcome = nodes.do("reapply", "ctl1", "glance")
    assert outcome.ok, outcome.detail
    function, where, kwargs = nodes.fleet.asked[0]
    assert (function, where, kwargs["mods"]) == ("state.sls", ("ctl1",), "wave")
    assert kwargs["pillar"] == {
        "stage": {"waves": ["glance"], "name": "states"},
        "cloud": {"waves": {"glance": {"states": ["glance"]}}},
    }
    assert nodes.fleet.functions()[1:] == ["healing.restart", "haproxy.admit_node"]


def test_a_state_that_fails_is_the_outcome(nodes: Nodes) -> None:
    bad = {"x": {"__id__": "conf", "__sls__": "glance", "result": False, "comment": "disk full"}}
    nodes.fleet.handlers["state.sls"] = lambda n, k: bad
    outcome = nodes.do("reapply", "ctl1", "glance")
    assert (outcome.ok, outcome.detail) == (False, "ctl1: glance: conf: disk full")
    assert "healing.restart" not in nodes.fleet.functions()


def test_a_service_that_stays_down_after_its_states_is_no_success(nodes: Nodes) -> None:
    nodes.down, nodes.cured_by = {("ctl1", "glance")}, "nothing"
    assert not nodes.do("reapply", "ctl1", "glance").ok


# -- isolate -------------------------------------------------------------------------------------


def test_one_of_several_gets_no_more_requests(nodes: Nodes) -> None:
    outcome = nodes.do("isolate", "ctl1", "keystone")
    assert outcome.ok and "gets no requests; it is not healed" in outcome.detail
    assert nodes.out["lb1", "keystone"] == nodes.out["lb2", "keystone"] == {"ctl1"}


@pytest.mark.parametrize("how", ["down", "drained on one balancer"])
def test_the_last_that_serves_is_never_isolated(nodes: Nodes, how: str) -> None:
    if how == "down":
        nodes.down = {("ctl2", "keystone"), ("ctl3", "keystone")}
    else:
        nodes.out = {("lb2", "keystone"): {"ctl2", "ctl3"}}
    outcome = nodes.do("isolate", "ctl1", "keystone")
    assert not outcome.ok and "lb2: nobody else serves keystone" in outcome.detail
    assert "haproxy.drain_node" not in nodes.fleet.functions()


def test_a_service_without_another_copy_is_never_isolated(nodes: Nodes) -> None:
    nodes.fleet.handlers["haproxy.servers"] = lambda n, k: [
        {"backend": "keystone", "server": "ctl1", "admin": "ready", "status": "UP"}
    ]
    assert not nodes.do("isolate", "ctl1", "keystone").ok
    assert "haproxy.drain_node" not in nodes.fleet.functions()


def test_what_no_balancer_of_ours_sends_requests_to_is_not_isolated(nodes: Nodes) -> None:
    outcome = nodes.do("isolate", "cmp1", "nova-compute")
    assert not outcome.ok and nodes.fleet.asked == []


def test_a_balancer_that_is_away_is_passed_over_but_one_has_to_answer(nodes: Nodes) -> None:
    nodes.away = {"lb2"}
    outcome = nodes.do("isolate", "ctl1", "keystone")
    assert outcome.ok and outcome.evidence["silent"] == ["lb2"]
    assert nodes.asked("haproxy.drain_node") == [("lb1",)]
    nodes.away = {"lb1", "lb2"}
    assert "no balancer answers" in nodes.do("isolate", "ctl1", "keystone").detail


def test_that_it_gets_no_requests_is_seen_by_asking_again(nodes: Nodes) -> None:
    nodes.deaf = {"lb2"}
    outcome = nodes.do("isolate", "ctl1", "keystone")
    assert (outcome.ok, outcome.detail) == (False, "lb2: it still gets requests")


def test_balancers_that_cannot_tell_are_no_ground_to_act_on(nodes: Nodes) -> None:
    nodes.fleet.handlers["haproxy.servers"] = fails("the socket is gone")
    assert "the socket is gone" in nodes.do("isolate", "ctl1", "keystone").detail
    assert "haproxy.drain_node" not in nodes.fleet.functions()


def test_balancers_that_fail_afterwards_are_told(nodes: Nodes) -> None:
    servers = nodes.fleet.handlers["haproxy.servers"]

    def once(node: str, kwargs: Mapping[str, Any]) -> Any:
        if "haproxy.drain_node" in nodes.fleet.functions():
            raise RuntimeError("the socket is gone")
        return servers(node, kwargs)

    nodes.fleet.handlers["haproxy.servers"] = once
    assert not nodes.do("isolate", "ctl1", "keystone").ok


# -- look ----------------------------------------------------------------------------------------


def test_a_look_at_a_node_says_what_is_down(nodes: Nodes) -> None:
    assert nodes.do("look", "ctl1").detail == "well: every service"
    nodes.down = {("ctl1", "glance")}
    outcome = nodes.do("look", "ctl1")
    assert (outcome.ok, outcome.detail) == (False, "ctl1: glance is down: HTTP 503")
    assert outcome.evidence["ctl1"]["keystone"] == OK
    assert nodes.do("look", "ctl1", "keystone").detail == "well: keystone"
    nodes.away = {"ctl1"}
    assert nodes.do("look", "ctl1").detail == "ctl1: openstack.health: did not answer"


def test_what_starts_with_its_machine_is_no_human_s_yet(nodes: Nodes) -> None:
    starting = {**DOWN, "booted": 40}
    services = {"keystone": OK, "glance": starting, "galera": starting}
    nodes.fleet.handlers["openstack.health"] = lambda n, k: services
    outcome = nodes.do("look", "ctl1")
    assert (outcome.ok, outcome.detail) == (True, "ctl1 has just booted; starting: glance, galera")
    assert outcome.evidence["ctl1"] == services
    services["keystone"] = DOWN  # it worked when the others were asked: its own age is over
    assert not nodes.do("look", "ctl1").ok
    services["keystone"] = OK
    assert not nodes.do("join", "ctl1").ok, "who joins proves that all of it works"


# -- form ----------------------------------------------------------------------------------------


@pytest.fixture
def formation(monkeypatch: pytest.MonkeyPatch, nodes: Nodes) -> None:
    """Galera is formed by starting on ctl2 what is down there, unless that could lose data."""

    def steps(members: Any, observed: Any) -> list[Step]:
        if observed["ctl3"] is None:
            raise Refused("ctl3 may hold newer data")
        down = tuple(n for n in members if not observed[n]["up"])
        return [Step(down, "galera.start", "start")] if down else []

    def observe(node: str, kwargs: Mapping[str, Any]) -> Any:
        nodes._there(node)
        return {"up": (node, "galera") not in nodes.down}

    def start(node: str, kwargs: Mapping[str, Any]) -> bool:
        nodes.down.discard((node, "galera"))
        return True

    monkeypatch.setattr(deploy, "FORMATIONS", {"galera": steps})
    nodes.fleet.handlers.update({"galera.observe": observe, "galera.start": start})


def test_a_missing_member_is_brought_back(nodes: Nodes, formation: None) -> None:
    nodes.down = {("ctl2", "galera")}
    outcome = nodes.do("form", "ctl2", "galera")
    assert (outcome.ok, outcome.detail) == (True, "well: galera")
    assert outcome.evidence["changes"] == {"ctl2": {"galera formed": "start"}}
    assert nodes.asked("galera.start") == [("ctl2",)]


def test_what_could_lose_data_is_not_formed(nodes: Nodes, formation: None) -> None:
    nodes.down, nodes.away = {("ctl2", "galera")}, {"ctl3"}
    outcome = nodes.do("form", "ctl2", "galera")
    assert (outcome.ok, outcome.detail) == (False, "galera: ctl3 may hold newer data")


def test_members_that_are_still_ill_are_no_success(nodes: Nodes, formation: None) -> None:
    nodes.fleet.handlers["openstack.health"] = lambda n, k: {"galera": DOWN if n == "ctl3" else OK}
    outcome = nodes.do("form", "ctl2", "galera")
    assert (outcome.ok, outcome.detail) == (False, "ctl3: galera is down: HTTP 503")


def test_a_member_that_is_reapplied_is_formed_too(nodes: Nodes, formation: None) -> None:
    nodes.down = {("ctl2", "galera")}
    assert nodes.do("reapply", "ctl2", "galera").ok
    assert nodes.asked("galera.start") == [("ctl2",)]


# -- admit ---------------------------------------------------------------------------------------


def test_healthy_copies_are_admitted_by_every_balancer(nodes: Nodes) -> None:
    nodes.out = {("lb1", "glance"): {"ctl2"}}
    assert nodes.do("admit", "", "glance").detail == "admitted: glance/ctl2"
    assert nodes.do("admit", "", "glance").detail == "admitted: all that may be were so"
    assert nodes.asked("haproxy.admit_services") == [("lb1", "lb2")] * 2


def test_a_copy_that_is_not_healthy_is_told(nodes: Nodes) -> None:
    nodes.deaf = {"lb2"}
    outcome = nodes.do("admit", "", "glance")
    assert not outcome.ok and "lb2: haproxy.admit_services: not healthy" in outcome.detail
    assert not nodes.do("admit", "", "nova-compute").ok


# -- a node that is gone -------------------------------------------------------------------------


def test_a_compute_that_is_gone_gets_no_instances(nodes: Nodes) -> None:
    """And has to prove itself when it is back."""
    nodes.away = {"cmp1"}
    nodes.nova.add("cmp1", None, enabled=True)
    left: list[str] = []
    outcome = nodes.do("mark_gone", "cmp1", leave=left.append)
    assert left == ["cmp1"]
    assert outcome.ok and "nothing was evacuated" in outcome.detail
    record = nodes.nova.hosts["cmp1"]
    assert not record["enabled"] and record["reason"].startswith(f"{computes.GONE} 2")


def test_a_node_that_answers_after_all_is_left_alone(nodes: Nodes) -> None:
    nodes.nova.add("cmp1", None, enabled=True)
    outcome = nodes.do("mark_gone", "cmp1")
    assert outcome.ok and "answers again" in outcome.detail
    assert nodes.nova.hosts["cmp1"]["enabled"]


def test_an_operators_reason_outlives_its_host(nodes: Nodes) -> None:
    nodes.away = {"cmp1"}
    nodes.nova.add("cmp1", "memory")
    assert "(memory)" in nodes.do("mark_gone", "cmp1").detail
    assert nodes.nova.hosts["cmp1"]["reason"] == "memory"


def test_of_another_node_there_is_nothing_to_do(nodes: Nodes) -> None:
    nodes.away = {"ctl1"}
    outcome = nodes.do("mark_gone", "ctl1")
    assert outcome.ok and "only told" in outcome.detail and "keystone" in outcome.detail
    assert nodes.fleet.functions() == ["test.ping"]


def test_a_nova_that_cannot_be_told_is_no_success(nodes: Nodes) -> None:
    nodes.away = {"cmp1"}
    nodes.nova.add("cmp1", None, enabled=True)
    nodes.nova.silent = set(LAB.nodes)
    assert "nova_trial.hold: did not answer" in nodes.do("mark_gone", "cmp1").detail
    nodes.nova.silent = set()
    nodes.fleet.handlers["nova_trial.hold"] = lambda n, k: True  # it says so and does nothing
    assert "Nova does not say" in nodes.do("mark_gone", "cmp1").detail
    nodes.fleet.handlers["nova.services"] = fails("503")
    assert "503" in nodes.do("mark_gone", "cmp1").detail


# -- join ----------------------------------------------------------------------------------------


def test_nodes_join_by_one_orchestration_and_are_looked_at(nodes: Nodes) -> None:
    outcome = nodes.do("join", "cmp2", nodes=("cmp1", "cmp2"))
    assert (outcome.ok, outcome.detail) == (True, "cmp1, cmp2 joined; well: every service")
    assert nodes.launched == [("orch.join", {"nodes": ["cmp1", "cmp2"]})]
    assert outcome.evidence["log"] == "..."


def test_a_join_that_failed_is_not_looked_at(nodes: Nodes) -> None:
    nodes.came = Outcome(False, "cmp2: no disk")
    assert nodes.do("join", "cmp2") == nodes.came
    assert nodes.fleet.asked == []


def test_a_node_that_is_ill_after_its_join_is_no_success(nodes: Nodes) -> None:
    nodes.down = {("cmp2", "libvirt")}
    outcome = nodes.do("join", "cmp2")
    assert (outcome.ok, outcome.detail) == (False, "cmp2: libvirt is down: HTTP 503")


def test_nobody_is_asked_when_there_is_nobody(nodes: Nodes) -> None:
    assert nodes.context().ask([], "test.ping", 5) == {}
    assert isinstance(nodes.fleet, FakeFleet) and nodes.fleet.asked == []
