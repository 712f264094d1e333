"""Days of trouble for the reactor, simulated: ``python -m bench.day [DAYS]``.

In each of them 1 % of all events is lost for good, 1 % comes twice and about 1 % is overtaken by
later ones. What a wrong action is, and when a fault was left alone, is defined by the judge of the
simulation (``tests/reactor_judge.py``), who knows what is so and does not ask the reactor.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

from bench import harness
from bench.harness import Row
from lab.paths import ROOT

sys.path += [str(ROOT / "_utils"), str(ROOT / "tests")]  # last: tests/ has folders named as ours

from lossy_way import Rates  # noqa: E402 - it needs the path
from reactor_weather import Weather  # noqa: E402

TITLE = "days of trouble"
HOURS = 24.0
DAYS = 10
#: Of what should not have happened, so much is shown.
SHOWN = 10


@dataclass
class Tally:
    """What came of all days together."""

    hours: float = 0.0
    faults: int = 0
    fired: int = 0
    lost: int = 0
    doubled: int = 0
    overtaken: int = 0
    decisions: int = 0
    begun: int = 0
    for_nothing: int = 0
    calls: int = 0
    wrong: list[str] = field(default_factory=list)
    left_alone: list[str] = field(default_factory=list)
    told_again: list[str] = field(default_factory=list)
    differing: list[str] = field(default_factory=list)

    def add(self, weather: Weather, hours: float) -> None:
        """Count what came of ``weather``, which went on for so many hours."""
        judge, way = weather.judge, weather.way
        self.hours += hours
        self.faults += weather.truth.faults
        self.fired += way.fired
        self.lost += way.lost
        self.doubled += way.doubled
        self.overtaken += way.overtaken
        self.decisions += weather.decisions
        self.begun += judge.begun
        self.for_nothing += judge.for_nothing
        self.calls += judge.called
        self.wrong += judge.wrong
        self.left_alone += judge.left_alone
        self.told_again += judge.told_again
        self.differing += weather.differing()

    @property
    def mistakes(self) -> list[str]:
        """Everything that should not have happened."""
        again = [f"{line}: decided anew, it is another" for line in self.differing]
        return [*self.wrong, *self.left_alone, *self.told_again, *again]


def passed(days: int, hours: float = HOURS) -> Tally:
    """So many days, the same ones in every run."""
    found = Tally()
    for seed in range(1, days + 1):
        weather = Weather(seed, Rates())
        weather.day(hours)
        found.add(weather, hours)
    return found


def rows(found: Tally) -> list[Row]:
    """The table."""

    def share(count: int) -> str:
        return f"{100 * count / max(1, found.fired):.1f} % of them"

    return [
        Row("simulated", found.hours, "h"),
        Row("faults that happened", found.faults, ""),
        Row("events fired", found.fired, ""),
        Row(f"lost for good, {share(found.lost)}", found.lost, ""),
        Row(f"came twice, {share(found.doubled)}", found.doubled, ""),
        Row(f"overtaken by later ones, {share(found.overtaken)}", found.overtaken, ""),
        Row("decisions", found.decisions, ""),
        Row("actions begun", found.begun, ""),
        Row("of these on what had just become well (looked at, left alone)", found.for_nothing, ""),
        Row("calls for a human", found.calls, ""),
        Row("wrong actions", len(found.wrong), "", 0),
        Row("faults neither acted on nor told", len(found.left_alone), "", 0),
        Row("humans called again too soon", len(found.told_again), "", 0),
        Row("decisions that are others when made anew", len(found.differing), "", 0),
    ]


def measure(days: int = DAYS) -> None:
    """Print the table.

    :raises RuntimeError: when something was wrong: that is no matter of how fast a machine is.
    """
    found = passed(days)
    harness.show(f"{TITLE}: {days} of them, {HOURS:.0f} h each, simulated", rows(found))
    if found.mistakes:
        raise RuntimeError("\n  ".join(["what should not have been:", *_few(found.mistakes)]))


def _few(lines: Sequence[str]) -> list[str]:
    more = [f"and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
    return [*lines[:SHOWN], *more]


if __name__ == "__main__":
    sys.exit(harness.run(TITLE, lambda: measure(*map(int, sys.argv[1:]))))
