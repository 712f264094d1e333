"""The order of a wave, and what stops it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from fake_fleet import FakeFleet, Silent, fails
from saltern import deploy, fleet
from saltern.cloud import Cloud
from saltern.steps import Refused, Step

Observed = Mapping[str, Mapping[str, Any] | None]


def a_cloud(**catalog: dict[str, Any]) -> Cloud:
    nodes = {
        name: {"roles": [role], "addresses": {"management": f"192.0.2.{i}"}}
        for i, (name, role) in enumerate(
            [("lb1", "endpoint"), ("c1", "controller"), ("c2", "controller"), ("c3", "controller")],
            1,
        )
    }
    base: dict[str, Any] = {
        "haproxy": {"roles": ["endpoint"]},
        "galera": {"roles": ["controller"]},
        "api": {
            "roles": ["controller"],
            "needs": ["haproxy", "galera"],
            "once": ["api.schema"],
            "states": ["api"],
            "then": ["api.catalogue"],
            "port": 80,
            "proxy": {"mode": "http"},
        },
    }
    return Cloud({"name": "t", "nodes": nodes}, {**base, **catalog})


DB = {"roles": ["controller"], "states": ["db"], "quorum": {"module": "fake"}, "needs": ["haproxy"]}


@pytest.fixture
def formed(monkeypatch: pytest.MonkeyPatch) -> list[Observed]:
    """A formation that starts everybody once, and every observation it was given."""
    seen: list[Observed] = []

    def formation(members: Sequence[str], observed: Observed) -> list[Step]:
        seen.append(observed)
        down = tuple(n for n in members if not (observed[n] or {}).get("running"))
        return [Step(down, "fake.start", "start")] if down else []

    monkeypatch.setattr(deploy, "FORMATIONS", {"fake": formation})
    return seen


def a_deployment(cloud: Cloud, nodes: FakeFleet, test: bool = False) -> deploy.Deployment:
    return deploy.Deployment(cloud, nodes, Silent(), test=test)


def test_the_balancer_comes_last_and_the_catalogue_after_it() -> None:
    nodes = FakeFleet()
    a_deployment(a_cloud(), nodes).wave(1)
    stages = [
        kwargs.get("pillar", {}).get("stage", {}).get("name", function)
        for function, _, kwargs in nodes.asked
    ]
    assert stages == [
        "once", "states", "unit.pending", "openstack.health", "haproxy.admit_services", "then",
    ]  # fmt: skip
    assert [n for _, n, k in nodes.asked if k.get("pillar")][0] == (a_cloud().leader("api"),)


def test_the_first_wave_reaches_every_node() -> None:
    nodes = FakeFleet()
    a_deployment(a_cloud(), nodes).wave(0)
    assert nodes.asked[0][:2] == ("state.sls", ("lb1", "c1", "c2", "c3"))


def test_a_dry_run_only_applies_states_in_test_mode() -> None:
    failed = {"x": {"result": False, "comment": "no such file", "changes": {}}}
    changed = {"x": {"__id__": "conf", "__sls__": "api", "result": None, "changes": {"diff": "+"}}}
    nodes = FakeFleet(state__sls=lambda n, k: changed if n == "c2" else failed)
    work = a_deployment(a_cloud(), nodes, test=True)
    work.wave(1)
    assert set(nodes.functions()) == {"state.sls"}
    assert all(kwargs["test"] is True for _, _, kwargs in nodes.asked)
    assert work.changes == {"c2": {"api: conf": {"diff": "+"}}}


def test_a_failed_state_stops_the_wave_with_its_node_and_reason() -> None:
    bad = {"x": {"__id__": "conf", "__sls__": "api", "result": False, "comment": "disk full"}}
    nodes = FakeFleet(state__sls=lambda n, k: bad if n == "c2" else {})
    with pytest.raises(fleet.Failed) as caught:
        a_deployment(a_cloud(), nodes).wave(1)
    assert "c2: api: conf: disk full" in caught.value.reasons
    assert "haproxy.admit_services" not in nodes.functions()


def test_what_is_down_is_never_admitted() -> None:
    nodes = FakeFleet(
        openstack__health=lambda n, k: {
            "api": {"status": "down" if n == "c3" else "degraded", "reason": "HTTP 503"}
        }
    )
    work = a_deployment(a_cloud(), nodes)
    with pytest.raises(fleet.Failed, match="c3: api is down: HTTP 503"):
        work.wave(1)
    assert "haproxy.admit_services" not in nodes.functions()
    assert isinstance(work.report, Silent)
    assert "c1: api is degraded: HTTP 503" in work.report.notes


def test_a_node_that_cannot_tell_its_health_stops_the_wave() -> None:
    nodes = FakeFleet(openstack__health=fails("did not answer"))
    with pytest.raises(fleet.Failed, match="c1: openstack.health: did not answer"):
        a_deployment(a_cloud(), nodes).wave(1)


def test_an_admission_is_a_change_and_its_failure_is_told() -> None:
    cloud = a_cloud()
    nodes = FakeFleet(haproxy__admit_services=lambda n, k: {"admitted": ["api/c1"], "already": []})
    work = a_deployment(cloud, nodes)
    work.wave(1)
    assert work.changes == {"lb1": {"admitted": ["api/c1"]}}
    nodes = FakeFleet(haproxy__admit_services=fails("api/c1 answers 503"))
    with pytest.raises(fleet.Failed, match="lb1: haproxy.admit_services: api/c1 answers 503"):
        a_deployment(cloud, nodes).wave(1)


def test_an_external_balancer_is_not_asked() -> None:
    cloud = a_cloud()
    appliance = {n: s for n, s in cloud.model["nodes"].items() if n != "lb1"}
    nodes = FakeFleet(
        unit__pending=lambda n, k: {"api.service": {"service": "api", "files": []}},
        unit__restart_pending=lambda n, k: ["api.service"],
    )
    external = Cloud({**cloud.model, "nodes": appliance}, cloud.catalog)
    [number] = [n for n, wave in enumerate(external.waves) if "api" in wave]
    work = a_deployment(external, nodes)
    work.wave(number)
    assert work.changes["c1"] == {"api restarted": ["api.service"]}
    assert "openstack.health" in nodes.functions()
    assert not [function for function in nodes.functions() if function.startswith("haproxy.")]


def test_pending_restarts_go_one_by_one_drained_and_readmitted() -> None:
    nodes = FakeFleet(
        unit__pending=lambda n, k: {
            "api.service": {"service": "api", "files": ["/etc/api.conf"]},
            "api-worker.service": {"service": "api", "files": ["/etc/api.conf"]},
            "other.service": {"service": "other", "files": ["/etc/o"]},
        },
        unit__restart_pending=lambda n, k: ["api.service"],
        haproxy__drain_node=lambda n, k: True,
        haproxy__admit_node=lambda n, k: True,
    )
    work = a_deployment(a_cloud(), nodes)
    work.wave(1)
    rolled = [(f, k.get("node", n[0])) for f, n, k in nodes.asked if f not in ("state.sls",)]
    one = ["haproxy.drain_node", "unit.restart_pending", "openstack.health", "haproxy.admit_node"]
    assert rolled[1:13] == [(f, n) for n in ("c1", "c2", "c3") for f in one]
    assert work.changes["c2"] == {"api restarted": ["api.service"]}


def test_a_restart_that_fails_leaves_the_other_copies_alone() -> None:
    nodes = FakeFleet(
        unit__pending=lambda n, k: {"api": {"service": "api", "files": []}},
        unit__restart_pending=fails("exited with 1"),
        haproxy__drain_node=lambda n, k: True,
    )
    with pytest.raises(fleet.Failed, match="c1: restart of api: exited with 1"):
        a_deployment(a_cloud(), nodes).wave(1)
    assert nodes.functions().count("unit.restart_pending") == 1


def test_members_of_a_quorum_are_formed_until_nothing_is_left_to_do(
    formed: list[Observed],
) -> None:
    running: set[str] = {"c1"}

    def start(node: str, kwargs: Mapping[str, Any]) -> bool:
        running.add(node)
        return True

    nodes = FakeFleet(fake__observe=lambda n, k: {"running": n in running}, fake__start=start)
    work = a_deployment(a_cloud(db=DB), nodes)
    work.wave(1)
    assert running == {"c1", "c2", "c3"}
    assert len(formed) == 2
    assert work.changes["c2"] == {"db formed": "start"}
    assert "c1" not in work.changes


def test_a_member_that_cannot_be_observed_is_told_to_the_formation(
    formed: list[Observed],
) -> None:
    nodes = FakeFleet(fake__observe=fails("did not answer"), fake__start=lambda n, k: True)
    with pytest.raises(fleet.Failed, match="still not formed after 4 rounds"):
        a_deployment(a_cloud(db=DB), nodes).wave(1)
    assert formed[0] == {"c1": None, "c2": None, "c3": None}


def test_a_step_that_fails_stops_the_formation(formed: list[Observed]) -> None:
    nodes = FakeFleet(fake__observe=lambda n, k: {}, fake__start=fails("SST failed"))
    with pytest.raises(fleet.Failed, match="c3: fake.start: SST failed"):
        a_deployment(a_cloud(db=DB), nodes).wave(1)


def test_a_refusal_reaches_the_person(monkeypatch: pytest.MonkeyPatch) -> None:
    def formation(members: Sequence[str], observed: Observed) -> list[Step]:
        raise Refused("c3 may hold newer data")

    monkeypatch.setattr(deploy, "FORMATIONS", {"fake": formation})
    nodes = FakeFleet(fake__observe=lambda n, k: {})
    with pytest.raises(fleet.Failed, match="db: c3 may hold newer data"):
        a_deployment(a_cloud(db=DB), nodes).wave(1)


def test_a_second_member_is_never_restarted_while_one_is_down(formed: list[Observed]) -> None:
    nodes = FakeFleet(
        fake__observe=lambda n, k: {"running": True},
        fake__restart_member=lambda n, k: True,
        unit__pending=lambda n, k: {"db": {"service": "db", "files": []}} if n == "c1" else {},
        openstack__health=lambda n, k: {
            s: {"status": "down" if n == "c3" else "ok", "reason": "gone"} for s in k["services"]
        },
    )
    with pytest.raises(fleet.Failed, match="c3: db is down: gone"):
        a_deployment(a_cloud(db=DB), nodes).wave(1)
    assert "fake.restart_member" not in nodes.functions()


def test_a_member_is_restarted_by_its_own_module(formed: list[Observed]) -> None:
    nodes = FakeFleet(
        fake__observe=lambda n, k: {"running": True},
        fake__restart_member=lambda n, k: "restarted",
        unit__pending=lambda n, k: {"db": {"service": "db", "files": []}} if n == "c1" else {},
    )
    work = a_deployment(a_cloud(db=DB), nodes)
    work.wave(1)
    assert work.changes["c1"] == {"db restarted": "restarted"}


def test_a_part_of_the_nodes_is_worked_on_alone() -> None:
    """The others may be down: nobody else is asked or told anything."""
    agent = {"roles": ["agent"], "states": ["agent"], "needs": ["api"]}
    cloud = a_cloud(agent=agent, probe={"roles": ["agent"], "states": ["probe"]})
    new = {"roles": ["agent"], "addresses": {"management": "192.0.2.9"}}
    cloud = Cloud({**cloud.model, "nodes": {**cloud.model["nodes"], "n1": new}}, cloud.catalog)
    nodes = FakeFleet(
        unit__pending=lambda n, k: {"agent": {"service": "agent", "files": ["/etc/agent.conf"]}},
        unit__restart_pending=lambda n, k: ["agent"],
    )
    work = deploy.Deployment(cloud, nodes, Silent(), only=["n1"])
    work.at_once()
    assert {asked for _, asked, _ in nodes.asked} == {("n1",)}
    stages = [k["pillar"]["stage"] for f, _, k in nodes.asked if f == "state.sls"]
    assert stages == [{"waves": ["0", "1", "2"], "name": "states"}]
    looked = [k["services"] for f, _, k in nodes.asked if f == "openstack.health"]
    assert looked == [["agent"], ["agent", "probe"]], "what was restarted, then everything"
    assert work.changes == {"n1": {"agent restarted": ["agent"]}}


def test_a_node_without_services_gets_what_all_nodes_share() -> None:
    cloud = a_cloud()
    bare = {"roles": ["none"], "addresses": {"management": "192.0.2.9"}}
    cloud = Cloud({**cloud.model, "nodes": {**cloud.model["nodes"], "n1": bare}}, cloud.catalog)
    nodes = FakeFleet()
    deploy.Deployment(cloud, nodes, Silent(), only=["n1"]).at_once()
    assert nodes.functions() == ["state.sls"]


def test_batches() -> None:
    four = ["a", "b", "c", "d"]
    assert list(fleet.in_batches(four, 3)) == [["a", "b", "c"], ["d"]]
    assert list(fleet.in_batches(four, "50%")) == [["a", "b"], ["c", "d"]]
    assert list(fleet.in_batches(four, "1%")) == [["a"], ["b"], ["c"], ["d"]]
