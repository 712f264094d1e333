"""A real salt-master and three minions on this machine: two nodes of the lab's model, one stranger.

The master runs with master.d/saltern.conf as it is shipped; only the directory in which Saltern
lies is another one, because its pillar/ is written to. Nothing here needs root.
"""

from __future__ import annotations

import logging
import pathlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import salt._logging
import salt.client
import support
import yaml

NODES = ("ctl1", "cmp1")
STRANGER = "guest1"
#: What a minion must not gain by saying so itself.
CLAIMS = {"role": "controller", "roles": ["controller"], "cloud": {"node": "ctl1"}}
#: Seconds for one command or job; a loaded machine takes five for either.
PATIENCE = 90
QUIET = {"log": {"level": "error"}}
#: Folders of the site's Saltern that are not this checkout's.
OWN_ROOMS = ("pillar", "reactor")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = pathlib.Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.integration)


@dataclass
class Site:
    """One master, its minions, and the Saltern that they run."""

    root: pathlib.Path
    stubs: pathlib.Path
    master: Any
    minions: Mapping[str, Any]

    def call(self, node: str, function: str, *args: Any, **kwargs: Any) -> Any:
        """Run ``function`` on ``node``; what it returns."""
        return self.job(node, function, *args, **kwargs)["ret"]

    def job(self, node: str, function: str, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Run ``function`` on ``node``; its return (``ret``) and ``retcode``."""
        with salt.client.LocalClient(self.master.config["conf_file"]) as client:
            found = client.cmd(
                node, function, args, kwarg=kwargs, full_return=True, timeout=PATIENCE
            )
        assert node in found, f"{node} did not answer {function}"
        answer: dict[str, Any] = found[node]
        return answer

    def runner(self, *words: str) -> list[str]:
        """The command line of ``salt-run`` with ``words``."""
        scripts = pathlib.Path(sys.executable).parent
        config = pathlib.Path(self.master.config["conf_file"]).parent
        return [str(scripts / "salt-run"), f"--config-dir={config}", "--no-color", *words]

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run ``salt-run`` as a person does, to its end."""
        return subprocess.run(self.runner(*words), capture_output=True, text=True, timeout=PATIENCE)

    @contextmanager
    def model(self, text: str) -> Iterator[None]:
        """For as long as this lasts the operator's model says ``text``."""
        path = self.root / "pillar/cloud.yaml"
        before = path.read_text()
        path.write_text(text)
        try:
            yield
        finally:
            path.write_text(before)

    def secrets(self) -> dict[str, str]:
        """Every secret that Saltern made, as ``{<project>.<name>: value}``."""
        return {
            f"{path.stem}.{name}": value
            for path in (self.root / "pillar/secrets").glob("*.yaml")
            for name, value in yaml.safe_load(path.read_text()).items()
        }


def installed(home: pathlib.Path) -> pathlib.Path:
    """A Saltern in ``home`` that is this checkout, with a pillar/ of its own.

    It has no rules but those that a test writes: by ours the reactor would set this machine right.
    """
    root = home / "saltern"
    for own in OWN_ROOMS:
        (root / own).mkdir(parents=True)
    for path in support.ROOT.iterdir():
        if path.is_dir() and path.name[0] != "." and path.name not in OWN_ROOMS:
            (root / path.name).symlink_to(path)
    shutil.copy(support.ROOT / "pillar/top.sls", root / "pillar")
    shutil.copy(support.ROOT / "examples/lab.yaml", root / "pillar/cloud.yaml")
    return root


def shipped(kind: str, root: pathlib.Path, cache: pathlib.Path) -> dict[str, Any]:
    """The settings of ``<kind>.d/saltern.conf`` for a Saltern that lies in ``root``."""
    text = (support.ROOT / f"{kind}.d/saltern.conf").read_text()
    moved = text.replace("/srv/saltern", str(root)).replace("/var/cache/salt/master", str(cache))
    settings: dict[str, Any] = yaml.safe_load(moved)
    return settings


@pytest.fixture(scope="session")
def salt_home() -> Iterator[pathlib.Path]:
    """Salt's sockets lie here: the path of one must not be longer than 107 characters."""
    with tempfile.TemporaryDirectory(prefix="saltern-", ignore_cleanup_errors=True) as name:
        yield pathlib.Path(name).resolve()


@pytest.fixture(scope="session")
def salt_factories_config(salt_home: pathlib.Path) -> dict[str, Any]:
    """Read by pytest-salt-factories."""
    return {
        "root_dir": salt_home,
        "scripts_dir": pathlib.Path(sys.executable).parent,
        "inject_sitecustomize": False,
    }


@pytest.fixture(scope="session")
def site(salt_factories: Any, salt_home: pathlib.Path) -> Iterator[Site]:
    """Started once for all tests of this folder."""
    for noisy in ("salt", "saltfactories"):  # at TRACE, which costs a job as much as its work
        logging.getLogger(noisy).setLevel(logging.WARNING)
    salt._logging.shutdown_temp_handler()  # it keeps every message to print it at the end
    root = installed(salt_home)
    master = salt_factories.salt_master_daemon(
        "saltern_master",
        overrides={
            **shipped("master", root, salt_home / "saltern_master/cache"),
            "log_level_logfile": "warning",
            "worker_threads": 3,
            "pytest-master": QUIET,
        },
    )
    settings = {
        **shipped("minion", root, salt_home),
        "log_level_logfile": "warning",
        "acceptance_wait_time": 1,
        "acceptance_wait_time_max": 1,
        "pytest-minion": QUIET,
    }
    minions = {
        node: master.salt_minion_daemon(
            node,
            overrides={
                **settings,
                # The plugin moves the cache of a minion, but not what belongs into it.
                "extension_modules": str(salt_home / node / "cache/extmods"),
                "grains": CLAIMS if node == STRANGER else {},
            },
        )
        for node in (*NODES, STRANGER)
    }
    with ExitStack() as stack, ThreadPoolExecutor(len(minions)) as pool:
        stack.enter_context(master.started())
        for started in pool.map(lambda minion: minion.started(), minions.values()):
            stack.enter_context(started)
        stubs = pathlib.Path(master.config["file_roots"]["base"][0])
        ready = Site(root, stubs, master, minions)
        probe = stubs / "_modules/loading_probe.py"
        probe.parent.mkdir()
        shutil.copy(pathlib.Path(__file__).with_name("loading_probe.py"), probe)
        list(pool.map(lambda node: ready.call(node, "saltutil.sync_all", refresh=True), minions))
        yield ready
        list(pool.map(lambda minion: minion.terminate(), minions.values()))
