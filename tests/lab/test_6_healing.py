"""Services hang, are stopped and crash again and again: who heals them, how soon, and who must not.

``SALTERN_RUNS`` says how often a fault is injected: once by default, ``make faults`` takes 5.
A figure that misses its target is told by ``make faults``; a test fails when an invariant breaks.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import saltern_pressure
from labkit import apis, commands, faults, nodes, reactor

from lab import podman, proc
from lab.model import MASTER

pytestmark = [pytest.mark.lab, pytest.mark.faults, pytest.mark.usefixtures("quiet")]

#: Seconds until whatever it was must be healed: a starved machine may take so many times as long.
HEALED = 30 * saltern_pressure.SLOWER
ONE_ALERT = 45.0  # seconds until people must have been told
TOLD = 120  # seconds until they must have been told of what was tried for long


def phases(told: int, about: str) -> list[str]:
    """What became of the trouble ``about``, as people were told since message number ``told``."""
    said = reactor.messages()[told:]
    return [m["phase"] for m in said if any(about in fault for fault in m["faults"])]


# -- hung: it lives, and answers nothing ----------------------------------------------------------


#: What hangs in one run after the other: what comes back too often is left to people.
HUNG = [
    ("glance", "glance-api", "ctl2"),
    ("keystone", "keystone", "ctl3"),
    ("glance", "glance-api", "ctl3"),
    ("keystone", "keystone", "ctl2"),
    ("glance", "glance-api", "ctl1"),
]


#: What stops, who finds it, and how many seconds until no more requests come and until it answers.
STOPS: dict[str, tuple[Callable[[str, str], float], float, float]] = {
    "F02": (lambda node, unit: faults.signal(node, unit, "STOP"), 1.0, 10.0),  # the kernel says it
    "deaf": (faults.stop_workers, 6.0, 20.0),  # probes and checks have to find out
}


@pytest.mark.parametrize("name", STOPS)
def test_f02_a_hung_api_leaves_the_balancer_and_is_restarted(members: list[str], name: str) -> None:
    stop, soon, later = STOPS[name]
    balancer = faults.Balancer(nodes.holder(members, apis.vip()))
    hung = HUNG if name == "F02" else HUNG[::-1]

    def once(service: str, unit: str, node: str) -> tuple[float, float]:
        number = reactor.last_event()
        with (
            faults.asking(balancer.sends(service, node)) as used,
            faults.asking(faults.http(service, node)) as asked,
        ):
            at = stop(node, unit)
            commands.wait_for("the balancer to notice", lambda: used.bad, HEALED)
            commands.wait_for("it to answer", lambda: asked.good[-1] > used.bad[0], HEALED)
            commands.wait_for(
                "the balancer to take it back", lambda: used.good[-1] > used.bad[-1], HEALED
            )
        assert used.bad[0] > at, "it was out before"
        out, back = used.bad[0] - at, asked.gap(at)
        reactor.wait_quiet()
        assert reactor.actions(reactor.since(number)) == [(f"{service} on {node}", "restart")]
        return out, back

    runs = [once(*hung[run % len(hung)]) for run in range(faults.RUNS)]
    out, back = zip(*runs, strict=True)
    faults.figures(f"{name}-out", out, soon)
    faults.figures(f"{name}-back", back, later)


# -- stopped: nobody but the reactor starts it again -----------------------------------------------


def test_what_somebody_stopped_is_started_once() -> None:
    number = reactor.last_event()
    with faults.asking(faults.memcached("ctl3")) as asked:
        at = time.monotonic()
        podman.inside("ctl3", "systemctl", "stop", "memcached")
        stopped = time.monotonic()
        commands.wait_for("memcached", lambda: asked.good[-1] > stopped, HEALED)
        seconds = asked.gap(at)
    reactor.wait_quiet()
    assert reactor.actions(reactor.since(number)) == [("memcached on ctl3", "restart")]
    faults.figures("stopped", [seconds], 3.0)


def test_nothing_is_touched_in_maintenance() -> None:
    number = reactor.last_event()
    with reactor.paused("a test", "node=ctl3"), nodes.stopped("ctl3", "memcached"):
        commands.wait_for("the report", lambda: reactor.since(number), HEALED)
        time.sleep(5)  # the time in which it must not act
        entries = reactor.since(number)
    assert reactor.actions(entries) == []
    assert any("paused" in reason for entry in entries for reason in entry["reasons"])


# -- crash loop: an end, and one message ----------------------------------------------------------


@contextmanager
def crashing(node: str, unit: str) -> Iterator[None]:
    """``unit`` on ``node`` dies as soon as it is started, whatever its files say."""
    folder = f"/etc/systemd/system/{unit}.service.d"
    text = "[Service]\\nExecStart=\\nExecStart=/bin/false\\n"
    podman.inside(node, "sh", "-c", f"printf '{text}' >{folder}/zz-test.conf")
    podman.inside(node, "systemctl", "daemon-reload")
    try:
        yield
    finally:
        podman.inside(node, "rm", f"{folder}/zz-test.conf")
        podman.inside(node, "systemctl", "daemon-reload")
        podman.inside(node, "systemctl", "restart", unit)


def starts(node: str, unit: str, since: int) -> int:
    """How often systemd started ``unit`` since that second of the epoch."""
    said = podman.attempt(
        node, "journalctl", f"--unit={unit}", f"--since=@{since}", "--output=cat", "--grep=^Start"
    )
    return sum(line.startswith("Started") for line in said.splitlines())


#: What loops in one run after the other: a service whose ladder was climbed goes on where it was.
#: All are put back together at the end; until then a copy of each has to be left.
LOOPING = [
    ("placement", "placement-api", "ctl3"),
    ("swift-proxy", "swift-proxy", "ctl2"),
    ("nova-novncproxy", "nova-novncproxy", "ctl1"),
    ("placement", "placement-api", "ctl1"),
    ("swift-proxy", "swift-proxy", "ctl3"),
]


def test_f03_a_crash_loop_ends_with_one_message(members: list[str]) -> None:
    balancer = faults.Balancer(nodes.holder(members, apis.vip()))
    before = len(reactor.messages())

    def once(service: str, unit: str, node: str) -> tuple[float, int]:
        about = f"{service} on {node}"
        number, told = reactor.last_event(), len(reactor.messages())
        with crashing(node, unit):
            since = int(time.time())
            began = faults.signal(node, unit, "KILL")
            commands.wait_for("a message", lambda: phases(told, about), TOLD)
            seconds, count = time.monotonic() - began, starts(node, unit, since)
            acted = reactor.actions(reactor.since(number))
            time.sleep(20)  # the time in which nothing more must be tried, and nobody told again
            entries, heard = reactor.since(number), phases(told, about)
        ladder = [(about, rung) for rung in ("restart", "reapply", "isolate")]
        assert acted in (ladder, ladder[1:]), "never the same rung twice"
        assert reactor.actions(entries) == acted, "it goes on"
        assert heard == ["attention"]
        reactor.wait_quiet(reactor.LONG)
        return seconds, count

    tried = {entry["fault"] for entry in reactor.history()}
    looping = sorted(LOOPING, key=lambda one: f"{one[0]} on {one[2]}" in tried)[: faults.RUNS]
    seconds, count = zip(*(once(*one) for one in looping), strict=True)
    faults.figures("F03-breaker", seconds, 60.0)
    faults.figures("F03-starts", count, 6.0)
    assert not commands.orchestrate("deploy", 1200).code
    for service, _, node in looping:
        commands.wait_for("what was isolated to be put back", balancer.sends(service, node), TOLD)
    abouts = [f"{service} on {node}" for service, _, node in looping]
    commands.wait_for(
        "their end to be told",
        lambda: all(phases(before, about) == ["attention", "resolved"] for about in abouts),
        TOLD,
    )


# -- too much at once: suspect ourselves ----------------------------------------------------------


#: What is taken from two of three controllers in one run after the other.
SICK = [
    ("memcached", "memcached", "ctl1", "ctl2"),
    ("glance", "glance-api", "ctl2", "ctl3"),
    ("nova-scheduler", "nova-scheduler", "ctl3", "ctl1"),
    ("placement", "placement-api", "ctl1", "ctl2"),
    ("nova-novncproxy", "nova-novncproxy", "ctl2", "ctl3"),
]


ALL_SICK = "too much is sick"


def test_f29_two_thirds_of_a_role_are_not_restarted() -> None:
    def once(service: str, unit: str, first: str, second: str) -> float:
        commands.wait_for("its end", lambda: phases(before, ALL_SICK)[-1:] != ["attention"], 300)
        reactor.wait_quiet(reactor.LONG)
        number, told = reactor.last_event(), len(reactor.messages())
        # Masked: had one been healed before the other is stopped, there would never be two.
        with nodes.masked(first, unit), nodes.masked(second, unit):
            began = time.monotonic()
            commands.wait_for("a message", lambda: phases(told, ALL_SICK), ONE_ALERT)
            seconds = time.monotonic() - began
            time.sleep(10)  # the time in which more must not happen
            entries, said = reactor.since(number), phases(told, ALL_SICK)
        # Until the second was stopped the first was one alone.
        seen = [entry["verdict"] for entry in entries].index("refuse")
        assert reactor.actions(entries[seen:]) == []
        assert {fault for fault, _ in reactor.actions(entries)} <= {f"{service} on {first}"}
        assert said == ["attention"]
        return seconds

    before = len(reactor.messages())
    faults.figures("F29", [once(*one) for one in SICK[: faults.RUNS]], ONE_ALERT)


def test_f08_a_master_that_is_cut_off_does_nothing() -> None:
    [cable] = nodes.cables(MASTER)

    def once() -> float:
        number, told = reactor.last_event(), len(reactor.messages())
        began = time.monotonic()
        proc.run(["ip", "link", "set", cable, "down"])
        try:
            commands.wait_for("a message", lambda: phases(told, "too few nodes"), ONE_ALERT)
            seconds = time.monotonic() - began
            time.sleep(15)  # the time in which it must not act
            entries, heard = reactor.since(number), phases(told, "too few nodes")
        finally:
            proc.run(["ip", "link", "set", cable, "up"])
        assert reactor.actions(entries) == []
        assert heard == ["attention"]
        commands.wait_for("the nodes", lambda: "resolved" in phases(told, "too few nodes"), TOLD)
        wrong = [a for a in reactor.actions(reactor.since(number)) if a[1] != "look"]
        assert wrong == [], "it acted when it came back"
        reactor.wait_quiet(reactor.LONG)
        return seconds

    faults.figures("F08", [once() for _ in range(faults.RUNS)], 30.0)


#: What is stopped or killed while the master is away.
MEANWHILE: list[tuple[str, Callable[[], object], Callable[[], Callable[[], bool]]]] = [
    (
        "memcached stopped on ctl3",
        lambda: podman.inside("ctl3", "systemctl", "stop", "memcached"),
        lambda: faults.memcached("ctl3"),
    ),
    (
        "glance-api killed on ctl1",
        lambda: faults.signal("ctl1", "glance-api", "KILL"),
        lambda: faults.http("glance", "ctl1"),
    ),
    (
        "keystone stopped on ctl2",
        lambda: podman.inside("ctl2", "systemctl", "stop", "keystone"),
        lambda: faults.http("keystone", "ctl2"),
    ),
    (
        "the metadata agent stopped on cmp1",
        lambda: podman.inside("cmp1", "systemctl", "stop", "neutron-ovn-metadata-agent"),
        lambda: faults.running("cmp1", "neutron-ovn-metadata-agent"),
    ),
    (
        "memcached stopped on ctl1",
        lambda: podman.inside("ctl1", "systemctl", "stop", "memcached"),
        lambda: faults.memcached("ctl1"),
    ),
]


def test_f07_nodes_heal_themselves_while_the_master_is_away() -> None:
    away = 60 if faults.RUNS == 1 else 300

    def once(what: str, harm: Callable[[], object], question: Callable[[], bool]) -> float:
        with faults.asking(question) as asked:
            at = time.monotonic()
            harm()
            commands.wait_for(what, lambda: asked.good[-1] > max([at + 5, *asked.bad]), HEALED)
            return asked.gap(at)

    number = reactor.last_event()
    with nodes.stopped(MASTER, "salt-master"):
        began = time.monotonic()
        met = MEANWHILE[: max(2, faults.RUNS)]
        seconds = [once(what, harm, question()) for what, harm, question in met]
        time.sleep(max(0.0, away - (time.monotonic() - began)))
    faults.figures("F07", seconds, 30.0)
    commands.wait_for("the master", lambda: reactor.ask("pending"), TOLD)
    reactor.wait_quiet(120)
    wrong = [a for a in reactor.actions(reactor.since(number)) if a[1] != "look"]
    assert wrong == [], "it healed what was healed"
