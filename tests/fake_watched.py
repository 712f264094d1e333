"""Everything around the watch of one node: a systemd, probes that answer as told, and a master."""

from __future__ import annotations

import asyncio
import json
import pathlib
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from fake_systemd import FakeBus
from saltern.reactor.outbox import digest
from saltern.reactor.watched import Unit
from saltern_watcher import Watcher

TOLD: dict[str, Any] = {
    "units": {"keystone": {"service": "keystone"}, "mariadb": {"service": "galera"}},
    "probes": {
        "keystone": {"kind": "http", "address": "127.0.0.1", "port": 1, "path": "/"},
        "galera": {"kind": "unit", "members": ["ctl1", "ctl2"]},
    },
}
PATIENCE = 10.0


class Master:
    """What the minion took for the master, and what the master acknowledges of it."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.deaf = False
        self.acknowledges = True
        self.watcher: Watcher | None = None

    async def send(self, tag: str, body: Mapping[str, Any]) -> None:
        if self.deaf:
            raise ConnectionRefusedError("no minion")
        self.events.append((tag, dict(body)))
        if self.acknowledges and self.watcher and not tag.endswith("/beat"):
            number = max(one["number"] for one in body.get("reports", [body]))
            word = {"ctl1": {digest(body["epoch"]): number, "x": 9}, "other": {"y": 9}}
            self.watcher.received("saltern/acked", word)

    def reports(self) -> list[dict[str, Any]]:
        tags = ("saltern/node/ctl1/service", "saltern/node/ctl1/reports")
        sent = [body for tag, body in self.events if tag in tags]
        return [one for body in sent for one in body.get("reports", [body])]

    def beats(self) -> list[dict[str, Any]]:
        return [body for tag, body in self.events if tag == "saltern/node/ctl1/beat"]

    def told(self) -> list[tuple[str, str]]:
        return [(body["service"], body["status"]) for body in self.reports()]


class Node:
    """Everything around a watcher."""

    def __init__(self, home: pathlib.Path) -> None:
        self.home = home
        self.systemd = FakeBus(home)
        self.systemd.add("keystone")
        self.systemd.add("mariadb")
        self.master = Master()
        self.reasons: dict[str, str] = {}
        self.healed: list[tuple[str, str]] = []
        self.last_job = 0.0
        self.changed = ""
        self.halted: Callable[[Mapping[str, int]], str] = lambda pids: ""
        self.share = home / "watch.json"
        self.share.write_text(json.dumps(TOLD))

    def ask(self, spec: Mapping[str, Any]) -> str | None:
        return self.reasons.get(spec["kind"])

    def show(self, names: list[str]) -> list[Unit]:
        said = [self.systemd.units[f"{name}.service"] for name in names]
        return [
            Unit(name, active=one["ActiveState"], sub=one["SubState"], pid=one["MainPID"])
            for name, one in zip(names, said, strict=True)
        ]

    def systemctl(self, verb: str, names: list[str]) -> None:
        for name in names:
            self.healed.append((verb, name))
            self.systemd.become(name, ActiveState="active", SubState="running", MainPID=999)

    def watch(self, *steps: Callable[[], Awaitable[object]]) -> Watcher:
        """Run a watcher while ``steps`` are awaited one after the other."""

        async def run() -> Watcher:
            watcher = Watcher(
                "ctl1",
                self.home / "cache",
                self.master,
                share=self.share,
                address=self.systemd.address,
                changed=lambda: self.changed,
                jobs=lambda: self.last_job,
            )
            self.master.watcher = watcher
            task = asyncio.create_task(watcher.run())
            try:
                for step in steps:
                    await step()
            finally:
                self.changed = "the test is over"
                assert await asyncio.wait_for(task, PATIENCE) == "the test is over"
            return watcher

        return asyncio.run(run())

    def until(self, reached: Callable[[], object]) -> Callable[[], Awaitable[None]]:
        async def step() -> None:
            deadline = time.monotonic() + PATIENCE
            while not reached():
                assert time.monotonic() < deadline, (self.master.events, self.healed)
                await asyncio.sleep(0.01)

        return step

    def do(self, act: Callable[[], object]) -> Callable[[], Awaitable[None]]:
        async def step() -> None:
            act()

        return step

    def pause(self, seconds: float) -> Callable[[], Awaitable[None]]:
        return lambda: asyncio.sleep(seconds)
