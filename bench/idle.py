"""What the whole lab costs while nobody uses it: ``python -m bench.idle [SECONDS]``."""

from __future__ import annotations

import json
import pathlib
import re
import sys
import time
from collections.abc import Iterable

from bench import harness
from bench.harness import Row
from lab import podman
from lab.shape import LABEL, container

TITLE = "the idle lab"
SECONDS = 30.0
MIB, GIB = 2**20, 2**30
#: In the command line of the watch of a node.
WATCH = "saltern_watch_process.py"
#: What Salt's own engine with its beacons takes on a node.
BEACONS = "Salt 3008.3: 70 MiB"
#: What a hand-written bring-up of the same eight machines took, measured once on two cores.
BY_HAND = {"memory": "by hand: 9 GiB", "processor": "by hand: 40 %"}
PROC = pathlib.Path("/proc")
CGROUP = pathlib.Path("/sys/fs/cgroup")


def cgroup_of(text: str) -> dict[str, str]:
    """Controller -> path of a container, from ``/proc/PID/cgroup`` of its init.

    The unified hierarchy is called ``""``. What systemd made inside the container is cut off.
    """
    found = {}
    for line in text.splitlines():
        _, controllers, path = line.split(":", 2)
        for name in controllers.split(","):
            found[name] = re.sub(r"/init\.scope$", "", path)
    return found


def cpu_seconds(paths: dict[str, str], root: pathlib.Path = CGROUP) -> float:
    """Processor seconds that a container has used since it began, its dead processes included."""
    old = root / "cpuacct" / paths.get("cpuacct", "-").lstrip("/") / "cpuacct.usage"
    if old.exists():
        return int(old.read_text()) / 1e9
    stat = (root / paths[""].lstrip("/") / "cpu.stat").read_text()
    return int(dict(line.split() for line in stat.splitlines())["usage_usec"]) / 1e6


def resident(rollup: str) -> int:
    """Bytes of one process by its ``smaps_rollup``; what several share is divided among them."""
    found = re.search(r"^Pss:\s+(\d+) kB$", rollup, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def memory(inits: Iterable[int], program: str = "") -> int:
    """Bytes of all processes in the process namespaces of ``inits``, or of those of ``program``."""
    spaces = {(PROC / f"{pid}/ns/pid").readlink() for pid in inits}
    total = 0
    for process in PROC.glob("[0-9]*"):
        try:
            ours = (process / "ns/pid").readlink() in spaces
            if ours and program.encode() in (process / "cmdline").read_bytes():
                total += resident((process / "smaps_rollup").read_text())
        except OSError:
            continue  # it has ended meanwhile
    return total


def images() -> int:
    """Bytes of the lab's images, each layer counted once: they are built on one another."""
    listed = json.loads(
        podman.podman("image", "ls", f"--filter=label={LABEL}", "--format=json") or "[]"
    )
    return max((int(image["Size"]) for image in listed if image.get("Names")), default=0)


def measure(length: float = SECONDS) -> None:
    """Print the table."""
    names = harness.need_lab()
    inits = {
        name: int(podman.podman("inspect", "--format={{.State.Pid}}", container(name)))
        for name in names
    }
    paths = {name: cgroup_of((PROC / f"{pid}/cgroup").read_text()) for name, pid in inits.items()}
    before = {name: cpu_seconds(path) for name, path in paths.items()}
    began = time.monotonic()
    time.sleep(length)  # the measurement itself: what is used in so many seconds
    passed = time.monotonic() - began
    used = {name: (cpu_seconds(paths[name]) - before[name]) / passed for name in names}
    held = {name: memory([pid]) for name, pid in inits.items()}
    watches = [memory([pid], WATCH) for pid in inits.values()]
    rows = [
        Row("memory of all machines", sum(held.values()) / GIB, "GiB", 12, BY_HAND["memory"]),
        Row("processor", 100 * sum(used.values()), "% of a core", 50, BY_HAND["processor"]),
        Row("images", images() / GIB, "GiB", 4),
        Row("the watch of a node: memory, the largest", max(watches) / MIB, "MiB", 30, BEACONS),
    ]
    harness.show(f"{TITLE}: {len(names)} machines, {passed:.0f} s", rows)
    harness.show(
        "of which",
        [
            Row(name, held[name] / GIB, "GiB", None, f"{100 * used[name]:.1f} % of a core")
            for name in names
        ],
    )


if __name__ == "__main__":
    sys.exit(harness.run(TITLE, lambda: measure(*map(float, sys.argv[1:]))))
