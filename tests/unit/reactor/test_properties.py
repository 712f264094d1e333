"""Random histories: each guard rail holds at every step, and everything can be decided again."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reactor_weather import NEW, Weather


@settings(max_examples=12, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 2**32), st.sampled_from([0.2, 1.0, 10.0, 60.0]))
def test_every_law_holds_in_any_weather(seed: int, pace: float) -> None:
    weather = Weather(seed)
    weather.day(hours=120 * pace / 3600, every=pace)
    assert not weather.judge.wrong and not weather.judge.told_again
    assert not weather.differing()


@pytest.mark.parametrize("seed", [7, 8])
def test_a_day_of_trouble(seed: int) -> None:
    """24 h, in steps of fractions of a second where something goes on, and of 20 s at most."""
    weather = Weather(seed)
    weather.day(every=300)
    judge = weather.judge
    assert not judge.wrong and not judge.left_alone and not judge.told_again
    assert not weather.differing()
    assert judge.begun > 100 and judge.called > 10
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
