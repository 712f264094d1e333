"""The lab's nodes: what runs on them, how they are, and their power."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

from lab import podman, proc, shape
from labkit import commands

HANDOVER = 15  # seconds
CLOUD_SETTLES = 600  # seconds until a node that was powered on must be whole again


def units() -> dict[str, list[str]]:
    """Node -> the units of its services, as its pillar says."""
    answers = commands.salt(None, "pillar.get", "cloud:units")
    return {node: sorted(spec) for node, spec in answers.nodes.items()}


def processes(wanted: Mapping[str, Sequence[str]]) -> dict[str, dict[str, str]]:
    """Node -> unit -> its main process and since when it is active, asked of systemd itself."""
    return {node: _shown(node, names) for node, names in wanted.items()}


def _shown(node: str, names: Sequence[str]) -> dict[str, str]:
    properties = "--property=Id,MainPID,ActiveState,ActiveEnterTimestampMonotonic"
    said = podman.inside(node, "systemctl", "show", properties, *(f"{n}.service" for n in names))
    blocks = [dict(line.split("=", 1) for line in b.splitlines()) for b in said.split("\n\n")]
    return {block.pop("Id"): " ".join(sorted(block.values())) for block in blocks}


def ill(answers: commands.Answers, expected: Sequence[str]) -> list[str]:
    """Everything that is not ok in answers to ``openstack.health`` of the ``expected`` nodes."""
    found = [f"{node}: no answer" for node in expected if node not in answers.nodes]
    for node, services in sorted(answers.nodes.items()):
        if not isinstance(services, dict) or not services:
            found.append(f"{node}: {services}")
            continue
        found += [
            f"{node}: {name} is {state['status']}: {state['reason']}"
            for name, state in services.items()
            if state["status"] != "ok"
        ]
    return found


def wait_healthy(expected: Sequence[str], seconds: float = CLOUD_SETTLES) -> None:
    """Until ``openstack.health`` of all ``expected`` nodes is ok."""
    last = ["nothing was asked yet"]

    def healthy() -> bool:
        answers = commands.salt(expected, "openstack.health")
        last[:] = ill(answers, expected)
        return not last

    try:
        commands.wait_for("a healthy cloud", healthy, seconds)
    except AssertionError as exc:
        raise AssertionError(f"{exc}:\n" + "\n".join(last)) from exc


@contextmanager
def stopped(node: str, *names: str) -> Iterator[None]:
    """The units ``names`` of ``node`` are stopped inside, and started again after."""
    try:
        podman.inside(node, "systemctl", "stop", *names)
        yield
    finally:
        podman.inside(node, "systemctl", "start", *names)


@contextmanager
def masked(node: str, unit: str) -> Iterator[None]:
    """``unit`` of ``node`` is stopped, and nobody can start it."""
    try:
        podman.inside(node, "systemctl", "mask", "--runtime", "--now", unit)
        yield
    finally:
        podman.inside(node, "systemctl", "unmask", "--runtime", unit)
        podman.inside(node, "systemctl", "start", unit)


def holds(node: str, address: str) -> bool:
    """Whether ``node`` has ``address``."""
    return f" {address}/" in podman.inside(node, "ip", "-oneline", "-4", "address")


def holder(nodes: Sequence[str], address: str) -> str:
    """The one of ``nodes`` that has a virtual address."""
    for node in nodes:
        if holds(node, address):
            return node
    raise AssertionError(f"nobody has {address}")


def give_vips(node: str, endpoints: Sequence[str], address: str) -> None:
    """Have ``node`` hold the virtual addresses, of which ``address`` is one.

    Who holds them keeps them, so without this a cut of ``node`` may be of a machine that is idle.
    """
    if not holds(node, address):
        with ExitStack() as stack:
            for other in endpoints:
                if other != node:
                    stack.enter_context(stopped(other, "keepalived"))
            commands.wait_for(f"{node} to hold {address}", lambda: holds(node, address), HANDOVER)
    assert holds(node, address), f"{node} does not keep {address}"


def cut_power(node: str) -> None:
    """Take ``node`` away as a power cut does: first its cables, so that no peer is told goodbye."""
    for interface in cables(node):
        proc.run(["ip", "link", "set", interface, "down"])
    podman.podman("kill", shape.container(node))
    podman.podman("wait", shape.container(node), timeout=120)


def restore_power(node: str) -> None:
    """Switch ``node`` on, and nothing else: all it does then, it does by itself."""
    if podman.machines()[node]["state"] != "running":
        podman.podman("start", shape.container(node))


def cables(node: str) -> list[str]:
    """The host's ends of the machine's network cables."""
    links = json.loads(proc.out(["ip", "-json", "link", "show", "type", "veth"]))
    names: dict[int, str] = {link["ifindex"]: link["ifname"] for link in links}
    listed = podman.inside(node, "sh", "-c", "cat /sys/class/net/eth*/iflink")
    return [names[int(index)] for index in listed.split()]
