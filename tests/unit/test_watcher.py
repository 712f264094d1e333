"""The watch of a node, over a bus with a systemd, probes that answer as told, and a master."""

from __future__ import annotations

import json
import pathlib
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

import pytest
import salt._logging
import saltern_healing
import saltern_pressure
import saltern_processes
import saltern_systemd
import saltern_watch_probes
import saltern_watcher
from fake_watched import TOLD, Node
from saltern.reactor import firstaid, watching
from saltern.reactor.outbox import digest


@pytest.fixture
def node(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Node]:
    salt._logging.shutdown_temp_handler()  # it keeps every message to print it at the end
    made = Node(tmp_path)
    for name, value in (
        *(("BEAT", 0.1), ("PROBE", 0.05), ("CHECK", 0.05), ("AID", 0.05), ("LOOK_AGAIN", 0.3)),
        *(("POLL", 0.1), ("RECONNECT", 0.3), ("BLIND", 0.2), ("STOPS", 0.05)),
    ):
        monkeypatch.setattr(saltern_watcher, name, value)
    monkeypatch.setattr(saltern_watch_probes, "ask", made.ask)
    monkeypatch.setattr(saltern_processes, "why_halted", lambda pids: made.halted(pids))
    monkeypatch.setattr(saltern_systemd, "show", made.show)
    monkeypatch.setattr(saltern_healing, "systemctl", made.systemctl)
    monkeypatch.setattr(saltern_healing, "LOCK", tmp_path / "heal.lock")
    monkeypatch.setattr(saltern_healing, "POLL", 0.01)
    monkeypatch.setattr(watching, "STARTING", 0.1)
    monkeypatch.setattr(firstaid, "AWAY", 0.3)
    monkeypatch.setattr(firstaid, "BACKOFF", (0.1, 0.2, 0.3))
    yield made
    made.systemd.close()


def stopped(node: Node, name: str = "keystone") -> Callable[[], Awaitable[None]]:
    return node.do(
        lambda: node.systemd.become(name, ActiveState="failed", SubState="failed", MainPID=0)
    )


def test_a_beat_says_that_all_is_well(node: Node) -> None:
    node.watch(node.until(lambda: len(node.master.beats()) >= 3))
    beat = node.master.beats()[0]
    assert (beat["bad"], beat["number"], beat["oldest"]) == ({}, 0, 1)
    assert time.time() - beat["at"] < 60
    assert node.master.reports() == []


def test_the_watch_knows_that_its_machine_is_starved(node: Node, starved: None) -> None:
    watcher = node.watch(node.until(node.master.beats))
    assert watcher.watch.slower == saltern_pressure.SLOWER


def test_what_happens_is_reported_with_numbers(node: Node) -> None:
    up: dict[str, Any] = {"ActiveState": "active", "SubState": "running", "MainPID": 5}
    watcher = node.watch(
        node.until(node.master.beats),
        stopped(node),
        node.until(lambda: node.master.told() == [("keystone", "down")]),
        node.do(lambda: node.systemd.become("keystone", **up)),
        node.until(lambda: node.master.told()[1:] == [("keystone", "ok")]),
    )
    first, second = node.master.reports()
    assert (first["number"], second["number"]) == (1, 2)
    assert first["epoch"] == second["epoch"] == watcher.store.epoch
    assert first["unit"] == "keystone.service"
    assert set(first) == {
        *("epoch", "number", "at", "service", "status", "unit", "reason", "restarts", "healed"),
    }
    assert not watcher.store.box.items


def test_a_probe_that_fails_twice_is_reported_and_in_the_beat(node: Node) -> None:
    node.watch(
        node.until(node.master.beats),
        node.do(lambda: node.reasons.update(http="answers 500")),
        node.until(lambda: node.master.told() == [("keystone", "hung")]),
        node.until(lambda: node.master.beats()[-1]["bad"] == {"keystone": "hung"}),
    )
    assert node.master.reports()[0]["reason"] == "answers 500"


def test_what_is_stopped_by_a_signal_is_reported_without_a_probe(node: Node) -> None:
    stopped: dict[str, str] = {}
    node.halted = lambda pids: next(map(stopped.get, pids), "") or ""
    node.watch(
        node.until(node.master.beats),
        node.do(lambda: stopped.update(mariadb="SIGSTOP")),
        node.until(lambda: node.master.told() == [("galera", "hung")]),
        node.do(stopped.clear),
        node.until(lambda: node.master.told()[1:] == [("galera", "ok")]),
    )


def test_what_is_not_acknowledged_is_sent_again_also_by_the_next_process(node: Node) -> None:
    node.master.acknowledges = False
    node.last_job = time.monotonic() + 1000  # jobs come in: it does not help itself
    node.watch(
        node.until(node.master.beats),
        stopped(node),
        node.until(lambda: node.master.beats()[-1]["number"] == 1),
    )
    assert node.master.beats()[-1]["oldest"] == 1
    node.master.events.clear()
    node.changed = ""
    watcher = node.watch(
        node.until(node.master.reports),
        node.do(lambda: setattr(node.master, "acknowledges", True)),
        stopped(node, "mariadb"),
        node.until(lambda: len(node.master.reports()) >= 2),
    )
    assert [body["number"] for body in node.master.reports()] == [1, 2]
    assert not watcher.store.box.items
    assert watcher.store.box.oldest == 3


def test_a_minion_that_takes_nothing_ends_nothing(node: Node) -> None:
    node.last_job = time.monotonic() + 1000
    node.master.deaf = True
    watcher = node.watch(node.pause(0.3), stopped(node), node.pause(0.8))
    assert [item.body["status"] for item in watcher.store.box.items.values()] == ["down"]


def test_a_fresh_node_waits_for_its_share(node: Node) -> None:
    text = node.share.read_text()
    node.share.unlink()
    node.watch(
        node.pause(0.4),
        node.do(lambda: None if node.master.events else node.share.write_text("no share")),
        node.pause(0.2),
        node.do(lambda: None if node.master.events else node.share.write_text(text)),
        node.until(node.master.beats),
    )


def test_the_share_may_change_while_it_runs(node: Node) -> None:
    node.systemd.add("glance-api", ActiveState="failed", SubState="failed")
    more = {
        "units": {**TOLD["units"], "glance-api": {"service": "glance"}},
        "probes": {**TOLD["probes"], "glance": {"kind": "unit"}},
    }
    node.watch(
        node.until(node.master.beats),
        node.do(lambda: node.share.write_text(json.dumps(more))),
        node.until(lambda: node.master.beats()[-1]["bad"] == {"glance": "down"}),
    )
    assert node.master.reports() == []  # it never worked here


@pytest.mark.parametrize("end", ["begin_anew", "hang_up"])
def test_a_bus_that_goes_away_is_found_again(node: Node, end: str) -> None:
    node.watch(
        node.until(node.master.beats),
        node.do(getattr(node.systemd, end)),
        node.pause(0.5),
        stopped(node),
        node.until(lambda: node.master.told() == [("keystone", "down")]),
    )


def test_without_d_bus_systemctl_is_asked(
    node: Node, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(saltern_systemd, "jeepney", None)
    node.watch(
        node.until(node.master.beats),
        stopped(node),
        node.until(lambda: node.master.told() == [("keystone", "down")]),
        node.pause(0.7),
    )
    said = [record for record in caplog.records if "jeepney is not installed" in record.message]
    assert len(said) == 1


def test_with_neither_it_beats_all_the_same(
    node: Node, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def gone(names: list[str]) -> None:
        raise saltern_systemd.Gone("systemctl does not answer")

    monkeypatch.setattr(saltern_systemd, "show", gone)
    node.systemd.close()
    node.systemd.path.unlink()
    node.watch(node.until(node.master.beats))
    assert "systemctl does not answer" in caplog.text


def test_while_the_master_is_away_the_node_helps_itself(node: Node) -> None:
    node.master.acknowledges = False
    node.watch(
        node.until(node.master.beats),
        stopped(node),
        node.until(lambda: node.healed == [("start", "keystone")]),
        node.until(lambda: ("keystone", "ok") in node.master.told()),
    )
    assert [body["healed"] for body in node.master.reports() if body["status"] == "ok"] == [True]


def test_while_the_master_acknowledges_the_node_leaves_it_to_him(node: Node) -> None:
    node.watch(node.until(node.master.beats), stopped(node), node.pause(1.0))
    assert node.master.told() == [("keystone", "down")]
    assert node.healed == []


def test_a_master_that_sends_jobs_is_not_away(node: Node) -> None:
    node.master.acknowledges = False
    node.last_job = time.monotonic() + 1000
    node.watch(node.until(node.master.beats), stopped(node), node.pause(1.0))
    assert node.healed == []


def test_a_master_that_acknowledges_less_is_not_away_either(node: Node) -> None:
    """It waits for a number that it misses: it listens all the same."""
    node.master.acknowledges = False

    def answer() -> None:
        assert node.master.watcher
        word = {digest(node.master.watcher.store.epoch): 0}
        node.master.watcher.received("saltern/acked", {"ctl1": word})

    node.watch(
        node.until(node.master.beats),
        stopped(node),
        node.until(node.master.reports),
        node.do(answer),
        node.pause(1.0),
    )
    assert node.healed == []


def test_what_does_not_help_is_tried_three_times(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    node.master.acknowledges = False
    tried: list[str] = []

    def refuses(verb: str, names: list[str]) -> None:
        tried.append(verb)
        raise saltern_healing.Refused("Access denied")

    monkeypatch.setattr(saltern_healing, "systemctl", refuses)
    watcher = node.watch(
        node.until(node.master.beats),
        stopped(node),
        node.until(lambda: len(tried) == 3),
        node.pause(1.0),
    )
    assert len(tried) == 3
    assert watcher.watch.bad() == {"keystone": "down"}


def test_other_events_are_not_for_it(node: Node) -> None:
    watcher = node.watch(node.until(node.master.beats))
    for tag, data in (
        ("salt/auth", {"ctl1": {digest(watcher.store.epoch): 1}}),
        ("saltern/acked", {"ctl2": {digest(watcher.store.epoch): 1}}),
        ("saltern/acked", {"ctl1": {watcher.store.epoch: 1}}),
        ("saltern/acked", {"ctl1": "nonsense"}),
        ("saltern/acked", {}),
    ):
        watcher.received(tag, data)
    assert watcher._heard == 0.0


def test_long_forgotten_restarts_are_forgiven(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    forgiven: list[list[str]] = []
    monkeypatch.setattr(saltern_healing, "forgive", forgiven.append)
    node.systemd.units["keystone.service"]["NRestarts"] = 4
    node.systemd.units["keystone.service"]["ActiveEnterTimestampMonotonic"] = 0
    monkeypatch.setattr(watching, "FORGIVEN", -time.monotonic())
    node.watch(node.until(lambda: forgiven))
    assert forgiven[0] == ["keystone"]


def test_what_stumbles_beside_the_loop_is_told(
    node: Node, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(spec: Mapping[str, Any]) -> str | None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(saltern_watch_probes, "ask", broken)
    node.watch(node.until(node.master.beats))
    assert "the watch stumbled" in caplog.text
