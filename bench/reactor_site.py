"""A real master and a real minion in a folder of their own, with stock reactions or with Saltern's.

Both act on the minion through the same few lines: a function that writes down when it began.
"""

from __future__ import annotations

import getpass
import os
import pathlib
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import salt.config
import salt.utils.event
import yaml

from bench.harness import Skipped
from bench.idle import PROC
from lab.paths import ROOT

sys.path.insert(0, str(ROOT / "_utils"))

from saltern.reactor.outbox import digest  # noqa: E402 - it needs the path
from saltern_fleet import SaltFleet  # noqa: E402

NODE = "cmp1"
#: Seconds for daemons to start, and to end.
PATIENCE = 90
#: Of the node's outbox, by which its beats are known.
EPOCH = secrets.token_hex(16)
#: Services that can be reported as failed, each a fault of its own.
SERVICES = tuple(f"bench-{number:03d}" for number in range(200))

MARK = """
import os, time
def note(number):
    line = f"{{number}} {{time.time():.6f}}\\n".encode()
    handle = os.open("{file}", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(handle, line)
    os.close(handle)
    return True
"""
HEALING = (
    MARK
    + """
def outbox():
    return "{digest}"
def restart(service, wait=30, epoch=None):
    note(service)
    after = {{"status": "ok", "reason": ""}}
    return {{"before": "down", "did": "restarted", "after": after, "seconds": 0.0}}
"""
)
HEALTH = """
__virtualname__ = "openstack"
def __virtual__():
    return __virtualname__
def health(services=None, deep=False, wait=0):
    names = services.split(",") if isinstance(services, str) else services or ()
    return {name: {"status": "ok", "reason": "", "seconds": 0.0} for name in names}
"""
NOISE_SLS = """
noise:
  runner.bench_mark.note:
    - args:
      - number: {{ data['number'] }}
"""
CRITICAL_SLS = """
critical:
  local.bench_mark.note:
    - tgt: {node}
    - args:
      - number: {{{{ data['number'] }}}}
"""


@dataclass
class Site:
    """The two daemons, and where they write down what they did."""

    home: pathlib.Path
    master: subprocess.Popen[bytes]
    opts: Mapping[str, Any]
    minion_opts: Mapping[str, Any]

    @property
    def noise(self) -> pathlib.Path:
        """What the reactor did itself (stock only)."""
        return self.home / "noise"

    @property
    def marks(self) -> pathlib.Path:
        """What it let the minion do."""
        return self.home / "marks"

    def engines(self) -> list[int]:
        """Pids of the master's engines: of the reactor, in either case, and of nothing else.

        Not by their names: an engine that Salt starts again has none in its title.
        """
        found = []
        for process in PROC.glob("[0-9]*"):
            with suppress(OSError):
                title = (process / "cmdline").read_bytes().decode(errors="replace")
                session = os.getsid(int(process.name))
                if session == self.master.pid and " Engine" in title.replace("\0", " "):
                    found.append(int(process.name))
        return found

    def bus(self, listen: bool = False) -> Any:
        """The master's event bus."""
        return salt.utils.event.get_master_event(self.opts, self.opts["sock_dir"], listen=listen)

    def minion_bus(self) -> Any:
        """The minion's event bus, to listen."""
        return salt.utils.event.get_event("minion", opts=dict(self.minion_opts), listen=True)


def read_marks(path: pathlib.Path) -> list[tuple[str, float]]:
    """What was written down so far: what, and when."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="ascii").splitlines()
    return [(what, float(at)) for what, at in (line.split() for line in lines)]


@contextmanager
def stock() -> Iterator[Site]:
    """Salt's own reactor: noise is noted by a runner, what is critical by the minion."""
    with _folder() as home:
        _write(home / "runners/bench_mark.py", MARK.format(file=home / "noise"))
        _write(home / "modules/bench_mark.py", MARK.format(file=home / "marks"))
        _write(home / "noise.sls", NOISE_SLS)
        _write(home / "critical.sls", CRITICAL_SLS.format(node=NODE))
        settings = {
            "runner_dirs": [str(home / "runners")],
            "reactor": [
                {"bench/noise": [str(home / "noise.sls")]},
                {"bench/critical": [str(home / "critical.sls")]},
            ],
        }
        with _started(home, settings) as site:
            yield site


@contextmanager
def ours() -> Iterator[Site]:
    """Saltern as it is shipped, on a cloud of one node whose services are the bench's.

    What the rule allows per minute is set higher, or the guard rails would be what is measured.
    """
    with _folder() as home:
        root = home / "saltern"
        _checkout(root)
        _write(
            home / "modules/healing.py", HEALING.format(file=home / "marks", digest=digest(EPOCH))
        )
        _write(home / "modules/bench_health.py", HEALTH)
        text = (ROOT / "master.d/saltern.conf").read_text(encoding="utf-8")
        text = text.replace("/srv/saltern", str(root))
        settings = yaml.safe_load(
            text.replace("/var/cache/salt/master", str(home / "master/cache"))
        )
        if not settings.get("engines"):
            raise Skipped("master.d/saltern.conf starts no engines")
        _write(home / "master/cache/saltern/joined.json", f'{{"{NODE}": 1.0}}')
        with _started(home, settings) as site:
            if not site.engines():
                log = (home / "master/log").read_text(encoding="utf-8")[-2000:]
                raise RuntimeError(f"Saltern's reactor does not run:\n{log}")
            yield site


def _checkout(root: pathlib.Path) -> None:
    """This checkout, but for the model, the catalog's additions and the limits of the rule."""
    root.mkdir()
    for path in ROOT.iterdir():
        if (
            path.is_dir()
            and path.name[0] != "."
            and path.name not in ("pillar", "catalog", "reactor")
        ):
            (root / path.name).symlink_to(path)
    shutil.copytree(ROOT / "catalog", root / "catalog")
    service = {"summary": "A service of the bench", "project": "libvirt", "roles": ["compute"],
               "states": ["common"], "units": {}, "probe": {"kind": "unit"}}  # fmt: skip
    for name in SERVICES:
        _write(root / f"catalog/{name}.yaml", yaml.safe_dump(service))
    model = yaml.safe_load((ROOT / "examples/lab.yaml").read_text(encoding="utf-8"))
    model["nodes"] = {NODE: model["nodes"][NODE]}
    model |= {"endpoints": "external", "roles": {"compute": list(SERVICES)}}
    _write(root / "pillar/cloud.yaml", yaml.safe_dump(model))
    shutil.copy(ROOT / "pillar/top.sls", root / "pillar")
    shutil.copytree(ROOT / "reactor", root / "reactor")
    rule = root / "reactor/service-failed.yaml"
    spec = yaml.safe_load(rule.read_text(encoding="utf-8"))
    spec.setdefault("guards", {}).update(
        target={"actions": 100, "per": 1}, overall={"actions": 1000, "per": 1}
    )
    _write(rule, yaml.safe_dump(spec))


@contextmanager
def _folder() -> Iterator[pathlib.Path]:
    """Salt's sockets lie here: the path of one must not be longer than 107 characters."""
    with tempfile.TemporaryDirectory(prefix="sb-", ignore_cleanup_errors=True) as name:
        yield pathlib.Path(name).resolve()


def _write(path: pathlib.Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


@contextmanager
def _started(home: pathlib.Path, settings: Mapping[str, Any]) -> Iterator[Site]:
    publish, ret = _free_port(), _free_port()
    common = {"user": getpass.getuser(), "log_level_logfile": "warning", "log_level": "warning"}
    master = {
        **settings, **common, "interface": "127.0.0.1", "publish_port": publish, "ret_port": ret,
        "worker_threads": 3, "auto_accept": True, **_places(home / "master"),
    }  # fmt: skip
    minion = {
        **common, "id": NODE, "master": "127.0.0.1", "master_port": ret, "publish_port": publish,
        "acceptance_wait_time": 1, "random_startup_delay": 0, "mine_enabled": False,
        "enable_fqdns_grains": False, "module_dirs": [str(home / "modules")],
        **_places(home / "minion"),
    }  # fmt: skip
    for name, said in (("master", master), ("minion", minion)):
        _write(home / name / name, yaml.safe_dump(said))
    daemons = [_daemon(home, "master"), _daemon(home, "minion")]
    try:
        site = Site(
            home,
            daemons[0],
            salt.config.master_config(str(home / "master/master")),
            salt.config.minion_config(str(home / "minion/minion")),
        )
        _wait_for_minion(site)
        yield site
    finally:
        for daemon in reversed(daemons):
            _end(daemon)


def _places(home: pathlib.Path) -> dict[str, str]:
    return {
        "root_dir": str(home),
        "cachedir": str(home / "cache"),
        "pki_dir": str(home / "pki"),
        "sock_dir": str(home / "run"),
        "log_file": str(home / "log"),
        "pidfile": str(home / "pid"),
        "extension_modules": str(home / "cache/extmods"),
    }


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
    return port


def _daemon(home: pathlib.Path, name: str) -> subprocess.Popen[bytes]:
    program = pathlib.Path(sys.executable).parent / f"salt-{name}"
    return subprocess.Popen(
        [program, f"--config-dir={home / name}"],
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _wait_for_minion(site: Site) -> None:
    """Both ends of the bus are there, and a job comes back."""
    bus = site.home / "master/run/master_event_pull.ipc"
    key = site.home / f"master/pki/minions/{NODE}"
    deadline = time.monotonic() + PATIENCE
    fleet = SaltFleet(str(site.home / "master/master"))
    while time.monotonic() < deadline:
        if bus.exists() and key.exists():
            if fleet.call([NODE], "test.ping", timeout=5, kwargs={})[NODE].ok:
                return
        else:
            time.sleep(0.2)
    log = (site.home / "master/log").read_text(encoding="utf-8")[-2000:]
    raise RuntimeError(f"the minion does not answer after {PATIENCE} s:\n{log}")


def _end(daemon: subprocess.Popen[bytes]) -> None:
    """A daemon and whatever it started: they are a session of their own."""
    for how, patience in ((signal.SIGTERM, 4), (signal.SIGKILL, 10)):
        with suppress(ProcessLookupError):
            os.killpg(daemon.pid, how)
        with suppress(subprocess.TimeoutExpired):
            daemon.wait(patience)
