"""Can this machine carry the lab? Every fault at once, and before anything is changed.

Only the standard library is used: this runs before the lab's own Python environment exists.
"""

from __future__ import annotations

import ipaddress
import json
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterable
from dataclasses import dataclass, field

GIB = 1024**3
MEMORY = 11 * GIB  # measured: about 9 GiB with the cloud idle, more while it is deployed
BUILD_DISK = 14 * GIB  # image, layers in the making, package cache, what the nodes write
RUN_DISK = 6 * GIB
PYTHON = (3, 11)


@dataclass(frozen=True)
class Facts:
    """What was found on this machine."""

    root: bool
    python: tuple[int, int]
    system: str  # ID of /etc/os-release
    memory: int  # bytes available
    disk: int  # bytes free where images are kept
    disk_path: str
    running: bool  # the lab's machines are up, so what they use is not missing
    image: bool  # an image is there: nothing needs to be downloaded
    tun: bool
    unreachable: list[str] = field(default_factory=list)
    routes: dict[str, str] = field(
        default_factory=dict
    )  # {network: interface} that are not the lab's
    subnets: list[str] = field(default_factory=list)  # what the lab wants


def faults(facts: Facts) -> list[str]:
    """Why the lab cannot run here, each with what to do about it."""
    found = []
    if not facts.root:
        found.append("not root: the lab makes networks and system containers; run it with sudo")
    if facts.python < PYTHON:
        found.append(
            f"Python {facts.python[0]}.{facts.python[1]} is too old: 3.11 or newer is needed"
        )
    if facts.system not in ("debian", "ubuntu"):
        found.append(
            f"this system is {facts.system or 'unknown'}: Debian 12/13 or Ubuntu 24.04 is needed"
        )
    if not facts.running and facts.memory < MEMORY:
        found.append(
            f"{_gib(facts.memory)} of memory is available, {_gib(MEMORY)} is needed: stop something"
        )
    disk = RUN_DISK if facts.image else BUILD_DISK
    if not facts.running and facts.disk < disk:
        found.append(f"{_gib(facts.disk)} is free in {facts.disk_path}, {_gib(disk)} is needed")
    if not facts.tun:
        found.append("/dev/net/tun is missing, and guests need it: modprobe tun")
    found += [f"cannot reach {place}" for place in facts.unreachable]
    found += overlaps(facts.subnets, facts.routes)
    return found


def overlaps(subnets: Iterable[str], routes: dict[str, str]) -> list[str]:
    """Networks that this machine uses already for something else."""
    found = []
    for subnet in subnets:
        wanted = ipaddress.ip_network(subnet)
        for network, interface in routes.items():
            if wanted.overlaps(ipaddress.ip_network(network, strict=False)):
                found.append(
                    f"{subnet} is in use: {network} is on {interface}; take other networks in"
                    " .lab/pillar/cloud.yaml (a copy of examples/lab.yaml)"
                )
    return found


def _gib(count: int) -> str:
    return f"{count / GIB:.1f} GiB"


def gather(root: pathlib.Path) -> Facts:
    """Look at this machine. Changes nothing."""
    model = root / ".lab" / "pillar" / "cloud.yaml"
    model = model if model.exists() else root / "examples" / "lab.yaml"
    # No YAML parser in the standard library; the networks are all that is needed here.
    subnets = re.findall(r"^[^#\n]*\bcidr:\s*[\"']?([0-9./]+)", model.read_text(), re.MULTILINE)
    disk_path = next(
        p for p in map(pathlib.Path, ("/var/lib/containers", "/var/lib")) if p.exists()
    )
    image = bool(_podman("image", "ls", "--quiet", "localhost/saltern-node"))
    own = _podman(
        "network", "ls", "--filter", "label=saltern.lab=network", "--format", "{{.Name}}"
    ).split()
    return Facts(
        root=os.geteuid() == 0,
        python=sys.version_info[:2],
        system=platform.freedesktop_os_release().get("ID", ""),
        memory=_available_memory(),
        disk=shutil.disk_usage(disk_path).free,
        disk_path=str(disk_path),
        running=bool(_podman("ps", "--quiet", "--filter", "label=saltern.lab=machine")),
        image=image,
        tun=pathlib.Path("/dev/net/tun").exists(),
        unreachable=[] if image else _unreachable(),
        routes=_routes(own),
        subnets=subnets,
    )


def _podman(*arguments: str) -> str:
    """What podman says; nothing when it is not installed yet or not allowed."""

    if not shutil.which("podman") or os.geteuid() != 0:
        return ""
    return subprocess.run(["podman", *arguments], capture_output=True, text=True).stdout.strip()


def _available_memory() -> int:
    text = pathlib.Path("/proc/meminfo").read_text()
    match = re.search(r"^MemAvailable:\s+(\d+) kB", text, re.MULTILINE)
    return int(match[1]) * 1024 if match else 0


def _routes(own: list[str]) -> dict[str, str]:
    """Networks this machine has a route to, but for those of the lab's own bridges."""

    if not shutil.which("ip"):
        return {}
    bridges = {
        network.get("network_interface")
        for name in own
        for network in json.loads(_podman("network", "inspect", name) or "[]")
    }
    listed = subprocess.run(["ip", "-json", "-4", "route"], capture_output=True, text=True).stdout
    return {
        route["dst"]: route.get("dev", "?")
        for route in json.loads(listed or "[]")
        if route["dst"] != "default" and route.get("dev") not in bridges
    }


def _unreachable() -> list[str]:
    """What does not answer of the package archives and the Python index that the build will ask."""
    listed = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(SITE)"], capture_output=True, text=True
    )
    sites = sorted({site for site in listed.stdout.split() if site.startswith("http")})[:3]
    command = [sys.executable, "-m", "pip", "config", "get", "global.index-url"]
    configured = subprocess.run(command, capture_output=True, text=True).stdout.strip()
    # pip's own default index is not asked here: pip says so itself when it cannot be reached.
    index = os.environ.get("PIP_INDEX_URL") or configured
    if index.startswith("http"):
        sites.append(index)
    found = []
    for site in sites:
        try:
            # The scheme is http(s), see above. Proxies of the environment are honoured.
            urllib.request.urlopen(site.rstrip("/") + "/", timeout=10)  # noqa: S310
        except urllib.error.HTTPError:
            continue  # it answers, and that is all that was asked
        except OSError as exc:
            found.append(f"{site} (of your apt sources or pip configuration): {exc}")
    return found


def main() -> int:
    """Print every fault; the exit code says whether there is one."""
    found = faults(gather(pathlib.Path(__file__).resolve().parent.parent))
    for fault in found:
        print(f"preflight: {fault}", file=sys.stderr)
    if found:
        print("Nothing was changed.", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
