"""Processes die: systemd starts them again within milliseconds (T0), and hardly anybody notices."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
import saltern_pressure
from labkit import apis, commands, faults, nodes, reactor

from lab import podman

pytestmark = [pytest.mark.lab, pytest.mark.faults, pytest.mark.usefixtures("quiet")]

#: Seconds until whatever it was must be healed: a starved machine may take so many times as long.
HEALED = 30 * saltern_pressure.SLOWER

KILLED: dict[str, tuple[str, str, Callable[[], Callable[[], bool]]]] = {
    "api": ("ctl1", "glance-api", lambda: faults.http("glance", "ctl1")),
    "memcached": ("ctl2", "memcached", lambda: faults.memcached("ctl2")),
    "agent": (
        "cmp1",
        "neutron-ovn-metadata-agent",
        lambda: faults.running("cmp1", "neutron-ovn-metadata-agent"),
    ),
    "nova-compute": ("cmp2", "nova-compute", lambda: faults.running("cmp2", "nova-compute")),
}


@pytest.mark.parametrize("what", KILLED)
def test_what_is_killed_comes_back(what: str) -> None:
    """The figure is what it is away beyond what its own start takes here."""
    node, unit, question = KILLED[what]

    def until_back(how: Callable[[], float]) -> tuple[faults.Asked, float]:
        with faults.asking(question()) as asked:
            at = how()
            time.sleep(3)  # the time in which it begins to fail, unless it is back by then
            commands.wait_for(unit, lambda: asked.good[-1] > max([at, *asked.bad]), HEALED)
        return asked, at

    def once() -> float:
        """A restart by hand first: systemd waits longer each time it starts something itself."""
        with reactor.paused("its own start is measured", f"node={node}"):
            asked, _ = until_back(lambda: restarted(node, unit))
            began = started(node, unit)
            own = min(at for at in asked.good if at > began) - began
        asked, at = until_back(lambda: faults.signal(node, unit, "KILL"))
        return asked.gap(at) - own

    faults.figures(f"killed-{what}", [once() for _ in range(faults.RUNS)], 3.0)


def started(node: str, unit: str) -> float:
    """When the main process of ``unit`` began, by the monotonic clock."""
    name = "--property=ExecMainStartTimestampMonotonic"
    return int(podman.inside(node, "systemctl", "show", name, "--value", unit)) / 1e6


def restarted(node: str, unit: str) -> float:
    """Restart ``unit``; when that was."""
    at = time.monotonic()
    podman.inside(node, "systemctl", "restart", "--no-block", unit)
    return at


def test_f01_a_killed_api_worker_costs_no_request() -> None:
    """Of nova-api: it has two processes here too; the lab's others have one."""
    seconds, failed = [], []
    for _ in range(faults.RUNS):
        with (
            faults.asking(faults.http("nova-api")) as through,
            faults.asking(faults.http("nova-api", "ctl2")) as direct,
        ):
            worker = podman.inside("ctl2", "pgrep", "--full", "--newest", "nova-api-uwsgi")
            at = time.monotonic()
            podman.inside("ctl2", "kill", "-9", worker)
            time.sleep(3)  # the time in which it may fail
            seconds.append(direct.gap(at))
            failed += through.why
    faults.figures("F01", seconds, 1.5)
    assert failed == [], "requests through the balancer failed"


def test_f11_haproxy_killed_on_the_holder(members: list[str]) -> None:
    seconds = []
    for _ in range(faults.RUNS):
        node = nodes.holder(members, apis.vip())
        with faults.asking(faults.http("keystone")) as asked:
            at = faults.signal(node, "haproxy", "KILL")
            time.sleep(3)
            seconds.append(asked.gap(at))
    faults.figures("F11", seconds, 1.0)
    assert max(seconds) < 5


def test_f23_a_memcached_restart_slows_nothing_for_long() -> None:
    def slow(restart: Callable[[], object]) -> tuple[float, float]:
        """Seconds until the last token that took twice as long as usual, and spent in such tokens.

        The first is mostly what else goes on: a token is 50 ms, and now and then one takes twice as
        long when nothing is restarted.
        """
        at = time.monotonic()
        restart()
        time.sleep(5)
        assert not [bad for bad in asked.bad if bad > at], "requests failed"
        late = [(end - at, took) for end, took in asked.took if end > at and took > 2 * usual]
        return max((end for end, _ in late), default=0.0), sum(took for _, took in late)

    apis.token()
    calm, after = [], []
    for _ in range(faults.RUNS):
        with faults.asking(lambda: apis.token(10)) as asked:
            commands.wait_for("ten tokens", lambda: len(asked.took) >= 10, 30)
            usual = sorted(took for _, took in asked.took)[len(asked.took) // 2]
            calm.append(slow(lambda: None))  # what else goes on slows some too
            after.append(slow(lambda: restarted("ctl1", "memcached")))
    for number, name in enumerate(("F23", "F23-spent")):
        faults.figures(f"{name}-calm", [found[number] for found in calm], None)
        faults.figures(name, [found[number] for found in after], 1.0)
