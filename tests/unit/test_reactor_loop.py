"""The loop of the reactor: the real decisions and journal, on a cloud that is only imagined."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest
import saltern_reactor
from fake_reactor import Bench, cloud, rules
from saltern import lock
from saltern.fleet import Answer
from saltern.reactor.terms import Decision, Outcome, Report
from saltern_rulebook import Book


@pytest.fixture
def bench(tmp_path: pathlib.Path) -> Bench:
    return Bench(tmp_path)


def test_a_report_is_decided_written_done_and_its_end_written(bench: Bench) -> None:
    bench.report("ctl1", "api")
    bench.turn()
    bench.turn()
    decision, began, ended = bench.records()
    assert bench.work.done == [("restart", "service api on ctl1", ("ctl1",))]
    assert (decision["verdict"], began["decision"]) == ("act", decision["id"])
    assert (ended["action"], ended["ok"], ended["detail"]) == (began["id"], True, "well")
    assert ended["seconds"] >= 0
    assert bench.journal.waiting() == 0
    assert bench.journal.observed(1) is not None


def test_nothing_begins_that_is_not_in_the_journal(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise OSError("disk full")

    bench.report("ctl1", "api")
    monkeypatch.setattr(bench.journal, "decided", fails)
    with pytest.raises(OSError, match="disk full"):
        bench.turn()
    assert not bench.work.done
    assert not bench.lanes.running()
    monkeypatch.undo()
    bench.start()
    bench.turn()
    assert [done[0] for done in bench.work.done] == ["restart"]


def test_what_fails_climbs_the_ladder_until_a_human_is_told(bench: Bench) -> None:
    bench.work.outcome = lambda decision: Outcome(False, "still down")
    bench.report("ctl1", "api")
    for _ in range(40):
        bench.turn(seconds=5)
    assert [done[0] for done in bench.work.done] == ["restart", "reapply", "isolate"]
    assert bench.verdicts()[-1] == "human"
    assert bench.journal.waiting() == 0


def test_an_operation_that_raises_has_failed_and_nothing_else(bench: Bench) -> None:
    def raises(decision: Decision) -> Outcome:
        raise KeyError("status")

    bench.work.outcome = raises
    bench.report("ctl1", "api")
    bench.turn()
    bench.turn()
    [ended] = bench.records("ended")
    assert (ended["ok"], "KeyError('status')" in ended["detail"]) == (False, True)


def test_a_hundred_copies_are_one_action(bench: Bench) -> None:
    for _ in range(100):
        bench.report("ctl1", "api")
    bench.turn()
    bench.turn()
    assert len(bench.work.done) == 1
    assert bench.verdicts() == ["act"] + ["ignore"] * 99
    assert bench.journal.waiting() == 0


def test_one_action_on_a_node_and_so_many_in_a_lane(bench: Bench) -> None:
    bench.rulebook.book = Book(cloud(), rules(started={"lane": "services"}))
    bench.work.let_go.clear()
    bench.report("ctl1", "api")
    bench.report("ctl1", "web")
    bench.turn()
    assert len(bench.work.done) == 1
    assert bench.verdicts() == ["act", "wait"]
    for node in ("ctl2", "ctl3", "cmp1", "cmp2"):
        one = Report(0, 0.0, f"salt/minion/{node}/start", node, "node", "started", {})
        bench.journal.add([(one, None, None)])
    bench.turn()
    assert len(bench.work.done) == 4, "there are four places"
    assert "all places of lane services are taken" in str(bench.records("decision")[-1]["reasons"])
    bench.work.let_go.set()
    bench.rest()
    for _ in range(5):
        bench.turn(seconds=3)
    assert len(bench.work.done) == 6
    assert bench.journal.waiting() == 0


def test_what_waits_is_written_down_once(bench: Bench) -> None:
    bench.work.let_go.clear()
    bench.report("ctl1", "api")
    bench.report("ctl1", "web")
    for _ in range(10):
        bench.turn(seconds=3)
    assert bench.verdicts() == ["act", "wait"]
    bench.work.let_go.set()


def test_who_works_on_the_whole_cloud_is_waited_for(bench: Bench) -> None:
    path = bench.world.lock_path(cloud())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lock, "holder", lambda _: "orch.deploy")
        bench.report("ctl1", "api")
        bench.turn()
        assert not bench.work.done
        assert "orch.deploy" in bench.records("decision")[0]["reasons"][0]
    bench.work.let_go.clear()
    bench.turn(seconds=11)
    assert len(bench.work.done) == 1
    with pytest.raises(lock.Busy, match="the reactor: restart for service api on ctl1"):
        lock.hold(path, "orch.deploy")
    bench.work.let_go.set()
    bench.rest()
    assert lock.hold(path, "orch.deploy"), "the lock was kept beyond the operation"


def test_somebody_who_takes_the_lock_at_this_moment_is_waited_for(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(*_: object) -> None:
        raise lock.Busy("t.lock is held by orch.deploy")

    monkeypatch.setattr(lock, "shared", busy)
    bench.report("ctl1", "api")
    bench.turn()
    assert bench.verdicts() == ["wait"]
    assert not bench.lanes.running()
    monkeypatch.undo()
    bench.turn(seconds=1)
    assert bench.verdicts() == ["wait", "act"]


# -- quorum ------------------------------------------------------------------------------------


def answers(bench: Bench, status: str) -> None:
    def answered(questions: object) -> None:
        said = Answer(True, {"db": {"status": status, "reason": ""}})
        bench.world.answered(dict.fromkeys(("ctl2", "ctl3"), said), bench.clock.now, ["db"])

    bench.work.answers = answered


def test_the_other_members_are_asked_before_one_is_touched(bench: Bench) -> None:
    answers(bench, "ok")
    bench.report("ctl1", "db")
    bench.turn()
    assert not bench.work.done
    assert bench.work.asked == [{"ctl2": ["db"], "ctl3": ["db"]}]
    bench.turn()
    assert [done[:2] for done in bench.work.done] == [("restart", "service db on ctl1")]
    assert bench.verdicts() == ["act"]


def test_a_second_member_is_not_touched(bench: Bench) -> None:
    answers(bench, "down")
    bench.report("ctl1", "db")
    for _ in range(3):
        bench.turn(seconds=1)
    assert not bench.work.done
    assert bench.verdicts()[0] in ("refuse", "human")


# -- after a kill ------------------------------------------------------------------------------


def test_what_was_cut_off_is_asked_about_and_not_repeated(bench: Bench) -> None:
    bench.work.let_go.clear()
    bench.report("ctl1", "api")
    bench.turn()
    [began] = bench.records("began")
    first = began["epoch"]
    bench.start()
    bench.report("ctl1", "api")
    bench.turn(seconds=1)
    assert [record["action"] for record in bench.work.recovered] == [began["action"]]
    assert len(bench.work.done) == 1, "it was done again"
    bench.work.let_go.set()
    bench.rest()
    bench.turn()
    assert not bench.journal.unfinished()
    assert bench.records("ended")[0]["detail"] == "it was done before the restart"
    bench.report("ctl2", "web")
    bench.turn(seconds=1)
    assert bench.records("began")[-1]["epoch"] > first


def test_guard_rails_remember_beyond_a_restart(bench: Bench) -> None:
    bench.report("ctl1", "api")
    bench.turn()
    bench.turn()
    bench.start()
    bench.report("ctl1", "api")
    bench.turn()
    assert len(bench.work.done) == 1
    assert bench.verdicts()[-1] == "wait"


def test_a_pause_that_another_process_wrote_holds_at_once(bench: Bench) -> None:
    until = bench.clock.now + 3600
    bench.journal.record("paused", scope="node=ctl1", until=until, by="op", why="a new disk")
    bench.report("ctl1", "api")
    bench.turn()
    assert not bench.work.done
    assert "a new disk" in bench.records("decision")[0]["reasons"][0]


def test_a_pause_that_was_written_while_the_reactor_wrote_holds_too(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = bench.journal.keep_observed

    def paused_meanwhile(*args: Any) -> int:
        until = bench.clock.now + 3600
        bench.journal.record("paused", scope="node=ctl2", until=until, by="op", why="a new disk")
        return kept(*args)

    monkeypatch.setattr(bench.journal, "keep_observed", paused_meanwhile)
    bench.report("ctl1", "api")
    bench.turn()
    monkeypatch.undo()
    bench.report("ctl2", "api")
    bench.turn()
    assert [target for _, _, target in bench.work.done] == [("ctl1",)]
    assert "a new disk" in bench.records("decision")[-1]["reasons"][0]


# -- what is broken ----------------------------------------------------------------------------


def test_a_report_that_cannot_be_decided_is_told_and_stops_nobody(bench: Bench) -> None:
    broken = Report(0, 0.0, "saltern/node/ctl1/service", "ctl1", "node", "failed", {})
    bench.journal.add([(broken, None, None)])
    bench.report("ctl2", "api")
    bench.turn()
    assert bench.verdicts() == ["human", "act"]
    assert "KeyError" in bench.records("decision")[0]["reasons"][0]
    assert bench.journal.waiting() == 0


def test_a_report_whose_rule_is_gone_is_put_away(bench: Bench) -> None:
    bench.report("ctl1", "api", rule="former")
    bench.turn()
    assert bench.verdicts() == ["ignore"]
    assert bench.journal.waiting() == 0


def test_without_a_model_reports_wait(bench: Bench) -> None:
    bench.rulebook.book = Book()
    bench.report("ctl1", "api")
    assert bench.turn() > 0
    assert bench.journal.waiting() == 1
    bench.rulebook.book = Book(cloud(), rules())
    bench.turn()
    assert len(bench.work.done) == 1


def test_faults_of_rules_are_told_and_their_end_as_well(bench: Bench) -> None:
    good = bench.rulebook.book
    for book in (good._replace(faults=("reactor/x.yaml: is empty",)), good):
        bench.rulebook.next = book
        bench.turn(seconds=3)
    [told] = bench.records("decision")
    assert (told["verdict"], told["reasons"][0]) == ("human", "reactor/x.yaml: is empty")
    assert [r["fault"]["kind"] for r in bench.records("resolved")] == ["rules"]


# -- small things ------------------------------------------------------------------------------


def test_the_canary_comes_back_and_leaves_nothing(bench: Bench) -> None:
    one = Report(0, 0.0, "saltern/canary", "", "master", "canary", {"number": 7})
    bench.journal.add([(one, None, None)])
    bench.turn()
    assert bench.journal.meta("canary_back") == "7"
    assert float(bench.journal.meta("canary_back_at") or 0) == bench.clock.now
    assert not bench.records()
    assert not list(bench.journal.reports())


@pytest.mark.parametrize(("node", "looks"), [("ctl1", (1, 0)), ("cmp9", (0, 1))])
def test_a_minion_that_starts_calls_for_a_look(
    bench: Bench, node: str, looks: tuple[int, int]
) -> None:
    """At all nodes; at those that have not joined when it is one of them."""
    one = Report(0, 0.0, f"salt/minion/{node}/start", node, "node", "started", {})
    bench.journal.add([(one, None, None)])
    bench.turn()
    assert (bench.scans, bench.looks) == looks


def test_what_may_end_an_outage_of_a_group_calls_for_a_scan(bench: Bench) -> None:
    bench.report("ctl1", "api")
    bench.turn()
    bench.report("ctl1", "api", "ok")
    bench.turn()
    assert bench.scans == 0, "its node says itself when one service is well"
    for node in ("ctl1", "ctl2"):
        bench.report(node, "api")
    bench.turn(seconds=700)
    assert bench.verdicts()[-1] == "refuse"
    bench.turn(seconds=1)
    assert bench.scans == 0
    bench.report("ctl2", "api", "ok")
    bench.turn()
    assert bench.scans == 1


def test_a_good_report_ends_the_trouble_and_what_waited_for_it(bench: Bench) -> None:
    bench.work.outcome = lambda decision: Outcome(False, "still down")
    bench.report("ctl1", "api")
    bench.turn()
    bench.turn()
    assert bench.journal.waiting() == 1, "it waits for its backoff"
    bench.report("ctl1", "api", "ok")
    bench.turn()
    assert bench.records("resolved")
    bench.turn(seconds=60)
    assert bench.journal.waiting() == 0
    assert len(bench.work.done) == 1


@pytest.mark.parametrize(("statuses", "done"), [(("down", "ok"), 0), (("ok", "down"), 1)])
def test_of_reports_that_came_together_the_last_one_holds(
    bench: Bench, statuses: tuple[str, ...], done: int
) -> None:
    """A node that could not be heard went down and is back: both are told in one event."""
    for status in statuses:
        bench.report("ctl1", "api", status)
    bench.turn()
    assert len(bench.work.done) == done


def test_the_latest_report_of_what_waits_takes_the_place_of_the_one_before(bench: Bench) -> None:
    """A key that nobody has in the model is accepted, and its minion asks again every day."""
    bench.accept("guest")
    for _ in range(5):
        bench.key("guest")
        bench.turn(seconds=86400)
        assert bench.journal.waiting() == 1


def test_the_next_turn_comes_when_the_next_report_is_due(bench: Bench) -> None:
    assert bench.turn() == 1.0
    bench.report("ctl1", "api", "ok")
    bench.journal.again(1, bench.clock.now + 0.25)
    assert bench.turn() == pytest.approx(0.25)
    bench.journal.decided(1)
    with bench.journal.batch():
        for _ in range(saltern_reactor.BATCH + 1):
            bench.report("ctl1", "api", "ok")
    assert bench.turn() == 0.0, "there is more than a batch"
    assert bench.turn() == 1.0


def test_something_critical_passes_what_waits_in_the_journal(bench: Bench) -> None:
    with bench.journal.batch():
        for _ in range(1000):
            bench.report("cmp1", "compute", "ok")
    one = Report(0, 0.0, "salt/minion/ctl1/start", "ctl1", "node", "started", {})
    bench.journal.add([(one, None, None)], bench.rulebook.book.priorities)
    bench.turn()
    assert bench.records("decision")[0]["rule"] == "started"


def test_what_was_wrong_with_a_node_ends_when_the_model_has_it_no_more(bench: Bench) -> None:
    bench.work.outcome = lambda decision: Outcome(False, "still down")
    bench.report("ctl1", "api")
    bench.report("cmp1", "compute")
    for _ in range(40):
        bench.turn(seconds=5)
    bench.rulebook.next = Book(cloud(["ctl1", "ctl2", "ctl3", "cmp2"]), rules())
    bench.turn(seconds=5)
    [resolved] = bench.records("resolved")
    assert resolved["fault"]["node"] == "cmp1" and "not in the model" in resolved["why"]
    assert [str(known.fault) for known in bench.reactor.history.open()] == ["service api on ctl1"]
