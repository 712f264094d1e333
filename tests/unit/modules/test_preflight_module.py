"""preflight execution module: it gathers, from a node made of files and short answers."""

from __future__ import annotations

import fcntl
import pathlib
import socket
import struct
import subprocess
import sys
import time
from typing import Any

import pytest
import support
from salt.exceptions import CommandExecutionError

module = support.load_module("_modules", "preflight")

ADDRESS = (
    '[{"ifname":"eth0","mtu":1500,"address":"02:00:00:00:00:05","flags":["UP"],'
    '"addr_info":[{"local":"10.77.0.5"}]}]'
)
SS = 'LISTEN 0 9 10.77.0.5:80 0.0.0.0:* users:(("haproxy",pid=4,fd=3))\nLISTEN 0 9 *:22 *:*\n'


@pytest.fixture
def pillar() -> dict[str, Any]:
    return {
        "cloud": {
            "services": ["haproxy", "keepalived"],
            "units": {"haproxy": {"service": "haproxy"}, "keepalived": {"service": "keepalived"}},
            "hosts": {"lb1": "10.77.0.5", "localhost": "127.0.0.1"},
            "addresses": {"management": "10.77.0.5"},
            "vips": {"internal": "10.77.0.10", "public": "10.77.0.10"},
        }
    }


@pytest.fixture
def said() -> dict[str, str]:
    """What each command prints."""
    return {"ip": ADDRESS, "ss": SS, "chronyc": "Leap status     : Normal\n"}


@pytest.fixture
def configure_loader_modules(
    pillar: dict[str, Any],
    said: dict[str, str],
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> dict[Any, Any]:
    def run_all(argv: list[str], **kwargs: Any) -> dict[str, Any]:
        assert kwargs["python_shell"] is False
        if argv[0] not in said:
            raise CommandExecutionError("No such file or directory")
        return {"retcode": 0, "stdout": said[argv[0]], "stderr": ""}

    def show(units: list[str]) -> dict[str, dict[str, Any]]:
        return {name: {"up": name == "haproxy"} for name in units}

    (tmp_path / "modules").mkdir()
    (tmp_path / "modules/unit.py").write_text("x = 1")
    monkeypatch.setattr(module, "SYSTEMD", tmp_path)
    monkeypatch.setattr(module, "_arp", lambda *asked: "02:00:00:00:00:06")
    return {
        module: {
            "__salt__": {"cmd.run_all": run_all, "unit.show": show},
            "__pillar__": pillar,
            "__opts__": {"id": "lb1", "extension_modules": str(tmp_path)},
        }
    }


def test_it_gathers_what_the_master_judges() -> None:
    facts = module.check(now=time.time())
    assert abs(facts["clock"]["offset"]) < 5
    assert facts["interfaces"]["eth0"]["addresses"] == ["10.77.0.5"]
    assert [li["port"] for li in facts["listeners"]] == [80, 22]
    assert facts["listeners"][0]["process"] == "haproxy"
    assert facts["running"] == ["haproxy"]
    assert facts["vip_answers"] == {"10.77.0.10": "02:00:00:00:00:06"}
    assert facts["memory"] > 100
    assert set(facts["disk"]) == {"/", "/var/lib"}
    assert len(facts["stamp"]) == 16
    assert module.check()["clock"]["offset"] is None


def test_a_listener_is_whose_any_living_holder_is(
    said: dict[str, str], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that forks for each connection: its child is named first, and may be gone."""
    monkeypatch.setattr(module, "PROC", tmp_path)
    for pid in (1, 8):
        (tmp_path / str(pid)).mkdir()
    (tmp_path / "1/cgroup").write_text("0::/init.scope\n")
    (tmp_path / "8/cgroup").write_text("0::/system.slice/nova-novncproxy.service\n")
    said["ss"] = (
        'LISTEN 0 9 *:6080 *:* users:(("novncproxy",pid=9,fd=4),("novncproxy",pid=8,fd=4))\n'
        'LISTEN 0 9 *:80 *:* users:(("gone",pid=7,fd=4))\n'
        'LISTEN 0 9 *:81 *:* users:(("stray",pid=1,fd=4))\n'
    )
    assert [(li["port"], li["unit"]) for li in module.check()["listeners"]] == [
        (6080, "nova-novncproxy"),
        (81, ""),
    ]


def test_a_node_without_systemd_is_told_about_and_not_asked_for_units(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    monkeypatch.setattr(module, "SYSTEMD", tmp_path / "absent")
    facts = module.check()
    assert (facts["systemd"], facts["running"]) == (False, [])


def test_the_virtual_address_is_asked_for_only_where_it_will_be(pillar: dict[str, Any]) -> None:
    pillar["cloud"]["addresses"]["management"] = "10.9.9.9"
    assert module.check()["vip_answers"] == {}
    pillar["cloud"]["services"] = ["haproxy"]
    assert module.check()["vip_answers"] == {}


def test_an_own_virtual_address_is_not_asked_for(
    pillar: dict[str, Any], said: dict[str, str]
) -> None:
    said["ip"] = ADDRESS.replace('"}]}]', '"},{"local":"10.77.0.10"}]}]')
    assert module.check()["vip_answers"] == {"10.77.0.10": None}


def test_a_stranger_and_a_node_without_tools_are_told(
    pillar: dict[str, Any], said: dict[str, str]
) -> None:
    del said["ip"]
    with pytest.raises(CommandExecutionError, match="install iproute2"):
        module.check()
    del pillar["cloud"]["hosts"]
    with pytest.raises(CommandExecutionError, match="not in the model"):
        module.check()


def test_a_slow_resolver_costs_no_more_than_its_patience(
    pillar: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "DNS_PATIENCE", 0.05)
    monkeypatch.setattr(module, "_name_of", lambda address: time.sleep(5))
    monkeypatch.setattr(module, "_addresses_of", lambda name: ["10.9.9.9"] if name == "q" else [])
    monkeypatch.setattr(module, "RESOLVERS", 40)
    started = time.monotonic()
    hosts = {"q": "192.0.2.1", "r": "192.0.2.2"}
    assert module._resolve(hosts) == ({"q": ["10.9.9.9"]}, {})
    assert time.monotonic() - started < 2


def test_names_that_nobody_knows_are_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*asked: Any) -> None:
        raise OSError("Name or service not known")

    monkeypatch.setattr(module.socket, "getaddrinfo", refuse)
    monkeypatch.setattr(module.socket, "gethostbyaddr", refuse)
    assert (module._addresses_of("x"), module._name_of("192.0.2.1")) == ([], "")


def test_who_holds_dpkg_is_named(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = tmp_path / "lock-frontend"
    monkeypatch.setattr(module, "LOCKS", (str(tmp_path / "none"), str(lock)))
    lock.touch()
    assert module._dpkg_holder() is None
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import fcntl, sys, time; f = open(sys.argv[1], 'r+b'); fcntl.lockf(f, fcntl.LOCK_EX);"
            "print('held', flush=True); time.sleep(60)",
            str(lock),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert holder.stdout and holder.stdout.readline() == "held\n"
        assert f"(pid {holder.pid})" in module._dpkg_holder()
    finally:
        holder.kill()
        holder.wait()
    assert fcntl.F_UNLCK == 2


class FakeWire:
    """A raw socket on which one machine answers, after somebody else's noise."""

    def __init__(self, *frames: bytes) -> None:
        self.frames, self.sent = list(frames), b""

    def __enter__(self) -> FakeWire:
        return self

    def __exit__(self, *exc: object) -> None:
        """Nothing to close."""

    def bind(self, where: tuple[str, int]) -> None:
        assert where == ("eth0", 0x0806)

    def settimeout(self, seconds: float) -> None:
        assert 0 < seconds <= module.ARP_PATIENCE

    def send(self, frame: bytes) -> None:
        self.sent = frame

    def recv(self, size: int) -> bytes:
        if not self.frames:
            raise TimeoutError
        return self.frames.pop(0)


def test_the_wire_says_who_has_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()  # the real _arp
    answer = bytes(12) + struct.pack(
        "!HHHBBH6s4s", 0x0806, 1, 0x0800, 6, 4, 2, b"\x02" * 6, socket.inet_aton("10.77.0.10")
    )
    for frames, mac in (((b"x" * 60, answer), "02:02:02:02:02:02"), ((), None)):
        wire = FakeWire(*frames)
        monkeypatch.setattr(module.socket, "socket", lambda *a, wire=wire: wire)
        assert module._arp("eth0", "02:00:00:00:00:05", "10.77.0.10") == mac
        assert len(wire.sent) == 42
        assert wire.sent[28:32] == bytes(4)  # a probe: it says nothing about us


def test_chrony_is_asked_where_it_runs(
    said: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.pathlib.Path, "exists", lambda path: True)
    assert module._synchronised() is True
    said["chronyc"] = "Leap status     : Not synchronised\n"
    assert module._synchronised() is False
    monkeypatch.setattr(module.pathlib.Path, "exists", lambda path: False)
    assert module._synchronised() is None
    assert module.__virtual__() == "preflight"
