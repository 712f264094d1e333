"""What the watch asks of services, and how it looks at one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import saltern_haproxy_link
import saltern_probes
import saltern_processes
import saltern_systemd
import saltern_watch_probes
from saltern.health import Degraded
from saltern.reactor.watched import Share, Unit


def test_probes_of_a_node(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def ask(spec: Mapping[str, Any]) -> str | None:
        asked.append(dict(spec))
        return "no"

    def socket(command: str) -> str:
        if command == "show info":
            raise saltern_haproxy_link.NoAnswer("nobody")
        return command

    monkeypatch.setattr(saltern_probes, "ask", ask)
    monkeypatch.setattr(saltern_haproxy_link, "ask", socket)
    check = {"address": "10.0.0.1", "port": 9200, "path": "/"}
    assert saltern_watch_probes.ask({"kind": "galera", "check": check}) == "no"
    assert asked == [{**check, "kind": "http"}]
    monkeypatch.setattr(saltern_probes, "ask", lambda spec: "answers 503: Donor/Desynced")
    assert isinstance(saltern_watch_probes.ask({"kind": "galera", "check": check}), Degraded)
    monkeypatch.setattr(saltern_probes, "ask", ask)
    assert saltern_watch_probes.ask({"kind": "haproxy"}) == "nobody"
    monkeypatch.setattr(saltern_haproxy_link, "ask", lambda command: "Name: H")
    assert saltern_watch_probes.ask({"kind": "haproxy"}) is None
    assert saltern_watch_probes.ask({"kind": "tcp"}) == "no"


def test_a_look_is_units_and_then_the_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    share = Share({"keystone": "keystone"}, {"keystone": {"kind": "http"}})
    unit = Unit("keystone", active="failed", sub="failed")
    monkeypatch.setattr(saltern_systemd, "show", lambda names: [unit])
    found = saltern_watch_probes.look(share, "keystone")
    assert found == {"status": "down", "reason": "keystone is failed (failed)"}
    monkeypatch.setattr(saltern_systemd, "show", lambda names: [Unit("keystone", active="active")])
    monkeypatch.setattr(saltern_probes, "ask", lambda spec: None)
    assert saltern_watch_probes.look(share, "keystone") == {"status": "ok", "reason": ""}
    halted = dict.fromkeys(["keystone"], "stopped by a signal")
    monkeypatch.setattr(saltern_processes, "why_halted", lambda pids: halted[min(pids)])
    found = saltern_watch_probes.look(share, "keystone")
    assert found == {"status": "down", "reason": "stopped by a signal"}
    monkeypatch.setattr(saltern_processes, "why_halted", lambda pids: "")
    plain = Share({"nova-compute": "nova-compute"}, {"nova-compute": {"kind": "unit"}})
    assert saltern_watch_probes.look(plain, "nova-compute")["status"] == "ok"
