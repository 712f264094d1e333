"""What Salt itself makes of the checkout for a node: pillar, low states, rendered files."""

from __future__ import annotations

import pathlib
from dataclasses import dataclass
from typing import Any

import pytest
import salt._logging
import salt.loader
import salt.pillar
import salt.utils.data
import salt.utils.templates
import support
from saltern import share
from saltern.cloud import Cloud

GRAINS = {"os": "Debian", "os_family": "Debian", "osmajorrelease": 13, "oscodename": "trixie",
          "osfinger": "Debian-13", "kernel": "Linux", "cpuarch": "x86_64", "init": "systemd",
          "num_cpus": 4, "mem_total": 8192, "virtual": "physical", "localhost": "node",
          "ip4_interfaces": {}, "saltversion": "3008.3"}  # fmt: skip


@dataclass
class Compiled:
    """A node as Salt compiles it."""

    node: str
    pillar: dict[str, Any]
    highstate: list[dict[str, Any]]
    stages: dict[str, list[dict[str, Any]]]
    opts: dict[str, Any]
    modules: Any

    def looked_up(self, path: str) -> str:
        return str(salt.utils.data.traverse_dict_and_list(self.pillar, path))

    def render(self, chunk: dict[str, Any]) -> str:
        """The text that the ``file.managed`` of ``chunk`` would write."""
        if "source" not in chunk:
            contents = chunk.get("contents") or self.looked_up(chunk["contents_pillar"])
            return contents if contents.endswith("\n") else f"{contents}\n"  # as Salt does
        path = support.ROOT / "salt" / str(chunk["source"]).removeprefix("salt://")
        if chunk.get("template") != "jinja":
            return path.read_text()
        done = salt.utils.templates.TEMPLATE_REGISTRY["jinja"](
            str(path),
            to_str=True,
            saltenv="base",
            source=chunk["source"],
            name=chunk["name"],
            salt=self.modules,
            grains=self.opts["grains"],
            pillar=self.pillar,
            opts=self.opts,
            context={**chunk.get("defaults", {}), **chunk.get("context", {})},
        )
        assert done["result"], f"{self.node}: {chunk['source']}: {done['data']}"
        return str(done["data"])


class Compiler:
    """Compiles each node of each example once per test run."""

    def __init__(self, home: pathlib.Path) -> None:
        salt._logging.shutdown_temp_handler()  # it keeps every message to print it at the end
        self.home = home
        self.done: dict[tuple[str, str], Compiled] = {}
        self.staged: dict[str, list[dict[str, Any]]] = {}

    def options(self, example: str, node: str) -> dict[str, Any]:
        opts = support.minion_options(example, self.home / example)
        opts.update(id=node, grains={**GRAINS, "id": node, "host": node, "fqdn": node})
        pillar = salt.pillar.get_pillar(opts, opts["grains"], node, "base").compile_pillar()
        assert "_errors" not in pillar, pillar["_errors"]
        opts["pillar"] = pillar
        return opts

    def low(self, opts: dict[str, Any], sls: str | None = None) -> list[dict[str, Any]]:
        modules = salt.loader.minion_mods(opts, utils=salt.loader.utils(opts))
        low = modules["state.show_low_sls"](sls) if sls else modules["state.show_lowstate"]()
        assert all(isinstance(chunk, dict) for chunk in low), "\n".join(map(str, low))
        return list(low)

    def stage(
        self, example: str, opts: dict[str, Any], wave: str, name: str
    ) -> list[dict[str, Any]]:
        """One stage of a deployment; nodes of an example with the same list of SLS share it."""
        key = f"{example} {opts['pillar']['cloud']['waves'][wave][name]}"
        if key not in self.staged:
            opts["pillar"]["stage"] = {"waves": [wave], "name": name}
            self.staged[key] = self.low(opts, "wave")
        return self.staged[key]

    def __call__(self, example: str, node: str) -> Compiled:
        key = (example, node)
        if key not in self.done:
            opts = self.options(example, node)
            stages = {
                f"{wave} {stage}": self.stage(example, opts, wave, stage)
                for wave, stage in stages_of(opts["pillar"])
            }
            opts["pillar"].pop("stage", None)
            modules = salt.loader.minion_mods(opts, utils=salt.loader.utils(opts))
            self.done[key] = Compiled(node, opts["pillar"], self.low(opts), stages, opts, modules)
        return self.done[key]


def stages_of(pillar: dict[str, Any]) -> list[tuple[str, str]]:
    """The stages of the deployment that have work for the node of ``pillar``."""
    return [(wave, stage) for wave, stages in pillar["cloud"]["waves"].items() for stage in stages]


def kinds_of_nodes(name: str) -> list[str]:
    """One node of ``name`` for each different list of work."""
    cloud: Cloud = support.cloud(name)
    first = {repr(share.waves_of(cloud, node)): node for node in reversed(cloud.nodes)}
    return [node for node in cloud.nodes if node in first.values()]


NODES = [(name, node) for name in support.EXAMPLES for node in kinds_of_nodes(name)]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "compiled" in metafunc.fixturenames:
        ids = [f"{name}-{node}" for name, node in NODES]
        metafunc.parametrize("compiled", NODES, ids=ids, indirect=True)


@pytest.fixture(scope="session")
def compiler(tmp_path_factory: pytest.TempPathFactory) -> Compiler:
    return Compiler(tmp_path_factory.mktemp("render"))


@pytest.fixture
def compiled(request: pytest.FixtureRequest, compiler: Compiler) -> Compiled:
    return compiler(*request.param)


@pytest.fixture(scope="session")
def everything(compiler: Compiler) -> list[Compiled]:
    """Every kind of node of every example."""
    return [compiler(name, node) for name, node in NODES]
