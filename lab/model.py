"""What the lab needs to know of a cloud model: which machines to build, and how they are wired.

Whether the model describes a cloud that can work is not asked here; ``saltern.validate`` does.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MASTER = "master"
MANAGEMENT = "management"


class ModelError(ValueError):
    """The model cannot be turned into machines; the message says where and why."""


@dataclass(frozen=True)
class Network:
    """One network of the model; the host gets its first address."""

    name: str
    subnet: ipaddress.IPv4Network
    interface: str
    physical: (
        bool  # a provider network: wired to nodes that carry guests, with no address of theirs
    )

    @property
    def gateway(self) -> str:
        """The host's address."""
        return str(self.subnet[1])


@dataclass(frozen=True)
class Machine:
    """One container: where it is plugged in, as ``{network: address}``, and what it may do."""

    name: str
    addresses: Mapping[str, str]
    virtual: bool = False  # carries guests or their network: user-space datapath, tap devices


@dataclass(frozen=True)
class Lab:
    """Every network and machine, the master included, in the order of the model."""

    networks: Mapping[str, Network]
    machines: Mapping[str, Machine]
    vips: Mapping[str, str]

    @property
    def master(self) -> Machine:
        """The machine that runs salt-master."""
        return self.machines[MASTER]

    @property
    def nodes(self) -> list[Machine]:
        """Every machine but the master: the ones that run salt-minion."""
        return [machine for name, machine in self.machines.items() if name != MASTER]


def lab(model: Any) -> Lab:
    """The machines that ``model`` (parsed cloud.yaml) asks for.

    :raises ModelError: naming the part of the model that makes no machine.
    """
    networks = {name: _network(name, spec) for name, spec in _mapping(model, "networks").items()}
    if MANAGEMENT not in networks:
        raise ModelError("networks.management is missing: nodes are reached through it")
    master = Machine(MASTER, {MANAGEMENT: str(networks[MANAGEMENT].subnet[2])})
    machines = {MASTER: master}
    spare = {
        name: list(reversed(list(net.subnet.hosts())))
        for name, net in networks.items()
        if net.physical
    }
    for name, spec in _mapping(model, "nodes").items():
        if name == MASTER:
            raise ModelError(
                "nodes.master: the lab gives this name to the machine that runs salt-master"
            )
        machines[name] = _machine(name, spec, networks, spare)
    _no_address_twice(machines.values())
    return Lab(networks, machines, {str(k): str(v) for k, v in _mapping(model, "vips").items()})


def _mapping(model: Any, key: str) -> dict[str, Any]:
    """``model[key]``, which must be a mapping."""
    value = model.get(key, {}) if isinstance(model, dict) else None
    if not isinstance(value, dict):
        raise ModelError(f"{key}: must be a mapping")
    return value


def _network(name: str, spec: Any) -> Network:
    try:
        subnet = ipaddress.IPv4Network(spec["cidr"])
        interface = spec["interface"]
    except (KeyError, TypeError, ValueError) as exc:
        raise ModelError(f"networks.{name}: needs cidr (IPv4) and interface: {exc}") from exc
    if subnet.num_addresses < 16:
        raise ModelError(f"networks.{name}.cidr: {subnet} has no room for a lab")
    return Network(name, subnet, interface, "physical_network" in spec)


def _machine(
    name: str,
    spec: Any,
    networks: Mapping[str, Network],
    spare: Mapping[str, list[ipaddress.IPv4Address]],
) -> Machine:
    """One node. Provider NICs need some address to be made; it comes from the end of the subnet."""
    try:
        roles, addresses = list(spec["roles"]), dict(spec["addresses"])
    except (KeyError, TypeError, ValueError) as exc:
        raise ModelError(f"nodes.{name}: needs roles and addresses") from exc
    for network, address in addresses.items():
        if network not in networks:
            raise ModelError(f"nodes.{name}.addresses.{network}: there is no such network")
        if not _inside(networks[network], address):
            raise ModelError(
                f"nodes.{name}.addresses.{network}: {address} is not in {networks[network].subnet}"
            )
    if MANAGEMENT not in addresses:
        raise ModelError(f"nodes.{name}.addresses: an address in management is missing")
    virtual = "tunnel" in addresses or "compute" in roles
    if virtual:
        for network, free in spare.items():
            addresses.setdefault(network, str(free.pop(0)))
    return Machine(name, {key: str(value) for key, value in addresses.items()}, virtual)


def _inside(network: Network, address: Any) -> bool:
    try:
        return ipaddress.IPv4Address(address) in network.subnet
    except ValueError:
        return False


def _no_address_twice(machines: Any) -> None:
    held: dict[str, str] = {}
    for machine in machines:
        for network, address in machine.addresses.items():
            if address in held:
                raise ModelError(
                    f"nodes.{machine.name}.addresses.{network}: {address} is {held[address]}'s"
                )
            held[address] = machine.name
