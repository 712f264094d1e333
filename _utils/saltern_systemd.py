"""What systemd says about the units of this node, as it happens: over D-Bus, nothing is polled.

jeepney speaks the protocol (pure Python, nothing to compile). Where it is not installed, or no bus
answers, :func:`show` asks systemctl instead, which costs a process each time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import saltern_systemctl
from saltern.reactor.watched import PROPERTIES, Unit, unit_of
from saltern.units import full_name

try:
    import jeepney  # type: ignore[import-untyped,unused-ignore]
    from jeepney.io.blocking import (  # type: ignore[import-untyped,unused-ignore]
        open_dbus_connection,
    )
except ImportError:  # said by whoever wants to listen
    jeepney = None

SYSTEMD = "org.freedesktop.systemd1"
MANAGER = "org.freedesktop.systemd1.Manager"
BUS = "org.freedesktop.DBus"
GETTING = "org.freedesktop.DBus.Properties"

#: Seconds for the handshake with the bus, which is local; and for systemctl.
HANDSHAKE = 1.0
TIMEOUT = 5.0

#: Questions that wait for their answers: dbus-daemon refuses more than 128 of one asker
#: (``max_replies_per_connection`` in its system.conf), and a busy systemd answers none for a while.
AT_ONCE = 100

Told = Callable[[Unit], None]
#: Called with the body of an answer, or None when it was an error.
Then = Callable[["tuple[Any, ...] | None"], None]


class Gone(ConnectionError):
    """The bus, or systemd on it, is not there (any more); the message says which."""


def is_installed() -> bool:
    """Whether D-Bus can be spoken at all by this Python."""
    return jeepney is not None


class Systemd:
    """A connection to the system's bus; ``tell`` is called with every unit that is new or another.

    Nothing here waits, but for the connection itself: wait for :meth:`fileno` to be readable, then
    :meth:`read`. After :class:`Gone` make a new one.
    """

    def __init__(self, units: Iterable[str], tell: Told, address: str = "SYSTEM") -> None:
        self._names = {full_name(name): name for name in units}
        self._tell = tell
        self._said: dict[str, dict[str, Any]] = {name: {} for name in self._names}
        self._paths: dict[str, str] = {}  # object path -> unit
        self._missing: dict[str, int] = {}  # unit -> answers that are still to come
        self._answers: dict[int, Then] = {}
        self._questions: deque[tuple[Any, Then]] = deque()  # not sent yet
        self._owner = ""
        try:
            self._link = open_dbus_connection(address, auth_timeout=HANDSHAKE)
        except (OSError, ValueError, KeyError) as exc:
            raise Gone(f"no system bus: {exc}") from exc
        try:
            self._match(f"type='signal',sender='{BUS}',member='NameOwnerChanged',arg0='{SYSTEMD}'")
            self._call(BUS, "/org/freedesktop/DBus", BUS, "GetNameOwner", self._owned, SYSTEMD)
            self._manager("Subscribe", lambda answer: None)
            for name in self._names:
                self._find(name)
        except Gone:
            self.close()
            raise

    def fileno(self) -> int:
        return int(self._link.sock.fileno())

    def close(self) -> None:
        self._link.close()

    def read(self) -> None:
        """Take in everything that has arrived.

        :raises Gone: when the bus closed the connection, or systemd left it or began anew.
        """
        while True:
            try:
                message = self._link.receive(timeout=0)
            except TimeoutError:
                return
            except OSError as exc:
                raise Gone(f"the system bus hung up: {exc}") from exc
            self._take(message)

    def look_again(self) -> None:
        """Ask for the state of all units in one call: signals may be lost, units appear.

        :raises Gone: when the bus closed the connection.
        """
        self._manager("ListUnitsByNames", self._compare, list(self._names), signature="as")

    # -- out ---------------------------------------------------------------------------------

    def _call(
        self,
        peer: str,
        path: str,
        interface: str,
        method: str,
        then: Then,
        *words: Any,
        signature: str | None = None,
    ) -> None:
        address = jeepney.DBusAddress(path, bus_name=peer, interface=interface)
        text = "s" * len(words) if signature is None else signature
        self._questions.append(
            (jeepney.new_method_call(address, method, text or None, words), then)
        )
        self._send()

    def _send(self) -> None:
        while self._questions and len(self._answers) < AT_ONCE:
            message, then = self._questions.popleft()
            serial = next(self._link.outgoing_serial)
            self._answers[serial] = then
            try:
                self._link.send(message, serial=serial)
            except OSError as exc:
                raise Gone(f"the system bus hung up: {exc}") from exc

    def _manager(
        self,
        method: str,
        then: Then,
        *words: Any,
        signature: str | None = None,
    ) -> None:
        path = "/org/freedesktop/systemd1"
        self._call(SYSTEMD, path, MANAGER, method, then, *words, signature=signature)

    def _match(self, rule: str) -> None:
        self._call(BUS, "/org/freedesktop/DBus", BUS, "AddMatch", lambda answer: None, rule)

    def _find(self, name: str) -> None:
        """Learn where systemd keeps a unit (its own name may be another), then listen there."""
        self._manager("LoadUnit", lambda answer: self._listen(name, answer), name)

    def _listen(self, name: str, answer: tuple[Any, ...] | None) -> None:
        if answer is None:
            return  # the next look asks again
        path = str(answer[0])
        if self._paths.get(path) != name:
            self._paths[path] = name
            self._match(
                f"type='signal',sender='{SYSTEMD}',interface='{GETTING}',"
                f"member='PropertiesChanged',path='{path}'"
            )
        self._missing[name] = sum(len(names) for names in PROPERTIES.values())
        for interface, properties in PROPERTIES.items():
            for word in properties:
                self._get(name, path, interface, word)

    def _get(self, name: str, path: str, interface: str, word: str) -> None:
        def then(answer: tuple[Any, ...] | None) -> None:
            self._missing[name] = max(0, self._missing.get(name, 0) - 1)
            if answer is not None:  # not every kind of unit has every property
                self._said[name][word] = answer[0][1]
            if not self._missing[name] and "ActiveState" in self._said[name]:
                self._told(name)  # else it could not be asked: the next look asks again

        self._call(SYSTEMD, path, GETTING, "Get", then, interface, word)

    # -- in ----------------------------------------------------------------------------------

    def _take(self, message: Any) -> None:
        fields = message.header.fields
        kind = message.header.message_type
        if kind in (jeepney.MessageType.method_return, jeepney.MessageType.error):
            then = self._answers.pop(fields.get(jeepney.HeaderFields.reply_serial), None)
            if kind is jeepney.MessageType.error:
                _raise_if_gone(str(fields.get(jeepney.HeaderFields.error_name, "")))
            if then is not None:
                then(None if kind is jeepney.MessageType.error else message.body)
            self._send()
        elif kind is jeepney.MessageType.signal:
            self._signal(fields, message.body)

    def _signal(self, fields: Mapping[Any, Any], body: tuple[Any, ...]) -> None:
        member = fields.get(jeepney.HeaderFields.member)
        sender = fields.get(jeepney.HeaderFields.sender)
        if member == "NameOwnerChanged" and sender == BUS:
            raise Gone("systemd began anew on the system bus")
        name = self._paths.get(str(fields.get(jeepney.HeaderFields.path)))
        if member != "PropertiesChanged" or name is None or sender != self._owner:
            return  # anybody may send a signal to anybody
        _interface, changed, _invalidated = body
        wanted = {word for words in PROPERTIES.values() for word in words}
        news = {word: typed[1] for word, typed in changed.items() if word in wanted}
        was_up = self._unit(name).up
        self._said[name].update(news)
        if not news or self._missing.get(name):
            return
        path = str(fields.get(jeepney.HeaderFields.path))
        if was_up and not self._unit(name).up:
            # systemd does not signal that a unit was disabled or masked: look when it goes
            self._get(name, path, "org.freedesktop.systemd1.Unit", "UnitFileState")
        self._told(name)

    def _owned(self, answer: tuple[Any, ...] | None) -> None:
        self._owner = str(answer[0]) if answer else ""

    def _compare(self, answer: tuple[Any, ...] | None) -> None:
        """By ``ListUnitsByNames``: whatever differs from what is known is asked for anew."""
        for name, _text, load, active, sub, *_more in answer[0] if answer else ():
            said = self._said.get(name)
            if said is None:
                continue
            known = tuple(said.get(w, "") for w in ("LoadState", "ActiveState", "SubState"))
            if known != (load, active, sub):
                self._find(name)

    def _unit(self, name: str) -> Unit:
        return unit_of(self._names[name], self._said[name])

    def _told(self, name: str) -> None:
        self._tell(self._unit(name))


def _raise_if_gone(error: str) -> None:
    if error.endswith((".NameHasNoOwner", ".ServiceUnknown", ".NoReply", ".AccessDenied")):
        raise Gone(f"systemd does not answer on the system bus: {error}")


def show(units: Sequence[str]) -> list[Unit]:
    """The same by systemctl, once.

    :raises Gone: when systemctl is not there or does not answer.
    """
    if not units:
        return []
    words = ",".join(word for names in PROPERTIES.values() for word in names)
    argv = ("systemctl", "show", "--property", words, "--", *map(full_name, units))
    try:
        done = saltern_systemctl.run(*argv, timeout=TIMEOUT)
    except saltern_systemctl.NoAnswer as exc:
        raise Gone(str(exc)) from exc
    blocks = done.stdout.strip().split("\n\n")
    if done.returncode or len(blocks) != len(units):
        raise Gone(f"systemctl show: {done.stderr.strip() or 'no answer'}")
    return [
        unit_of(name, dict(line.partition("=")[::2] for line in block.splitlines()))
        for name, block in zip(units, blocks, strict=True)
    ]
