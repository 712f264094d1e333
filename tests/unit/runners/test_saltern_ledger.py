"""saltern runner: what it says of the reactor, from a journal as the reactor writes it."""

from __future__ import annotations

import json
import pathlib
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from typing import Any

import pytest
import saltern_fleet
import saltern_ledger
import support
import yaml
from fake_fleet import FakeFleet
from saltern.reactor import decide, rules
from saltern.reactor.history import History
from saltern.reactor.terms import Observed, Rejected, Report, Status
from saltern_journal import Journal, path_of
from support import refused

runner = support.load_module("_runners", "saltern")

NOW = 1_800_000_000.0
DOWN = {"service": "keystone", "status": "down", "reason": "exited"}
TAG = "saltern/node/ctl1/service"


class Clock:
    now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(saltern_ledger, "Ledger", partial(saltern_ledger.Ledger, clock=made))
    monkeypatch.setattr(runner, "local_time", lambda at: f"@{at - NOW:.0f}")
    monkeypatch.setattr(saltern_ledger, "local_time", lambda at: f"@{at - NOW:.0f}")
    return made


@pytest.fixture
def root(tmp_path: pathlib.Path) -> pathlib.Path:
    for room in ("catalog", "schema", "reactor"):
        shutil.copytree(support.ROOT / room, tmp_path / room)
    (tmp_path / "pillar").mkdir()
    shutil.copy(support.ROOT / "examples/lab.yaml", tmp_path / "pillar/cloud.yaml")
    keys = tmp_path / "pki/minions"
    keys.mkdir(parents=True)
    for node in support.cloud("lab").nodes:
        (keys / node).touch()
    return tmp_path


@pytest.fixture
def opts(root: pathlib.Path) -> dict[str, Any]:
    return {
        "id": "salt_master", "conf_file": "master", "cachedir": str(root / "cache"),
        "ext_pillar": [{"saltern": {"root": str(root)}}], "pki_dir": str(root / "pki"),
    }  # fmt: skip


@pytest.fixture
def fleet(monkeypatch: pytest.MonkeyPatch) -> FakeFleet:
    fake = FakeFleet()
    monkeypatch.setattr(saltern_fleet, "SaltFleet", lambda conf_file: fake)
    return fake


@pytest.fixture
def configure_loader_modules(opts: dict[str, Any], fleet: FakeFleet) -> dict[Any, Any]:
    return {runner: {"__opts__": opts}}


@pytest.fixture
def journal(opts: dict[str, Any], clock: Clock) -> Iterator[Journal]:
    made = Journal(path_of(opts["cachedir"]), clock)
    yield made
    made.close()


def well(cloud: Any, at: float, ill: str) -> Observed:
    """Everybody has joined and is well, but for keystone on ``ill``."""
    services = {
        node: {service: Status("ok", "", at) for service in cloud.services_on(node)}
        for node in cloud.nodes
    }
    services[ill]["keystone"] = Status("down", "exited", at)
    return Observed(
        accepted=frozenset(cloud.nodes),
        answering=dict.fromkeys(cloud.nodes, True),
        services=services,
        joined=frozenset(cloud.nodes),
    )


class Reactor:
    """Decides as the real one does, and writes the same records; its operations are words."""

    def __init__(self, root: pathlib.Path, journal: Journal, clock: Clock) -> None:
        self.root, self.journal, self.clock = root, journal, clock
        self.cloud = support.cloud("lab")
        self.history = History()

    def note(self, kind: str, **fields: Any) -> int:
        number = self.journal.record(kind, **fields)
        [record] = [r for r in self.journal.records(number - 1) if r["id"] == number]
        self.history.apply(record)
        return number

    def report(self, node: str = "ctl1", **body: Any) -> Report:
        tag = f"saltern/node/{node}/service"
        made = Report(0, 0, tag, node, "node", "service-failed", {**DOWN, **body})
        self.journal.add([(made, None, None)])
        return self.journal.undecided(100)[-1]

    def decide(self, report: Report, ok: bool | None = None) -> str:
        texts = {p.stem: p.read_bytes() for p in (self.root / "reactor").glob("*.yaml")}
        rule = rules.read(texts)[0]["service-failed"]
        observed = well(self.cloud, self.clock.now, report.node)
        made = decide.decide(rule, report, self.cloud, observed, self.history, self.clock.now)
        kept = self.journal.keep_observed(observed)
        number = self.note("decision", **asdict(made))
        self.journal.decided(report.id, kept)
        if made.verdict == "wait":
            self.journal.again(report.id, made.again_at, kept)
        if made.verdict == "act":
            fields = {
                "rule": made.rule, "fault": asdict(made.fault), "operation": made.operation,
                "rung": made.rung,
            }  # fmt: skip
            action = self.note("began", **fields, decision=number, report=report.id, epoch=1)
            self.clock.now += 2
            if ok is not None:
                self.note("ended", **fields, action=action, ok=ok, detail="keystone: answers")
        return made.verdict


@pytest.fixture
def reactor(root: pathlib.Path, journal: Journal, clock: Clock) -> Reactor:
    return Reactor(root, journal, clock)


def test_validate_names_the_faults_of_rules_beside_those_of_the_model(root: pathlib.Path) -> None:
    assert "rules armed; no faults" in runner.validate()
    (root / "reactor/service-failed.yaml").write_text("summary: 1\n")
    model = root / "pillar/cloud.yaml"
    model.write_text(model.read_text() + "\nreactor: {rules: {node-newt: {mode: shadow}}}\n")
    assert refused(runner.validate(), r"reactor/service-failed.yaml: .*")
    strange = "reactor.rules.node-newt: there is no such rule; did you mean 'node-new'\\?"
    assert refused(runner.validate(), strange)
    model.write_text(model.read_text() + "nodez: 1\n")
    assert refused(runner.validate(), r"(?s)nodez.*reactor/service-failed.yaml")


@pytest.mark.parametrize(
    "question", [runner.history, runner.pending, runner.simulate, lambda: runner.explain("ctl1")]
)
def test_a_master_whose_reactor_never_ran(question: Any) -> None:
    assert refused(question(), "the reactor has never run on this master")


def test_history(reactor: Reactor, clock: Clock, opts: dict[str, Any]) -> None:
    assert runner.history() == "nothing was decided since 24h"
    report = reactor.report()
    assert reactor.decide(report, ok=True) == "act"
    assert reactor.decide(report) == "ignore"
    line = "@0 #1 keystone on ctl1: act restart, ok after 2.0 s keystone: answers"
    assert runner.history() == line
    assert "ignore" in runner.history(quiet=True).splitlines()[1]
    assert runner.history(node="ctl1", rule="service-failed", since="1h", limit=1) == line
    for other in ({"node": "ctl2"}, {"rule": "node-new"}, {"since": "2027-01-16"}):
        assert "nothing was decided" in runner.history(**other)
    clock.now += 3600
    assert "nothing was decided" in runner.history(since="30m")
    assert refused(runner.history(since="yesterday"), "'yesterday' is no time: write 30m")
    opts["output"] = "json"
    [entry] = json.loads(json.dumps(runner.history()))
    assert (entry["verdict"], entry["node"], entry["actions"][0]["ok"]) == ("act", "ctl1", True)
    assert entry["actions"][0]["ended"] == "@2"


def test_the_newest_are_shown_last(reactor: Reactor) -> None:
    for node in ("ctl1", "ctl2", "ctl3"):
        reactor.decide(reactor.report(node), ok=True)
    lines = runner.history(limit=2).splitlines()
    assert ["ctl2" in lines[0], "ctl3" in lines[1], len(lines)] == [True, True, 2]
    assert all(len(line) <= 120 for line in lines)


def test_explain_an_event(reactor: Reactor, opts: dict[str, Any]) -> None:
    report = reactor.report()
    reactor.decide(report, ok=False)
    text = runner.explain(report.id)
    assert text.splitlines()[0] == f"#1  {TAG}  from ctl1"
    for part in (
        "service=keystone, status=down, reason=exited",
        "service-failed, +0.0 s: act restart",
        "because: ",
        "no guard rail objects",
        "@0  restart began",
        "@2  restart FAILED after 2.0 s: keystone: answers",
    ):
        assert part in text
    assert runner.explain("#1") == text
    opts["output"] = "json"
    assert runner.explain(1)["decisions"][0]["operation"] == "restart"
    assert refused(runner.explain(9), "there is no event #9, or it is not kept any more")


def test_explain_a_node(reactor: Reactor) -> None:
    for _ in range(7):
        reactor.decide(reactor.report())
    reactor.report()
    text = runner.explain("ctl1")
    assert [line.split()[0] for line in text.splitlines() if line.startswith("#")] == [
        "#4", "#5", "#6", "#7", "#8",
    ]  # fmt: skip
    assert "not decided yet" in text
    assert (
        "ctl1 now: in the model: yes, key accepted: yes, joined: NO, heard of: never"
        in text.splitlines()
    )
    assert refused(runner.explain("ctl9"), "no event of 'ctl9' is kept")


def test_pending(reactor: Reactor, journal: Journal, clock: Clock, root: pathlib.Path) -> None:
    assert runner.pending() == {
        "reactor": "NOT seen at work yet; see journalctl -u salt-master",
    }
    journal.set_meta(canary_back="3", canary_back_at=str(NOW))
    clock.now += 3
    assert runner.pending() == {"reactor": "at work, last seen 3.0 s ago"}
    clock.now += 60
    assert runner.pending()["reactor"].startswith("NOT at work: last seen 1 min ago")
    (root / "pki/minions/stranger").touch()
    (root / "pki/minions/cmp2").unlink()
    reactor.decide(reactor.report())  # its action never ends
    reactor.report("ctl2")
    waits = reactor.report("ctl3")
    fault = {"node": "ctl3", "kind": "service", "subject": "glance"}
    decision = {
        "rule": "service-failed", "fault": fault, "operation": "", "rung": 0,
        "severity": "warning",
    }  # fmt: skip
    journal.record(
        "decision", **decision, report=waits.id, verdict="wait", reasons=["a deploy holds it"],
        again_at=NOW + 99,
    )  # fmt: skip
    journal.record("decision", **decision, report=7, verdict="human", reasons=["ladder ends"])
    journal.notice_add("1/attention", "smtp x", {"title": "lab needs you"}, NOW)
    journal.notice_failed(journal.notice_add("1/x", "b", {"title": "t"}, NOW), "HTTP 500", NOW)
    journal.reject(Rejected("saltern/scan/x", "ctl1", "only the scan may say this"))
    runner.pause(node="ctl1", why="new disk")
    found = runner.pending()
    assert found["running"] == ["restart: keystone on ctl1, for 2.0 s"]
    assert found["needs a human"] == ["glance on ctl3, since @65 (#7): ladder ends"]
    assert found["waiting"] == [
        "#2 saltern/node/ctl2/service: not decided yet",
        "#3 glance on ctl3, until @99: a deploy holds it",
    ]
    assert found["accepted, and not in the model"] == ["stranger"]
    assert found["in the model, and not accepted"] == ["cmp2"]
    assert "new disk" in found["paused"][0]
    assert found["not delivered"] == [
        "smtp x: lab needs you (0 tries)",
        "b: t (1 tries, HTTP 500)",
    ]
    assert "only the scan may say this" in found["rejected events"][0]


def test_a_pause_keeps_the_reactor_off(reactor: Reactor, journal: Journal, clock: Clock) -> None:
    said = runner.pause(service="keystone", node="ctl1", minutes=15, why="debugging")
    assert said == "paused node=ctl1,service=keystone until @900 (id 1)"
    [record] = journal.records()
    reactor.history.apply(record)
    assert reactor.decide(reactor.report()) != "act"
    assert reactor.decide(reactor.report("ctl2")) == "act"
    assert runner.resume(1) == ["resumed node=ctl1,service=keystone (id 1)"]
    assert refused(runner.resume(1), "no pause '1' holds; those that do: none")
    runner.pause("cloud", until="2027-01-16T08:00:00+00:00", why="moving")
    runner.pause("cloud", why="moving")
    runner.pause(role="controller", why="upgrade")
    assert refused(runner.resume("nonsense"), r"no pause 'nonsense' holds; those .*\(cloud\)")
    assert len(runner.resume("cloud")) == 2
    clock.now += 3600
    assert "paused" not in runner.pending()


@pytest.mark.parametrize(
    ("pause", "fault"),
    [
        ({"node": "ctl9", "why": "x"}, "the cloud has no node 'ctl9'; did you mean"),
        ({"role": "controler", "why": "x"}, "no role 'controler'; did you mean 'controller'?"),
        ({"service": "keyston", "why": "x"}, "no service 'keyston'; did you mean 'keystone'?"),
        ({"scope": "everything", "why": "x"}, "'everything' is no scope: cloud, or role="),
        ({"why": "x"}, "'' is no scope"),
        ({"scope": "cloud"}, "say why"),
        ({"scope": "cloud", "why": "x", "minutes": 7 * 1440 + 1}, "ends within 7 days"),
        ({"scope": "cloud", "why": "x", "minutes": 0}, "ends within 7 days"),
        ({"scope": "cloud", "why": "x", "until": "2026-01-01"}, "ends within 7 days"),
    ],
)
def test_pauses_that_are_refused(journal: Journal, pause: dict[str, Any], fault: str) -> None:
    assert refused(runner.pause(**pause), fault)
    assert not list(journal.records())


def test_simulate_says_what_changed_rules_would_do(
    reactor: Reactor, root: pathlib.Path, journal: Journal, clock: Clock
) -> None:
    for node in ("ctl1", "ctl2"):
        assert reactor.decide(reactor.report(node), ok=True) == "act"
        clock.now += 700
    journal.record(
        "decision", report=99, rule="service-failed", rung=0, operation="", verdict="human",
        fault={"node": "x", "kind": "service", "subject": "y"}, reasons=[],
    )  # fmt: skip
    assert runner.simulate() == {"decided again": 2, "not kept whole": 1, "different": []}
    path = root / "reactor/service-failed.yaml"
    rule = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump({**rule, "mode": "shadow"}))
    [first, second] = runner.simulate()["different"]
    assert first.startswith("#1 keystone on ctl1: was act restart, would be shadow restart (in sh")
    path.unlink()
    journal.close()
    copy = shutil.copy(journal.path, root / "copy.db")
    [first, second] = runner.simulate(str(copy))["different"]
    assert "would be nothing: there is no such rule any more" in first
    assert refused(runner.simulate("/nowhere"), "name a copy of journal.db")


def test_what_is_decided_again_knows_only_what_was_before(reactor: Reactor, clock: Clock) -> None:
    verdicts = []
    for _ in range(4):
        verdicts.append(reactor.decide(reactor.report(), ok=False))
        clock.now += 60
    assert verdicts == ["act", "act", "act", "human"]
    assert runner.simulate() == {"decided again": 4, "not kept whole": 0, "different": []}


def test_react_says_what_would_be_and_does_nothing(
    journal: Journal, fleet: FakeFleet, root: pathlib.Path
) -> None:
    cloud = support.cloud("lab")
    home = root / "cache/saltern"
    (home / "joined.json").write_text(json.dumps(dict.fromkeys(cloud.nodes, NOW)))
    said = runner.react(TAG, data=json.dumps(DOWN))
    assert (said["would"], said["about"]) == ("act restart", "keystone on ctl1")
    assert "no guard rail objects" in said["because"][-1]
    assert "0 s ago" in said["because"][0]
    event = {"tag": TAG, "id": "ctl1", "data": {**DOWN, "service": "galera"}}
    assert runner.react(json.dumps(event))["rule"] == "service-failed"
    assert set(fleet.functions()) == {"openstack.health"}, "it asks as the reactor would"
    assert not list(journal.records())
    assert runner.react("a/b/c", data={}) == "no rule is about such an event"
    assert runner.react(TAG, data=DOWN, node="ctl2").startswith("rejected: the tag names another")
    assert runner.react("salt/key", data={"act": "accepted", "id": "cmp9"})["would"] != "act join"
    for wrong in (("{", None), (TAG, 7), (TAG, "[]"), (7, None)):
        assert refused(runner.react(*wrong), "")


def test_a_model_with_faults(root: pathlib.Path, journal: Journal) -> None:
    (root / "pillar/cloud.yaml").write_text("name: x\n")
    assert "nodes: is missing" in runner.pending()["the model has faults"]
    assert refused(runner.simulate(), "the model has faults")


def test_a_damaged_journal(journal: Journal) -> None:
    journal.close()
    journal.path.write_bytes(b"no database" * 100)
    assert refused(runner.pending(), "put a backup in its place")


def test_who_types(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USER", "root")
    monkeypatch.delenv("SUDO_USER", raising=False)
    assert saltern_ledger.operator() == "root"
    monkeypatch.setenv("SUDO_USER", "ada")
    assert saltern_ledger.operator() == "ada"
