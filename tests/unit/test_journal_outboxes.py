"""Which numbers of a node are known, what it is told, and what is given up."""

from __future__ import annotations

import pathlib
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from saltern.reactor.outbox import SERVICE, Outbox
from saltern.reactor.terms import Report
from saltern_journal import Journal
from saltern_journal_outboxes import AHEAD_MOST, EPOCHS_KEPT, GAP_PATIENCE, Beat


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def journal(tmp_path: pathlib.Path, clock: Clock) -> Journal:
    return Journal(tmp_path / "journal.db", clock)


def add(journal: Journal, *numbers: int, node: str = "ctl1", epoch: str = "e") -> int:
    report = Report(0, 0.0, "t", node, "node", "failed", {})
    return journal.add([(report, epoch, number) for number in numbers])


def test_a_copy_falls_out_wherever_it_comes(journal: Journal) -> None:
    assert add(journal, 1, 2, 2, 3) == 3
    assert add(journal, 3, 5, 5) == 1
    assert add(journal, 5, 1, 4) == 1
    assert journal.counters() == {"copies": 5}
    assert journal.seen("ctl1", "e") == 5
    assert add(journal, 1, node="ctl2") == add(journal, 1, epoch="f") == 1


def test_an_acknowledgement_stops_before_a_gap(journal: Journal) -> None:
    add(journal, 1, 2, 4, 5)
    assert journal.acks() == {"ctl1": {"e": 2}}
    journal.acked(journal.acks())
    assert not journal.acks()
    add(journal, 3)
    assert journal.acks() == {"ctl1": {"e": 5}}


def test_who_sends_again_is_told_again(journal: Journal) -> None:
    add(journal, 1)
    journal.acked({"ctl1": {"e": 1}})
    add(journal, 1)
    assert journal.acks() == {"ctl1": {"e": 1}}


def test_what_came_in_while_it_was_told_is_told_as_well(journal: Journal) -> None:
    add(journal, 1)
    told = journal.acks()
    add(journal, 2)
    journal.acked(told)
    assert journal.acks() == {"ctl1": {"e": 2}}


def test_a_new_outbox_is_told_and_old_ones_are_forgotten(journal: Journal, clock: Clock) -> None:
    for age in range(6):
        clock.now += 1
        add(journal, 1, 3, epoch=f"e{age}")
    known = [0, *range(6)[-EPOCHS_KEPT:]]
    assert [age for age in range(6) if journal.seen("ctl1", f"e{age}")] == known
    assert journal.acks() == {"ctl1": {f"e{age}": 1 for age in known}}
    journal.acked(journal.acks())
    assert not journal.acks()


def test_reports_in_the_name_of_a_node_do_not_touch_its_numbers(
    journal: Journal, clock: Clock
) -> None:
    """Salt lets a minion choose the tag and the data of what it sends: others may pose as it."""
    add(journal, 1, 2, epoch="own")
    add(journal, 4, epoch="own")
    for age in range(3 * EPOCHS_KEPT):
        clock.now += 1
        add(journal, 1, 2, 3, 5, epoch=f"{age:x}")
    assert journal.acks()["ctl1"]["own"] == 2
    journal.acked(journal.acks())
    assert add(journal, 3, 4, epoch="own") == 1, "four is known already"
    clock.now += 1
    add(journal, 6, epoch="f")
    assert journal.acks()["ctl1"] == {"own": 4, "f": 0}


def test_what_is_told_to_another_outbox_is_still_told_to_this_one(journal: Journal) -> None:
    add(journal, 1, epoch="own")
    add(journal, 1, epoch="f")
    journal.acked({"ctl1": {"f": 1}})
    assert journal.acks() == {"ctl1": {"own": 1}}


def test_a_name_that_is_given_anew_begins_with_another_first_outbox(
    journal: Journal, clock: Clock
) -> None:
    add(journal, 1, 3, epoch="former")
    journal.forget_outboxes("ctl1")
    assert not journal.acks()
    assert add(journal, 3, epoch="former") == 1
    journal.forget_outboxes("ctl1")
    add(journal, 1, epoch="own")
    for age in range(3 * EPOCHS_KEPT):
        clock.now += 1
        add(journal, 1, epoch=f"{age:x}")
    assert journal.seen("ctl1", "own") == 1
    assert not journal.seen("ctl1", "former")


def test_a_number_that_does_not_come_is_given_up(journal: Journal, clock: Clock) -> None:
    """Its node has dropped it, or has told it to a journal that is lost."""
    add(journal, 57, 58, 60)
    clock.now += GAP_PATIENCE - 1
    add(journal, 61)
    journal.close_gaps()
    assert journal.acks() == {"ctl1": {"e": 0}}
    clock.now += 2
    journal.close_gaps()
    assert journal.acks() == {"ctl1": {"e": 58}}
    assert journal.counters()["given_up"] == 56
    journal.close_gaps()
    assert journal.acks() == {"ctl1": {"e": 61}}
    assert journal.counters()["given_up"] == 57


def test_what_an_outbox_holds_no_more_is_given_up_at_once(journal: Journal) -> None:
    add(journal, 57, 60)
    add(journal, 3, epoch="f")
    journal.close_below({("ctl1", "e"): 57, ("ctl2", "e"): 99, ("ctl1", "g"): 99})
    assert journal.acks() == {"ctl1": {"e": 57, "f": 0}}
    assert journal.counters() == {"given_up": 56}
    journal.close_below({("ctl1", "e"): 50})  # it was late on its way
    journal.close_below({("ctl1", "e"): 61})
    journal.close_below({("ctl1", "e"): 99})
    assert journal.acks() == {"ctl1": {"e": 60, "f": 0}}
    assert journal.counters() == {"given_up": 58}


def test_what_is_ahead_is_bounded_and_what_is_in_turn_always_fits(journal: Journal) -> None:
    assert add(journal, *range(10, 10 + AHEAD_MOST + 5)) == AHEAD_MOST
    assert journal.counters()["too_far_ahead"] == 5
    assert add(journal, *range(1, 10)) == 9
    assert journal.seen("ctl1", "e") == AHEAD_MOST + 9


@settings(max_examples=20)
@given(st.integers(0, 2**32))
def test_a_lossy_bus_loses_nothing(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    """Reports are lost, doubled and reordered, and sent again: each is journaled exactly once."""
    chance = random.Random(seed)  # noqa: S311
    journal = Journal(tmp_path_factory.mktemp("lossy") / "journal.db", lambda: 1000.0)
    waiting = list(range(1, 31))
    journaled = 0
    while waiting:
        sent = [number for number in waiting for _ in range(chance.choice((0, 1, 1, 2)))]
        chance.shuffle(sent)
        journaled += add(journal, *sent)
        upto = journal.acks().get("ctl1", {"e": 0})["e"]
        assert upto <= journaled
        waiting = [number for number in waiting if number > upto]
    assert journaled == 30
    journal.close()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 8))
def test_what_an_outbox_dropped_holds_nothing_up(
    tmp_path_factory: pytest.TempPathFactory, seed: int, bound: int
) -> None:
    """It overflows on a bus that loses much, and is emptied while no time passes at the master.

    What counts dropped reports is kept where these were, so there may be a hole before each.
    """
    chance = random.Random(seed)  # noqa: S311
    journal = Journal(tmp_path_factory.mktemp("overflow") / "journal.db", lambda: 1000.0)
    box, dropped, journaled, now = Outbox(bound=bound), 0, 0, 0.0

    def meet(loss: float) -> None:
        nonlocal journaled, now
        now += 100.0
        sent = [item.number for item in box.due(now) if chance.random() >= loss]
        journaled += add(journal, *sent)
        if chance.random() >= loss:
            journal.close_below({("ctl1", "e"): box.oldest})
        box.acked(journal.acks().get("ctl1", {"e": 0})["e"])

    for _ in range(40):
        for _ in range(chance.choice((0, 0, 1, 3))):
            dropped += len(box.put(SERVICE, {"at": now}).dropped)
        meet(loss=0.7)
    for _ in range(len(box.items) + 1):
        meet(loss=0.0)
    assert not box.items
    assert box.number - journaled <= dropped, "a report was given up that the outbox still had"
    assert journal.seen("ctl1", "e") == journaled + journal.counters().get("given_up", 0)
    journal.close()


def test_the_last_beat_of_each_node_is_kept(journal: Journal) -> None:
    journal.beat({"ctl1": Beat(1.0, 10.0, {}), "ctl2": Beat(1.0, 10.0, {"glance": "down"})})
    journal.beat({"ctl1": Beat(2.0, 11.0, {"keystone": "hung"})})
    assert journal.beats() == {
        "ctl1": Beat(2.0, 11.0, {"keystone": "hung"}),
        "ctl2": Beat(1.0, 10.0, {"glance": "down"}),
    }
    journal.heard({"ctl1": 10.5, "ctl2": 12.0})
    assert {node: beat.clock for node, beat in journal.beats().items()} == {
        "ctl1": 11.0,
        "ctl2": 12.0,
    }
    journal.forget_beats()
    assert not journal.beats()
