"""Many silent nodes, and a master that must not believe itself."""

from __future__ import annotations

import random

import pytest
import support
from fake_beats import TICK, World, verdicts
from saltern.cloud import Cloud
from saltern.reactor import presence
from saltern.reactor.presence import BACK, GONE


@pytest.fixture
def world(lab: Cloud) -> World:
    made = World(lab)
    assert made.run(60) == []
    assert made.questions == []
    return made


# -- ourselves -----------------------------------------------------------------------------------


def test_a_master_that_hears_nobody_suspects_itself(world: World) -> None:
    began = world.now
    world.unreachable |= set(world.cloud.nodes)
    found = world.run(300)
    assert verdicts(found) == [(GONE, "", "cut off")]
    assert "of 7 nodes" in found[0][2]["reason"]
    assert world.found[0][0] - began <= 30
    world.unreachable.clear()
    assert verdicts(world.run(60)) == [(BACK, "", "")]
    assert set(world.known.states().values()) == {"here"}


def test_a_machine_that_is_too_busy_for_some_seconds_is_not_cut_off(world: World) -> None:
    world.unreachable |= set(world.cloud.nodes)
    while sum(node.unanswered for node in world.known._nodes.values()) < 4:
        assert world.run(TICK) == []
    world.unreachable.clear()
    assert world.run(60) == []
    world.unreachable |= set(world.cloud.nodes)
    while sum(node.unanswered for node in world.known._nodes.values()) < 4:
        assert world.run(TICK) == [], "that was another time"
    assert world.run(3 * TICK) == []
    assert verdicts(world.run(10)) == [(GONE, "", "cut off")]


@pytest.mark.parametrize(("away", "cut"), [(3, False), (4, True)])
def test_from_55_percent_on_nobody_is_judged(world: World, away: int, cut: bool) -> None:
    lost = world.cloud.nodes[:away]
    world.off |= set(lost)
    found = verdicts(world.run(60))
    if cut:
        assert found == [(GONE, "", "cut off")]
    else:
        assert sorted(found) == [(GONE, node, "gone") for node in sorted(lost)]


def test_who_is_still_silent_after_a_cut_is_judged_then(world: World) -> None:
    world.unreachable |= set(world.cloud.nodes)
    world.run(60)
    world.unreachable.clear()
    world.off.add("cmp1")
    assert verdicts(world.run(60)) == [(BACK, "", ""), (GONE, "cmp1", "gone")]


def test_a_cut_that_ends_for_a_moment_has_not_ended(world: World) -> None:
    world.unreachable |= set(world.cloud.nodes)
    world.run(60)
    for _ in range(4):
        world.unreachable.clear()
        world.run(presence.BEAT)
        world.unreachable |= set(world.cloud.nodes)
        world.run(20)
    assert len(world.found) == 1


def test_a_cloud_whose_nodes_answer_but_never_beat_is_not_cut_off(lab: Cloud) -> None:
    world = World(lab)
    world.mute |= set(lab.nodes)
    assert world.run(300) == []
    assert set(world.known.states().values()) == {"mute"}


def test_nodes_that_answer_without_beating_do_not_hide_one_that_is_gone(world: World) -> None:
    world.mute |= set(world.cloud.nodes) - {"ctl1", "cmp1"}
    world.run(60)
    world.off.add("cmp1")
    assert verdicts(world.run(60)) == [(GONE, "cmp1", "gone")]


def test_a_cut_before_the_start_ends_when_all_are_heard(lab: Cloud) -> None:
    world = World(lab, gone=[""])
    assert world.known.cut
    assert verdicts(world.run(40)) == [(BACK, "", "")]


def test_half_of_two_nodes_can_be_gone() -> None:
    model = support.example("lab")
    pair = {name: model["nodes"][name] for name in ("ctl1", "cmp1")}
    world = World(support.cloud("lab", nodes=pair))
    world.run(30)
    world.off.add("cmp1")
    assert verdicts(world.run(30)) == [(GONE, "cmp1", "gone")]


# -- whom to ask ---------------------------------------------------------------------------------


def roles(world: World, nodes: tuple[str, ...]) -> list[str]:
    return [world.cloud.model["nodes"][node]["roles"][0] for node in nodes]


def test_one_neighbour_of_the_same_role_and_one_of_another_are_asked(world: World) -> None:
    world.off.add("ctl1")
    world.run(12)
    question = world.questions[0][1]
    assert question.suspects == ("ctl1",)
    assert roles(world, question.neighbours)[0] == "controller"
    assert roles(world, question.neighbours)[1] != "controller"


def test_only_those_that_are_heard_are_asked(world: World) -> None:
    world.off |= {"cmp1", "cmp2"}
    world.run(60)
    for _, question in world.questions:
        assert not {"cmp1", "cmp2"} & set(question.neighbours)


def test_neighbours_that_have_no_time_are_replaced(world: World) -> None:
    world.off.add("cmp1")
    world.deaf |= set(world.cloud.nodes) - {"cmp2", "ctl1"}
    while not world.questions:
        world.run(TICK)
    world.deaf |= set(world.questions[0][1].neighbours)
    world.run(10)
    first, second = world.questions[0][1].neighbours, world.questions[1][1].neighbours
    assert first != second


def test_without_witnesses_a_node_is_not_called_gone(world: World) -> None:
    world.off.add("cmp1")
    world.deaf |= set(world.cloud.nodes)
    found = world.run(60)
    assert verdicts(found) == [(GONE, "cmp1", "silent")]
    assert "no neighbour could be asked" in found[0][2]["reason"]


def test_what_came_to_nothing_is_asked_again(world: World) -> None:
    world.off.add("cmp1")
    while not world.questions:
        world.run(TICK)
    world.open.clear()
    world.known.ask_again(world.questions[0][1], world.now)
    assert verdicts(world.run(20)) == [(GONE, "cmp1", "gone")]


# -- any history ---------------------------------------------------------------------------------


def test_gone_and_back_take_turns_whatever_happens(lab: Cloud) -> None:
    """Two hours of nodes that lose power, freeze, fall mute and come back, and of lost networks."""
    chance = random.Random(7)  # noqa: S311 - the same troubles in every run
    world = World(lab)
    world.run(30)
    for _ in range(700):
        held: set[str] = chance.choice([world.off, world.frozen, world.mute, world.unreachable])
        node = chance.choice(lab.nodes)
        held.symmetric_difference_update({node})
        if chance.random() < 0.05:
            world.unreachable.symmetric_difference_update(lab.nodes)
        if chance.random() < 0.2:
            held.clear()
        for _, name, body in world.run(chance.uniform(1, 20)):
            assert body.get("verdict") != "gone" or name in world.off, f"{name} has power"
    last: dict[str, str] = {}
    for _, (tag, node, body) in world.found:
        if tag == BACK:
            assert last.get(node) == GONE, f"{node} is back, and was not gone"
        elif last.get(node) == GONE:
            assert body["verdict"] == "gone", f"{node} was told twice"
        last[node] = tag
    assert {tag for _, (tag, _, _) in world.found} == {GONE, BACK}
    for held in (world.off, world.frozen, world.mute, world.unreachable):
        held.clear()
    world.run(120)
    assert set(world.known.states().values()) == {"here"}
    assert world.known.answering(world.now) == dict.fromkeys(lab.nodes, True)
    assert not world.known.cut
