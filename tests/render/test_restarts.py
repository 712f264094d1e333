"""Every service of a node comes back by itself: at once after a crash, more seldom in a loop."""

from __future__ import annotations

import configparser
from typing import Any

import pytest

#: Started six times in the first minute of a crash loop, the first start included.
MINUTE, STARTS = 60.0, 6
#: Seconds of outage that a crash may cost beside the start itself; members of a quorum have longer.
BLINK, MEMBER = 0.2, 1.0
MEMBERS = {"mariadb", "rabbitmq-server"}
#: Seconds in which systemd leaves what crashed twice to the reactor, which took 5.8 to reapply the
#: files of placement on the lab. Behind the balancers' own units stands every request.
REAPPLY, BALANCERS = 7.0, {"haproxy", "keepalived"}


def seconds(text: str) -> float:
    if text.endswith("ms"):
        return float(text[:-2]) / 1000
    return float(text.removesuffix("s"))


def restarts(service: dict[str, str]) -> list[float]:
    """When systemd starts a unit that dies at once, as it computes the delays (service.c)."""
    first, most = seconds(service["restartsec"]), seconds(service["restartmaxdelaysec"])
    steps, at, times = int(service["restartsteps"]), 0.0, []
    for n in range(50):
        at += most if n >= steps else first * (most / first) ** (n / steps)
        times.append(at)
    return times


def settings(compiled: Any, unit: str) -> dict[str, dict[str, str]]:
    """What our files say about ``unit``, section by section."""
    folder = f"/etc/systemd/system/{unit}.service"
    parser = configparser.ConfigParser(strict=False, interpolation=None, allow_no_value=True)
    for chunk in compiled.highstate:
        name = str(chunk["name"])
        if chunk["state"] != "file" or chunk["fun"] != "managed":
            continue
        if name == folder or name.startswith(f"{folder}.d/"):
            parser.read_string(compiled.render(chunk))
    return {section: dict(parser[section]) for section in parser.sections()}


def test_every_unit_restarts_soon_and_then_ever_more_seldom(compiled: Any) -> None:
    for unit in compiled.pillar["cloud"]["units"]:
        said = settings(compiled, unit)
        assert "Service" in said, f"{unit}: nothing says how it restarts"
        service = said["Service"]
        assert service["restart"] in ("always", "on-failure"), unit
        times = restarts(service)
        assert times[0] <= (MEMBER if unit in MEMBERS else BLINK), (
            f"{unit} is down for {times[0]} s"
        )
        early = [at for at in times if at <= MINUTE]
        assert 1 + len(early) <= STARTS, f"{unit} is started {1 + len(early)} times in a minute"
        if unit not in MEMBERS | BALANCERS:
            assert times[2] - times[1] >= REAPPLY, (
                f"{unit} is started while its files are reapplied"
            )
        if unit not in MEMBERS:
            assert said["Unit"]["startlimitintervalsec"] == "0", f"{unit} gives up"


@pytest.mark.parametrize(("text", "value"), [("100ms", 0.1), ("0.2s", 0.2), ("5", 5.0)])
def test_times_are_read_as_systemd_does(text: str, value: float) -> None:
    assert seconds(text) == value
