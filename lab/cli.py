"""``lab/lab``: the lab's command line."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from rich.table import Table

from lab import demo, image, keys, machines, podman, preflight, proc, runtime, saltside, sources
from lab.model import MANAGEMENT, MASTER, ModelError
from lab.progress import Steps, console

ERRORS = (
    ModelError,
    keys.KeyMismatch,
    saltside.NotReady,
    proc.CommandError,
    demo.StepFailed,
    sources.NoMirror,
)


def main(arguments: Sequence[str]) -> int:
    """Run one command; returns its exit code."""
    options = parser().parse_args(arguments)
    try:
        return int(options.run(options) or 0)
    except ERRORS as exc:
        console.print(f"lab: {exc}", style="red", markup=False)
        return 1
    except KeyboardInterrupt:
        console.print("\nlab: stopped; run the same command again to go on from here")
        return 130


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(prog="lab/lab", description=__doc__)
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, run: object, text: str, nodes: bool = False) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(run=run)
        if nodes:
            command.add_argument(
                "nodes", nargs="*", metavar="NODE", help="only these (default: all)"
            )
        return command

    add(
        "up",
        up,
        "boot the machines, start Salt, accept the nodes' keys; safe to run again",
        nodes=True,
    ).add_argument("--no-accept", action="store_true", help="leave new keys pending")
    add("down", down, "remove machines; images and .lab/ stay", nodes=True)
    add("clean", clean, "remove machines, networks, images and .lab/")
    add("status", status, "show the machines")
    add("build", build, "build the node image when its files have changed").add_argument(
        "--fresh", action="store_true", help="build everything anew, with the newest packages"
    )
    add("start-salt", start_salt, "write Salt's configuration and start it", nodes=True)
    add("accept", accept, "accept keys whose fingerprint is the node's own", nodes=True)
    add("preflight", check, "can this machine carry the lab? changes nothing")
    add("demo", run_demo, "the whole thing: up, deploy, validate")
    return top


def check(_options: argparse.Namespace) -> int:
    """``lab preflight``."""
    return preflight.main()


def build(options: argparse.Namespace) -> None:
    """``lab build``."""
    reason = "asked to" if options.fresh else image.stale()
    if not reason:
        console.print("the image is as its files say")
        return
    steps = Steps(1)
    with steps.step(f"build the node image ({reason})") as step:
        image.build(runtime.detect(), step.say, fresh=options.fresh)


def up(options: argparse.Namespace) -> int:
    """``lab up``."""
    if preflight.main():
        return 1
    steps = Steps(len(demo.UP))
    demo.up(steps, options.nodes, not options.no_accept)
    console.print("Salt is up. Next: ./lab/salt '*' test.ping")
    return 0


def start_salt(options: argparse.Namespace) -> None:
    """``lab start-salt``."""
    cloud = machines.load(console.print)
    finger = saltside.start_master()
    names = options.nodes or [node.name for node in cloud.nodes]
    saltside.start_minions(cloud, names, finger, console.print)


def accept(options: argparse.Namespace) -> None:
    """``lab accept``."""
    cloud = machines.load(console.print)
    new = saltside.accept(options.nodes or [node.name for node in cloud.nodes])
    console.print(f"accepted: {' '.join(new) or 'nothing new'}")


def down(options: argparse.Namespace) -> None:
    """``lab down``."""
    gone = machines.down(options.nodes)
    console.print(f"removed: {' '.join(gone) or 'nothing was there'}")


def clean(_options: argparse.Namespace) -> None:
    """``lab clean``."""
    packages = machines.clean()
    console.print("machines, networks, images and .lab/ are gone")
    if packages:
        console.print("These packages were installed for the lab and are still here:")
        console.print(f"  apt-get purge {' '.join(packages)}")


def status(_options: argparse.Namespace) -> None:
    """``lab status``."""
    cloud, there = machines.load(console.print), podman.machines()
    table = Table(box=None, pad_edge=False)
    for title in ("machine", "address", "container", "systemd", "salt"):
        table.add_column(title)
    for name, machine in cloud.machines.items():
        state = there.get(name, {}).get("state", "absent")
        unit = "salt-master" if name == MASTER else "salt-minion"
        system = salt = "-"
        if state == "running":
            system = podman.attempt(name, "systemctl", "is-system-running")
            salt = podman.attempt(name, "systemctl", "is-active", unit)
        table.add_row(name, machine.addresses[MANAGEMENT], state, system, salt)
    console.print(table)
    for remark in machines.remarks(cloud):
        console.print(remark)


def run_demo(_options: argparse.Namespace) -> int:
    """``lab demo``."""
    return preflight.main() or demo.demo()
