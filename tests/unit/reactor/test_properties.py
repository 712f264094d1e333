"""Random histories: each guard rail holds at every step, and everything can be decided again."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reactor_weather import NEW, Weather, most_within


@settings(max_examples=12, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 2**32), st.sampled_from([0.2, 1.0, 10.0, 60.0]))
def test_every_law_holds_in_any_weather(seed: int, pace: float) -> None:
    weather = Weather(seed)
    for _ in range(250):
        weather.step(weather.dice.expovariate(1 / pace))
    weather.budgets_held()
    weather.replayed()


@pytest.mark.parametrize("seed", [7, 8])
def test_a_day_of_trouble(seed: int) -> None:
    """24 h, in steps of seconds where something goes on, and of 20 where nothing does."""
    weather = Weather(seed)
    end = weather.reactor.now + 24 * 3600
    while weather.reactor.now < end:
        weather.step(10.0 if weather.reactor.running else 20.0, trouble=0.05)
    weather.budgets_held()
    weather.replayed()
    assert len(weather.acts) > 100 and len(weather.told) > 10
    weather.calm()
    for node, service in weather.copies:
        made = weather.reactor.says(node, service)
        wanted = "wait" if service in ("galera", "rabbitmq") else "act"
        wanted = "ignore" if node == NEW else wanted
        assert made.verdict == wanted, made  # a lone failed service is acted on, whatever has been
        if made.verdict == "act":
            weather.reactor.end()
        weather.reactor.says(node, service, "ok")
        weather.reactor.now += 60


def test_a_window_is_counted_as_it_slides() -> None:
    assert most_within([], 10) == 0
    assert most_within([0, 5, 9, 10, 11], 10) == 4
