"""memcached execution module, against a socket."""

from __future__ import annotations

import socket
import threading
from typing import Any

import pytest
import support
from salt.exceptions import CommandExecutionError

module = support.load_module("_modules", "memcached")


@pytest.fixture
def configure_loader_modules() -> Any:
    return {module: {"__pillar__": {}}}


def serve(answer: bytes) -> int:
    listener = socket.create_server(("127.0.0.1", 0))

    def once() -> None:
        with listener, listener.accept()[0] as peer:
            peer.recv(100)
            peer.sendall(answer)

    threading.Thread(target=once, daemon=True).start()
    port: int = listener.getsockname()[1]
    return port


def test_stats() -> None:
    port = serve(b"STAT version 1.6.38\r\nSTAT curr_connections 3\r\nEND\r\n")
    assert module.stats("127.0.0.1", port)["curr_connections"] == 3


def test_something_else_listens() -> None:
    with pytest.raises(CommandExecutionError, match="does not speak memcached"):
        module.stats("127.0.0.1", serve(b"HTTP/1.1 400\r\n"))


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(CommandExecutionError, match="Next: journalctl"):
        module.stats("127.0.0.1", port)
