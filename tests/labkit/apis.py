"""The cloud's APIs as a client outside sees them: through the virtual addresses, with a token."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import requests
import support
import yaml

from lab.paths import MODEL
from labkit import commands

PATIENCE = 5.0  # seconds for one request


@functools.cache
def model() -> dict[str, Any]:
    """The model that the lab was made from."""
    loaded: dict[str, Any] = yaml.safe_load(MODEL.read_text(encoding="utf-8"))
    return loaded


def vip(which: str = "public") -> str:
    """A virtual address."""
    vips: dict[str, str] = model()["vips"]
    return vips.get(which, vips["internal"])


def node_address(node: str) -> str:
    """The management address of ``node``."""
    address: str = model()["nodes"][node]["addresses"]["management"]
    return address


def port(service: str) -> int:
    """The port that the catalog gives ``service``."""
    return int(support.catalog()[service]["port"])


def reads() -> dict[str, str]:
    """Service -> the URL of something that only a token can read: each API that users have.

    They come from the catalog: a service that is added there is read here.
    """
    return {
        name: f"http://{vip()}:{spec['port']}{spec['probe']['read']}"
        for name, spec in support.catalog().items()
        if "endpoint" in spec and "read" in spec["probe"]
    }


def login_page() -> str:
    """Horizon's."""
    return f"http://{vip()}/horizon/auth/login/"


@functools.cache
def password() -> str:
    """The administrator's. Failures must not print it, so nothing asserts on it."""
    done = commands.runner("saltern.password", "admin")
    if done.code:
        raise AssertionError(f"saltern.password: {done.err}")
    said: str = json.loads(done.out)
    return said


def token(patience: float = PATIENCE) -> str:
    """A new token of the administrator.

    :raises requests.RequestException: when Keystone does not give one in time.
    """
    user = {"name": "admin", "domain": {"id": "default"}, "password": password()}
    identity = {"methods": ["password"], "password": {"user": user}}
    scope = {"project": {"name": "admin", "domain": {"id": "default"}}}
    answer = requests.post(
        f"http://{vip('internal')}:{port('keystone')}/v3/auth/tokens",
        json={"auth": {"identity": identity, "scope": scope}},
        timeout=patience,
    )
    answer.raise_for_status()
    return answer.headers["X-Subject-Token"]


@dataclass
class Client:
    """Requests with a token of the administrator, to one service on one machine."""

    base: str
    headers: Mapping[str, str] = field(default_factory=lambda: {"X-Auth-Token": token(30)})

    def ask(self, method: str, path: str, **options: Any) -> requests.Response:
        """One request.

        :raises requests.HTTPError: when the answer is not a good one.
        """
        headers = {**self.headers, **options.pop("headers", {})}
        answer = requests.request(method, self.base + path, headers=headers, timeout=60, **options)
        answer.raise_for_status()
        return answer

    def names(self, path: str, key: str) -> list[str]:
        """Names of everything that is listed at ``path``."""
        return [item["name"] for item in self.ask("GET", path).json()[key]]


def client(service: str, node: str | None = None) -> Client:
    """To ``service`` through the virtual address, or to the copy of it on ``node``."""
    return Client(f"http://{node_address(node) if node else vip()}:{port(service)}")
