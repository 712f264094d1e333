"""What people are told: the plan, the overview, and why a deploy may not begin."""

from __future__ import annotations

import pytest
from fake_fleet import FakeFleet, fails
from saltern import fitness, plan, preflight, status
from saltern.cloud import Cloud
from saltern.fleet import Answer

CLOUD = Cloud(
    {
        "name": "t",
        "nodes": {
            "c1": {"roles": ["controller"], "addresses": {"management": "192.0.2.1"}},
            "c2": {"roles": ["controller"], "addresses": {"management": "192.0.2.2"}},
        },
    },
    {"api": {"roles": ["controller"], "units": {"api": ["/etc/api.conf"]}}},
)


def test_a_plan_names_what_a_changed_file_will_restart() -> None:
    ret = {
        "file_|-conf_|-/etc/api.conf_|-managed": {
            "__id__": "conf", "__sls__": "api", "name": "/etc/api.conf", "result": None,
            "changes": {"newfile": "x"},
        },
        "pkg_|-p_|-p_|-installed": {"name": "p", "result": True, "changes": {}},
    }  # fmt: skip
    nodes = FakeFleet(state__apply=lambda n, k: ret if n == "c1" else {})
    assert plan.plan(CLOUD, nodes) == {
        "nodes": {"c1": {"changes": ["api: conf"], "restarts": ["api"], "faults": []}},
        "unreachable": [],
    }


def test_a_plan_lists_restarts_left_over_and_nodes_that_are_away() -> None:
    def ping(node: str, kwargs: object) -> bool:
        if node == "c2":
            raise RuntimeError("did not answer")
        return True

    nodes = FakeFleet(
        test__ping=ping,
        state__apply=lambda n, k: {},
        unit__pending=lambda n, k: {"api": {"service": "api", "files": ["/etc/api.conf"]}},
    )
    assert plan.plan(CLOUD, nodes) == {
        "nodes": {"c1": {"changes": [], "restarts": ["api"], "faults": []}},
        "unreachable": ["c2"],
    }


def test_a_plan_survives_a_node_that_could_not_render() -> None:
    nodes = FakeFleet(state__apply=lambda n, k: ["no pillar"], unit__pending=fails("x"))
    assert plan.plan(CLOUD, nodes)["nodes"]["c1"]["faults"] == ["no pillar"]


def test_the_overview_shows_only_what_is_wrong() -> None:
    ok = {"status": "ok", "reason": ""}
    down = {"status": "down", "reason": "HTTP 503"}
    seen = status.summary(
        CLOUD, {"c1": Answer(True, {"api": ok}), "c2": Answer(True, {"api": down, "db": ok})}
    )
    assert seen == {
        "cloud": "t: NOT ok",
        "nodes": {"c1 (controller)": "ok: 1 services", "c2 (controller)": {"api": "down: HTTP 503"}},
    }
    away = status.summary(CLOUD, dict.fromkeys(("c1", "c2"), Answer(False, "did not answer")))
    assert away["nodes"] == dict.fromkeys(
        ("c1 (controller)", "c2 (controller)"), "down: did not answer"
    )


def test_a_silent_node_is_named_before_anything_is_tried() -> None:
    nodes = FakeFleet(test__ping=fails("did not answer"))
    found = fitness.examine(CLOUD, nodes, 0.0)
    assert found[0] == "c1: no answer (is it up, and its key accepted?): did not answer"
    assert nodes.functions() == ["test.ping"]


def test_every_node_is_checked_with_our_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "verdict", lambda cloud, facts: sorted(facts))
    nodes = FakeFleet(
        saltutil__sync_all=lambda n, k: {},
        saltutil__refresh_pillar=lambda n, k: True,
        preflight__check=lambda n, k: {"now": k["now"]},
    )
    assert fitness.examine(CLOUD, nodes, 1.5) == ["c1", "c2"]
    nodes.handlers["preflight.check"] = fails("no such function")
    assert "no such function" in fitness.examine(CLOUD, nodes, 1.5)[0]
    nodes.handlers["saltutil.sync_all"] = fails("disk full")
    assert "disk full" in fitness.examine(CLOUD, nodes, 1.5)[0]
