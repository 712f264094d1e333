"""Computes that are not part of the lab's model: made for one test, and gone after it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from labkit import apis, commands
from labkit.model import Edit

UP = 600  # seconds until their machines run and show their keys
ACCEPT = 300
#: From this version of Nova's API on a service is named by its uuid.
BY_UUID = {"X-OpenStack-Nova-API-Version": "2.53"}


@contextmanager
def modelled(edit: Edit, names: Sequence[str]) -> Iterator[None]:
    """The model has the computes ``cmpN`` of ``names``; afterwards nothing is left of them."""

    def add(model: dict[str, Any]) -> None:
        for name in names:
            last = 20 + int(name.removeprefix("cmp"))
            addresses = {"management": f"10.77.0.{last}", "tunnel": f"10.77.1.{last}"}
            model["nodes"][name] = {"roles": ["compute"], "addresses": addresses}

    edit(add)
    try:
        yield
    finally:
        commands.run("lab/lab", "down", *names, timeout=UP)
        for name in names:
            _forget(name)


def boot(names: Sequence[str]) -> None:
    """Machines for ``names``, which show the master their keys."""
    done = commands.run("lab/lab", "up", "--no-accept", *names, timeout=UP)
    assert not done.code, done.tail()


def accept(names: Sequence[str]) -> None:
    """Accept their keys, by their fingerprints."""
    done = commands.run("lab/lab", "accept", *names, timeout=ACCEPT)
    assert not done.code, done.tail()


def enabled(nova: apis.Client | None = None) -> set[str]:
    """Compute hosts that Nova gives instances to.

    Who asks again and again keeps a client: each new one is a token, for which Keystone works most
    of a second.
    """
    listed = (nova or apis.client("nova-api")).ask("GET", "/v2.1/os-services?binary=nova-compute")
    return {one["host"] for one in listed.json()["services"] if one["status"] == "enabled"}


def _forget(name: str) -> None:
    """Remove the host from Nova, as an operator does who takes a machine out of the cloud."""
    nova = apis.client("nova-api")
    listed = nova.ask("GET", f"/v2.1/os-services?host={name}", headers=BY_UUID)
    for service in listed.json()["services"]:
        nova.ask("DELETE", f"/v2.1/os-services/{service['id']}", headers=BY_UUID)
