"""The power of a machine is cut: every API goes on answering, and somebody is told of it."""

from __future__ import annotations

import time

import pytest
from labkit import apis, commands, faults, nodes, reactor, watch

pytestmark = [pytest.mark.lab, pytest.mark.faults]

CALM = 300  # seconds for a cloud to be calm before the cut
SETTLE = 30  # seconds after the cut in which answers may fail: election, quorum, dead connections
STEADY = 10  # seconds without a failure that count as being back
TOLD, TARGET = 60, 15.0  # seconds until a human must know, and should
#: An endpoint, and the controller that writes go to.
LOST = ["lb1", "ctl1"]


@pytest.mark.parametrize("node", LOST)
def test_every_api_survives_the_loss_of(node: str, deployed: None, members: list[str]) -> None:
    commands.wait_for("another operation on the cloud to end", commands.idle, commands.IDLE)
    endpoints = [name for name in members if "endpoint" in apis.model()["nodes"][name]["roles"]]
    if node in endpoints:
        nodes.give_vips(node, endpoints, apis.vip())
    nodes.wait_healthy(members)
    with watch.watching() as seen:
        # A machine that has just come back is still busy: the next fault comes upon a calm cloud.
        _until_steady(seen, time.monotonic(), CALM)
        began, cut = time.monotonic(), time.time()
        try:
            nodes.cut_power(node)
            since = _until_steady(seen, began, SETTLE)
            commands.wait_for(f"somebody to be told of {node}", lambda: _told(node, cut), TOLD)
        finally:
            nodes.restore_power(node)
        powered, number = time.monotonic(), reactor.last_event()
        nodes.wait_healthy(members)
        healthy = time.monotonic()
    assert not _helped(node, number), "it was only starting"
    faults.figures(f"gone-{node}", [_told(node, cut)[0] - cut], TARGET)
    commands.keep(
        f"loss-{node}",
        {
            "settled after": round(since - began, 1),
            "longest gap": _gaps(seen, began, powered),
            "healthy after power": round(healthy - powered, 1),
            "longest gap while it came back": _gaps(seen, powered, healthy),
        },
    )


def _told(node: str, after: float) -> list[float]:
    """When people were told that ``node`` is gone; seconds since the epoch."""
    said = [m for m in reactor.messages() if m["at"] > after and m["phase"] != "resolved"]
    return [m["at"] for m in said if f"{node} is gone" in m["faults"]]


def _helped(node: str, number: int) -> list[tuple[str, str, list[str]]]:
    """What was done to services of ``node`` after event ``number``, but for looks, and why."""
    return [
        (entry["fault"], action["operation"], entry["reasons"])
        for entry in reactor.acted_since(number)
        for action in entry["actions"]
        if f" on {node}" in entry["fault"] and action["operation"] != "look"
    ]


def _gaps(seen: watch.Watch, start: float, end: float) -> dict[str, float]:
    return {
        name: round(watch.longest_gap(asked, start, end), 1) for name, asked in seen.samples.items()
    }


def _until_steady(seen: watch.Watch, began: float, within: float) -> float:
    """From when on, ``within`` so many seconds, no API failed for ``STEADY`` seconds."""

    def steady() -> float | None:
        since = watch.steady_since(seen.samples, began)
        return since if since and time.monotonic() - since >= STEADY else None

    try:
        commands.wait_for("every API", steady, within + STEADY)
    except AssertionError as exc:
        raise AssertionError(f"{exc}\n{watch.last_reasons(seen.samples)}") from exc
    since = watch.steady_since(seen.samples, began)
    assert since is not None
    return since
