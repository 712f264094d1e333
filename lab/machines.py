"""Networks and machines: make what the model asks for, leave alone what is there, remove."""

from __future__ import annotations

import pathlib
import shutil
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import yaml

from lab import image, podman, proc, runtime, shape
from lab.model import MASTER, Lab, Machine, ModelError, lab
from lab.paths import EXAMPLE, INSTALLED, MODEL, PILLAR, ROOT, STATE

BOOT = 300.0  # seconds until systemd must have come up

Say = Callable[[str], None]


def load(say: Say) -> Lab:
    """The lab's model. The first call copies it from examples/lab.yaml.

    :raises ModelError: when it makes no machines.
    """
    PILLAR.mkdir(parents=True, exist_ok=True)
    if not MODEL.exists():
        shutil.copyfile(EXAMPLE, MODEL)
    elif MODEL.read_bytes() != EXAMPLE.read_bytes():
        say(f"using {MODEL.relative_to(ROOT)}, which differs from {EXAMPLE.relative_to(ROOT)}")
    top = ROOT / "pillar" / "top.sls"
    if top.exists():
        shutil.copyfile(top, PILLAR / "top.sls")
    top.parent.mkdir(exist_ok=True)  # the place where the lab's pillar is mounted
    try:
        return lab(yaml.safe_load(MODEL.read_text(encoding="utf-8")))
    except yaml.YAMLError as exc:
        raise ModelError(f"{MODEL}: {exc}") from exc


def host() -> shape.Host:
    """This machine."""
    return shape.Host(
        runtime.detect(), pathlib.Path("/dev/net/tun").exists(), str(ROOT), str(PILLAR)
    )


def make_networks(cloud: Lab) -> None:
    """Create the networks that are missing."""
    there = podman.networks()
    for network in cloud.networks.values():
        if shape.podman_network(network.name) not in there:
            podman.podman(*shape.network_arguments(network))


def boot(cloud: Lab, names: Sequence[str], say: Say) -> list[str]:
    """Have the machines ``names`` up, side by side; returns those that were made now."""
    here, there = host(), podman.machines()
    made: list[str] = []

    def one(name: str) -> None:
        machine = cloud.machines[name]
        if name in there and there[name]["state"] in ("created", "configured"):
            podman.remove([name])  # podman failed half-way: it never ran
            del there[name]
        if name not in there:
            podman.podman(*shape.run_arguments(machine, cloud, here))
            made.append(name)
        elif there[name]["state"] != "running":
            podman.podman("start", shape.container(name))
        _wait_booted(name)
        _unnumber(machine, cloud)
        say(name)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(one, names))
    return made


def _wait_booted(name: str) -> None:
    """Until systemd has started everything it was asked to, whatever came of it.

    systemctl blocks until then, but refuses while the bus is not there yet: hence the loop.
    """
    from lab.saltside import wait_for

    def booted() -> bool:
        state = podman.attempt(name, "systemctl", "is-system-running", "--wait", timeout=BOOT)
        return state in ("running", "degraded")

    wait_for(f"{name} to boot (podman logs {shape.container(name)})", booted, BOOT)


def _unnumber(machine: Machine, cloud: Lab) -> None:
    """Take the address off provider NICs: podman wants one, a real node has none."""
    for interface in shape.unnumbered(machine, cloud):
        podman.attempt(machine.name, "ip", "address", "flush", "dev", interface)


def remarks(cloud: Lab) -> list[str]:
    """What is running differently from what the files say now."""
    here, there = host(), podman.machines()
    current = podman.image_id(shape.IMAGE)
    kinds: dict[str, list[str]] = {}
    for name, state in sorted(there.items()):
        if name not in cloud.machines:
            kinds.setdefault("not in the model any more", []).append(name)
        elif state["shape"] != shape.shape_of(
            shape.run_arguments(cloud.machines[name], cloud, here)
        ):
            kinds.setdefault("made with other settings", []).append(name)
        elif current and state["image"] != current:
            kinds.setdefault("made from an older image", []).append(name)
    return [
        f"{kind}: {' '.join(names)} (./lab/lab down {' '.join(names)}; ./lab/lab up)"
        for kind, names in kinds.items()
    ]


def down(names: Iterable[str] = ()) -> list[str]:
    """Remove machines (all of them by default) and what only they need. Images and .lab/ stay."""
    there = podman.machines()
    chosen = [name for name in there if name in (list(names) or there)]
    partial = set(chosen) != set(there)
    podman.remove(chosen)
    if partial and MASTER not in chosen and there.get(MASTER, {}).get("state") == "running":
        for name in chosen:  # the next node of this name has a key of its own
            podman.attempt(MASTER, "salt-key", "--yes", "--quiet", "--delete", name)
    if not partial:
        for network in podman.networks():
            podman.podman("network", "rm", "--force", network)
    return chosen


def clean() -> list[str]:
    """Remove everything of the lab's; returns the packages that lab/install added."""
    if shutil.which("podman"):
        down()
        for _ in range(2):  # an image goes only after those made from it
            listed = podman.podman(
                "image", "ls", "--all", "--quiet", "--no-trunc", "--filter=label=saltern.lab"
            )
            if listed:
                proc.run(
                    ["podman", "image", "rm", "--force", *sorted(set(listed.split()))], check=False
                )
        proc.run(["podman", "image", "rm", "--force", image.BASE], check=False)
    packages = INSTALLED.read_text().split() if INSTALLED.exists() else []
    shutil.rmtree(STATE, ignore_errors=True)
    return packages
