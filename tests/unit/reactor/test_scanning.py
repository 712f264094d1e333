"""What a scan asks, and what it makes of the answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import support
from fake_scan import CONTROLLERS, SILENT, Fleet, galera, rabbit, raft
from saltern.cloud import Cloud
from saltern.fleet import Answer
from saltern.reactor import scanning
from saltern.reactor.terms import Fault


@pytest.fixture
def fleet(lab: Cloud) -> Fleet:
    return Fleet(lab)


def down(node: str, service: str, reason: str = "") -> scanning.Finding:
    return (
        "saltern/scan/service",
        node,
        {"service": service, "status": "down", "reason": reason},
    )


def missing(node: str, service: str, reason: str) -> scanning.Finding:
    return "saltern/scan/member", node, {"service": service, "reason": reason}


def backend(node: str, service: str, balancer: str) -> scanning.Finding:
    return (
        "saltern/scan/backend",
        node,
        {"service": service, "server": node, "balancer": balancer},
    )


# -- what is asked -------------------------------------------------------------------------------


def asked(cloud: Cloud, accepted: set[str], joined: set[str]) -> dict[str, list[str]]:
    return {q.function: q.nodes(cloud, accepted, joined) for q in scanning.QUESTIONS}


def test_each_is_asked_what_concerns_it(lab: Cloud) -> None:
    everyone = set(lab.nodes)
    found = asked(lab, everyone, everyone - {"cmp2"})
    assert found == {
        "openstack.health": ["lb1", "lb2", *CONTROLLERS, "cmp1"],
        "haproxy.servers": ["lb1", "lb2"],
        "galera.status": [*CONTROLLERS],
        "rabbitmq_cluster.membership": [*CONTROLLERS],
        "ovn.status": [*CONTROLLERS],
        "test.ping": ["cmp2"],
    }


def test_who_has_no_key_or_is_not_in_the_model_is_not_asked(lab: Cloud) -> None:
    found = asked(lab, {"ctl1", "cmp2", "stranger"}, {"ctl1", "ctl2", "stranger"})
    assert found["openstack.health"] == ["ctl1"]
    assert found["test.ping"] == ["cmp2"]
    assert found["haproxy.servers"] == []


def test_a_service_that_nobody_runs_is_no_question_for_everybody(lab: Cloud) -> None:
    bare = Cloud({**lab.model, "roles": {"endpoint": []}}, lab.catalog)
    assert asked(bare, set(lab.nodes), set(lab.nodes))["haproxy.servers"] == []


# -- nothing to find -----------------------------------------------------------------------------


def test_a_healthy_cloud_has_nothing_to_find(fleet: Fleet) -> None:
    assert fleet.found() == []


def test_nothing_is_found_while_somebody_holds_the_cloud(fleet: Fleet) -> None:
    fleet.health("ctl1", "keystone", "down")
    assert fleet.found() != []
    assert fleet.found(busy="orch.deploy by root") == []


def test_a_cloud_that_was_never_deployed_has_nothing_to_find(fleet: Fleet) -> None:
    fleet.joined = set()
    for node in fleet.cloud.nodes:
        fleet.say("test.ping", node, True)
    assert fleet.found() == []


def test_who_does_not_answer_is_not_a_finding(fleet: Fleet) -> None:
    for answers in fleet.answers.values():
        for node in answers:
            answers[node] = SILENT
    assert fleet.found() == []
    fleet.answers = {}
    assert fleet.found() == []


def test_what_came_with_a_failure_is_no_answer(fleet: Fleet) -> None:
    fleet.health("ctl1", "glance", "down")
    said = fleet.answers["openstack.health"]["ctl1"].value
    fleet.answers["openstack.health"]["ctl1"] = Answer(False, said)
    assert fleet.found() == []


# -- services ------------------------------------------------------------------------------------


def test_what_starts_with_its_machine_is_helped_later(fleet: Fleet) -> None:
    for service in ("keystone", "galera"):
        fleet.health("ctl1", service, "down", "it starts", booted=60)
    fleet.say("galera.status", "ctl1", galera(healthy=False, reasons=["joining"]))
    assert fleet.found() == []
    sick = Fault("", "sick", "cloud")
    assert not scanning.over(fleet.cloud, fleet.answers, fleet.joined, [sick]), "nor is it well"
    for service in ("keystone", "galera"):
        fleet.health("ctl1", service, "down", "it stays so")
    assert [(tag, body["service"]) for tag, _, body in fleet.found()] == [
        ("saltern/scan/service", "keystone"),
        ("saltern/scan/member", "galera"),
    ]


def test_a_service_that_is_down_is_found(fleet: Fleet) -> None:
    fleet.health("ctl2", "glance", "down", "glance-api is failed")
    assert fleet.found() == [down("ctl2", "glance", "glance-api is failed")]


def test_degraded_is_not_down(fleet: Fleet) -> None:
    fleet.health("ctl2", "glance", "degraded", "slow")
    assert fleet.found() == []


def test_a_node_that_has_not_joined_is_no_fault_yet(fleet: Fleet) -> None:
    fleet.joined.discard("ctl2")
    fleet.health("ctl2", "glance", "down")
    fleet.take_out("lb1", "keystone", "ctl2", "maint")
    assert fleet.found() == []


def test_what_a_node_says_of_services_that_are_not_its_own_is_not_heard(fleet: Fleet) -> None:
    fleet.health("cmp1", "keystone", "down")
    fleet.health("cmp1", "no-such-service", "down")
    assert fleet.found() == []


@pytest.mark.parametrize("value", [None, "down", 7, ["down"], {"nova-compute": "down"}])
def test_answers_that_make_no_sense(fleet: Fleet, value: Any) -> None:
    for function in fleet.answers:
        for node in fleet.answers[function]:
            fleet.say(function, node, value)
    assert fleet.found() == []


def test_fields_that_make_no_sense(fleet: Fleet) -> None:
    fleet.health("ctl1", "keystone", ["down"], "x" * 5000)
    fleet.say("haproxy.servers", "lb1", [{"backend": ["keystone"], "server": {}}, 7])
    fleet.say("galera.status", "ctl1", galera(size=0) | {"cluster_size": "many", "uuid": []})
    fleet.say("rabbitmq_cluster.membership", "ctl1", {"running": [[], {}]})
    fleet.say("ovn.status", "ctl1", {"nb": {"servers": 3}, "sb": "?"})
    fleet.health("ctl2", "glance", "down", "x" * 5000)
    found = fleet.found()
    assert down("ctl2", "glance", "x" * scanning.REASON) in found
    assert all(len(body.get("reason", "")) <= scanning.REASON for _, _, body in found)


def test_the_end_of_an_open_trouble_is_found(fleet: Fleet) -> None:
    open_ = [
        Fault("ctl1", "service", "glance"),
        Fault("ctl2", "service", "glance"),
        Fault("ctl3", "member", "galera"),
    ]
    fleet.health("ctl2", "glance", "degraded")
    assert fleet.found(faults=open_) == [
        ("saltern/scan/service", "ctl1", {"service": "glance", "status": "ok", "reason": ""})
    ]


# -- members -------------------------------------------------------------------------------------


def test_a_database_outside_of_the_primary_component_is_a_missing_member(fleet: Fleet) -> None:
    """Not a service to be restarted: it may just be receiving a copy of the data."""
    fleet.health("ctl3", "galera", "down", "not synced (Joining)")
    value = galera(healthy=False, reasons=["not synced (Joining)"])
    fleet.say("galera.status", "ctl3", value)
    assert fleet.found() == [missing("ctl3", "galera", "not synced (Joining)")]


def test_a_database_that_does_not_run_is_an_ordinary_fault(fleet: Fleet) -> None:
    fleet.health("ctl3", "galera", "down", "mariadb is failed")
    stopped = {"healthy": False, "reasons": ["MariaDB does not answer"], "warnings": []}
    fleet.say("galera.status", "ctl3", stopped)
    for node in ("ctl1", "ctl2"):
        fleet.say("galera.status", node, galera(size=2))
    assert fleet.found() == [down("ctl3", "galera", "mariadb is failed")]


def test_a_database_in_a_cluster_of_its_own(fleet: Fleet) -> None:
    for node in ("ctl1", "ctl2"):
        fleet.say("galera.status", node, galera(size=2))
    fleet.say("galera.status", "ctl3", galera(size=1, uuid="u2"))
    assert fleet.found() == [missing("ctl3", "galera", "in a cluster of its own with 1 members")]


def test_a_database_that_joins_while_they_are_asked_is_not_missing(fleet: Fleet) -> None:
    for node in ("ctl1", "ctl2"):
        fleet.say("galera.status", node, galera(size=2))
    assert fleet.found() == []


def test_a_broker_that_the_others_do_not_see(fleet: Fleet) -> None:
    for node in ("ctl1", "ctl2"):
        fleet.say("rabbitmq_cluster.membership", node, rabbit("ctl1", "ctl2"))
    fleet.say("rabbitmq_cluster.membership", "ctl3", rabbit("ctl3"))
    reason = "not in the cluster of rabbit@ctl1, rabbit@ctl2"
    assert fleet.found() == [missing("ctl3", "rabbitmq", reason)]


def test_brokers_on_a_node_that_is_gone_are_nobodys_finding(fleet: Fleet) -> None:
    for node in ("ctl1", "ctl2"):
        fleet.say("rabbitmq_cluster.membership", node, rabbit("ctl1", "ctl2"))
    for function in ("rabbitmq_cluster.membership", "openstack.health"):
        fleet.answers[function]["ctl3"] = SILENT
    assert fleet.found() == []


def test_an_ovn_database_apart_from_the_others(fleet: Fleet) -> None:
    fleet.say("ovn.status", "ctl2", {"nb": raft("c2", 1), "sb": raft()})
    fleet.say("ovn.status", "ctl3", {"nb": raft(), "sb": raft(status="left cluster", size=0)})
    assert fleet.found() == [
        missing("ctl2", "ovn-central", "nb: in a cluster of its own"),
        missing("ctl3", "ovn-central", "sb: left cluster"),
    ]


# -- balancers -----------------------------------------------------------------------------------


def test_a_healthy_copy_without_work_is_found_once(fleet: Fleet) -> None:
    for balancer in ("lb1", "lb2"):
        fleet.take_out(balancer, "keystone", "ctl2", "maint")
    fleet.take_out("lb2", "glance", "ctl1", "drain", hold="rolling", since=scanning.UNDER_WAY)
    assert fleet.found() == [
        backend("ctl2", "keystone", "lb1, lb2"),
        backend("ctl1", "glance", "lb2"),
    ]


@pytest.mark.parametrize(
    ("admin", "hold", "since", "found"),
    [
        ("maint", "", 5, True),  # it was never admitted
        ("maint", "", 86400, True),
        ("maint", "operator", 86400, False),
        ("drain", "operator", 86400, False),
        ("drain", "", 86400, False),  # a balancer that does not tell holds yet
        ("drain", "rolling", 0, False),  # under way
        ("drain", "rolling", 599, False),
        ("drain", "rolling", 600, True),  # left behind
        ("drain", "rolling", None, False),
        ("drain", "rolling", "600", False),
        ("drain", ["rolling"], 600, False),  # no hold of ours: a drain by hand
        ("ready", "", 5, False),
    ],
)
def test_who_keeps_a_healthy_copy_out_decides_whether_it_is_missing(
    fleet: Fleet, admin: str, hold: Any, since: Any, found: bool
) -> None:
    fleet.take_out("lb1", "keystone", "ctl2", admin, hold=hold, since=since)
    assert fleet.found() == ([backend("ctl2", "keystone", "lb1")] if found else [])


def test_what_was_taken_out_on_purpose_stays_out(fleet: Fleet) -> None:
    fleet.take_out("lb1", "keystone", "ctl2", "maint")
    assert fleet.found(out={("keystone", "ctl2")}) == []


@pytest.mark.parametrize("status", ["down", "degraded"])
def test_what_is_not_healthy_stays_out(fleet: Fleet, status: str) -> None:
    fleet.take_out("lb1", "keystone", "ctl2", "maint")
    fleet.health("ctl2", "keystone", status)
    assert "saltern/scan/backend" not in [tag for tag, _, _ in fleet.found()]


def test_a_balancer_that_does_not_know_the_server_cannot_admit_it(fleet: Fleet) -> None:
    fleet.say("haproxy.servers", "lb1", [])
    assert fleet.found() == []


# -- new nodes -----------------------------------------------------------------------------------


def test_a_node_of_the_model_that_answers_and_never_joined_is_new(fleet: Fleet) -> None:
    fleet.joined -= {"cmp1", "cmp2"}
    fleet.say("test.ping", "cmp2", True)
    fleet.say("test.ping", "stranger", True)
    fleet.say("test.ping", "ctl1", True)
    fleet.answers["test.ping"]["cmp1"] = SILENT
    assert fleet.found() == [("saltern/scan/new", "cmp2", {})]


def test_who_is_not_in_the_model_waits_for_a_person(lab: Cloud) -> None:
    assert scanning.pending(lab, {"ctl1", "zed", "alien"}) == ["alien", "zed"]


def test_every_shipped_example_has_its_questions() -> None:
    for name in support.EXAMPLES:
        cloud = support.cloud(name)
        everyone: Mapping[str, list[str]] = asked(cloud, set(cloud.nodes), set(cloud.nodes))
        assert everyone["openstack.health"] == cloud.nodes


def test_what_nobody_reports_the_end_of_ends_with_a_scan(fleet: Fleet) -> None:
    sick, member = Fault("", "sick", "controller"), Fault("ctl2", "member", "galera")
    dropped, service = Fault("ctl1", "overflow"), Fault("ctl1", "service", "glance")
    gone = Fault("cmp1", "gone")
    faults = [sick, member, dropped, service, gone, Fault("", "sick", "cloud")]

    def over() -> set[Fault]:
        return set(scanning.over(fleet.cloud, fleet.answers, fleet.joined, faults))

    assert over() == set(faults) - {service}
    fleet.health("ctl3", "memcached", "down")
    assert over() == {member, dropped, gone}
    fleet.health("ctl3", "memcached", "ok")
    fleet.say("galera.status", "ctl2", galera(cluster_status="non-Primary", healthy=False))
    assert over() == set(faults) - {service, member}
    fleet.answers["openstack.health"]["ctl1"] = SILENT
    assert over() == {gone}


def test_what_was_learnt_of_meanwhile_is_left_to_the_next_scan(fleet: Fleet) -> None:
    fleet.health("ctl1", "glance", "down", "inactive")
    open_ = Fault("ctl2", "service", "memcached")
    sick = Fault("", "sick", "controller")
    newer = {("ctl1", "glance"), ("ctl2", "memcached")}
    assert fleet.found(faults=[open_], newer=newer) == []
    assert fleet.found(faults=[open_], newer=set()) == [
        down("ctl1", "glance", "inactive"),
        ("saltern/scan/service", "ctl2", {"service": "memcached", "status": "ok", "reason": ""}),
    ]
    fleet.health("ctl1", "glance", "ok")

    def over(newer: scanning.Newer) -> dict[Fault, str]:
        return scanning.over(fleet.cloud, fleet.answers, fleet.joined, [sick], newer)

    assert not over(newer), "nobody knows whether all are well"
    assert set(over(())) == {sick}
