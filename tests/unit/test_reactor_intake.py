"""From the bus into the journal: what is taken, what is counted, what costs nothing."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import pytest
import saltern_intake
import yaml
from fake_intake import FakeBus, Rig, down, one, sent, together
from fake_reactor import RULES, FakeRulebook
from saltern.reactor import report as typing_of
from saltern_intake import Bell
from saltern_rulebook import Book, Rulebook
from saltern_store import Store


@pytest.fixture
def rig(tmp_path: pathlib.Path) -> Rig:
    return Rig(tmp_path)


def test_a_report_is_journaled_and_the_reactor_woken(rig: Rig) -> None:
    rig.take([down(number=1)])
    [report] = rig.journal.undecided(10)
    assert (report.node, report.rule, report.body["service"]) == ("ctl1", "failed", "api")
    assert rig.journal.acks() == {"ctl1": {"ab12": 1}}
    assert rig.woken == 1


def test_a_burst_is_a_few_commits(rig: Rig) -> None:
    rig.take(down(number=n) for n in range(1, 1201))
    assert len(rig.journal.undecided(5000)) == 1200
    assert rig.woken == 3, "500, 500, 200"
    assert set(rig.bus.waits) == {1.0, saltern_intake.EMPTY}


def test_a_stream_without_end_is_committed_in_time(rig: Rig) -> None:
    """One event in twenty milliseconds never fills a batch, and never leaves the bus empty."""

    class Slow(FakeBus):
        def get_event(self, wait: float, full: bool) -> Any:
            rig.now += 0.02
            tag, data = down()
            return {"tag": tag, "data": data}

    rig.intake.turn(Slow())
    assert 1 <= len(rig.journal.undecided(100)) <= 7


def test_what_no_rule_wants_leaves_nothing(rig: Rig) -> None:
    rig.take([("salt/job/20261122/ret/ctl1", {"id": "ctl1", "return": "x" * 1000})] * 50)
    assert not rig.journal.counters()
    assert rig.woken == 0


@pytest.mark.parametrize(
    ("tag", "raw"),
    [
        ("saltern/node/ctl1/service", sent("ctl2", service="api", status="down")[1]),
        ("saltern/node/ghost/service", sent("ghost", service="api", status="down")[1]),
        ("saltern/node/ctl1/service", "text"),
        ("saltern/node/ctl1/service", None),
        ("saltern/node/ctl1/beat", sent("ctl1", "beat", bad="api")[1]),
        ("saltern/node/ctl1/beat", sent("ctl1", "beat", bad={"api": 1})[1]),
        ("saltern/node/ctl1/beat", sent("ctl1", "beat", bad={"a" * 65: "down"})[1]),
        ("saltern/node/ctl1/beat", sent("ctl1", "beat", bad={str(i): "" for i in range(201)})[1]),
        ("saltern/node/ctl1/beat", {"id": "ctl1", "data": None}),
        ("saltern/scan/service", sent("ctl1", service="api", status="down")[1]),
        ("saltern/canary", {"number": 3}),
        ("saltern/canary", "number"),
    ],
)
def test_what_must_not_be_looked_at_is_counted(rig: Rig, tag: str, raw: Any) -> None:
    rig.take([(tag, raw)])
    assert rig.journal.counters() == {"rejected": 1}
    assert not rig.journal.undecided(10)
    assert not rig.journal.beats()


def test_a_beat_of_somebody_unknown_is_not_heard(rig: Rig) -> None:
    rig.take([("saltern/node/ghost/beat", sent("ghost", "beat", bad={})[1])])
    rig.take([("saltern/node/ctl1/beat", sent("ctl2", "beat", bad={})[1])])
    rig.now += 5
    rig.intake.commit()
    assert not rig.journal.beats()


def test_a_rejected_report_is_acknowledged(rig: Rig) -> None:
    """Or its node would send it again for ever, and nothing after it would be acknowledged."""
    tag, raw = down(number=1)
    raw["data"]["status"] = "weird"
    rig.take([(tag, raw), down(number=2), sent("ctl1", "overflow", epoch="ab12", number=3)])
    assert rig.journal.acks() == {"ctl1": {"ab12": 3}}
    assert len(rig.journal.undecided(10)) == 1


@pytest.mark.parametrize(
    "wrong",
    [{"epoch": "../etc"}, {"epoch": 7}, {"number": 0}, {"number": True}, {"number": "1"}],
)
def test_a_report_with_a_strange_number_is_one_without(rig: Rig, wrong: dict[str, Any]) -> None:
    tag, raw = down(number=1)
    raw["data"].update(wrong)
    rig.take([(tag, raw)])
    assert len(rig.journal.undecided(10)) == 1
    assert not rig.journal.acks()


def test_reports_that_come_together_are_as_if_each_had_come_alone(rig: Rig) -> None:
    rig.take([together("ctl1", one(1), one(2, status="ok"), one(3, status="?"), one(1))])
    taken = [(r.tag, r.node, r.body["status"]) for r in rig.journal.undecided(10)]
    assert taken == [("saltern/node/ctl1/service", "ctl1", word) for word in ("down", "ok")]
    assert rig.journal.acks() == {"ctl1": {"ab12": 3}}, "the rejected one too"
    assert rig.journal.counters()["rejected"] == 1


@pytest.mark.parametrize(
    "event",
    [
        together("ctl1", reports="api"),
        together("ctl1", 7),
        together("ctl1", one(1), one(2, "beat")),
        together("ctl1", one(1, ["service"])),  # type: ignore[arg-type]
        together("ctl1", *map(one, range(1, 52))),
        sent("ctl1", "reports"),
        (together("ctl1", one(1))[0], together("ctl2", one(1))[1]),
        together("ghost", one(1)),
    ],
)
def test_what_is_no_list_of_reports_of_its_node_is_counted(rig: Rig, event: Any) -> None:
    rig.take([event])
    assert not rig.journal.undecided(10)
    assert rig.journal.counters()["rejected"] == 1
    assert not rig.journal.acks()


def test_a_canary_passes_only_when_it_was_fired(rig: Rig) -> None:
    rig.journal.set_meta(canary_fired="3")
    rig.take([("saltern/canary", {"number": 3}), ("saltern/canary", {"number": 4})])
    [report] = rig.journal.undecided(10)
    assert (report.rule, report.body) == ("canary", {"number": 3})
    assert rig.journal.counters() == {"rejected": 1}


def test_an_event_that_breaks_the_typing_is_counted(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*_: object, **__: object) -> None:
        raise RecursionError

    monkeypatch.setattr(typing_of, "read", breaks)
    rig.take([down(number=1)])
    monkeypatch.undo()
    rig.take([down(number=2)])
    assert rig.journal.counters() == {"rejected": 1}
    assert len(rig.journal.undecided(10)) == 1


def test_a_bell_wakes_who_listens_and_troubles_nobody_else(tmp_path: pathlib.Path) -> None:
    ringer, listener = Bell(tmp_path / "x/wake.sock"), Bell(tmp_path / "x/wake.sock")
    ringer.ring()
    listener.listen()
    listener.wait(0.01)
    for _ in range(5000):
        ringer.ring()  # nobody reads: it must not block
    listener.wait(60)
    listener.wait(0.01)
    again = Bell(tmp_path / "x/wake.sock")
    again.listen()
    ringer.ring()
    again.wait(60)


# -- the files it goes by ------------------------------------------------------------------------


@pytest.fixture
def root(tmp_path: pathlib.Path) -> pathlib.Path:
    for room in ("catalog", "schema", "reactor", "pillar"):
        (tmp_path / room).mkdir()
    (tmp_path / "schema/cloud.json").write_text(json.dumps({"type": "object"}))
    for name, rule in RULES.items():
        (tmp_path / f"reactor/{name}.yaml").write_text(yaml.safe_dump(rule))
    model(tmp_path)
    return tmp_path


def model(root: pathlib.Path, **reactor: Any) -> None:
    spec = {"name": "t", "nodes": {}, "networks": {}, "reactor": reactor}
    (root / "pillar/cloud.yaml").write_text(yaml.safe_dump(spec))


@pytest.fixture
def rulebook(root: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Rulebook:
    monkeypatch.setattr("saltern.faults.check", lambda raw, *_: checked(yaml.safe_load(raw)))
    return Rulebook(Store(root))


def checked(model: Any) -> tuple[Any, list[str]]:
    good = isinstance(model, dict)
    return (model if good else None, [] if good else ["no mapping"])


def test_rules_are_read_again_when_a_file_changes(rulebook: Rulebook, root: pathlib.Path) -> None:
    assert rulebook.look()
    assert set(rulebook.book.rules) == set(RULES)
    assert not rulebook.look()
    (root / "reactor/new.yaml").unlink()
    assert rulebook.look()
    assert set(rulebook.book.rules) == {"failed", "started"}


def test_a_broken_file_leaves_what_was_good(rulebook: Rulebook, root: pathlib.Path) -> None:
    rulebook.look()
    good = rulebook.book
    (root / "reactor/failed.yaml").write_text("summary: {{ evil }}")
    (root / "pillar/cloud.yaml").write_text("just text")
    assert rulebook.look()
    assert rulebook.book.rules["failed"] == good.rules["failed"]
    assert rulebook.book.cloud is good.cloud
    assert len(rulebook.book.faults) >= 2
    (root / "reactor/failed.yaml").write_text(yaml.safe_dump({**RULES["failed"], "lane": "checks"}))
    model(root, scan=60)
    assert rulebook.look()
    assert rulebook.book.rules["failed"].lane == "checks"
    assert (rulebook.book.settings["scan"], rulebook.book.faults) == (60, ())


def test_modes_of_the_model_win(rulebook: Rulebook, root: pathlib.Path) -> None:
    model(root, mode="shadow", rules={"new": {"mode": "off"}})
    rulebook.look()
    modes = {name: rule.mode for name, rule in rulebook.book.rules.items()}
    assert modes == {"failed": "shadow", "new": "off", "started": "shadow"}


def test_severe_rules_are_decided_first() -> None:
    priorities = FakeRulebook().book.priorities
    assert sorted(priorities, key=priorities.__getitem__) == ["started", "failed", "new"]
    assert Book().settings == {}
