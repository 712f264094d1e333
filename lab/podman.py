"""The few podman commands that the lab uses."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from lab import proc
from lab.shape import LABEL, SHAPE, container


def podman(*arguments: str, check: bool = True, timeout: float | None = None) -> str:
    """Run podman and return what it prints."""
    return proc.out(["podman", *arguments], check=check, timeout=timeout)


def inside(machine: str, *command: str, stdin: bytes | None = None, timeout: float = 180) -> str:
    """Run ``command`` in ``machine`` and return what it prints."""
    interactive = ["-i"] if stdin is not None else []
    done = proc.run(
        ["podman", "exec", *interactive, container(machine), *command], stdin=stdin, timeout=timeout
    )
    return done.stdout.decode(errors="replace").strip()


def attempt(machine: str, *command: str, timeout: float = 180) -> str:
    """As :func:`inside`, but a failing command is no error: the answer is what it printed."""
    done = proc.run(["podman", "exec", container(machine), *command], check=False, timeout=timeout)
    return done.stdout.decode(errors="replace").strip()


def machines() -> dict[str, dict[str, Any]]:
    """The lab's containers, running or not, as ``{machine: {state, shape, image}}``."""
    listed = json.loads(
        podman("ps", "--all", "--filter", f"label={LABEL}=machine", "--format=json") or "[]"
    )
    return {
        entry["Names"][0].removeprefix("saltern-"): {
            "state": entry["State"],
            "shape": entry["Labels"].get(SHAPE, ""),
            "image": entry["ImageID"],
        }
        for entry in listed
    }


def networks() -> list[str]:
    """Names of the lab's podman networks."""
    return podman(
        "network", "ls", "--filter", f"label={LABEL}=network", "--format={{.Name}}"
    ).split()


def image_label(image: str, label: str) -> str:
    """Value of ``label`` on ``image``; empty when there is no such image or label."""
    found = podman(
        "image", "inspect", f'--format={{{{index .Labels "{label}"}}}}', image, check=False
    )
    return "" if found == "<no value>" else found


def image_id(image: str) -> str:
    """Id of ``image``; empty when there is none."""
    return podman("image", "inspect", "--format={{.Id}}", image, check=False)


def remove(names: Sequence[str]) -> None:
    """Remove containers at once: what they hold is thrown away anyway, so nothing is shut down."""
    if names:
        podman("rm", "--force", "--time=0", *map(container, names))
