"""A system bus with a systemd on it, that speaks D-Bus over a socket of its own."""

from __future__ import annotations

import itertools
import pathlib
import re
import socket
import threading
from typing import Any

from jeepney import (  # type: ignore[import-untyped,unused-ignore]
    DBusAddress,
    HeaderFields,
    MessageType,
    Parser,
    new_error,
    new_method_return,
    new_signal,
)

OWNER = ":1.0"
BUS = "org.freedesktop.DBus"
#: dbus-daemon's ``max_replies_per_connection``.
MOST = 128
UNIT = "org.freedesktop.systemd1.Unit"
SERVICE = "org.freedesktop.systemd1.Service"
TYPES = {"Job": "(uo)", "ActiveEnterTimestampMonotonic": "t", "NRestarts": "u", "MainPID": "u"}
RUNNING: dict[str, Any] = {
    "LoadState": "loaded",
    "UnitFileState": "enabled",
    "ActiveState": "active",
    "SubState": "running",
    "Job": (0, "/"),
    "ActiveEnterTimestampMonotonic": 1_000_000,
    "Result": "success",
    "NRestarts": 0,
    "MainPID": 100,
}


def path_of(name: str) -> str:
    """Where systemd keeps a unit."""
    escaped = re.sub(r"[^A-Za-z0-9]", lambda found: f"_{ord(found.group(0)):02x}", name)
    return f"/org/freedesktop/systemd1/unit/{escaped}"


class FakeBus:
    """One listener at a time. ``units`` are by full name; change them with :meth:`become`."""

    def __init__(self, home: pathlib.Path) -> None:
        self.path = home / "bus"
        self.address = f"unix:path={self.path}"
        self.units: dict[str, dict[str, Any]] = {}
        self.rules: list[str] = []
        self.called: list[str] = []
        self.absent = False  # systemd is not on the bus
        self.refused = 0
        self.held: list[Any] | None = None  # questions to a systemd that is busy
        self._guard = threading.Lock()
        self._serials = itertools.count(1)
        self._link: socket.socket | None = None
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(self.path))
        self._server.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def add(self, name: str, **said: Any) -> None:
        self.units[f"{name}.service"] = {"Id": f"{name}.service", **RUNNING, **said}

    def become(self, name: str, signal: bool = True, sender: str = OWNER, **said: Any) -> None:
        """A unit changes, and systemd says so unless ``signal`` is lost."""
        full = f"{name}.service"
        self.units[full].update(said)
        if signal and any(path_of(full) in rule for rule in self.rules):
            for interface in (SERVICE, UNIT):
                body = {
                    word: (TYPES.get(word, "s"), value)
                    for word, value in said.items()
                    if (word in ("Result", "NRestarts", "MainPID")) == (interface == SERVICE)
                }
                if body:
                    self.emit(
                        path_of(full),
                        "org.freedesktop.DBus.Properties",
                        "PropertiesChanged",
                        "sa{sv}as",
                        (interface, body, []),
                        sender,
                    )

    def emit(
        self, path: str, interface: str, member: str, types: str, body: Any, sender: str = OWNER
    ) -> None:
        message = new_signal(DBusAddress(path, interface=interface), member, types, body)
        message.header.fields[HeaderFields.sender] = sender
        self._send(message)

    def be_busy(self) -> None:
        """systemd says nothing of its units, until :meth:`be_idle`."""
        self.held = []

    def be_idle(self) -> None:
        with self._guard:
            held, self.held = self.held or [], None
            for message in held:
                self._answer(message)

    def begin_anew(self) -> None:
        """systemd executes itself anew: another owner of its name."""
        body = ("org.freedesktop.systemd1", OWNER, "")
        self.emit("/org/freedesktop/DBus", BUS, "NameOwnerChanged", "sss", body, BUS)

    def hang_up(self) -> None:
        if self._link is not None:
            self._link.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.hang_up()
        self._server.close()

    # -- the wire ----------------------------------------------------------------------------

    def _send(self, message: Any) -> None:
        assert self._link is not None
        self._link.sendall(message.serialise(serial=next(self._serials)))

    def _serve(self) -> None:
        while True:
            try:
                self._link, _ = self._server.accept()
            except OSError:
                return
            self.rules = []
            try:
                self._talk(self._link)
            except OSError:
                continue

    def _talk(self, link: socket.socket) -> None:
        said = b""
        while b"BEGIN\r\n" not in said:
            chunk = link.recv(1024)
            if not chunk:
                return
            said += chunk
            if said.endswith(b"\r\n") and b"AUTH" in chunk:
                link.sendall(b"OK 1234deadbeef\r\n")
        parser = Parser()
        parser.add_data(said.partition(b"BEGIN\r\n")[2])
        while True:
            message = parser.get_next_message()
            if message is not None:
                with self._guard:
                    self._take(message)
                continue
            chunk = link.recv(65536)
            if not chunk:
                return
            parser.add_data(chunk)

    def _take(self, message: Any) -> None:
        if self.held is None or message.header.fields.get(HeaderFields.member) != "Get":
            self._answer(message)
        elif len(self.held) < MOST:
            self.held.append(message)
        else:
            self.refused += 1
            self._send(new_error(message, f"{BUS}.Error.LimitsExceeded"))

    def _answer(self, message: Any) -> None:
        if message.header.message_type is not MessageType.method_call:
            return
        method = message.header.fields[HeaderFields.member]
        peer = message.header.fields.get(HeaderFields.destination)
        self.called.append(method)
        if self.absent and (peer != BUS or method == "GetNameOwner"):
            self._send(new_error(message, f"{BUS}.Error.NameHasNoOwner"))
            return
        try:
            types, body = getattr(self, f"_do_{method}")(message)
        except KeyError:
            self._send(new_error(message, f"{BUS}.Error.UnknownProperty"))
            return
        self._send(new_method_return(message, types, body))

    def _do_Hello(self, message: Any) -> tuple[str, Any]:
        return "s", (":1.7",)

    def _do_AddMatch(self, message: Any) -> tuple[str, Any]:
        self.rules.append(message.body[0])
        return "", ()

    def _do_GetNameOwner(self, message: Any) -> tuple[str, Any]:
        return "s", (OWNER,)

    def _do_Subscribe(self, message: Any) -> tuple[str, Any]:
        return "", ()

    def _do_LoadUnit(self, message: Any) -> tuple[str, Any]:
        return "o", (path_of(message.body[0]),)

    def _do_Get(self, message: Any) -> tuple[str, Any]:
        path = message.header.fields[HeaderFields.path]
        word = message.body[1]
        said = next(said for name, said in self.units.items() if path_of(name) == path)
        return "v", ((TYPES.get(word, "s"), said[word]),)

    def _do_ListUnitsByNames(self, message: Any) -> tuple[str, Any]:
        rows = []
        for name in message.body[0]:
            said = self.units.get(name, {**RUNNING, "LoadState": "not-found"})
            states = (said["LoadState"], said["ActiveState"], said["SubState"])
            rows.append((name, "", *states, "", path_of(name), 0, "", "/"))
        return "a(ssssssouso)", (rows,)
