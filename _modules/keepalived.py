"""
This node's keepalived, and the virtual addresses that it really holds.
"""

import contextlib
import hashlib
import os
import pathlib
import stat
import time

import salt.utils.path
from salt.exceptions import CommandExecutionError
from saltern import keepalived

__virtualname__ = "keepalived"
__func_alias__ = {"reload_": "reload"}

CONFIG = "/etc/keepalived/keepalived.conf"
DUMP = pathlib.Path("/tmp/keepalived.json")  # noqa: S108 - keepalived's choice; see _written
LOADED = pathlib.Path("/run/saltern/keepalived.loaded")
ANSWER = 1.5  # seconds that keepalived has to write its dump
POLL = 0.01


def __virtual__():
    if salt.utils.path.which("keepalived"):
        return __virtualname__
    return False, "keepalived: keepalived is not installed"


def _run(argv, timeout=10):
    ret = __salt__["cmd.run_all"](argv, python_shell=False, timeout=timeout, ignore_retcode=True)
    if ret["retcode"]:
        raise CommandExecutionError(f"{' '.join(argv)}: {ret['stderr'] or ret['stdout']}")
    return ret["stdout"]


def vips():
    """
    Which of the cloud's virtual addresses this node holds, by the kernel and not by keepalived.

    Returns a list of addresses. Raises CommandExecutionError when ``ip`` fails.

    CLI Example:

    .. code-block:: bash

        salt 'lb*' keepalived.vips
    """
    wanted = dict.fromkeys(__pillar__.get("cloud", {}).get("vips", {}).values())
    try:
        return keepalived.held(_run(["ip", "-json", "address"]), wanted)
    except ValueError as exc:
        raise CommandExecutionError(f"ip -json address: {exc}") from exc


def state():
    """
    State of each VRRP instance on this node.

    Returns ``{instance: MASTER | BACKUP | FAULT | INIT}``, or what contradicts the addresses
    (``BACKUP but holds 192.0.2.10``). FAULT means: no HAProxy here. Raises CommandExecutionError
    when keepalived does not run or does not answer within 1.5 s.

    CLI Example:

    .. code-block:: bash

        salt 'lb*' keepalived.state
    """
    pid = _pid()
    number = int(_run(["keepalived", "--signum=JSON"]))
    before = _written()
    os.kill(pid, number)
    deadline = time.monotonic() + ANSWER
    while time.monotonic() < deadline:
        time.sleep(POLL)
        if _written() not in (None, before):
            with contextlib.suppress(ValueError):  # it is still writing
                return keepalived.states(DUMP.read_text(), vips())
    raise CommandExecutionError(
        f"keepalived (pid {pid}) does not answer: look at journalctl -u keepalived"
    )


def _pid():
    """Its main process, once it is ready: before that the signal would end it."""
    shown = _run(["systemctl", "show", "keepalived", "-p", "ActiveState", "-p", "MainPID"])
    facts = dict(line.split("=", 1) for line in shown.splitlines())
    if facts["ActiveState"] != "active" or facts["MainPID"] == "0":
        raise CommandExecutionError(
            f"keepalived is {facts['ActiveState']}: look at journalctl -u keepalived"
        )
    return int(facts["MainPID"])


def _written():
    """When the dump was written, by root, as a plain file; None when there is none like that."""
    try:
        found = DUMP.lstat()
    except FileNotFoundError:
        return None
    good = stat.S_ISREG(found.st_mode) and found.st_uid == 0
    return (found.st_mtime_ns, found.st_ino) if good else None


def configuration(path=CONFIG):
    """
    Which configuration keepalived was given, and which is on disk, as short fingerprints.

    path
        The file that it reads.

    Returns ``{loaded, on_disk}``; None for a file that is not there or when keepalived was never
    started.

    CLI Example:

    .. code-block:: bash

        salt 'lb*' keepalived.configuration
    """
    file = pathlib.Path(path)
    return {
        "loaded": LOADED.read_text().split()[0][:12] if LOADED.exists() else None,
        "on_disk": hashlib.sha256(file.read_bytes()).hexdigest()[:12] if file.exists() else None,
    }


def reload_():
    """
    Load the configuration that is on disk; the addresses stay where they are.

    Returns True. Raises CommandExecutionError when keepalived refuses it; the former configuration
    goes on.

    CLI Example:

    .. code-block:: bash

        salt lb1 keepalived.reload
    """
    _run(["systemctl", "reload", "keepalived"], timeout=30)
    return True
