"""
This node's memcached.
"""

import contextlib
import socket

import salt.utils.path
from salt.exceptions import CommandExecutionError
from saltern import memcached

__virtualname__ = "memcached"

PATIENCE = 1  # seconds


def __virtual__():
    if salt.utils.path.which("memcached"):
        return __virtualname__
    return False, "memcached: it is not installed"


def stats(address=None, port=None):
    """
    What memcached says about itself, within 2 seconds.

    address, port
        Where it listens; default: where the model has this node's.

    Returns ``{version, uptime, curr_connections, curr_items, bytes, limit_maxbytes, get_hits,
    get_misses, evictions, listen_disabled_num}``: seconds, bytes and counts. Raises
    CommandExecutionError when it does not answer.

    CLI Example:

    .. code-block:: bash

        salt 'ctl*' memcached.stats
    """
    values = __pillar__.get("cloud", {}).get("values", {}).get("memcached", {})
    where = (address or values.get("address", "127.0.0.1"), int(port or values.get("port", 11211)))
    try:
        with contextlib.closing(socket.create_connection(where, timeout=PATIENCE)) as sock:
            sock.sendall(b"stats\r\n")
            answer = b""
            while not answer.endswith(b"END\r\n"):
                chunk = sock.recv(65536)
                if not chunk:
                    break
                answer += chunk
        return memcached.parse_stats(answer.decode("ascii", errors="replace"))
    except (OSError, ValueError) as exc:
        raise CommandExecutionError(
            f"memcached at {where[0]}:{where[1]}: {exc}. Next: journalctl -u memcached"
        ) from exc
