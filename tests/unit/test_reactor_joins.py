"""Joins in the loop of the reactor: many keys are one join, and nothing else begins meanwhile."""

from __future__ import annotations

import pathlib

import pytest
from fake_reactor import Bench, cloud, rules
from saltern.reactor.terms import Decision, Outcome
from saltern_rulebook import Book


@pytest.fixture
def bench(tmp_path: pathlib.Path) -> Bench:
    return Bench(tmp_path)


NEW = tuple(f"cmp{i}" for i in range(3, 13))


def joining(bench: Bench) -> None:
    bench.rulebook.book = Book(cloud(("ctl1", "ctl2", "ctl3", "cmp1", "cmp2", *NEW)), rules())
    bench.accept(*NEW)
    bench.key(*NEW)


def test_ten_keys_at_once_are_one_join(bench: Bench) -> None:
    joining(bench)
    bench.turn()
    assert set(bench.verdicts()) == {"wait"}, "nobody answers yet"
    for node in NEW[:7]:
        bench.world.heard(node)
    bench.turn(seconds=1)
    assert not bench.work.done, "the others may come along"
    for node in NEW[7:]:
        bench.world.heard(node)
    bench.turn(seconds=1)
    bench.turn()
    assert bench.work.done == [("join", "new on cmp3", NEW)]
    assert len(bench.records("began")) == len(bench.records("ended")) == 10


def test_who_waited_for_the_last_one_joins_with_it(bench: Bench) -> None:
    """They are due half a second after the last one that they waited for."""
    joining(bench)
    bench.turn()
    for node in NEW[:-1]:
        bench.world.heard(node)
    bench.turn(seconds=1)
    assert not bench.work.done, "the last may come along"
    bench.world.heard(NEW[-1])
    bench.turn(seconds=0.1)
    bench.turn()
    assert bench.work.done == [("join", f"new on {NEW[-1]}", (NEW[-1], *NEW[:-1]))]


def test_who_does_not_come_is_not_waited_for_long(bench: Bench) -> None:
    joining(bench)
    bench.world.heard("cmp3")
    for _ in range(16):
        bench.turn(seconds=1)
    assert bench.work.done[0] == ("join", "new on cmp3", ("cmp3",))


def test_of_a_join_that_fails_those_that_joined_have_joined(bench: Bench) -> None:
    joining(bench)
    for node in NEW:
        bench.world.heard(node)

    def half(decision: Decision) -> Outcome:
        bench.join("ctl1", "ctl2", "ctl3", "cmp1", "cmp2", *NEW[:9])
        return Outcome(False, "cmp12: canary failed")

    bench.work.outcome = half
    looks = [bench.looks]
    for _ in range(2):
        bench.turn()
        looks.append(bench.looks)
    assert looks == [0, 0, 1], "it may be well by now"
    said = {r["fault"]["node"]: (r["ok"], r["detail"]) for r in bench.records("ended")}
    assert said.pop("cmp12") == (False, "cmp12: canary failed")
    assert set(said.values()) == {(True, "it joined, not all with it did: cmp12: canary failed")}


def test_nothing_else_begins_while_a_join_is_about_to_take_the_lock(bench: Bench) -> None:
    joining(bench)
    for node in NEW:
        bench.world.heard(node)
    bench.work.let_go.clear()
    bench.turn()
    bench.report("ctl1", "api")
    bench.turn(seconds=1)
    assert [done[0] for done in bench.work.done] == ["join"]
    assert "a join" in bench.records("decision")[-1]["reasons"][0]
    bench.work.let_go.set()
