"""Salt loads every file of ours, or says why not in the words of its ``__virtual__``."""

from __future__ import annotations

import ast
import pathlib
from typing import Any

import pytest
import support
import yaml
from integration.conftest import STRANGER, Site

#: These work on the master alone: minions hold the file but nothing asks for it there.
MASTER_STATES = {"cloud_operation"}


def files(folder: str) -> dict[str, pathlib.Path]:
    """Virtual name -> file, of one of our folders."""
    return {virtual_name(path): path for path in sorted((support.ROOT / folder).glob("*.py"))}


def virtual_name(path: pathlib.Path) -> str:
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__virtualname__":
            return str(ast.literal_eval(node.value))
    return path.stem


def functions(path: pathlib.Path) -> list[str]:
    return [
        node.name
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


def is_documented(said: Any, path: pathlib.Path) -> bool:
    return any(reason in str(said) for reason in reasons(path))


def unloaded(site: Site, node: str) -> set[str]:
    """Names of our execution modules that ``node`` did not load."""
    return set(files("_modules")) - set(site.call(node, "sys.list_modules"))


def test_execution_modules(site: Site) -> None:
    ours, missing = files("_modules"), unloaded(site, "ctl1")
    assert "openstack" not in missing
    said = {name: site.call("ctl1", f"{name}.{functions(ours[name])[0]}") for name in missing}
    assert not {name: text for name, text in said.items() if not is_documented(text, ours[name])}


@pytest.mark.parametrize("node", ["cmp1", STRANGER])
def test_what_loads_depends_on_the_machine_and_not_on_the_role(site: Site, node: str) -> None:
    assert unloaded(site, node) == unloaded(site, "ctl1")


def test_a_loaded_module_shows_all_its_functions(site: Site) -> None:
    shown = set(site.call("ctl1", "sys.list_functions"))
    loaded = {name.partition(".")[0] for name in shown}
    wanted = {
        f"{name}.{function}"
        for name, path in files("_modules").items()
        if name in loaded
        for function in functions(path)
    }
    assert not {name for name in wanted if name.rstrip("_") not in shown and name not in shown}


def test_states(site: Site) -> None:
    ours = files("_states")
    loaded = set(site.call("ctl1", "sys.list_state_modules"))
    missing = {name: path for name, path in ours.items() if name not in loaded}
    assert {"cloud_operation", "hosts_file"} <= loaded
    asking: dict[str, Any] = {
        f"try {name}": {f"{name}.{functions(path)[0]}": []} for name, path in missing.items()
    }
    (site.stubs / "asking.sls").write_text(yaml.safe_dump(asking))
    said = site.call("ctl1", "state.sls", "asking", test=True)
    assert not [name for name, path in missing.items() if not is_documented(said, path)], said


def test_runners(site: Site) -> None:
    for name, path in files("_runners").items():
        shown = site.run("--doc", name).stdout
        assert not [f for f in functions(path) if f"{name}.{f}:" not in shown]


def test_the_master_has_the_states_of_its_orchestrations(site: Site) -> None:
    shown = site.run("salt.cmd", "sys.list_state_modules", "--out=yaml").stdout
    assert {f"- {name}" for name in MASTER_STATES} <= set(shown.splitlines())


def test_minions_fetch_states_and_nothing_else(site: Site) -> None:
    """The repository's root holds pillar/: if it were served, every minion could read it."""
    served = site.call(STRANGER, "cp.list_master")
    assert "top.sls" in served
    assert not [path for path in served if "cloud.yaml" in path or path.startswith("pillar/")]
