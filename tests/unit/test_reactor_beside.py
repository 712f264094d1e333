"""What goes on beside the loop: acknowledgements, scans, presence, the canary; what is known."""

from __future__ import annotations

import os
import pathlib
import time
from collections.abc import Mapping
from typing import Any

import pytest
import saltern_reactor_threads as threads
from fake_fleet import FakeFleet, fails
from fake_reactor import NODES, Bench, cloud, rules, until
from saltern import lock
from saltern.fleet import Answer
from saltern.reactor import scanning
from saltern.reactor.outbox import digest
from saltern.reactor.terms import Report
from saltern_journal_outboxes import Beat
from saltern_reactor_threads import Acks, Canary, Listener, Past, Reports, Scanner, Ticker


@pytest.fixture
def bench(tmp_path: pathlib.Path) -> Bench:
    return Bench(tmp_path)


# -- the world ---------------------------------------------------------------------------------


def test_the_newest_word_on_a_service_is_known(bench: Bench) -> None:
    at = bench.clock.now
    bench.journal.beat({"ctl1": Beat(at, 1.0, {"web": "hung"})})
    known = bench.observed().services
    assert {name: s.status for name, s in known["ctl1"].items()} == {
        "api": "ok",
        "web": "down",
        "db": "ok",
    }
    assert known["ctl1"]["web"].reason == "hung"
    assert "ctl2" not in known, "nobody has heard of it"
    body = {"service": "api", "status": "looping", "reason": "7 times"}
    bench.world.reported(Report(1, at + 1, "t", "ctl1", "node", "failed", body))
    status = bench.observed().services["ctl1"]["api"]
    assert (status.status, status.reason) == ("down", "looping: 7 times")
    bench.journal.beat({"ctl1": Beat(at + 2, 2.0, {})})
    assert bench.observed().services["ctl1"]["api"].status == "ok"
    bench.clock.now = at + 3
    bench.world.answered(
        {
            "ctl1": Answer(True, {"api": {"status": "degraded", "reason": "slow"}, "web": 7}),
            "ctl2": Answer(False, "no answer"),
        },
        at + 2.5,
        ["api"],
    )
    status = bench.observed().services["ctl1"]["api"]
    assert (status.status, status.reason, status.at) == ("degraded", "slow", at + 2.5)
    assert bench.world.asked_since("ctl2", "api", at), "it was asked, and is silent"
    assert not bench.world.asked_since("ctl1", "web", at)


def test_what_a_node_reports_while_it_is_asked_is_newer_than_its_answer(bench: Bench) -> None:
    asked = bench.clock.now
    body = {"service": "api", "status": "down", "reason": "inactive"}
    bench.world.reported(Report(1, asked + 1, "t", "ctl1", "node", "failed", body))
    said = {"api": {"status": "ok"}, "web": {"status": "ok"}}
    bench.clock.now = asked + 2
    bench.world.answered({"ctl1": Answer(True, said)}, asked)
    assert bench.observed().services["ctl1"]["api"].status == "down"
    assert bench.world.learnt_since(asked) == {("ctl1", "api")}
    bench.world.answered({"ctl1": Answer(True, said)}, asked + 2)
    assert bench.observed().services["ctl1"]["api"].status == "ok"


def test_a_node_that_is_not_in_the_model_is_not_remembered(bench: Bench) -> None:
    bench.world.reported(
        Report(1, 1.0, "t", "ghost", "node", "failed", {"service": "api", "status": "down"})
    )
    assert "ghost" not in bench.observed().services


def test_services_that_a_node_makes_up_are_not_remembered(bench: Bench) -> None:
    for number in range(50):
        body = {"service": f"made-up-{number}", "status": "down"}
        bench.world.reported(Report(number, 1.0, "t", "ctl1", "node", "failed", body))
    bench.world.answered({"ctl1": Answer(True, {"noise": {"status": "ok"}})}, 1.0)
    assert "ctl1" not in bench.observed().services
    assert not bench.world._seen["ctl1"], "nor kept with every decision"


def test_a_node_whose_key_is_gone_has_to_join_anew(bench: Bench) -> None:
    (bench.pki / "minions/ctl1").unlink()
    os.utime(bench.pki / "minions", ns=(1, 1))
    report = Report(0, 0.0, "t", "ctl1", "node", "failed", {})
    bench.journal.add([(report, "ab", 1)])
    bench.world.forget_strangers()
    assert bench.observed().joined == frozenset(NODES) - {"ctl1"}
    assert not bench.journal.acks(), "who comes by its name has an outbox of its own"
    for path in (bench.pki / "minions").iterdir():
        path.unlink()
    os.utime(bench.pki / "minions", ns=(2, 2))
    bench.world.forget_strangers()
    assert bench.observed().joined, "no key at all: it is the folder that is not there"


def test_who_has_joined_follows_the_file(bench: Bench) -> None:
    assert bench.observed().joined == frozenset(NODES)
    bench.join("ctl1")
    assert bench.observed().joined == {"ctl1"}
    (bench.home / "joined.json").unlink()
    assert bench.observed().joined == frozenset()


def test_a_sign_of_life_counts_for_a_while_and_presence_for_more(bench: Bench) -> None:
    bench.world.present({"ctl1": True, "ctl2": False})
    bench.world.heard("cmp9")
    bench.world.heard("ctl2")
    assert bench.world.answering() == {"ctl1": True, "ctl2": False, "cmp9": True}
    bench.clock.now += 301
    assert bench.world.answering() == {"ctl1": True, "ctl2": False}


# -- acknowledgements --------------------------------------------------------------------------


class FakeClient:
    def __init__(self) -> None:
        self.jobs: list[tuple[Any, str, dict[str, Any]]] = []
        self.broken = False

    def run_job(self, tgt: Any, fun: str, **how: Any) -> Any:
        if self.broken:
            raise OSError("the master is away")
        self.jobs.append((tgt, fun, how))
        return {"jid": "1"}


def test_nodes_are_told_in_one_job_and_only_when_there_is_something(bench: Bench) -> None:
    client = FakeClient()
    acks = Acks(bench.journal, lambda: client)
    acks.tick()
    for node, number in (("ctl2", 1), ("ctl1", 1), ("ctl1", 2)):
        report = Report(0, 0.0, "t", node, "node", "failed", {})
        bench.journal.add([(report, "ab", number)])
    acks.tick()
    acks.tick()
    [(nodes, function, how)] = client.jobs
    assert (nodes, function, how["tgt_type"]) == (["ctl1", "ctl2"], "event.fire", "list")
    told = {"ctl1": {digest("ab"): 2}, "ctl2": {digest("ab"): 1}}
    assert how["arg"] == [told, "saltern/acked"]


def test_no_node_is_told_the_epoch_of_another(bench: Bench) -> None:
    client = FakeClient()
    secrets = {node: f"{number:032x}" for number, node in enumerate(NODES, 1)}
    for node, epoch in secrets.items():
        bench.journal.add([(Report(0, 0.0, "t", node, "node", "failed", {}), epoch, 1)])
    Acks(bench.journal, lambda: client).tick()
    assert not [epoch for epoch in secrets.values() if epoch in str(client.jobs)]


def test_what_could_not_be_told_is_told_later(bench: Bench) -> None:
    client = FakeClient()
    acks = Acks(bench.journal, lambda: client)
    bench.journal.add([(Report(0, 0.0, "t", "ctl1", "node", "failed", {}), "ab", 1)])
    client.broken = True
    with pytest.raises(OSError, match="away"):
        acks.tick()
    client.broken = False
    acks.tick()
    assert len(client.jobs) == 1


# -- scan and presence -------------------------------------------------------------------------


def reports(bench: Bench, woken: list[int]) -> Reports:
    keys = bench.world._keys
    return Reports(bench.journal, bench.rulebook, keys, lambda: woken.append(1))  # type: ignore[arg-type]


def scanner(bench: Bench, fleet: FakeFleet, woken: list[int]) -> Scanner:
    return Scanner(
        bench.journal,
        bench.rulebook,  # type: ignore[arg-type]
        bench.world,
        fleet,
        reports(bench, woken),
    )


def test_a_scan_asks_everybody_and_reports_what_it_finds(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, Any] = {}

    def findings(cloud: Any, answers: Any, joined: Any, **more: Any) -> list[Any]:
        seen.update(answers=answers, joined=joined, **more)
        return [("saltern/scan/none", "ctl1", {}), ("salt/key", "ctl1", {})]

    monkeypatch.setattr(scanning, "findings", findings)
    health = {"api": {"status": "down", "reason": "502"}}
    fleet = FakeFleet(openstack__health=lambda node, kwargs: health, test__ping=fails("no"))
    bench.join("ctl1", "ctl2")
    woken: list[int] = []
    one = scanner(bench, fleet, woken)
    assert one.tick() == 120.0
    assert {name for name, _, _ in fleet.asked} == {"openstack.health", "test.ping"}
    assert fleet.asked[0][1] == ("ctl1", "ctl2")
    assert set(seen["answers"]["test.ping"]) == {"ctl3", "cmp1", "cmp2"}
    assert bench.observed().services["ctl2"]["api"].status == "down"
    assert bench.journal.counters() == {"rejected": 1}, "the scan does not say salt/key"
    assert not woken


def test_a_scan_finds_its_reports_a_rule_and_keeps_off_an_operation(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    drift = {"tags": ["saltern/scan/service"], "source": "scan"}
    bench.rulebook.book = bench.rulebook.book._replace(rules=rules(failed=drift))
    body = {"service": "api", "status": "down"}
    monkeypatch.setattr(
        scanning, "findings", lambda *_, **__: [("saltern/scan/service", "ctl1", body)]
    )
    woken: list[int] = []
    one = scanner(bench, FakeFleet(openstack__health=lambda node, kwargs: {}), woken)
    monkeypatch.setattr(lock, "holder", lambda _: "orch.deploy")
    one.scan(cloud())
    assert not woken
    monkeypatch.setattr(lock, "holder", lambda _: "")
    one.scan(cloud())
    [report] = bench.journal.undecided(10)
    assert (report.source, report.body, woken) == ("scan", body, [1])


def test_what_the_reactor_took_out_stays_out(bench: Bench) -> None:
    fault = {"node": "ctl1", "kind": "service", "subject": "api"}
    decided = {"report": 1, "rule": "failed", "fault": fault, "operation": "isolate", "rung": 2}
    bench.journal.record("decision", **decided, verdict="act", reasons=[])
    began = bench.journal.record("began", **decided)
    bench.journal.record("ended", **decided, action=began, ok=True, detail="")
    past = Past(bench.journal)
    assert threads._out(past.now()) == {("api", "ctl1")}
    bench.journal.record("resolved", fault=fault, why="well again")
    assert threads._out(past.now()) == set()


def test_a_scan_does_not_answer_for_what_has_changed_since_it_asked(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, Any] = {}
    monkeypatch.setattr(scanning, "findings", lambda *_, **more: seen.update(more) or [])
    monkeypatch.setattr(scanning, "over", lambda *given: seen.update(over=given[4]) or {})
    fault = {"node": "ctl2", "kind": "service", "subject": "web"}
    decided = {"report": 1, "rule": "failed", "fault": fault, "operation": "restart", "rung": 0}
    bench.journal.record("decision", **decided, verdict="act", reasons=[])
    began = bench.journal.record("began", **decided)

    def health(node: str, _: object) -> dict[str, Any]:
        """Slowly: meanwhile a node reports, and an action on another ends."""
        if node == "ctl1":
            bench.clock.now += 1
            body = {"service": "api", "status": "down"}
            bench.world.reported(Report(2, bench.clock.now, "t", node, "node", "failed", body))
            bench.journal.record("ended", **decided, action=began, ok=False, detail="")
        return {"api": {"status": "ok"}, "web": {"status": "ok"}}

    scanner(bench, FakeFleet(openstack__health=health), []).scan(cloud())
    assert seen["newer"] == seen["over"] == {("ctl1", "api"), ("ctl2", "web")}
    scanner(bench, FakeFleet(openstack__health=lambda *_: {}), []).scan(cloud())
    assert seen["newer"] == set()


def listening(bench: Bench) -> Listener:
    return Listener(
        bench.journal,
        bench.rulebook,  # type: ignore[arg-type]
        bench.world,
        FakeFleet(),
        reports(bench, []),
    )


def test_who_falls_silent_is_known_to_the_decisions(bench: Bench) -> None:
    listener = listening(bench)
    now = time.monotonic()
    bench.journal.beat({node: Beat(time.time(), now, {}) for node in NODES})
    assert listener.tick() == 0.5
    assert bench.world.answering() == dict.fromkeys(NODES, True)


def test_who_works_on_the_cloud_is_known_to_presence(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    listener = listening(bench)
    told: list[bool] = []

    def turn(*_: Any, busy: bool) -> list[Any]:
        told.append(busy)
        return []

    monkeypatch.setattr(listener._watch, "turn", turn)
    listener.tick()
    monkeypatch.setattr(lock, "holder", lambda path: "orch.deploy")
    listener.tick()
    assert told == [False, True]


# -- the canary --------------------------------------------------------------------------------


class Skies:
    """A bus that brings every canary back through the loop, until it is cut."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.cut = False

    def fire(self, data: Mapping[str, Any], tag: str) -> None:
        assert tag == "saltern/canary"
        if not self.cut:
            one = Report(0, 0.0, tag, "", "master", "canary", dict(data))
            self.bench.journal.add([(one, None, None)])


def test_a_canary_that_does_not_come_back_is_told_once_and_its_return_too(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [time.monotonic()]
    monkeypatch.setattr(threads.time, "monotonic", lambda: now[0])  # type: ignore[attr-defined]
    skies = Skies(bench)
    canary = Canary(bench.journal, bench.lanes, skies.fire)

    def rounds(count: int) -> None:
        for _ in range(count):
            now[0] += canary.tick()
            bench.reactor.turn()

    rounds(20)
    assert canary.well
    assert not bench.records()
    skies.cut = True
    rounds(20)
    assert not canary.well
    [told] = bench.records("decision")
    assert (told["verdict"], told["severity"]) == ("human", "critical")
    assert "canary" in told["reasons"][0]
    skies.cut = False
    rounds(3)
    assert canary.well
    assert len(bench.records("resolved")) == 1


def test_an_executor_that_stands_still_is_told(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    canary = Canary(bench.journal, bench.lanes, Skies(bench).fire)
    monkeypatch.setattr(bench.lanes, "stuck", lambda: ["restart on ctl1: 9000 s and no end"])
    canary.tick()
    assert canary.why == "restart on ctl1: 9000 s and no end"
    assert len(bench.records("decision")) == 1


def test_a_thread_that_breaks_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "BROKEN", 0.01)
    calls: list[int] = []

    def tick() -> float:
        calls.append(1)
        if len(calls) == 1:
            raise ValueError
        return 1000

    ticker = Ticker("t", tick)
    ticker.start()
    until(lambda: len(calls) == 2)
    ticker.poke()
    until(lambda: len(calls) == 3)


def test_decisions_are_written_fast_enough(bench: Bench) -> None:
    """A storm of copies: the bus brings 1,500 in a second, so this must do more."""
    with bench.journal.batch():
        for _ in range(3000):
            bench.report("ctl1", "api")
    began = time.monotonic()
    while bench.reactor.turn() == 0.0:
        pass
    rate = 3000 / (time.monotonic() - began)
    print(f"{rate:.0f} decisions/s")  # shown by pytest -s
    assert rate > 300, "far below what any machine should do"
