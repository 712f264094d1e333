"""
What this node reaches of the others: asked when one of them has fallen silent.
"""

import errno
import ipaddress
import os
import selectors
import socket
import struct
import time

from salt.exceptions import CommandExecutionError

__virtualname__ = "neighbours"

#: A refusal is an answer too, so nothing has to listen there.
PORTS = (22, 4505)
ECHO, ECHO_REPLY = 8, 0


def __virtual__():
    return __virtualname__


def reach(addresses, timeout=1.5):
    """
    Whether machines answer at all: a connection that is accepted or refused, or an echo.

    A machine whose services are dead but whose kernel lives is reached.

    addresses
        One address, or a list of them.

    timeout
        Seconds for all of them together.

    Returns ``{address: bool}``. Raises CommandExecutionError for what is no address.

    CLI Example:

    .. code-block:: bash

        salt ctl2 neighbours.reach '[192.0.2.11, 192.0.2.21]'
    """
    wanted = [addresses] if isinstance(addresses, str) else list(addresses)
    try:
        families = {a: _family(ipaddress.ip_address(a)) for a in wanted}
    except ValueError as exc:
        raise CommandExecutionError(f"{exc}: names are not looked up here") from exc
    reached = dict.fromkeys(wanted, False)
    with selectors.DefaultSelector() as waiting:
        try:
            _echo(waiting, [a for a in wanted if families[a] == socket.AF_INET])
            for address, family in families.items():
                for port in PORTS:
                    if _knock(waiting, family, address, port):
                        reached[address] = True
            _gather(waiting, reached, time.monotonic() + float(timeout))
        finally:
            for key in list(waiting.get_map().values()):
                key.fileobj.close()
    return reached


def _family(address):
    return socket.AF_INET if address.version == 4 else socket.AF_INET6


def _knock(waiting, family, address, port):
    """Begin a connection; True when there was an answer at once."""
    sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    code = sock.connect_ex((address, port))
    if code == errno.EINPROGRESS:
        waiting.register(sock, selectors.EVENT_WRITE, address)
        return False
    sock.close()
    return _is_answer(code)


def _is_answer(code):
    return code in (0, errno.ECONNREFUSED)


def _echo(waiting, addresses):
    """Send an echo request to each; needs root, and a node that is not root does without."""
    try:
        sock = socket.socket(
            socket.AF_INET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.IPPROTO_ICMP
        )
    except PermissionError:
        return
    waiting.register(sock, selectors.EVENT_READ, None)
    packet = _packet(os.getpid() & 0xFFFF)
    for address in addresses:
        try:
            sock.sendto(packet, (address, 0))
        except OSError:
            continue  # no way there: that is the answer, and the others are still asked


def _packet(identifier):
    """An echo request without payload."""
    total = (ECHO << 8) + identifier
    total = (total >> 16) + (total & 0xFFFF)
    return struct.pack("!BBHHH", ECHO, 0, ~total & 0xFFFF, identifier, 0)


def _replied(packet):
    """Whether a received IP packet is the reply to our request."""
    start = (packet[0] & 0x0F) * 4
    if len(packet) < start + 8:
        return False
    kind, _, _, identifier, _ = struct.unpack("!BBHHH", packet[start : start + 8])
    return kind == ECHO_REPLY and identifier == os.getpid() & 0xFFFF


def _gather(waiting, reached, deadline):
    """Wait until every address has answered, or the time is over."""
    while not all(reached.values()) and (left := deadline - time.monotonic()) > 0:
        for key, _ in waiting.select(left):
            if key.data is None:
                packet, (sender, _) = key.fileobj.recvfrom(1024)
                if sender in reached and _replied(packet):
                    reached[sender] = True
                continue
            waiting.unregister(key.fileobj)
            code = key.fileobj.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            key.fileobj.close()
            if _is_answer(code):
                reached[key.data] = True
        if not waiting.get_map():
            return
