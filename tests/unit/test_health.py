"""One verdict per service out of what units and probes say."""

from __future__ import annotations

from typing import Any

import pytest
from saltern import health
from saltern.health import Degraded

NOW = 1000.0


def unit(**changes: Any) -> dict[str, Any]:
    up = {"up": True, "summary": "active (running)", "restarts": 0, "started": 900.0}
    return {**up, **changes}


def test_a_probe_s_reason_says_how_bad_it_is() -> None:
    assert health.of_reason(None) == ("ok", "")
    assert health.of_reason("gone") == ("down", "gone")
    assert health.of_reason(Degraded("2 of 3")) == ("degraded", "2 of 3")


def test_every_unit_must_run() -> None:
    assert health.of_units({}, NOW) == ("ok", "")
    assert health.of_units({"a": unit(), "b": unit()}, NOW) == ("ok", "")
    stopped = unit(up=False, summary="failed (failed), exit-code")
    assert health.of_units({"a": unit(), "b": stopped}, NOW) == (
        "down",
        "b is failed (failed), exit-code",
    )


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"restarts": 2, "started": 995.0}, "degraded"),
        ({"restarts": 2, "started": 900.0}, "ok"),  # long ago
        ({"restarts": 1, "started": 995.0}, "ok"),  # healed once: that is what systemd is for
        ({"restarts": 2, "started": None}, "ok"),
    ],
)
def test_a_crash_loop_is_not_ok(changes: dict[str, Any], status: str) -> None:
    assert health.of_units({"a": unit(**changes)}, NOW)[0] == status


def test_the_worst_status_wins_and_every_reason_is_kept() -> None:
    assert health.worst([("ok", ""), ("ok", "")]) == ("ok", "")
    assert health.worst([("ok", ""), ("degraded", "a")]) == ("degraded", "a")
    assert health.worst([("degraded", "a"), ("down", "b")]) == ("down", "a; b")


def test_a_service_user_is_found_wherever_a_project_keeps_it() -> None:
    user = {"auth_url": "http://10.0.0.1:5000", "username": "glance", "password": "x"}
    values = {"galera": {"password": "y"}, "glance": {"sections": {"keystone_authtoken": user}}}
    assert health.credentials(values) == user
    assert health.credentials({"galera": {"size": 3}}) is None
    body = health.token_request({**user, "user_domain_name": "Other"})["auth"]
    assert body["identity"]["password"]["user"]["domain"] == {"name": "Other"}
    assert body["scope"]["project"] == {"name": "service", "domain": {"name": "Default"}}


def test_galera_s_own_verdict_is_taken() -> None:
    status: dict[str, Any] = {"healthy": True, "reasons": [], "warnings": []}
    assert health.of_galera(status) == ("ok", "")
    assert health.of_galera({**status, "warnings": ["2 of 3"]}) == ("degraded", "2 of 3")
    assert health.of_galera({"healthy": False, "reasons": ["non-Primary"], "warnings": []}) == (
        "down",
        "non-Primary",
    )


@pytest.mark.parametrize(
    ("changed", "status"),
    [({}, "degraded"), ({"state": 1}, "down"), ({"ready": False}, "down"),
     ({"cluster_status": "non-Primary"}, "down")],
)  # fmt: skip
def test_a_donor_is_not_down_though_it_takes_no_requests(
    changed: dict[str, Any], status: str
) -> None:
    said = {"cluster_status": "Primary", "ready": True, "state": 2, **changed}
    found = {"healthy": False, "reasons": ["not synced"], "warnings": [], **said}
    assert health.of_galera(found) == (status, "not synced")


def test_only_admitted_servers_say_something_about_the_balancer() -> None:
    def server(admin: str, status: str) -> dict[str, str]:
        return {"backend": "keystone", "server": "ctl1", "admin": admin, "status": status}

    assert health.of_haproxy([server("ready", "UP"), server("maint", "MAINT")]) == ("ok", "")
    assert health.of_haproxy([server("drain", "DOWN")]) == ("ok", "")
    assert health.of_haproxy([server("ready", "DOWN 1/2")]) == (
        "degraded",
        "keystone/ctl1 is DOWN 1/2",
    )


def test_vrrp_instances_are_master_or_backup() -> None:
    assert health.of_keepalived({"internal": "MASTER", "public": "BACKUP"}) == ("ok", "")
    assert health.of_keepalived({"internal": "FAULT"}) == ("down", "internal is FAULT")
    assert health.of_keepalived({}) == ("down", "no VRRP instance")
