"""One silent node: who is asked about it, what is believed, and how it comes back."""

from __future__ import annotations

import pytest
from fake_beats import ASKING, TICK, World, verdicts
from saltern.cloud import Cloud
from saltern.reactor import presence
from saltern.reactor.presence import BACK, GONE


@pytest.fixture
def world(lab: Cloud) -> World:
    made = World(lab)
    assert made.run(60) == []
    assert made.questions == []
    return made


# -- one node ------------------------------------------------------------------------------------


@pytest.mark.parametrize("node", ["cmp1", "ctl2", "lb1"])
def test_a_node_without_power_is_gone_within_15_seconds(world: World, node: str) -> None:
    world.off.add(node)
    last = world.beats[node]
    found = world.run(60)
    assert verdicts(found) == [(GONE, node, "gone")]
    assert world.found[0][0] - last <= 15
    assert "cannot reach it" in found[0][2]["reason"]
    assert world.known.states()[node] == "gone"


def test_nobody_is_asked_for_before_two_beats_are_lost(world: World) -> None:
    world.off.add("cmp1")
    last = world.beats["cmp1"]
    world.run(20)
    assert world.questions[0][0] - last > presence.SILENT


def test_a_node_whose_agent_is_dead_is_silent_but_not_gone(world: World) -> None:
    world.frozen.add("ctl3")
    found = world.run(60)
    assert verdicts(found) == [(GONE, "ctl3", "silent")]
    assert "can reach it" in found[0][2]["reason"]


def test_minions_that_a_deploy_restarts_are_nobodys_alarm(world: World) -> None:
    world.busy = True
    world.frozen.add("ctl3")
    assert world.run(60) == []
    world.off.add("cmp1")
    assert verdicts(world.run(60)) == [(GONE, "cmp1", "gone")], "no deploy cuts the power"
    world.busy = False
    found = verdicts(world.run(presence.RECHECK + 10))
    assert found == [(GONE, "ctl3", "silent")], "it stayed away"


def test_a_master_that_hears_nobody_during_a_deploy_is_told_afterwards(world: World) -> None:
    world.busy = True
    world.frozen |= set(world.cloud.nodes)
    assert world.run(60) == []
    world.busy = False
    assert verdicts(world.run(presence.RECHECK + 10)) == [(GONE, "", "cut off")]


def test_a_silent_node_that_loses_power_becomes_gone(world: World) -> None:
    world.frozen.add("ctl3")
    world.run(30)
    world.off.add("ctl3")
    assert verdicts(world.run(60)) == [(GONE, "ctl3", "gone")]


def test_a_gone_node_that_boots_is_not_told_again_before_it_beats(world: World) -> None:
    world.off.add("ctl3")
    world.run(30)
    world.off.clear()
    world.frozen.add("ctl3")
    assert world.run(120) == []
    world.frozen.clear()
    assert verdicts(world.run(10)) == [(BACK, "ctl3", "")]


def test_a_node_that_answers_but_does_not_beat_is_there(world: World) -> None:
    world.mute.add("cmp1")
    assert world.run(200) == []
    assert world.known.states()["cmp1"] == "mute"
    assert world.known.answering(world.now)["cmp1"]
    assert len(world.questions) < 200 / presence.RECHECK + 2
    world.off.add("cmp1")
    assert verdicts(world.run(60)) == [(GONE, "cmp1", "gone")]


def test_a_mute_node_that_beats_again_is_here(world: World) -> None:
    world.mute.add("cmp1")
    world.run(30)
    world.mute.clear()
    assert world.run(10) == []
    assert world.known.states()["cmp1"] == "here"


def test_one_lost_beat_is_nothing(world: World) -> None:
    world.off.add("cmp1")
    world.run(4)
    world.off.clear()
    assert world.run(30) == []
    assert world.questions == []


def test_who_beats_while_being_asked_for_is_not_judged(world: World) -> None:
    world.off.add("cmp1")
    while not world.questions:
        world.run(TICK)
    world.off.clear()
    world.run(presence.BEAT)
    world.off.add("cmp1")  # the evidence, when it comes, is against it
    assert world.open
    assert world.run(ASKING) == []
    assert world.known.states()["cmp1"] == "here"


# -- coming back ---------------------------------------------------------------------------------


def test_back_needs_two_beats(world: World) -> None:
    world.off.add("cmp1")
    world.run(60)
    world.beats["cmp1"] = world.now + 0.5
    assert world.run(presence.BEAT) == []
    assert not world.known.answering(world.now)["cmp1"]
    world.off.clear()
    assert verdicts(world.run(2 * presence.BEAT)) == [(BACK, "cmp1", "")]
    assert world.known.answering(world.now)["cmp1"]


def test_a_single_beat_now_and_then_does_not_add_up(world: World) -> None:
    world.off.add("cmp1")
    world.run(60)
    for _ in range(5):
        world.beats["cmp1"] = world.now + 0.5
        assert world.run(90) == []


def test_a_gone_node_that_answers_twice_without_beating_is_back(world: World) -> None:
    world.off.add("cmp1")
    world.run(60)
    world.off.clear()
    world.mute.add("cmp1")
    assert verdicts(world.run(2 * presence.RECHECK + 20)) == [(BACK, "cmp1", "")]
    assert world.known.states()["cmp1"] == "mute"


def test_a_node_that_was_gone_before_the_engine_started_comes_back(lab: Cloud) -> None:
    world = World(lab, gone=["cmp1", "no-longer-in-the-model"])
    assert verdicts(world.run(30)) == [(BACK, "cmp1", "")]


def test_a_node_that_is_still_gone_after_a_start_is_not_told_again(lab: Cloud) -> None:
    world = World(lab, gone=["cmp1"])
    world.off.add("cmp1")
    assert world.run(120) == []
    assert world.known.states()["cmp1"] == "gone"


# -- starting ------------------------------------------------------------------------------------


def test_after_a_start_nobody_is_missed_for_a_while(lab: Cloud) -> None:
    world = World(lab)
    world.off.add("cmp1")
    assert world.run(15) == []
    assert world.questions == []
    assert verdicts(world.run(15)) == [(GONE, "cmp1", "gone")]


def test_beats_from_long_before_the_start_say_nothing(lab: Cloud) -> None:
    world = World(lab, gone=["cmp1"])
    world.off.add("cmp1")
    world.beats["cmp1"] = world.now - 500
    world.run(2)
    assert (
        "cmp1" not in world.known.answering(world.now)
        or not world.known.answering(world.now)["cmp1"]
    )
    assert world.run(60) == []


def test_who_has_just_joined_has_time_to_begin(world: World) -> None:
    world.expected.discard("cmp2")
    world.off.add("cmp2")
    assert world.run(60) == []
    assert "cmp2" not in world.known.states()
    world.expected.add("cmp2")
    assert world.run(14) == []
    assert len(world.questions) == 0


def test_nobody_expected_is_nobody_missed(lab: Cloud) -> None:
    world = World(lab)
    world.expected.clear()
    assert world.run(60) == []


def test_who_left_while_being_asked_for_is_forgotten(world: World) -> None:
    world.off.add("cmp1")
    while not world.questions:
        world.run(TICK)
    world.expected.discard("cmp1")
    assert world.run(60) == []
    world.known.ask_again(world.questions[0][1], world.now)
