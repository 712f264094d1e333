"""The minion's bus, with frames as Salt's own functions make and read them."""

from __future__ import annotations

import asyncio
import pathlib
import struct
from collections.abc import Awaitable, Callable
from typing import Any

import msgpack  # type: ignore[import-untyped,unused-ignore]
import pytest
import salt.transport.base
import salt.transport.frame
import salt.utils.event
import saltern_minion_bus
from saltern_minion_bus import MinionBus, sockets

PATIENCE = 10.0


class Minion:
    """Both sockets of a minion; what it took, and what it publishes."""

    def __init__(self, home: pathlib.Path) -> None:
        self.takes, self.publishes = home / "pull.ipc", home / "pub.ipc"
        self.taken: list[tuple[str, Any]] = []
        self.listeners: list[asyncio.StreamWriter] = []
        self.servers: list[asyncio.Server] = []

    async def start(self) -> None:
        self.servers = [
            await asyncio.start_unix_server(self._take, str(self.takes)),
            await asyncio.start_unix_server(self._hear, str(self.publishes)),
        ]

    async def stop(self) -> None:
        for server in self.servers:
            server.close()
        for writer in self.listeners:
            writer.close()
        self.listeners.clear()

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """As ``salt.transport.tcp.TCPPuller`` does."""
        self.listeners.append(writer)
        while size := await reader.read(4):
            text = await reader.readexactly(struct.unpack(">I", size)[0])
            body = msgpack.unpackb(text, raw=True)[b"body"]
            self.taken.append(salt.utils.event.SaltEvent.unpack(body))

    async def _hear(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.listeners.append(writer)

    def publish(self, tag: str, data: Any, raw: bytes | None = None) -> None:
        event = salt.utils.event.SaltEvent.pack(tag, data)
        for writer in self.listeners:
            writer.write(salt.transport.frame.frame_msg(event) if raw is None else raw)


def run(test: Callable[[Minion, MinionBus], Awaitable[None]], home: pathlib.Path) -> None:
    async def whole() -> None:
        minion = Minion(home)
        bus = MinionBus(minion.takes, minion.publishes)
        try:
            await asyncio.wait_for(test(minion, bus), PATIENCE)
        finally:
            bus.close()
            await minion.stop()

    asyncio.run(whole())


async def until(reached: Callable[[], object]) -> None:
    while not reached():
        await asyncio.sleep(0.01)


def test_what_is_sent_is_for_the_master_under_the_minion_s_own_id(tmp_path: pathlib.Path) -> None:
    async def test(minion: Minion, bus: MinionBus) -> None:
        await minion.start()
        await bus.send("saltern/node/ctl1/beat", {"bad": {}, "number": 3})
        await bus.send("saltern/node/ctl1/beat", {"bad": {"a": "down"}, "number": 4})
        await until(lambda: len(minion.taken) == 2)
        tag, data = minion.taken[0]
        assert tag == "fire_master"
        assert data.pop("_stamp")
        assert data == {
            "data": {"bad": {}, "number": 3},
            "tag": "saltern/node/ctl1/beat",
            "events": None,  # or the master would not say whose it is
            "pretag": None,
        }

    run(test, tmp_path)


def test_a_minion_that_is_not_there_is_said_and_tried_again(tmp_path: pathlib.Path) -> None:
    async def test(minion: Minion, bus: MinionBus) -> None:
        with pytest.raises(OSError, match="No such file"):
            await bus.send("a", {})
        await minion.start()
        await bus.send("a", {})
        await until(lambda: minion.taken)
        await minion.stop()
        minion.takes.unlink(missing_ok=True)
        minion.publishes.unlink(missing_ok=True)
        with pytest.raises(OSError, match=r"."):
            for _ in range(50):  # the first writes may still go into the socket's buffer
                await bus.send("a", {})
                await asyncio.sleep(0.01)
        await minion.start()
        await bus.send("b", {})
        await until(lambda: minion.taken and minion.taken[-1][1]["tag"] == "b")

    run(test, tmp_path)


def test_only_what_is_ours_is_heard_and_a_restart_of_the_minion_survived(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saltern_minion_bus, "RETRY", 0.02)
    heard: list[tuple[str, Any]] = []

    async def test(minion: Minion, bus: MinionBus) -> None:
        task = asyncio.create_task(
            bus.listen("saltern/acked", lambda tag, data: heard.append((tag, data["ctl1"])))
        )
        await minion.start()
        await until(lambda: minion.listeners)
        minion.publish("salt/job/1/ret", {"ctl1": "x" * 200_000})
        minion.publish("saltern/acked", {"ctl1": {"e": 1}})
        minion.publish("saltern/acked", ["no mapping"])
        minion.publish("", {}, raw=msgpack.packb("no frame"))
        minion.publish("saltern/acked", {"ctl1": {"e": 2}})
        await until(lambda: len(heard) == 2)
        minion.publish("", {}, raw=salt.transport.frame.frame_msg(b"saltern/acked\n\n\xc1"))
        await asyncio.sleep(0.1)  # that is no event at all: it connects anew
        await until(lambda: len(minion.listeners) == 2)
        minion.publish("saltern/acked", {"ctl1": {"e": 3}})
        await until(lambda: len(heard) == 3)
        task.cancel()

    run(test, tmp_path)
    assert heard == [("saltern/acked", {"e": number}) for number in (1, 2, 3)]


def test_the_sockets_are_where_salt_makes_them(tmp_path: pathlib.Path) -> None:
    opts = {"ipc_mode": "ipc", "sock_dir": str(tmp_path), "hash_type": "sha256", "id": "ctl1"}
    server = salt.transport.base.ipc_publish_server("minion", opts)
    takes, publishes = sockets(tmp_path, "ctl1", "sha256")
    assert (str(takes), str(publishes)) == (server.pull_path, server.pub_path)
