"""One member of a Galera cluster, asked on its local socket and read from its data directory.

Everything is asked as root on this node, so nothing depends on a balancer or another node.
"""

from __future__ import annotations

import contextlib
import pathlib
import socket
from collections.abc import Mapping
from typing import Any

from salt.exceptions import CommandExecutionError
from saltern import galera

SOCKET = "/run/mysqld/mysqld.sock"
DATA = pathlib.Path("/var/lib/mysql")
PATIENCE = 1  # seconds that a local answer may take
WRITE_PATIENCE = 60  # seconds for a statement that changes something: it waits for disks and peers
ACCESS_DENIED = (1045, 1698)


def sql(statement: str, parameters: Any = None, patience: int = PATIENCE, **login: Any) -> Any:
    """Rows of ``statement``.

    :raises pymysql.Error: or OSError, when the server does not answer.
    """
    import pymysql  # here: loading this module must not cost every health call 50 ms

    connection = pymysql.connect(
        unix_socket=SOCKET,
        connect_timeout=PATIENCE,
        read_timeout=patience,
        write_timeout=patience,
        autocommit=True,
        **{"user": "root", **login},
    )
    with contextlib.closing(connection), connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return cursor.fetchall()


def asked() -> tuple[dict[str, Any] | None, str]:
    """``(status, "")`` of a server that answers, or ``(None, why not)``."""
    import pymysql

    try:
        rows = dict(sql("SHOW GLOBAL STATUS LIKE 'wsrep_%'"))
    except (pymysql.Error, OSError) as exc:
        return None, str(exc.args[-1]) if exc.args else type(exc).__name__
    return galera.parse_status(rows), ""


def checkable(check: Mapping[str, Any] | None) -> bool:
    """Whether the health check's account exists with the password of the model."""
    import pymysql

    try:
        if check:
            sql("DO 0", user=check["user"], password=check["password"])
    except pymysql.Error as exc:
        return exc.args[0] not in ACCESS_DENIED
    return True


def admit_check(check: Mapping[str, Any]) -> None:
    """Make the account of the health check, without privileges.

    :raises CommandExecutionError: when the server does not take it.
    """
    import pymysql

    account = (check["user"], check["password"])
    try:
        sql("CREATE OR REPLACE USER %s@localhost IDENTIFIED BY %s", account, WRITE_PATIENCE)
    except (pymysql.Error, OSError) as exc:
        raise CommandExecutionError(
            f"no account for the health check: {exc.args[-1]}; see galera.status"
        ) from exc


def desync(on: bool) -> bool:
    """Set whether this member may lag behind; whether it may now.

    :raises CommandExecutionError: when the server does not take it.
    """
    import pymysql

    try:
        sql(f"SET GLOBAL wsrep_desync = {'ON' if on else 'OFF'}")
        rows = dict(sql("SHOW GLOBAL VARIABLES LIKE 'wsrep_desync'"))
    except (pymysql.Error, OSError) as exc:
        raise CommandExecutionError(f"MariaDB does not take it: {exc}; see galera.status") from exc
    return bool(rows["wsrep_desync"] == "ON")


def make_primary() -> None:
    """Let a member that runs without a majority go on alone."""
    sql("SET GLOBAL wsrep_provider_options = 'pc.bootstrap=YES'", patience=WRITE_PATIENCE)


def read(name: str) -> str | None:
    """Text of a file of the data directory."""
    try:
        return (DATA / name).read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None


def folders() -> list[str]:
    """Names of the databases that there are files of."""
    if not DATA.is_dir():
        return []
    return [p.name for p in DATA.iterdir() if p.is_dir() and not p.name.startswith(".")]


def saved_position() -> dict[str, Any] | None:
    """Position that a server wrote down when it stopped cleanly."""
    with contextlib.suppress(ValueError):  # a damaged file is found again by galera.observation
        saved = galera.parse_grastate(read("grastate.dat"))
        if saved and saved["seqno"] >= 0 and saved["uuid"] != galera.NOBODY:
            return {"uuid": saved["uuid"], "seqno": saved["seqno"]}
    return None


def observation(
    service: str,
    said: Mapping[str, Any] | None,
    recovered: Mapping[str, Any] | None,
    trouble: str,
    check: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """What a formation needs to know about this member, see :func:`saltern.galera.observation`."""
    return galera.observation(
        service=service,
        status=said,
        grastate=read("grastate.dat"),
        gvwstate=read("gvwstate.dat"),
        recovered=recovered,
        databases=folders(),
        sst_in_progress=(DATA / "sst_in_progress").exists(),
        checkable=checkable(check) if said else True,
        trouble=trouble,
    )


def started_with(pid: int) -> dict[str, Any] | None:
    """Position on the command line of a server that is looking for its cluster."""
    try:
        line = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return None
    return galera.parse_position(line)


def begin_anew() -> None:
    """Let a stopped server be the first of a cluster, on the data it holds."""
    text = read("grastate.dat") or ""
    if "safe_to_bootstrap: 0" in text:
        state = DATA / "grastate.dat"
        state.write_text(text.replace("safe_to_bootstrap: 0", "safe_to_bootstrap: 1"))
    # The members of the old view would be waited for.
    (DATA / "gvwstate.dat").unlink(missing_ok=True)


def serves(address: str, port: int) -> bool:
    """Whether the health check at ``address`` says that its member is in a primary component."""
    try:
        with socket.create_connection((address, port), timeout=PATIENCE) as peer:
            peer.settimeout(PATIENCE)
            peer.sendall(b"GET / HTTP/1.0\r\n\r\n")
            return peer.recv(64).split(b" ")[1:2] == [b"200"]
    except OSError:
        return False
