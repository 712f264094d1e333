"""The bus of the salt-minion on this node, spoken to without loading Salt: 30 MB less.

Two sockets, as ``salt.transport`` makes them: one takes events, one publishes all of them. Frames
for the first are made by Salt's own function, so that both change together.
"""

from __future__ import annotations

import asyncio
import datetime
import hashlib
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgpack  # type: ignore[import-untyped,unused-ignore]
import salt.transport.frame

log = logging.getLogger(__name__)

#: Between the tag of an event and its data.
TAGEND = b"\n\n"
#: Seconds until the minion, which may be starting, is tried again.
RETRY = 1.0
#: An event that is larger is not for us, and not kept.
LARGEST = 4 * 1024 * 1024

Received = Callable[[str, Mapping[str, Any]], None]


def sockets(folder: Path, node: str, hash_type: str) -> tuple[Path, Path]:
    """Where the minion ``node`` takes events, and where it publishes them."""
    name = hashlib.new(hash_type, node.encode()).hexdigest()[:10]
    return folder / f"minion_event_{name}_pull.ipc", folder / f"minion_event_{name}_pub.ipc"


class MinionBus:
    """Sends to the master through the minion, under the minion's own id; hears local events."""

    def __init__(self, takes: Path, publishes: Path) -> None:
        self._takes, self._publishes = takes, publishes
        self._writer: asyncio.StreamWriter | None = None

    async def send(self, tag: str, body: Mapping[str, Any]) -> None:
        """Have the minion send an event to the master, if it has one.

        :raises OSError: when the minion does not take it.
        """
        load = {"data": dict(body), "tag": tag, "events": None, "pretag": None}
        await self.fire("fire_master", load)

    async def fire(self, tag: str, data: Mapping[str, Any]) -> None:
        """An event on the local bus."""
        stamp = datetime.datetime.now(datetime.UTC).isoformat()
        text = msgpack.packb({**data, "_stamp": stamp}, use_bin_type=True)
        frame = salt.transport.frame.frame_msg_ipc(tag.encode() + TAGEND + text, raw_body=True)
        try:
            if self._writer is None or self._writer.is_closing():
                _, self._writer = await asyncio.open_unix_connection(str(self._takes))
            self._writer.write(frame)
            await self._writer.drain()
        except OSError:
            self.close()
            raise

    async def listen(self, prefix: str, received: Received) -> None:
        """Call ``received(tag, data)`` with every event that begins so, for ever."""
        while True:
            try:
                reader, writer = await asyncio.open_unix_connection(str(self._publishes))
            except OSError:
                await asyncio.sleep(RETRY)
                continue
            try:
                await self._hear(reader, prefix.encode(), received)
            except (OSError, ValueError, msgpack.UnpackException) as exc:
                log.warning("the minion's bus: %r", exc)
            finally:
                writer.close()
            await asyncio.sleep(RETRY)

    async def _hear(self, reader: asyncio.StreamReader, prefix: bytes, received: Received) -> None:
        unpacker = msgpack.Unpacker(raw=True, max_buffer_size=LARGEST)
        while chunk := await reader.read(65536):
            unpacker.feed(chunk)
            for frame in unpacker:
                event = frame.get(b"body", b"") if isinstance(frame, dict) else b""
                if not event.startswith(prefix):
                    continue
                tag, _, text = event.partition(TAGEND)
                data = msgpack.unpackb(text, raw=False, strict_map_key=False)
                if isinstance(data, dict):
                    received(tag.decode(), data)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None
