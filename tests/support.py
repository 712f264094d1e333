"""What every kind of test needs: the checkout, its examples, and Salt's files as plain modules."""

from __future__ import annotations

import copy
import importlib.util
import pathlib
import re
import sys
from collections.abc import Mapping
from functools import cache
from types import ModuleType
from typing import Any

import salt.config
import yaml
from saltern.cloud import Cloud

ROOT = pathlib.Path(__file__).parents[1]
EXAMPLES = sorted(path.stem for path in (ROOT / "examples").glob("*.yaml"))


def load_module(kind: str, name: str) -> ModuleType:
    """Import ``<kind>/<name>.py`` (``_modules``, ``_states``, ...) under a name of its own.

    Salt finds these files by folder; two folders may hold the same name. A file is loaded once,
    so that every test of one run patches the same module.
    """
    alias = f"saltern_test{kind}_{name}"
    if alias in sys.modules:
        return sys.modules[alias]
    spec = importlib.util.spec_from_file_location(alias, ROOT / kind / f"{name}.py")
    assert spec and spec.loader, f"{kind}/{name}.py"
    module = importlib.util.module_from_spec(spec)
    sys.modules[alias] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[alias]
        raise
    return module


def refused(answer: Any, pattern: str) -> bool:
    """Whether a runner failed as ``pattern`` (a regular expression) says, and said no more."""
    assert answer.keys() == {"Error", "retcode"} and answer["retcode"] == 1
    return re.search(pattern, answer["Error"]) is not None


@cache
def _parsed(path: pathlib.Path) -> Any:
    return yaml.load(path.read_bytes(), Loader=yaml.CSafeLoader)


def example(name: str) -> dict[str, Any]:
    """The model ``examples/<name>.yaml``, fresh for every caller."""
    loaded: dict[str, Any] = copy.deepcopy(_parsed(ROOT / f"examples/{name}.yaml"))
    return loaded


def catalog() -> dict[str, dict[str, Any]]:
    """Every file of ``catalog/``, fresh for every caller."""
    paths = sorted((ROOT / "catalog").glob("*.yaml"))
    return {path.stem: copy.deepcopy(_parsed(path)) for path in paths}


@cache
def fake_secrets() -> Mapping[str, str]:
    """One recognisable value for each secret of the catalog: ``SECRET-<project>-<name>``."""
    return {
        f"{spec.get('project', service)}.{name}": f"SECRET-{spec.get('project', service)}-{name}"
        for service, spec in catalog().items()
        for name in spec.get("secrets", {})
    }


def cloud(name: str = "lab", **changes: Any) -> Cloud:
    """The example ``name`` with fake secrets; ``changes`` replace top-level keys of its model."""
    return Cloud({**example(name), **changes}, catalog(), fake_secrets())


def _write(path: pathlib.Path, text: str) -> None:
    """A file that is as it should be is left alone: what was made of it stays in memory."""
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def minion_options(name: str, home: pathlib.Path) -> dict[str, Any]:
    """Of a minion that reads states and extensions from this checkout, and the example ``name``.

    The model is copied to ``home`` with recognisable secrets beside it: nothing is generated here.
    """
    pillar = home / "pillar"
    (pillar / "secrets").mkdir(parents=True, exist_ok=True)
    _write(pillar / "cloud.yaml", (ROOT / f"examples/{name}.yaml").read_text())
    held: dict[str, dict[str, str]] = {}
    for key, value in fake_secrets().items():
        project, _, secret = key.partition(".")
        held.setdefault(project, {})[secret] = value
    for project, secrets in held.items():
        _write(pillar / f"secrets/{project}.yaml", yaml.safe_dump(secrets))
    opts: dict[str, Any] = salt.config.minion_config(None, minion_id="ctl1")
    opts.update(
        root_dir=str(home),
        cachedir=str(home / "cache"),
        sock_dir=str(home / "sock"),
        pki_dir=str(home / "pki"),
        file_client="local",
        file_roots={"base": [str(ROOT / "salt")]},
        pillar_roots={"base": [str(ROOT / "pillar")]},
        ext_pillar=[{"saltern": {"root": str(ROOT), "model": str(pillar / "cloud.yaml")}}],
        module_dirs=[str(ROOT / "_modules")],
        extension_modules=str(home / "ext"),
        states_dirs=[str(ROOT / "_states")],
        utils_dirs=[str(ROOT / "_utils")],
        pillar_dirs=[str(ROOT / "_pillar")],
        runner_dirs=[str(ROOT / "_runners")],
    )
    return opts
