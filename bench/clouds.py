"""Clouds of any size after a pattern, and what Salt needs to compile them."""

from __future__ import annotations

import copy
import pathlib
from collections.abc import Mapping
from typing import Any

import salt.config

#: Addresses of one network that this pattern can give: .1 to .250 of every /24 but the first.
PER_BLOCK = 250
MOST = 254 * PER_BLOCK
GRAINS = {"os": "Debian", "os_family": "Debian", "osmajorrelease": 13, "oscodename": "trixie",
          "osfinger": "Debian-13", "kernel": "Linux", "cpuarch": "x86_64", "init": "systemd",
          "num_cpus": 4, "mem_total": 8192, "virtual": "physical", "localhost": "node",
          "ip4_interfaces": {}, "saltversion": "3008.3"}  # fmt: skip


def with_computes(pattern: Mapping[str, Any], count: int) -> dict[str, Any]:
    """The cloud of ``pattern`` with ``count`` compute nodes in place of its own.

    :raises ValueError: when so many have no addresses.
    """
    if not 0 < count <= MOST:
        raise ValueError(f"{count} compute nodes: this makes 1 to {MOST}")
    model = copy.deepcopy(dict(pattern))
    model["networks"]["management"]["cidr"] = "10.40.0.0/16"
    model["networks"]["tunnel"]["cidr"] = "10.41.0.0/16"
    model["nodes"] = {
        name: spec for name, spec in model["nodes"].items() if "compute" not in spec["roles"]
    }
    for number in range(count):
        block, last = number // PER_BLOCK + 1, number % PER_BLOCK + 1
        model["nodes"][f"cmp{number + 1:05d}"] = {
            "roles": ["compute"],
            "addresses": {
                "management": f"10.40.{block}.{last}",
                "tunnel": f"10.41.{block}.{last}",
            },
        }
    return model


def options(root: pathlib.Path, home: pathlib.Path, model: pathlib.Path) -> dict[str, Any]:
    """Of a minion that compiles with the files of ``root`` and the cloud of ``model``."""
    opts: dict[str, Any] = salt.config.minion_config(None, minion_id="bench")
    opts.update(
        root_dir=str(home),
        cachedir=str(home / "cache"),
        sock_dir=str(home / "sock"),
        pki_dir=str(home / "pki"),
        extension_modules=str(home / "ext"),
        file_client="local",
        file_roots={"base": [str(root / "salt")]},
        pillar_roots={"base": [str(root / "pillar")]},
        ext_pillar=[{"saltern": {"root": str(root), "model": str(model)}}],
        module_dirs=[str(root / "_modules")],
        states_dirs=[str(root / "_states")],
        utils_dirs=[str(root / "_utils")],
        pillar_dirs=[str(root / "_pillar")],
        runner_dirs=[str(root / "_runners")],
    )
    return opts


def as_node(opts: Mapping[str, Any], node: str) -> dict[str, Any]:
    """``opts`` for ``node``."""
    return {**opts, "id": node, "grains": {**GRAINS, "id": node, "host": node, "fqdn": node}}
