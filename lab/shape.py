"""What podman is asked for: from a machine of the model to arguments of ``podman run``. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lab.model import MANAGEMENT, MASTER, Lab, Machine, Network
from lab.runtime import Runtime

IMAGE = "localhost/saltern-node"
LABEL = "saltern.lab"
SHAPE = "saltern.shape"

# What systemd and the services of a control plane need beyond podman's default set.
CAPABILITIES = "SYS_ADMIN,NET_ADMIN,NET_RAW,SYS_NICE,IPC_LOCK,SYS_PTRACE"
# A compute node makes network namespaces, tap devices and guests: nearly all of a machine, but not
# --privileged, which would also hand it the host's disks and consoles.
VIRTUAL = (
    "--cap-add=ALL",
    "--security-opt=unmask=ALL",
    "--security-opt=seccomp=unconfined",
)


@dataclass(frozen=True)
class Host:
    """What differs between machines that run the lab."""

    runtime: Runtime
    tun: bool  # /dev/net/tun exists
    root: str  # the repository
    pillar: str  # what the operator writes, and the secrets that Saltern makes


def container(machine: str) -> str:
    """Name of the container of ``machine``."""
    return f"saltern-{machine}"


def podman_network(network: str) -> str:
    """Name of the podman network of ``network``."""
    return f"saltern-{'mgmt' if network == MANAGEMENT else network}"


def network_arguments(network: Network) -> list[str]:
    """``podman network create ...``.

    Every network is internal: nodes never need the world, and the host's forwarding and firewall
    stay as they are. The host still has the first address of each.
    """
    return [
        "network",
        "create",
        "--internal",
        "--disable-dns",
        f"--label={LABEL}=network",
        f"--subnet={network.subnet}",
        f"--gateway={network.gateway}",
        podman_network(network.name),
    ]


def run_arguments(machine: Machine, lab: Lab, host: Host) -> list[str]:
    """``podman run ...`` for ``machine``."""
    arguments = [
        "--systemd=always",
        f"--hostname={machine.name}",
        "--no-hosts",  # /etc/hosts is a file of the image, which Salt may replace
        "--dns=none",
        "--pids-limit=-1",
        "--stop-timeout=60",
        "--sysctl=net.ipv4.ip_nonlocal_bind=1",  # keepalived's peer binds the VIPs too
        *host.runtime.ulimits,
        *(VIRTUAL if machine.virtual else (f"--cap-add={CAPABILITIES}",)),
        *(["--device=/dev/net/tun"] if machine.virtual and host.tun else []),
        *_nics(machine, lab.networks),
        *(_mounts(host) if machine.name == MASTER else []),
    ]
    return [
        *host.runtime.flags,
        "run",
        "--detach",
        f"--name={container(machine.name)}",
        f"--label={LABEL}=machine",
        f"--label={SHAPE}={digest(arguments)}",
        *arguments,
        IMAGE,
    ]


def digest(arguments: Sequence[str]) -> str:
    """Short name of a set of arguments: tells a machine whose model has changed."""
    return hashlib.sha256(json.dumps(list(arguments)).encode()).hexdigest()[:16]


def shape_of(arguments: Sequence[str]) -> str:
    """The digest that ``run_arguments`` put on the container."""
    prefix = f"--label={SHAPE}="
    return next(a.removeprefix(prefix) for a in arguments if a.startswith(prefix))


def _nics(machine: Machine, networks: Mapping[str, Network]) -> list[str]:
    return [
        f"--network={podman_network(name)}:ip={machine.addresses[name]},interface_name={network.interface}"
        for name, network in networks.items()
        if name in machine.addresses
    ]


def _mounts(host: Host) -> list[str]:
    return [
        f"--volume={host.root}:/srv/saltern:ro",
        f"--volume={host.pillar}:/srv/saltern/pillar:rw",
    ]


def unnumbered(machine: Machine, lab: Lab) -> list[str]:
    """Interfaces of ``machine`` that must carry no address: those on provider networks."""
    return [
        network.interface
        for name, network in lab.networks.items()
        if network.physical and name in machine.addresses
    ]
