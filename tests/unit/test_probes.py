"""Probes against small servers on this machine."""

from __future__ import annotations

import contextlib
import json
import pathlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import saltern_probes as probes
from saltern.health import Degraded

GREETING = struct.pack(">BHIHH", 1, 0, 30, 10, 10) + b"more"
RAFT = """\
Name: OVN_Northbound
Cluster ID: aaaa (aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa)
Status: cluster member
Role: leader
Term: 3
Leader: self
Servers:
    d2a5 (d2a5 at tcp:10.0.0.11:6643) (self) next_index=2 match_index=9
    77fa (77fa at tcp:10.0.0.12:6643) next_index=10 match_index=9 last msg 300 ms ago
    0c11 (0c11 at tcp:10.0.0.13:6643) next_index=10 match_index=9 last msg 400 ms ago
"""


@contextlib.contextmanager
def server(answer: Callable[[bytes], bytes], path: pathlib.Path | None = None) -> Iterator[int]:
    """Answers the first words of every connection; port, or 0 for a local socket."""
    sock = socket.socket(socket.AF_UNIX if path else socket.AF_INET)
    sock.bind(str(path) if path else ("127.0.0.1", 0))
    sock.listen()

    def serve() -> None:
        while True:
            try:
                peer, _ = sock.accept()
            except OSError:
                return
            with peer, contextlib.suppress(OSError):
                peer.sendall(answer(peer.recv(65536)))

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield 0 if path else sock.getsockname()[1]
    sock.shutdown(socket.SHUT_RDWR)
    sock.close()


def web(status: str, body: str = "", headers: str = "") -> Callable[[bytes], bytes]:
    text = f"HTTP/1.1 {status}\r\n{headers}Content-Length: {len(body)}\r\n\r\n{body}"
    return lambda _: text.encode()


def spec(kind: str, port: int, **more: Any) -> dict[str, Any]:
    return {"kind": kind, "address": "127.0.0.1", "port": port, **more}


def unused_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


@pytest.mark.parametrize(
    ("status", "body", "reason", "degraded"),
    [
        ("200 OK", "OK", None, False),
        ("300 Multiple Choices", "", None, False),
        ("500 Oh", "  no \n database ", "/healthcheck answers 500: no database", False),
        ("503 No", "DISABLED BY FILE", "answers 503: DISABLED BY FILE", True),
    ],
)
def test_http(status: str, body: str, reason: str | None, degraded: bool) -> None:
    with server(web(status, body)) as port:
        said = probes.ask(spec("http", port, path="/healthcheck"))
    assert (said is None) if reason is None else (said and reason in said)
    assert isinstance(said, Degraded) is degraded


@pytest.mark.parametrize("kind", sorted(probes.ON_A_PORT))
def test_a_closed_port_is_a_reason(kind: str) -> None:
    port = unused_port()
    said = probes.ask(spec(kind, port, path="/"))
    nothing = f"nothing listens on 127.0.0.1:{port}"
    assert said == (nothing if kind == "tcp" else f"127.0.0.1:{port}: Connection refused")


@pytest.mark.parametrize("kind", ["http", "memcached", "rabbitmq"])
def test_a_listener_that_says_nothing_is_given_up(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probes, "TIMEOUT", 0.1)
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        port = sock.getsockname()[1]
        assert probes.ask(spec(kind, port, path="/")) == (
            f"127.0.0.1:{port} gives no answer within 0.1 s"
        )


def test_a_starved_machine_is_given_longer(monkeypatch: pytest.MonkeyPatch, starved: None) -> None:
    monkeypatch.setattr(probes, "TIMEOUT", 0.1)
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        port = sock.getsockname()[1]
        assert probes.ask(spec("memcached", port)) == (
            f"127.0.0.1:{port} gives no answer within 0.4 s"
        )


def test_something_that_is_not_http_is_a_reason() -> None:
    with server(lambda _: b"what?\n") as port:
        assert probes.ask(spec("http", port, path="/")) == f"127.0.0.1:{port}: what?\n"


@pytest.mark.parametrize(
    ("family", "bound", "asked"),
    [
        (socket.AF_INET, "127.0.0.1", "127.0.0.1"),
        (socket.AF_INET, "0.0.0.0", "127.0.0.1"),  # noqa: S104 - bound to everything on purpose
        (socket.AF_INET6, "::1", "::1"),
        (socket.AF_INET6, "::", "::1"),
    ],
)
def test_tcp_is_content_with_a_listener_and_does_not_connect(
    family: socket.AddressFamily, bound: str, asked: str
) -> None:
    with socket.socket(family) as sock:
        sock.bind((bound, 0))
        port = sock.getsockname()[1]
        where = {"kind": "tcp", "address": asked, "port": port}
        assert probes.ask(where) == f"nothing listens on {asked}:{port}"
        sock.listen()
        assert probes.ask(where) is None
        sock.setblocking(False)
        with pytest.raises(BlockingIOError):
            sock.accept()


def test_a_listener_at_another_address_is_another_one() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.2", 0))
        sock.listen()
        port = sock.getsockname()[1]
        assert probes.ask(spec("tcp", port)) == f"nothing listens on 127.0.0.1:{port}"


@pytest.mark.parametrize(("greeting", "well"), [(GREETING, True), (b"", False), (b"x" * 20, False)])
def test_a_broker_greets_clients(greeting: bytes, well: bool) -> None:
    with server(lambda asked: greeting if asked == b"AMQP\0\0\x09\x01" else b"") as port:
        said = probes.ask(spec("rabbitmq", port))
    assert (said is None) is well


@pytest.mark.parametrize(("answer", "well"), [(b"VERSION 1.6.38\r\n", True), (b"ERROR\r\n", False)])
def test_memcached_speaks_its_protocol(answer: bytes, well: bool) -> None:
    with server(lambda _: answer) as port:
        assert (probes.ask(spec("memcached", port)) is None) is well


def test_libvirt_s_socket_is_served(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "sock"
    asked = {"kind": "libvirt", "address": "10.0.0.1", "socket": str(path)}
    assert probes.ask(asked) == "libvirt's control socket: No such file or directory"
    with server(lambda _: b"", path):
        assert probes.ask(asked) is None
    assert probes.ask(asked) == "libvirt's control socket: Connection refused"


def reply(**fields: Any) -> Callable[[bytes], bytes]:
    return lambda _: json.dumps({"id": 0, **fields}).encode()


@pytest.mark.parametrize(
    ("north", "south", "reason"),
    [
        (RAFT, RAFT, None),
        (RAFT, "", "OVN_Southbound: no member of a cluster (unknown)"),
        (RAFT.replace("400 ms", "40000 ms"), RAFT, "OVN_Northbound: the leader hears nothing"),
    ],
)
def test_both_databases_of_ovn_count(
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    north: str,
    south: str,
    reason: str | None,
) -> None:
    sockets = {"nb": str(tmp_path / "nb"), "sb": str(tmp_path / "sb")}
    monkeypatch.setattr(probes, "OVN_SOCKETS", sockets)
    with (
        server(reply(result=north, error=None), tmp_path / "nb"),
        server(reply(result=south, error=None), tmp_path / "sb"),
    ):
        said = probes.ask({"kind": "ovn", "address": "x", "members": ["a", "b", "c"]})
    assert (said is None) if reason is None else (said and said.startswith(reason))


def test_a_daemon_s_refusal_and_its_silence_are_reasons(tmp_path: pathlib.Path) -> None:
    path = str(tmp_path / "ctl")
    refusing = reply(result=None, error="not a valid command")
    with (
        server(refusing, tmp_path / "ctl"),
        pytest.raises(ValueError, match="not a valid command"),
    ):
        probes.unixctl(path, "cluster/status", "x")
    (tmp_path / "ctl").unlink()
    with server(lambda _: b'{"id": 0,', tmp_path / "ctl"), pytest.raises(ConnectionError):
        probes.unixctl(path, "list-commands")


def test_the_agent_must_hold_its_database(tmp_path: pathlib.Path) -> None:
    asked = {"kind": "ovn-controller", "address": "x", "folder": str(tmp_path)}
    silent = "ovn-controller has no control socket that answers"
    assert probes.ask(asked) == silent
    path = tmp_path / "ovn-controller.7.ctl"
    with server(reply(result="connected\n"), path):
        assert probes.ask(asked) is None
    assert probes.ask(asked) == silent  # the process died and left its socket
    path.unlink()
    with server(reply(result="not connected\n"), path):
        assert probes.ask(asked) == "southbound database: not connected"


def test_a_token_comes_from_keystone_or_the_reason_does() -> None:
    with server(web("201 Created", headers="X-Subject-Token: abc\r\n")) as port:
        assert probes.token(f"http://127.0.0.1:{port}/v3", "{}") == ("abc", "")
    with server(web("401 No")) as port:
        assert probes.token(f"http://127.0.0.1:{port}", "{}") == (None, "it answers 401")
    port = unused_port()
    token, reason = probes.token(f"http://127.0.0.1:{port}", "{}")
    assert token is None
    assert "refused" in reason


def test_an_api_is_read_with_the_token() -> None:
    def check(asked: bytes) -> bytes:
        ok = b"X-Auth-Token: abc" in asked and asked.startswith(b"GET /v2/images?limit=1 ")
        return web("200 OK" if ok else "401 No")(b"")

    with server(check) as port:
        asked = spec("http", port, path="/", read="/v2/images?limit=1")
        assert probes.read(asked, "abc") is None
        assert probes.read(asked, "old") == "GET /v2/images?limit=1 answers 401"
    said = probes.read(spec("http", unused_port(), read="/x"), "abc")
    assert said and said.startswith("GET /x: ") and "refused" in said
