"""What this machine's kernel and podman allow: which runtime, which limits."""

from __future__ import annotations

import resource
import shutil
from collections.abc import Mapping
from dataclasses import dataclass

from lab import proc

WANTED_FILES = 1048576
WANTED_PROCESSES = 32768  # podman lowers its own limit to this, whatever the host allows


@dataclass(frozen=True)
class Runtime:
    """How podman must be called here."""

    flags: tuple[str, ...]  # of podman itself
    ulimits: tuple[str, ...]  # of run and build


def choose(
    cgroup_filesystem: str, found: Mapping[str, str | None], files: int, processes: int
) -> Runtime:
    """The runtime for a host with this file system on ``/sys/fs/cgroup`` and these runtimes.

    Some versions of crun refuse version 1 or hybrid cgroups, runc takes both. ``files`` and
    ``processes`` are the host's hard limits (-1: none): asking for more makes the runtime fail.
    """
    flags: tuple[str, ...] = ()
    runc = found.get("runc")
    if runc and (cgroup_filesystem != "cgroup2fs" or not found.get("crun")):
        flags = ("--runtime", runc)
    return Runtime(
        flags,
        (
            "--ulimit",
            _limit("nofile", files, WANTED_FILES),
            "--ulimit",
            _limit("nproc", processes, WANTED_PROCESSES),
        ),
    )


def _limit(name: str, hard: int, wanted: int) -> str:
    allowed = wanted if hard < 0 else min(hard, wanted)
    return f"{name}={allowed}:{allowed}"


def detect() -> Runtime:
    """The runtime for this machine."""
    return choose(
        proc.out(["stat", "-f", "-c", "%T", "/sys/fs/cgroup"]),
        {name: shutil.which(name) for name in ("crun", "runc")},
        resource.getrlimit(resource.RLIMIT_NOFILE)[1],
        resource.getrlimit(resource.RLIMIT_NPROC)[1],
    )
