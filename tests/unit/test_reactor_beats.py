"""Signs of life: whose they are, when they are written, what they say of numbers."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest
import saltern_intake
from fake_intake import EPOCH, Rig, beat, down, one, sent, together
from saltern.reactor import outbox


@pytest.fixture
def rig(tmp_path: pathlib.Path) -> Rig:
    return Rig(tmp_path)


def test_beats_are_kept_in_memory_and_written_once_a_second(rig: Rig) -> None:
    rig.take([beat("ctl1")])
    rig.take([beat("ctl1", bad={"api": "hung"}), beat("ctl2")])
    assert rig.journal.beats()["ctl1"].bad == {}
    rig.now += 1.5
    rig.take([down("ctl3")])
    beats = rig.journal.beats()
    assert {node: beat.bad for node, beat in beats.items()} == {"ctl1": {"api": "hung"}, "ctl2": {}}
    assert beats["ctl1"].clock == 100.0


@pytest.mark.parametrize(
    ("said", "upto"),
    [
        ({"epoch": "ab12", "oldest": 9}, 9),
        ({"epoch": "ab12", "oldest": 8}, 7),
        ({"epoch": "ab12", "oldest": 1}, 0),
        ({"epoch": "ab12", "oldest": 2**53 - 1}, 2**53 - 2),
        ({"epoch": "ab12"}, 0),  # a watch that is older than this
        ({"oldest": 9}, 0),
        ({"epoch": "cd34", "oldest": 9}, 0),
        ({"epoch": "../etc", "oldest": 9}, 0),
        ({"epoch": "ab12", "oldest": 0}, 0),
        ({"epoch": "ab12", "oldest": -9}, 0),
        ({"epoch": "ab12", "oldest": 2**53}, 0),
        ({"epoch": "ab12", "oldest": True}, 0),
        ({"epoch": "ab12", "oldest": "9"}, 0),
        ({"epoch": "ab12", "oldest": 9.0}, 0),
    ],
)
def test_a_beat_says_which_numbers_will_not_come(rig: Rig, said: dict[str, Any], upto: int) -> None:
    rig.take([down(number=7), down(number=9), sent("ctl1", "beat", bad={}, number=9, **said)])
    assert rig.journal.acks() == {"ctl1": {"ab12": upto}}
    assert ("ctl1" in rig.journal.beats()) == (said.get("epoch") == EPOCH)


def test_who_reports_is_heard_though_its_beat_is_late(rig: Rig) -> None:
    rig.take([beat("ctl1", bad={"api": "hung"}), beat("ctl2")])
    written = rig.journal.beats()["ctl1"]
    rig.now += 8
    of_another = down("ctl2")[0], down("ctl1", 1)[1]
    without_epoch, of_no_box = down("ctl2"), together("ctl2", one(1), epoch="cd34")
    rig.take([down("ctl1", 1), down("ctl3", 1), of_another, without_epoch, of_no_box])
    beats = rig.journal.beats()
    assert beats["ctl1"] == written._replace(clock=108.0), "its word on services is as old as that"
    assert beats["ctl2"].clock == 100.0, "somebody else reported in its name"
    assert "ctl3" not in beats, "who has not beaten yet has not seen all of itself"


def test_only_who_knows_the_epoch_beats_for_a_node(rig: Rig) -> None:
    rig.take([beat("ctl1"), beat("ctl1", bad={"api": "down"}, epoch="cd34")])
    assert rig.journal.beats()["ctl1"].bad == {}
    rig.now += 5
    rig.take([beat("ctl1", epoch="cd34"), sent("ctl1", "beat", bad={}), beat("ctl2", epoch=7)])
    assert list(rig.journal.beats()) == ["ctl1"]
    assert rig.journal.beats()["ctl1"].clock == 100.0, "not a sign of life"
    rig.journal.prove({"ctl1": outbox.digest("cd34")})  # its outbox was lost: it was asked again
    rig.now += 5
    rig.take([beat("ctl1"), beat("ctl1", bad={"api": "hung"}, epoch="cd34")])
    assert rig.journal.beats()["ctl1"].bad == {"api": "hung"}
    rig.journal.forget_outboxes("ctl1")  # who joins by this name is believed until it was asked
    rig.now += 5
    rig.take([sent("ctl1", "beat", bad={"api": "down"})])
    assert rig.journal.beats()["ctl1"].bad == {"api": "down"}


def test_a_flood_of_names_is_not_kept(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saltern_intake, "SIGNS_MOST", 2)
    rig.take([beat("ctl1"), beat("ctl2"), beat("ctl3")])
    assert sorted(rig.journal.beats()) == ["ctl1", "ctl2"]
    rig.now += 5
    forged = [together("ctl1", one(1), epoch=f"{number:x}") for number in range(9)]
    rig.take([*forged, beat("ctl3")])
    assert sorted(rig.journal.beats()) == ["ctl1", "ctl2", "ctl3"], "the next one is"


def test_a_beat_of_another_node_says_nothing_of_this_ones_numbers(rig: Rig) -> None:
    said = beat("ctl2", oldest=9)
    rig.take([down(number=7), said])
    assert rig.journal.acks() == {"ctl1": {"ab12": 0}}


def test_what_a_beat_said_is_not_said_again_by_a_later_one(rig: Rig) -> None:
    rig.take([beat("ctl1", oldest=9)])
    rig.now += 5
    rig.take([down(number=9), beat("ctl2")])
    assert rig.journal.acks() == {"ctl1": {"ab12": 0}}
