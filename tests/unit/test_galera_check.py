"""The HTTP check that HAProxy asks, over a real socket."""

from __future__ import annotations

import importlib.util
import json
import pathlib
import socket
import threading
from typing import Any

import pymysql
import pytest
import support

PATH = support.ROOT / "salt/galera/files/galera-check.py"
spec = importlib.util.spec_from_file_location("galera_check", PATH)
assert spec and spec.loader
check = importlib.util.module_from_spec(spec)
spec.loader.exec_module(check)

SYNCED = {"wsrep_cluster_status": "Primary", "wsrep_ready": "ON", "wsrep_local_state": "4"}


@pytest.mark.parametrize(
    ("said", "donor_serves", "expected"),
    [
        (SYNCED, False, (True, "synced")),
        ({**SYNCED, "wsrep_local_state": "2"}, True, (True, "donor, serving")),
        ({**SYNCED, "wsrep_local_state": "2"}, False, (False, "state 2")),
        ({**SYNCED, "wsrep_ready": "OFF"}, False, (False, "not ready")),
        ({**SYNCED, "wsrep_cluster_status": "non-Primary"}, False, (False, "non-Primary")),
        ({}, False, (False, "not in a cluster")),
    ],
)
def test_verdict(said: Any, donor_serves: Any, expected: Any) -> None:
    assert check.verdict(said, donor_serves) == expected


@pytest.fixture
def server(tmp_path: pathlib.Path) -> Any:
    config = {
        "address": "127.0.0.1",
        "port": 0,
        "socket": str(tmp_path / "none.sock"),
        "user": "c",
        "password": "p",
        "donor_serves": False,
    }
    with check.Server(config) as made:
        threading.Thread(target=made.serve_forever, args=(0.05,), daemon=True).start()
        yield made
        made.shutdown()


def ask(server: Any, request: bytes = b"OPTIONS / HTTP/1.0\r\n\r\n") -> str:
    with socket.create_connection(server.server_address, timeout=5) as sock:
        sock.sendall(request)
        answer = b""
        while chunk := sock.recv(4096):
            answer += chunk
    return answer.decode()


def test_a_synced_member_is_200(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server.member, "_status", lambda: SYNCED)
    assert ask(server).startswith("HTTP/1.1 200 OK\r\n")


def test_a_stopped_server_is_503_with_the_reason(server: Any) -> None:
    answer = ask(server)
    assert answer.startswith("HTTP/1.1 503 ") and "does not answer" in answer


def test_a_server_that_comes_back_is_asked_again(
    server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check, "FRESH", 0)
    assert "503" in ask(server)
    monkeypatch.setattr(server.member, "_status", lambda: SYNCED)
    assert "200" in ask(server)


def test_many_balancers_cost_one_question(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def answer() -> dict[str, str]:
        asked.append(1)
        return SYNCED

    monkeypatch.setattr(check, "FRESH", 60)
    monkeypatch.setattr(server.member, "_status", answer)
    for _ in range(5):
        ask(server)
    assert len(asked) == 1


def test_a_hung_server_is_503(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def hangs() -> dict[str, str]:
        raise pymysql.err.OperationalError(2013, "Lost connection (timed out)")

    monkeypatch.setattr(server.member, "_status", hangs)
    assert "503" in ask(server)


def test_it_starts_anew_when_its_configuration_changed(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "check.json"
    path.write_text("{}")
    anew: list[Any] = []
    monkeypatch.setattr(check.os, "execv", lambda *args: anew.append(args))
    config = {"address": "127.0.0.1", "port": 0}
    with check.Server(config, [path]) as server:
        server.service_actions()
        assert anew == []
        path.write_text(json.dumps({"port": 1}))
        server.service_actions()
    assert len(anew) == 1
