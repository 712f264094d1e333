"""The canary: an instance that says what a guest gets, with all that it needs, made and removed.

Everything has a name that begins with :data:`saltern.validation.PREFIX`, by which what a run that
was killed has left is found. Functions take a connection of :mod:`saltern_sdk`; what they raise is
in :func:`errors`.
"""

from __future__ import annotations

import ipaddress
import pathlib
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import saltern_sdk
from saltern import validation

#: Seconds between two looks at what Nova and Neutron have done.
POLL = 2.0
#: Seconds between two reads of a console. Each costs the API and the host most of a second on a
#: slow machine, and takes that from the instance that is to boot there.
LISTEN = 3.0
#: Seconds until what was removed must be gone.
CLEANUP_TIMEOUT = 90
#: Seconds after which a removal that is accepted and not seen is asked for again.
ASK_AGAIN = 15

#: Reserved for benchmarks (RFC 2544): nobody routes it.
SUBNET = ipaddress.ip_network("198.18.77.0/24")


class NoHost(OSError):
    """The scheduler has found no host for an instance."""


def errors() -> tuple[type[Exception], ...]:
    """What any of this can end with."""
    return (*saltern_sdk.errors(), OSError)


def new_name() -> str:
    """A name for everything that one run makes."""
    return f"{validation.PREFIX}{uuid.uuid4().hex[:8]}"


# -- what it needs -------------------------------------------------------------------------------


def disk(image: str, functions: Mapping[str, Callable[..., Any]]) -> str:
    """Path of ``image`` on this node; ``salt://...`` is fetched from the master with ``functions``.

    :raises OSError: saying what is missing.
    """
    path = image
    if image.startswith("salt://"):
        path = functions["cp.cache_file"](image)
        if not path:
            raise FileNotFoundError(f"the master's file server has no {image}")
    pathlib.Path(path).stat()
    return path


def upload(conn: Any, name: str, path: str) -> Any:
    """The image, from the raw disk at ``path``."""
    return conn.image.create_image(
        name=name,
        filename=path,
        disk_format="raw",
        container_format="bare",
        visibility="private",
    )


def smallest(conn: Any, name: str) -> Any:
    """The smallest flavor that it boots with."""
    return conn.compute.create_flavor(name=name, ram=128, vcpus=1, disk=1)


def network(conn: Any, name: str, wanted: Mapping[str, Any], *, router: bool) -> tuple[Any, bool]:
    """A network to plug it into, and whether that has a router of ours.

    ``wanted`` is ``{routed: whether Neutron routes, physical_networks: [...]}``; ``router`` whether
    one is to be made where it may.
    """
    subnet: dict[str, Any] = {"name": name, "ip_version": 4, "cidr": str(SUBNET)}
    if wanted["routed"]:
        made = conn.network.create_network(name=name)
        if not router:
            conn.network.create_subnet(network_id=made.id, gateway_ip=None, **subnet)
            return made, False
        routed = conn.network.create_subnet(network_id=made.id, **subnet)
        gateway = conn.network.create_router(name=name)
        conn.network.add_interface_to_router(gateway, subnet_id=routed.id)
        return made, True
    import openstack.exceptions

    for physical in wanted["physical_networks"]:
        try:
            made = conn.network.create_network(
                name=name, provider_network_type="flat", provider_physical_network=physical
            )
        except openstack.exceptions.ConflictException:  # in use: then by a network for instances
            for found in conn.network.networks(provider_physical_network=physical):
                if any(s.is_dhcp_enabled for s in conn.network.subnets(network_id=found.id)):
                    return found, False
            continue
        conn.network.create_subnet(network_id=made.id, gateway_ip=None, **subnet)
        return made, False
    raise openstack.exceptions.SDKException(
        "no network for instances: routing is external, and no provider network of the model is"
        " free or has a subnet with DHCP"
    )


# -- the instance --------------------------------------------------------------------------------


def ask(conn: Any, name: str, host: str | None, image: Any, flavor: Any, network: Any) -> Any:
    """An instance that is being built: on ``host``, or wherever it fits."""
    return conn.compute.create_server(
        name=f"{name}-{host}" if host else name,
        image_id=image.id,
        flavor_id=flavor.id,
        networks=[{"uuid": network.id}],
        **({"availability_zone": f"nova:{host}"} if host else {}),
    )


def until_active(
    conn: Any, server: Any, deadline: float, patience: Callable[[], object] = lambda: None
) -> Any:
    """``server`` as it is once it is ACTIVE; by ``time.monotonic()`` before ``deadline``.

    :param patience: called with each look; raises when there is nothing to wait for any more.
    :raises NoHost: when there was none for it.
    """
    while True:
        patience()
        server = conn.compute.get_server(server.id)
        if server.status == "ACTIVE":
            return server
        if server.status == "ERROR":
            fault = getattr(server, "fault", None) or {}
            message = fault.get("message", "without a reason")
            kind = NoHost if "No valid host" in message else OSError
            raise kind(f"ERROR: {message}")
        if time.monotonic() > deadline:
            raise TimeoutError(f"still {server.status} ({server.task_state})")
        time.sleep(POLL)


def heard(conn: Any, server: Any, deadline: float) -> dict[str, str]:
    """What it has said on its console, when it has nothing more to say or at ``deadline``.

    It is listened to once in any case: who looks late, because another took long, hears all of it.
    """
    while True:
        said = validation.console(_console(conn, server))
        if validation.finished(said) or time.monotonic() > deadline:
            return said
        time.sleep(LISTEN)


def address(server: Any) -> str:
    """The address of its port."""
    return next((a["addr"] for found in (server.addresses or {}).values() for a in found), "none")


def _console(conn: Any, server: Any) -> str:
    """The console's text; empty while there is none."""
    import openstack.exceptions

    try:
        return conn.compute.get_server_console_output(server.id).get("output") or ""
    except (openstack.exceptions.NotFoundException, openstack.exceptions.ConflictException):
        return ""


# -- removal -------------------------------------------------------------------------------------


def clean(conn: Any) -> str:
    """Remove everything with such a name and look again until it is gone; what that was, in words.

    :raises TimeoutError: naming what stays.
    """
    removed: dict[str, set[str]] = {}
    asked: dict[str, float] = {}
    deadline = time.monotonic() + CLEANUP_TIMEOUT
    failure = None
    while True:
        left = {kind: items for kind, items in _leftovers(conn).items() if items}
        if not left:
            return ", ".join(f"{len(ids)} {kind}" for kind, ids in removed.items()) or "nothing"
        if time.monotonic() > deadline:
            names = ", ".join(f"{kind} {item.name}" for kind in left for item in left[kind])
            raise TimeoutError(f"still there: {names}{f' ({failure})' if failure else ''}")
        for kind, items in left.items():
            for item in items:
                removed.setdefault(kind, set()).add(item.id)
                # Nova works through every request for a removal, also when it is at it already.
                if time.monotonic() < asked.get(item.id, 0.0) + ASK_AGAIN:
                    continue
                refused = remove(conn, kind, item)
                if refused is None:
                    asked[item.id] = time.monotonic()
                failure = refused or failure
            if kind == "server":
                break  # ports go with their servers; networks have to wait for that
        time.sleep(POLL)


def _leftovers(conn: Any) -> dict[str, list[Any]]:
    """Everything with a validation's name, by kind, in an order in which it can be removed."""
    kinds = {
        "server": lambda: conn.compute.servers(details=False),
        "router": conn.network.routers,
        "network": conn.network.networks,
        "flavor": lambda: conn.compute.flavors(details=False),
        "image": conn.image.images,
    }
    return {
        kind: [item for item in every() if (item.name or "").startswith(validation.PREFIX)]
        for kind, every in kinds.items()
    }


def remove(conn: Any, kind: str, item: Any) -> Exception | None:
    """Ask for the removal of one thing; returns why that failed, to be tried again."""
    try:
        if kind == "server":
            conn.compute.delete_server(item.id, force=False)
        elif kind == "router":
            for port in conn.network.ports(device_id=item.id):
                conn.network.remove_interface_from_router(item.id, port_id=port.id)
            conn.network.delete_router(item.id)
        elif kind == "network":
            conn.network.delete_network(item.id)
        elif kind == "flavor":
            conn.compute.delete_flavor(item.id)
        else:
            conn.image.delete_image(item.id)
    except errors() as exc:
        return exc
    return None
