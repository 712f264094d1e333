"""neighbours execution module, against sockets of this machine."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import support
from salt.exceptions import CommandExecutionError

module = support.load_module("_modules", "neighbours")

HERE = "127.0.0.1"


@pytest.fixture
def configure_loader_modules() -> Any:
    return {module: {}}


@pytest.fixture
def without_echo(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a node whose minion is not root."""
    real = socket.socket

    def made(*args: Any, **kwargs: Any) -> socket.socket:
        if args[2:] == (socket.IPPROTO_ICMP,):
            raise PermissionError("raw sockets are root's")
        return real(*args, **kwargs)

    monkeypatch.setattr(module.socket, "socket", made)


@pytest.fixture
def busy() -> Iterator[int]:
    """A port whose queue is full: the kernel drops who comes, as a machine without power does."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server((HERE, 0), backlog=0))
        port: int = listener.getsockname()[1]
        for _ in range(4):
            sock = stack.enter_context(socket.socket())
            sock.setblocking(False)
            sock.connect_ex((HERE, port))
        yield port


def closed() -> int:
    with socket.create_server((HERE, 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


def test_a_refusal_is_an_answer(monkeypatch: pytest.MonkeyPatch, without_echo: None) -> None:
    monkeypatch.setattr(module, "PORTS", (closed(),))
    assert module.reach([HERE]) == {HERE: True}


def test_a_connection_is_an_answer(monkeypatch: pytest.MonkeyPatch, without_echo: None) -> None:
    with socket.create_server((HERE, 0)) as listener:
        monkeypatch.setattr(module, "PORTS", (listener.getsockname()[1],))
        assert module.reach(HERE) == {HERE: True}


def test_silence_ends_after_the_timeout(
    monkeypatch: pytest.MonkeyPatch, without_echo: None, busy: int
) -> None:
    monkeypatch.setattr(module, "PORTS", (busy,))
    began = time.monotonic()
    assert module.reach([HERE], timeout=0.4) == {HERE: False}
    assert 0.3 < time.monotonic() - began < 2


def test_one_port_that_answers_is_enough(
    monkeypatch: pytest.MonkeyPatch, without_echo: None, busy: int
) -> None:
    monkeypatch.setattr(module, "PORTS", (busy, closed()))
    began = time.monotonic()
    assert module.reach([HERE], timeout=5) == {HERE: True}
    assert time.monotonic() - began < 1, "it waited on although it knew"


def test_each_is_judged_by_itself(
    monkeypatch: pytest.MonkeyPatch, without_echo: None, busy: int
) -> None:
    monkeypatch.setattr(module, "PORTS", (busy,))  # 127.0.0.2 has no such port: it refuses
    assert module.reach([HERE, "127.0.0.2"], timeout=0.4) == {HERE: False, "127.0.0.2": True}


@pytest.mark.skipif(os.geteuid() != 0, reason="raw sockets are root's")
def test_an_echo_is_an_answer(monkeypatch: pytest.MonkeyPatch, busy: int) -> None:
    monkeypatch.setattr(module, "PORTS", (busy,))
    began = time.monotonic()
    assert module.reach([HERE], timeout=5) == {HERE: True}
    assert time.monotonic() - began < 1


@pytest.mark.skipif(os.geteuid() != 0, reason="raw sockets are root's")
def test_a_network_without_a_way_stops_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PORTS", ())
    assert module.reach(["255.255.255.255", HERE], timeout=0.4) == {
        "255.255.255.255": False,
        HERE: True,
    }


def test_somebody_elses_echo_is_no_answer() -> None:
    ours, other = os.getpid() & 0xFFFF, (os.getpid() + 1) & 0xFFFF
    head = b"\x45" + bytes(19)
    assert module._replied(head + b"\0\0\0\0" + ours.to_bytes(2, "big") + b"\0\0")
    assert not module._replied(head + b"\0\0\0\0" + other.to_bytes(2, "big") + b"\0\0")
    assert not module._replied(head + b"\x08\0\0\0" + ours.to_bytes(2, "big") + b"\0\0")
    assert not module._replied(head)


def test_the_checksum_is_right() -> None:
    packet = module._packet(0xFFFF)
    total = sum(int.from_bytes(packet[at : at + 2], "big") for at in range(0, len(packet), 2))
    assert (total >> 16) + (total & 0xFFFF) == 0xFFFF


@pytest.mark.parametrize("name", ["ctl1", "", "10.0.0.1; reboot", 7.5])
def test_only_addresses_are_taken(name: Any) -> None:
    with pytest.raises(CommandExecutionError, match="names are not looked up"):
        module.reach([name])


def test_nobody_to_reach() -> None:
    assert module.reach([]) == {}


def test_no_socket_is_left_open(monkeypatch: pytest.MonkeyPatch, busy: int) -> None:
    monkeypatch.setattr(module, "PORTS", (busy, closed()))
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - names are all that is wanted
    module.reach([HERE, "127.0.0.2"], timeout=0.2)
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
