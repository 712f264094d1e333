"""Salt on the lab's machines: configuration, start, and keys compared with the nodes' own."""

from __future__ import annotations

import io
import json
import tarfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import yaml

from lab import keys, podman, proc, shape
from lab.model import MANAGEMENT, MASTER, Lab
from lab.paths import LAB, ROOT

PKI = "/etc/salt/pki"
PYTHON = "/opt/salt/bin/python3"
MASTER_CODE = ("_engines", "_pillar", "_runners", "_states", "_utils")
PATIENCE = 240.0  # seconds; a loaded machine starts a salt-master in ten
POLL = 0.2

# Only the lab's size and pace; what every installation needs is in master.d/ and minion.d/.
MASTER_LAB = {"worker_threads": 3, "ping_on_rotate": False}
MINION_LAB = {
    "acceptance_wait_time": 1,
    "acceptance_wait_time_max": 2,
    "random_reauth_delay": 1,
    "recon_default": 200,
    "recon_max": 2000,
    "recon_randomize": True,
}


class NotReady(RuntimeError):
    """Something did not happen in time; the message says what and where to look."""


def wait_for(what: str, ready: Callable[[], object], patience: float = PATIENCE) -> None:
    """Ask ``ready`` until it answers with something true.

    :raises NotReady: after ``patience`` seconds.
    """
    deadline = time.monotonic() + patience
    while not ready():
        if time.monotonic() > deadline:
            raise NotReady(f"waited {patience:.0f} s in vain for {what}")
        time.sleep(POLL)


def master_files() -> dict[str, str]:
    """The lab's own part of the master's configuration, as ``{path: content}``."""
    return {"/etc/salt/master.d/lab.conf": yaml.safe_dump(MASTER_LAB)}


def minion_files(node: str, master_address: str, master_finger: str) -> dict[str, str]:
    """The configuration of one minion, as ``{path: content}``."""
    own = {"id": node, "master": master_address, "master_finger": master_finger, **MINION_LAB}
    return {
        "/etc/salt/minion.d/saltern.conf": (ROOT / "minion.d" / "saltern.conf").read_text(
            encoding="utf-8"
        ),
        "/etc/salt/minion.d/lab.conf": yaml.safe_dump(own),
        "/etc/salt/minion_id": node,
    }


def configure(machine: str, unit: str, files: Mapping[str, str]) -> None:
    """Put ``files`` on ``machine`` and have ``unit`` run with them, restarted when one changed."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for path, content in sorted(files.items()):
            entry = tarfile.TarInfo(path.lstrip("/"))
            entry.size, entry.mode = len(content.encode()), 0o640
            tar.addfile(entry, io.BytesIO(content.encode()))
    name = shape.digest([f"{path}={content}" for path, content in sorted(files.items())])
    script = f"""set -e
        systemctl enable --quiet {unit}
        if [ "$(cat /etc/salt/.lab 2>/dev/null)" = {name} ]; then exec systemctl start {unit}; fi
        tar -x -C / --no-same-owner
        systemctl restart {unit}
        echo {name} >/etc/salt/.lab"""
    podman.inside(machine, "sh", "-c", script, stdin=packed.getvalue(), timeout=PATIENCE)


def start_master() -> str:
    """Start salt-master and return its fingerprint, read on the machine itself."""
    link = "ln -sf /srv/saltern/master.d/saltern.conf /etc/salt/master.d/saltern.conf"
    podman.inside(MASTER, "sh", "-c", link)
    # The link's target belongs to the configuration as well, and the master keeps the code that it
    # has loaded: a change in either needs a restart.
    sources = [p for kind in MASTER_CODE for p in sorted((ROOT / kind).rglob("*.py"))]
    texts = [p.read_text(encoding="utf-8") for p in (ROOT / "master.d/saltern.conf", *sources)]
    stamp = shape.digest(texts)
    configure(MASTER, "salt-master", {**master_files(), "/etc/salt/.saltern.conf": stamp})
    public = f"{PKI}/master/master.pub"
    wait_for("the master's key", lambda: podman.attempt(MASTER, "cat", public))
    return keys.fingerprint(podman.inside(MASTER, "cat", public))


def start_minions(
    lab: Lab, nodes: Iterable[str], master_finger: str, done: Callable[[str], None]
) -> None:
    """Start salt-minion on ``nodes``, side by side."""
    address = lab.master.addresses[MANAGEMENT]

    def start(node: str) -> None:
        configure(node, "salt-minion", minion_files(node, address, master_finger))
        done(node)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(start, nodes))


def own_fingerprints(nodes: Sequence[str]) -> dict[str, str]:
    """The fingerprint of each node's key, read on the node itself."""

    def read(node: str) -> tuple[str, str]:
        public = f"{PKI}/minion/minion.pub"
        wait_for(
            f"the key of {node} (./lab/shell {node} journalctl -u salt-minion)",
            lambda: podman.attempt(node, "cat", public),
        )
        return node, keys.fingerprint(podman.inside(node, "cat", public))

    with ThreadPoolExecutor(4) as pool:
        return dict(pool.map(read, nodes))


def held_fingerprints() -> tuple[dict[str, str], dict[str, str]]:
    """What the master holds: (pending, accepted), as ``{id: fingerprint}``."""
    script = f"""cd {PKI}/master && for kind in minions_pre minions; do
        for file in $kind/*; do
            [ -f "$file" ] && echo "key $file" && cat "$file" && echo
        done; done; true"""
    held: dict[str, dict[str, str]] = {"minions_pre": {}, "minions": {}}
    for block in podman.inside(MASTER, "sh", "-c", script).split("key minions")[1:]:
        head, _, pem = block.partition("\n")
        kind, _, node = f"minions{head}".partition("/")
        held[kind][node] = keys.fingerprint(pem)
    return held["minions_pre"], held["minions"]


def accept(nodes: Sequence[str]) -> list[str]:
    """Accept the key of each node once the master shows the node's own; returns those accepted now.

    :raises keys.KeyMismatch: when the master holds another key under a node's name.
    :raises NotReady: when a node's key does not arrive.
    """
    own = own_fingerprints(nodes)
    new: list[str] = []

    def all_known() -> bool:
        verdict = keys.judge(own, *held_fingerprints())
        if verdict.foreign:
            names = " ".join(verdict.foreign)
            raise keys.KeyMismatch(
                f"the master holds a key for {names} that is not the node's own, so nothing was"
                f" accepted. If you have rebuilt it: ./lab/salt-key -d {verdict.foreign[0]}, then"
                " run this again"
            )
        if verdict.accept:
            source = (LAB / "remote_accept.py").read_bytes()
            podman.inside(MASTER, PYTHON, "-", *verdict.accept, stdin=source)
            new.extend(node for node in verdict.accept if node not in new)
        return not verdict.wait and not verdict.accept  # once more: Salt may lose an acceptance

    wait_for("every node's key to reach the master (./lab/salt-key -L)", all_known)
    return new


def wait_until_answering(nodes: Sequence[str], patience: float = PATIENCE) -> None:
    """Until every node answers a job."""

    def silent() -> list[str]:
        command = [
            "salt",
            "--static",
            "--out=json",
            "--timeout=5",
            "-L",
            ",".join(nodes),
            "test.ping",
        ]
        try:
            answers = json.loads(podman.attempt(MASTER, *command) or "{}")
        except (ValueError, proc.CommandError):
            answers = {}
        return [node for node in nodes if answers.get(node) is not True]

    left = list(nodes)

    def all_answer() -> bool:
        left[:] = silent()
        return not left

    try:
        wait_for("answers", all_answer, patience)
    except NotReady as exc:
        raise NotReady(
            f"no answer from {' '.join(left)}: ./lab/shell {left[0]} journalctl -u salt-minion"
        ) from exc
