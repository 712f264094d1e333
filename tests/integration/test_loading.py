"""Salt loads every file of ours, or says why not in the words of its ``__virtual__``."""

from __future__ import annotations

import ast
import pathlib
from typing import Any

import pytest
import support
from integration.conftest import NODES, STRANGER, Site


def files(folder: str) -> dict[str, pathlib.Path]:
    """Virtual name -> file, of one of our folders."""
    return {virtual_name(path): path for path in sorted((support.ROOT / folder).glob("*.py"))}


def virtual_name(path: pathlib.Path) -> str:
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__virtualname__":
            return str(ast.literal_eval(node.value))
    return path.stem


def functions(path: pathlib.Path) -> list[str]:
    """Public names; ``reload_`` is called so to leave Python's own alone, and shown as reload."""
    return [
        node.name.rstrip("_")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
    ]


def reasons(path: pathlib.Path) -> list[str]:
    """What the ``__virtual__`` of ``path`` may answer instead of its name."""
    return [
        str(ast.literal_eval(node.elts[-1]))
        for function in ast.parse(path.read_text()).body
        if isinstance(function, ast.FunctionDef) and function.name == "__virtual__"
        for node in ast.walk(function)
        if isinstance(node, ast.Tuple) and isinstance(node.elts[-1], ast.Constant)
    ]


def unloaded(site: Site, node: str, kind: str) -> dict[str, dict[str, Any]]:
    """Files of ours that ``node`` did not load whole, and why."""
    folder = files(f"_{kind}")
    wanted = {name: functions(path) for name, path in folder.items()}
    found: dict[str, dict[str, Any]] = site.call(node, "loading_probe.judge", kind, wanted)
    return found


@pytest.mark.parametrize("node", [*NODES, STRANGER])
@pytest.mark.parametrize("kind", ["modules", "states"])
def test_a_minion_loads_every_file_or_says_why_not(site: Site, kind: str, node: str) -> None:
    folder, missing = files(f"_{kind}"), unloaded(site, node, kind)
    assert "openstack" not in missing
    assert "cloud_operation" not in missing
    unexplained = {
        name: said
        for name, said in missing.items()
        if said["functions"] != functions(folder[name])
        or not any(reason in said["reason"] for reason in reasons(folder[name]))
    }
    assert not unexplained


def test_what_does_not_exist_is_not_found(site: Site) -> None:
    """Or the test above could not fail."""
    said = site.call("ctl1", "loading_probe.judge", "modules", {"nova": ["no_such_thing"]})
    assert said["nova"]["functions"] == ["no_such_thing"]


def test_runners(site: Site) -> None:
    for name, path in files("_runners").items():
        shown = site.run("--doc", name).stdout
        assert not [f for f in functions(path) if f"{name}.{f}:" not in shown]


def test_minions_fetch_states_and_nothing_else(site: Site) -> None:
    """The repository's root holds pillar/: if it were served, every minion could read it."""
    served = site.call(STRANGER, "cp.list_master")
    assert "top.sls" in served
    assert not [path for path in served if "cloud.yaml" in path or path.startswith("pillar/")]
