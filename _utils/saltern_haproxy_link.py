"""Talk to HAProxy on its admin socket, and to its servers as its own checks do."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from saltern import haproxy

SOCKET = "/run/haproxy/admin.sock"
ANSWER = 2.0  # seconds that HAProxy has to answer on its socket
PROBE = 2.0  # seconds that a server has to answer our own check


class NoAnswer(RuntimeError):
    """HAProxy did not do what it was told; the message has its own words."""


def ask(command: str) -> str:
    """HAProxy's answer to one command.

    :raises NoAnswer: when nobody serves the socket, or not in time.
    """
    try:
        with socket.socket(socket.AF_UNIX) as link:
            link.settimeout(ANSWER)
            link.connect(SOCKET)
            link.sendall(command.encode() + b"\n")
            answer = b""
            while chunk := link.recv(65536):
                answer += chunk
    except OSError as exc:
        raise NoAnswer(
            f"HAProxy does not answer on {SOCKET} ({exc}): look at journalctl -u haproxy"
        ) from exc
    return answer.decode(errors="replace")


def tell(command: str) -> None:
    """Have HAProxy do something. Success is an empty answer, everything else is an error.

    :raises NoAnswer: with that word.
    """
    answer = ask(command).strip()
    if answer:
        raise NoAnswer(f"{command}: {answer}")


def stat() -> list[dict[str, str]]:
    """Every row of HAProxy's statistics."""
    try:
        return haproxy.parse_stat(ask("show stat"))
    except ValueError as exc:
        raise NoAnswer(str(exc)) from exc


def observe() -> list[dict[str, Any]]:
    """Every server, see :func:`saltern.haproxy.servers`."""
    try:
        admin = haproxy.parse_admin(ask("show servers state"))
    except ValueError as exc:
        raise NoAnswer(str(exc)) from exc
    return haproxy.servers(stat(), admin)


def probe_all(
    proxies: Mapping[str, Mapping[str, Any]], keys: Iterable[haproxy.Key], timeout: float = PROBE
) -> dict[haproxy.Key, str]:
    """``{key: reason}`` of the servers that do not pass the check, asked side by side."""
    asked = list(keys)
    if not asked:
        return {}
    with ThreadPoolExecutor(min(len(asked), 16)) as pool:
        answers = pool.map(lambda key: probe(proxies[key[0]], key[1], timeout), asked)
        return {key: reason for key, reason in zip(asked, answers, strict=True) if reason}


def probe(proxy: Mapping[str, Any], server: str, timeout: float = PROBE) -> str | None:
    """The check that HAProxy will make, made by us: None when it passes, or the reason."""
    address = next(m["address"] for m in proxy["members"] if m["name"] == server)
    check = proxy["check"]
    url = f"http://{address}:{check['port']}{check['path']}"
    link = http.client.HTTPConnection(address, check["port"], timeout=timeout)
    try:
        headers = {"Host": proxy["vips"][0], "Connection": "close"}
        link.request("GET", check["path"], headers=headers)
        answer = link.getresponse()
        words = " ".join(answer.read(200).decode(errors="replace").split())[:80]
    except (OSError, http.client.HTTPException) as exc:
        return f"{url}: {exc or type(exc).__name__}"
    finally:
        link.close()
    return None if answer.status == check["status"] else f"{url}: {answer.status} {words}"
