"""Asking about silent nodes: what is asked of whom, and that nobody waits for it."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from fake_fleet import FakeFleet, fails
from fake_reactor import until
from saltern.cloud import Cloud
from saltern.fleet import NO_ANSWER
from saltern.reactor import presence
from saltern.reactor.presence import BACK, GONE
from saltern_presence import Watch

PATIENCE = 10  # seconds


class Site:
    """Nodes that answer a fleet; ``off`` have no power, ``frozen`` no minion that answers."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.off: set[str] = set()
        self.frozen: set[str] = set()
        self.busy = False  # a deploy is under way
        self.reached: Any = None  # what neighbours say instead of the truth
        self.fleet = FakeFleet(healing__outbox=self.outbox, neighbours__reach=self.reach)
        self.named: dict[str, str] = {}  # what nodes said of their outboxes
        self.watch = Watch(self.fleet, self.named.update)
        self.beats: dict[str, float] = {}
        self.now = 0.0

    def outbox(self, node: str, kwargs: Mapping[str, Any]) -> Any:
        return fails(NO_ANSWER)(node, kwargs) if node in self.off | self.frozen else f"of {node}"

    def reach(self, node: str, kwargs: Mapping[str, Any]) -> Any:
        away = {self.cloud.address(gone) for gone in self.off}
        return self.reached or {address: address not in away for address in kwargs["addresses"]}

    def run(self, seconds: int) -> list[tuple[str, str, str]]:
        """What is found in so many seconds, answers coming between two of them."""
        found = []
        for _ in range(seconds):
            self.now += 1
            here = set(self.cloud.nodes) - self.off - self.frozen
            self.beats.update(dict.fromkeys(here, self.now))
            found += self.watch.turn(
                self.cloud, self.cloud.nodes, self.beats, self.now, busy=self.busy
            )
            for _, pinged, reached in self.watch._asked:
                pinged.exception(PATIENCE), reached.exception(PATIENCE)
        return [(tag, node, body.get("verdict", "")) for tag, node, body in found]


@pytest.fixture
def site(lab: Cloud) -> Iterator[Site]:
    made = Site(lab)
    assert made.run(20) == []
    assert made.fleet.asked == []
    yield made
    made.watch.close()


def test_gone_silent_and_back(site: Site) -> None:
    site.off.add("cmp1")
    site.frozen.add("ctl1")
    assert sorted(site.run(15)) == [(GONE, "cmp1", "gone"), (GONE, "ctl1", "silent")]
    assert site.watch.states()["cmp1"] == "gone"
    assert site.watch.answering(site.now)["cmp1"] is False
    site.off.clear()
    site.frozen.clear()
    assert sorted(site.run(3)) == [(BACK, "cmp1", ""), (BACK, "ctl1", "")]


def test_a_minion_that_a_deploy_restarts_is_no_news(site: Site) -> None:
    site.busy = True
    site.frozen.add("ctl1")
    assert site.run(60) == []
    site.busy = False
    assert site.run(40) == [(GONE, "ctl1", "silent")]


def test_all_that_fell_silent_together_are_two_calls(site: Site) -> None:
    site.off |= {"cmp1", "ctl1"}
    site.run(12)
    asked = {function: (nodes, kwargs) for function, nodes, kwargs in site.fleet.asked}
    assert len(site.fleet.asked) == 2
    assert set(asked["healing.outbox"][0]) == site.off
    nodes, kwargs = asked["neighbours.reach"]
    assert not set(nodes) & site.off
    assert kwargs["addresses"] == sorted(site.cloud.address(node) for node in site.off)


@pytest.mark.parametrize("said", [["10.77.0.21"], "yes", 7])
def test_a_neighbour_that_talks_nonsense_is_no_witness(site: Site, said: Any) -> None:
    site.off.add("cmp1")
    site.reached = said
    assert site.run(30) == [(GONE, "cmp1", "silent")]


def test_a_master_that_hears_nobody_asks_no_neighbours(site: Site) -> None:
    site.off |= set(site.cloud.nodes)
    assert site.run(30) == [(GONE, "", "cut off")]
    assert site.fleet.functions()[0] == "healing.outbox"
    assert "neighbours.reach" not in site.fleet.functions()


def test_a_failure_of_ours_is_no_evidence(
    site: Site, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: Any, **kwargs: Any) -> Any:
        raise OSError("the master's socket is gone")

    monkeypatch.setattr(site.fleet, "call", broken)
    site.off.add("cmp1")
    assert site.run(30) == []
    assert "asking about cmp1: the master's socket is gone" in caplog.text
    monkeypatch.undo()
    assert site.run(10) == [(GONE, "cmp1", "gone")]


def test_nobody_waits_for_an_answer(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = threading.Event()
    real = site.fleet.call

    def slow(*args: Any, **kwargs: Any) -> Any:
        assert answer.wait(PATIENCE)
        return real(*args, **kwargs)

    monkeypatch.setattr(site.fleet, "call", slow)
    site.off.add("cmp1")
    here = set(site.cloud.nodes) - site.off
    for _ in range(40):
        site.now += 1
        site.beats.update(dict.fromkeys(here, site.now))
        assert site.watch.turn(site.cloud, site.cloud.nodes, site.beats, site.now) == []
    assert len(site.watch._asked) == 1, "one that is being asked for is not asked for again"
    answer.set()
    assert site.run(2) == [(GONE, "cmp1", "gone")]
    assert site.now > presence.SILENT


def settle(site: Site, unproven: list[str]) -> None:
    """One look; everybody beats."""
    site.now += 1
    site.beats.update(dict.fromkeys(site.cloud.nodes, site.now))
    site.watch.turn(site.cloud, site.cloud.nodes, site.beats, site.now, unproven)


def test_who_has_not_named_its_outbox_is_asked_now_and_then(site: Site) -> None:
    settle(site, ["cmp1", "cmp2"])
    until(lambda: site.named == {"cmp1": "of cmp1", "cmp2": "of cmp2"})
    assert site.fleet.asked == [("healing.outbox", ("cmp1", "cmp2"), {})]
    for _ in range(12):
        settle(site, ["cmp2"])
    until(lambda: len(site.fleet.asked) == 2)
    assert site.fleet.asked[1][1] == ("cmp2",)


def test_who_does_not_name_its_outbox_is_asked_less_and_less(site: Site) -> None:
    """It may be too busy to: its jobs must not pile up."""
    nameless = site.watch._nameless
    assert [at for at in range(160) if nameless(["cmp2"], float(at))] == [0, 10, 30, 70, 150]
    assert nameless([], 160.0) == [], "it has named it"
    assert nameless(["cmp2"], 161.0) == ["cmp2"], "its outbox is another one now"


def test_who_is_asked_whether_it_is_there_names_its_outbox_too(site: Site) -> None:
    site.now += 10  # nobody's beats count any more: their outboxes are new ones
    site.watch.turn(site.cloud, site.cloud.nodes, site.beats, site.now)
    until(lambda: site.named.keys() == set(site.cloud.nodes))


def test_a_node_with_older_code_answers(site: Site) -> None:
    site.fleet.handlers["healing.outbox"] = fails("'healing.outbox' is not available.")
    assert site.watch._ping(["cmp1"]) == {"cmp1"}
    site.fleet.handlers["healing.outbox"] = lambda node, kwargs: None
    assert site.watch._ping(["cmp1"]) == {"cmp1"}
    site.off.add("cmp1")
    site.fleet.handlers["healing.outbox"] = site.outbox
    assert site.watch._ping(["cmp1"]) == frozenset()
    assert site.named == {}
