"""Ask one copy of a service whether it works: sockets with short timeouts, and nothing to fork.

Each probe returns ``None`` when the service answers as it should, or the reason why it does not. A
:class:`saltern.health.Degraded` reason means: it answers, but not all is well.
"""

from __future__ import annotations

import http.client
import ipaddress
import json
import socket
import struct
import sys
import time
import urllib.parse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import saltern_pressure
from saltern import ovn
from saltern.health import Degraded

#: Seconds for any one network step. A healthy service answers within hundredths.
TIMEOUT = 2.0

#: Seconds for a request that passes database and cache.
DEEP_TIMEOUT = 10.0

Spec = Mapping[str, Any]


def patience() -> float:
    """Seconds for any one network step now: more while nothing on this machine can be fast."""
    return TIMEOUT * saltern_pressure.slower()


def http_get(spec: Spec) -> str | None:
    """GET ``path``; any answer up to 399 is good. 503 by a file on purpose is only degraded."""
    where = f"{spec['address']}:{spec['port']}"
    connection = http.client.HTTPConnection(spec["address"], spec["port"], timeout=patience())
    try:
        connection.request("GET", spec["path"], headers={"Connection": "close"})
        answer = connection.getresponse()
        if answer.status < 400:
            return None
        body = " ".join(answer.read(200).decode(errors="replace").split())
    finally:
        connection.close()
    reason = f"{where}{spec['path']} answers {answer.status}: {body[:80]}"
    return Degraded(reason) if "DISABLED BY FILE" in body else reason


#: Where the kernel lists sockets (proc(5)), and how it writes that one listens.
SOCKETS = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
LISTENING = "0A"


def tcp(spec: Spec) -> str | None:
    """Something listens. The kernel says so: a connection it would accept as well from a process
    that hangs, and some servers (websockify) fork for each.
    """
    wanted = {f"{_kernels(a)}:{spec['port']:04X}" for a in (spec["address"], "0.0.0.0", "::")}  # noqa: S104
    for file in SOCKETS:
        for line in file.read_text(encoding="ascii").splitlines()[1:] if file.exists() else ():
            _, local, _, state = line.split(maxsplit=4)[:4]
            if state == LISTENING and local in wanted:
                return None
    return f"nothing listens on {_where(spec)}"


def _kernels(address: str) -> str:
    """An address as the kernel writes it: in words of four bytes, each of them backwards."""
    packed = ipaddress.ip_address(address).packed
    words = (
        packed[i : i + 4][:: -1 if sys.byteorder == "little" else 1]
        for i in range(0, len(packed), 4)
    )
    return b"".join(words).hex().upper()


def rabbitmq(spec: Spec) -> str | None:
    """The broker greets clients: it does not while it boots, or pauses in a minority."""
    with _connect(spec) as sock:
        sock.sendall(b"AMQP\x00\x00\x09\x01")
        greeting = _read(sock, 11)
    if len(greeting) < 11 or struct.unpack(">BHIHH", greeting)[0::3] != (1, 10):
        return f"no AMQP greeting on {_where(spec)} (still booting, or paused in a minority?)"
    return None


def memcached(spec: Spec) -> str | None:
    """It answers its own protocol."""
    with _connect(spec) as sock:
        sock.sendall(b"version\r\n")
        answer = _read(sock, 8)
    return None if answer == b"VERSION " else f"{_where(spec)} does not speak memcached"


def libvirt(spec: Spec) -> str | None:
    """The daemon's local socket is served."""
    with _unix(str(spec.get("socket", "/run/libvirt/libvirt-sock"))):
        return None


#: Control sockets of OVN's databases.
OVN_SOCKETS: Mapping[str, str] = {"nb": "/run/ovn/ovnnb_db.ctl", "sb": "/run/ovn/ovnsb_db.ctl"}


def ovn_central(spec: Spec) -> str | None:
    """Both databases are members of a raft cluster that has a leader and all its members."""
    worst: str | None = None
    for name, path in OVN_SOCKETS.items():
        database = ovn.DATABASES[name]
        reason = ovn.raft(unixctl(path, "cluster/status", database), len(spec.get("members", ())))
        if reason and not isinstance(reason, Degraded):
            return f"{database}: {reason}"
        worst = Degraded(f"{database}: {reason}") if reason else worst
    return worst


def ovn_controller(spec: Spec) -> str | None:
    """The agent holds a connection to a southbound database."""
    for path in Path(str(spec.get("folder", "/run/ovn"))).glob("ovn-controller.*.ctl"):
        try:
            answer = unixctl(str(path), "connection-status").strip()
        except ConnectionRefusedError:
            continue  # left behind by a process that died
        return None if answer == "connected" else f"southbound database: {answer}"
    return "ovn-controller has no control socket that answers"


def unixctl(path: str, method: str, *params: str) -> str:
    """Call ``method`` of an Open vSwitch or OVN daemon over its control socket (JSON-RPC).

    :raises OSError: when the daemon does not answer.
    :raises ValueError: when it refuses; the message is the daemon's.
    """
    with _unix(path) as sock:
        sock.sendall(json.dumps({"id": 0, "method": method, "params": params}).encode())
        buffer = b""
        while chunk := sock.recv(65536):
            buffer += chunk
            try:
                answer = json.loads(buffer)
            except ValueError:
                continue  # more is to come
            if answer.get("error"):
                raise ValueError(str(answer["error"]))
            return str(answer["result"])
    raise ConnectionError(f"{path} closed the connection")


def token(auth_url: str, request: str) -> tuple[str | None, str]:
    """A token from the Keystone at ``auth_url``, or None and why not."""
    parts = urllib.parse.urlsplit(auth_url)
    connection = http.client.HTTPConnection(
        parts.hostname or "", parts.port or 80, timeout=DEEP_TIMEOUT
    )
    try:
        headers = {"Content-Type": "application/json", "Connection": "close"}
        connection.request("POST", "/v3/auth/tokens", request, headers)
        answer = connection.getresponse()
        if answer.status == 201:
            return answer.getheader("X-Subject-Token"), ""
        return None, f"it answers {answer.status}"
    except (OSError, http.client.HTTPException) as exc:
        return None, str(exc) or type(exc).__name__
    finally:
        connection.close()


def read(spec: Spec, token: str) -> str | None:
    """GET ``spec['read']`` with ``token`` from this node's own copy."""
    connection = http.client.HTTPConnection(spec["address"], spec["port"], timeout=DEEP_TIMEOUT)
    try:
        headers = {"X-Auth-Token": token, "Connection": "close"}
        connection.request("GET", spec["read"], headers=headers)
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as exc:
        return f"GET {spec['read']}: {str(exc) or type(exc).__name__}"
    finally:
        connection.close()
    return None if status < 400 else f"GET {spec['read']} answers {status}"


def _where(spec: Spec) -> str:
    return f"{spec['address']}:{spec['port']}"


def _connect(spec: Spec) -> socket.socket:
    return socket.create_connection((spec["address"], spec["port"]), timeout=patience())


def _unix(path: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(patience())
    try:
        sock.connect(path)
    except OSError:
        sock.close()
        raise
    return sock


def _read(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size and (chunk := sock.recv(size - len(data))):
        data += chunk
    return data


#: Kinds that are asked at the service's address and port; the others have a local socket.
ON_A_PORT = frozenset({"http", "memcached", "rabbitmq", "tcp"})

#: ``probe.kind`` of the catalog -> how it is asked. Other kinds are answered by execution modules.
KINDS: Mapping[str, Callable[[Spec], str | None]] = {
    "http": http_get,
    "libvirt": libvirt,
    "memcached": memcached,
    "ovn": ovn_central,
    "ovn-controller": ovn_controller,
    "rabbitmq": rabbitmq,
    "tcp": tcp,
}


def ask(spec: Spec) -> str | None:
    """Probe by ``spec['kind']``; whatever goes wrong on the way becomes the reason."""
    began = time.monotonic()
    try:
        return KINDS[spec["kind"]](spec)
    except TimeoutError:
        return f"{_target(spec)} gives no answer within {round(time.monotonic() - began, 1):g} s"
    except (OSError, http.client.HTTPException, ValueError) as exc:
        words = getattr(exc, "strerror", None) or str(exc) or type(exc).__name__
        return f"{_target(spec)}: {words}"


def _target(spec: Spec) -> str:
    return _where(spec) if spec["kind"] in ON_A_PORT else f"{spec['kind']}'s control socket"
