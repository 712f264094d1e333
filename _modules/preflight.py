"""
What a node is before anything is done to it: facts for the master to judge (``saltern.preflight``).
"""

import fcntl
import os
import pathlib
import platform
import shutil
import socket
import struct
import threading
import time

import salt.version
from salt.exceptions import CommandExecutionError
from saltern import preflight

__virtualname__ = "preflight"

#: Seconds that DNS, all names together, and a virtual address may take to answer.
DNS_PATIENCE = 1.0
ARP_PATIENCE = 0.4
RESOLVERS = 8

LOCKS = ("/var/lib/dpkg/lock-frontend", "/var/lib/dpkg/lock")
ETH_P_ARP = 0x0806

#: There where systemd is the init, see sd_booted(3).
SYSTEMD = pathlib.Path("/run/systemd/system")

PROC = pathlib.Path("/proc")


def __virtual__():
    return __virtualname__


def check(now=None):
    """
    Facts about this node; nothing is judged or changed. Takes about a second.

    now
        The master's clock, seconds since the epoch, to compare with this node's.

    Returns ``{os, systemd, container, salt, python, hostname, machine_id, memory (MiB), disk
    (path -> MiB free), clock {offset (s), synchronised}, interfaces (name -> mac, mtu, addresses),
    resolved (name -> addresses, by DNS), reverse (address -> name), listeners, running (units),
    vip_answers (address -> MAC or None), dpkg {holder, interrupted}, stamp, digest}``. Raises
    CommandExecutionError without a pillar or without iproute2.

    CLI Example:

    .. code-block:: bash

        salt '*' preflight.check
    """
    offset = None if now is None else time.time() - float(now)
    cloud = __pillar__.get("cloud") or {}
    if "hosts" not in cloud:
        raise CommandExecutionError(
            f"{__opts__['id']} is not in the model; add it to cloud.yaml, or remove its key"
        )
    interfaces = preflight.parse_addresses(_output("ip", "-json", "address"))
    container = pathlib.Path("/run/systemd/container").exists()
    systemd = SYSTEMD.is_dir()
    units = __salt__["unit.show"](list(cloud["units"])) if systemd else {}
    resolved, reverse = _resolve(cloud["hosts"])
    return {
        "os": _os(),
        "systemd": systemd,
        "container": container,
        "salt": salt.version.__version__,
        "python": platform.python_version(),
        "hostname": socket.gethostname(),
        "machine_id": _read("/etc/machine-id").strip(),
        "memory": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**20,
        "disk": {p: shutil.disk_usage(p).free // 2**20 for p in preflight.DISK_PATHS},
        "clock": {"offset": offset, "synchronised": None if container else _synchronised()},
        "interfaces": interfaces,
        "resolved": resolved,
        "reverse": reverse,
        "listeners": _listeners(),
        "running": [name for name, unit in units.items() if unit["up"]],
        "vip_answers": _vip_answers(cloud, interfaces),
        "dpkg": {"holder": _dpkg_holder(), "interrupted": _dpkg_interrupted()},
        "stamp": stamp(),
        "digest": cloud.get("digest"),
    }


def stamp():
    """
    Return the stamp of Saltern's code on this node: equal to the master's when they are the same.

    CLI Example:

    .. code-block:: bash

        salt '*' preflight.stamp
    """
    root = pathlib.Path(__opts__["extension_modules"])
    return preflight.code_stamp(
        {
            str(path.relative_to(root)): path.read_bytes()
            for kind in ("modules", "states", "utils")
            for path in (root / kind).rglob("*.py")
        }
    )


def _output(*argv):
    try:
        ret = __salt__["cmd.run_all"](
            list(argv), python_shell=False, timeout=10, ignore_retcode=True
        )
    except CommandExecutionError as exc:
        raise CommandExecutionError(f"{argv[0]}: {exc}; install iproute2 on this node") from exc
    return ret["stdout"]


def _read(path):
    try:
        return pathlib.Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _os():
    said = dict(line.partition("=")[::2] for line in _read("/etc/os-release").splitlines())
    return {
        "id": said.get("ID", "unknown").strip('"'),
        "version": said.get("VERSION_ID", "unknown").strip('"'),
    }


def _synchronised():
    """Whether chrony has synchronised the clock; None while chrony is not there to ask."""
    if not pathlib.Path("/run/chrony/chronyd.sock").exists():
        return None
    return "Leap status     : Normal" in _output("chronyc", "-n", "tracking")


def _resolve(hosts):
    """What DNS says about names and addresses that the hosts file does not settle."""
    names, addresses = preflight.names_to_resolve(_read("/etc/hosts"), hosts)
    todo = [(resolved_by, word) for resolved_by, words in
            ((_addresses_of, names), (_name_of, addresses)) for word in words]  # fmt: skip
    found = []

    def work():
        while todo:
            ask, word = todo.pop()
            found.append((ask, word, ask(word)))

    threads = [threading.Thread(target=work, daemon=True) for _ in range(RESOLVERS)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + DNS_PATIENCE
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    answers = list(found)
    return (
        {word: said for ask, word, said in answers if ask is _addresses_of and said},
        {word: said for ask, word, said in answers if ask is _name_of and said},
    )


def _addresses_of(name):
    try:
        return sorted({info[4][0] for info in socket.getaddrinfo(name, None, socket.AF_INET)})
    except OSError:
        return []


def _name_of(address):
    try:
        return socket.gethostbyaddr(address)[0]
    except OSError:
        return ""


def _listeners():
    held = []
    for listener in preflight.parse_listeners(_output("ss", "-ltnpH")):
        # A child that a server forked for one connection may have ended since `ss` saw it: whoever
        # of them still lives says whose the socket is, and nobody does where all have gone.
        pids = listener.pop("pids")
        groups = list(filter(None, (_read(PROC / str(pid) / "cgroup") for pid in pids)))
        if groups or not pids:
            listener["unit"] = next(filter(None, map(preflight.parse_unit, groups)), "")
            held.append(listener)
    return held


def _vip_answers(cloud, interfaces):
    """MAC of whoever answers to each virtual address, asked only where keepalived will hold it."""
    if "keepalived" not in cloud["services"]:
        return {}
    name = next(
        (n for n, i in interfaces.items() if cloud["addresses"]["management"] in i["addresses"]),
        None,
    )
    if name is None:
        return {}
    own = interfaces[name]
    return {
        vip: None if vip in own["addresses"] else _arp(name, own["mac"], vip)
        for vip in sorted(set(cloud["vips"].values()))
    }


def _arp(interface, mac, address):
    """Ask the wire who has ``address`` (a probe: nobody's cache learns from it)."""
    source, target = bytes.fromhex(mac.replace(":", "")), socket.inet_aton(address)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ARP)) as sock:
        sock.bind((interface, ETH_P_ARP))
        ethernet = b"\xff" * 6 + source + struct.pack("!H", ETH_P_ARP)
        request = struct.pack(
            "!HHBBH6s4s6s4s", 1, 0x0800, 6, 4, 1, source, bytes(4), bytes(6), target
        )
        sock.send(ethernet + request)
        deadline = time.monotonic() + ARP_PATIENCE
        while (left := deadline - time.monotonic()) > 0:
            sock.settimeout(left)
            try:
                frame = sock.recv(64)
            except TimeoutError:
                break
            if frame[20:22] == b"\x00\x02" and frame[28:32] == target:
                return frame[22:28].hex(":")
    return None


def _dpkg_holder():
    """Process that holds dpkg's lock, as ``name (pid N)``; None when it is free."""
    for path in LOCKS:
        try:
            with pathlib.Path(path).open("rb+") as lock:
                asked = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
                kind, _, _, _, pid = struct.unpack(
                    "hhqqi4x", fcntl.fcntl(lock, fcntl.F_GETLK, asked)
                )
        except OSError:
            continue
        if kind != fcntl.F_UNLCK:
            return f"{_read(f'/proc/{pid}/comm').strip() or 'a process'} (pid {pid})"
    return None


def _dpkg_interrupted():
    updates = pathlib.Path("/var/lib/dpkg/updates")
    return updates.is_dir() and any(entry.name.isdigit() for entry in updates.iterdir())
