"""Faults of one service on one node, and how long it was away for those who ask it."""

from __future__ import annotations

import csv
import os
import socket
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import requests

from lab import podman
from lab.shape import container
from labkit import apis, commands

#: How often each fault is injected.
RUNS = int(os.environ.get("SALTERN_RUNS", "1"))
PAUSE = 0.02  # seconds between two questions


@dataclass
class Asked:
    """One question, asked over and over: when it was answered."""

    good: list[float] = field(default_factory=list)
    bad: list[float] = field(default_factory=list)
    why: list[str] = field(default_factory=list)  # one for each of the bad
    took: list[tuple[float, float]] = field(default_factory=list)  # (when, seconds) of the good

    def gap(self, start: float) -> float:
        """Seconds of the longest time without an answer since ``start``."""
        after = [start, *(at for at in self.good if at > start)]
        return max((b - a for a, b in pairwise(after)), default=float("inf"))


@contextmanager
def asking(question: Callable[[], object]) -> Iterator[Asked]:
    """Ask ``question`` in a thread for as long as this lasts; what raises or is false is bad."""
    asked, over = Asked(), threading.Event()

    def ask() -> None:
        while not over.is_set():
            began = time.monotonic()
            why = ""
            try:
                if not question():
                    why = "not the answer that it should be"
            except (OSError, requests.RequestException) as exc:
                why = str(exc)
            ended = time.monotonic()
            if why:
                asked.bad.append(ended)
                asked.why.append(f"{why} after {ended - began:.2f} s")
            else:
                asked.good.append(ended)
                asked.took.append((ended, ended - began))
            over.wait(PAUSE)

    thread = threading.Thread(target=ask, name="asking")
    thread.start()
    try:
        commands.wait_for("a first answer", lambda: asked.good, 30)
        yield asked
    finally:
        over.set()
        thread.join()


def http(service: str, node: str | None = None, path: str = "/healthcheck") -> Callable[[], bool]:
    """Whether the copy of ``service`` on ``node`` (default: any, by the balancer) answers."""
    where = apis.node_address(node) if node else apis.vip("internal")
    url = f"http://{where}:{apis.port(service)}{path}"
    return lambda: requests.get(url, timeout=2).status_code < 400


def memcached(node: str) -> Callable[[], bool]:
    """Whether memcached of ``node`` speaks."""
    where = (apis.node_address(node), apis.port("memcached"))

    def speaks() -> bool:
        with socket.create_connection(where, timeout=1) as sock:
            sock.settimeout(1)
            sock.sendall(b"version\r\n")
            return sock.recv(8) == b"VERSION "

    return speaks


def running(node: str, unit: str) -> Callable[[], bool]:
    """Whether the main process of ``unit`` lives, as systemd on ``node`` sees it."""

    def lives() -> bool:
        shown = podman.attempt(node, "systemctl", "show", "-pSubState", "--value", unit)
        return shown == "running"

    return lives


def signal(node: str, unit: str, name: str, whom: str = "all") -> float:
    """Send the signal ``name`` to ``unit``: its ``main`` process or ``all``; when that was."""
    podman.inside(node, "systemctl", "kill", f"--kill-whom={whom}", f"--signal={name}", unit)
    return time.monotonic()


def stop_workers(node: str, unit: str) -> float:
    """Stop all that the main process of ``unit`` has started, and not itself; when that was."""
    main = podman.inside(node, "systemctl", "show", "--property=MainPID", "--value", unit)
    podman.inside(node, "pkill", "--signal=STOP", f"--parent={main}")
    return time.monotonic()


class Balancer:
    """What the HAProxy of a node holds of its servers.

    Its socket is reached through the root of the machine: starting a process in there takes a
    quarter of a second, which is too coarse for what is measured.
    """

    def __init__(self, machine: str) -> None:
        pid = podman.podman("inspect", "--format", "{{.State.Pid}}", container(machine)).strip()
        self._socket = f"/proc/{pid}/root/run/haproxy/admin.sock"

    def status(self, service: str, node: str) -> str:
        """What it holds of the copy of ``service`` on ``node``: UP, DOWN, MAINT, ..."""
        with socket.socket(socket.AF_UNIX) as link:
            link.settimeout(2)
            link.connect(self._socket)
            link.sendall(b"show stat\n")
            lines = b"".join(iter(lambda: link.recv(65536), b"")).decode().splitlines()
        for row in csv.DictReader(lines):
            if row["svname"] == node and row["# pxname"].startswith(service):
                return row["status"]
        raise LookupError(f"it has no server {node} for {service}")

    def sends(self, service: str, node: str) -> Callable[[], bool]:
        """Whether it sends requests to that copy."""
        return lambda: self.status(service, node).startswith("UP")


def worked() -> float:
    """Seconds that this machine's cores have worked since it began, for whatever."""
    fields = [int(word) for word in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    idle = fields[3] + fields[4]  # idle, and waiting for a disk
    return (sum(fields) - idle) / os.sysconf("SC_CLK_TCK")


def figures(name: str, seconds: Sequence[float], target: float | None) -> None:
    """Keep the seconds of all runs with median and worst, for ``make faults`` to print."""
    commands.keep(
        f"fault-{name}",
        {
            "runs": [round(one, 2) for one in seconds],
            "median": round(statistics.median(seconds), 2),
            "worst": round(max(seconds), 2),
            "target": target,
        },
    )
