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
        "summary": "1 nodes would change, 1 units restart",
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
        "summary": "1 nodes would change, 1 units restart; no answer from c2",
        "nodes": {"c1": {"changes": [], "restarts": ["api"], "faults": []}},
        "unreachable": ["c2"],
    }


def test_a_plan_with_nothing_to_do_says_so() -> None:
    nodes = FakeFleet(state__apply=lambda n, k: {}, unit__pending=lambda n, k: {})
    assert plan.plan(CLOUD, nodes)["summary"] == "nothing to do"


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
        "nodes": {
            "c1 (controller)": "ok: 1 services",
            "c2 (controller)": {"api": "down: HTTP 503"},
        },
    }
    away = status.summary(CLOUD, dict.fromkeys(("c1", "c2"), Answer(False, "did not answer")))
    assert away["nodes"] == dict.fromkeys(
        ("c1 (controller)", "c2 (controller)"), "down: did not answer"
    )


NOW = fitness.Expected(now=1.5, stamp="new", digests={"c1": "d1", "c2": "d2"})


def a_fleet(stamps: dict[str, str], digests: dict[str, str], known: bool = True) -> FakeFleet:
    """Nodes with code of ``stamps`` and a pillar of ``digests``; a sync brings today's."""

    def sync(node: str, kwargs: object) -> dict[str, object]:
        stamps[node] = "new"
        return {}

    def refresh(node: str, kwargs: object) -> bool:
        digests[node] = f"d{node[1]}"
        return True

    return FakeFleet(
        saltutil__list_extmods=lambda n, k: {"modules": ["preflight"] if known else []},
        saltutil__sync_all=sync,
        saltutil__refresh_pillar=refresh,
        healing__arm=lambda n, k: "running",
        preflight__check=lambda n, k: {"now": k["now"], "stamp": stamps[n], "digest": digests[n]},
    )


@pytest.fixture(autouse=True)
def judged(monkeypatch: pytest.MonkeyPatch) -> None:
    """A verdict that tells whom it judged."""
    monkeypatch.setattr(preflight, "verdict", lambda cloud, facts, stamp: sorted(facts))


def test_a_silent_node_is_named_before_anything_is_tried() -> None:
    nodes = FakeFleet(saltutil__list_extmods=fails("did not answer"))
    found = fitness.examine(CLOUD, nodes, NOW)
    assert found[0] == "c1: no answer (is it up, and its key accepted?): did not answer"
    assert nodes.functions() == ["saltutil.list_extmods"]


def test_nodes_that_are_up_to_date_are_only_checked() -> None:
    nodes = a_fleet({"c1": "new", "c2": "new"}, {"c1": "d1", "c2": "d2"})
    assert fitness.examine(CLOUD, nodes, NOW) == ["c1", "c2"]
    assert nodes.functions() == ["saltutil.list_extmods", "preflight.check"]


def test_code_and_pillar_go_to_nodes_where_they_differ() -> None:
    nodes = a_fleet({"c1": "new", "c2": "old"}, {"c1": "d1", "c2": "d2"})
    assert fitness.examine(CLOUD, nodes, NOW) == ["c1", "c2"]
    synced = [members for function, members, _ in nodes.asked if function == "saltutil.sync_all"]
    assert synced == [("c2",)]


def test_a_bare_node_gets_our_code_before_it_is_asked() -> None:
    nodes = a_fleet({}, {}, known=False)
    assert fitness.examine(CLOUD, nodes, NOW) == ["c1", "c2"]
    assert nodes.functions() == [
        "saltutil.list_extmods", "saltutil.sync_all", "saltutil.refresh_pillar", "healing.arm",
        "preflight.check",
    ]  # fmt: skip


def test_a_minion_that_starts_anew_for_its_watch_is_waited_for() -> None:
    nodes = a_fleet({}, {}, known=False)
    looks = iter(["starting", "gone", "running"])

    def watching(node: str, kwargs: object) -> str:
        if (said := next(looks)) == "gone":
            raise RuntimeError("did not answer")
        return said

    nodes.handlers["healing.arm"] = lambda n, k: "starting" if n == "c1" else "running"
    nodes.handlers["healing.watching"] = watching
    assert fitness.examine(CLOUD, nodes, NOW) == ["c1", "c2"]
    asked = [who for function, who, _ in nodes.asked if function == "healing.watching"]
    assert asked == [("c1",)] * 3
    assert nodes.functions()[-1] == "preflight.check"


def test_a_watch_that_does_not_start_holds_up_no_deploy() -> None:
    nodes = a_fleet({}, {}, known=False)
    nodes.handlers["healing.arm"] = lambda n, k: "starting"
    nodes.handlers["healing.watching"] = fails("did not answer")
    assert fitness.examine(CLOUD, nodes, NOW) == ["c1", "c2"]


def test_a_master_that_runs_older_code_is_told() -> None:
    nodes = a_fleet({"c1": "new", "c2": "new"}, {"c1": "d1", "c2": "other"})
    nodes.handlers["saltutil.refresh_pillar"] = lambda n, k: True
    assert "systemctl restart salt-master" in fitness.examine(CLOUD, nodes, NOW)[0]


def test_a_node_that_cannot_be_synced_or_checked_is_told() -> None:
    nodes = a_fleet({"c1": "old", "c2": "new"}, {"c1": "d1", "c2": "d2"})
    nodes.handlers["preflight.check"] = fails("no such function")
    assert "no such function" in fitness.examine(CLOUD, nodes, NOW)[0]
    nodes.handlers["saltutil.sync_all"] = fails("disk full")
    assert "disk full" in fitness.examine(CLOUD, nodes, NOW)[0]
