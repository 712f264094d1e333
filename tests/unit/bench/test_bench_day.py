"""The benchmark of simulated days: what it counts, and that a wrong action is none it hides."""

from __future__ import annotations

import pytest
from rich.console import Console

from bench import day, harness


def printed(tally: day.Tally) -> str:
    console = Console(width=120, color_system=None)
    with console.capture() as capture:
        console.print(harness.table("title", day.rows(tally)))
    return capture.get()


def test_an_hour_of_trouble_has_nothing_wrong_in_it() -> None:
    tally = day.passed(days=1, hours=1.0)
    assert not tally.mistakes
    assert tally.hours == 1.0 and tally.faults > 5 and tally.begun > 2 and tally.decisions > 50
    assert tally.fired > tally.faults
    text = printed(tally)
    assert "MISSED" not in text and text.count("<= 0  ok") == 4
    assert f"{tally.fired} " in text, "what is counted is shown as it is"


def test_the_same_days_in_every_run() -> None:
    assert day.passed(days=2, hours=0.2) == day.passed(days=2, hours=0.2)


@pytest.mark.parametrize("kind", ["wrong", "left_alone", "told_again", "differing"])
def test_a_mistake_is_a_missed_target_and_a_failure(
    kind: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tally = day.Tally(hours=1.0)
    getattr(tally, kind).extend(f"{number} restart for no reason" for number in range(12))
    assert printed(tally).count("MISSED") == 1
    monkeypatch.setattr(day, "passed", lambda days: tally)
    assert harness.run(day.TITLE, day.measure) == 1
    said = capsys.readouterr().err
    assert "0 restart for no reason" in said and "and 2 more" in said
