"""What people and states may rely on in every module of ours."""

from __future__ import annotations

import ast
import inspect
import pathlib
import re
from collections.abc import Iterator

import pytest
import support

FOLDERS = ("_modules", "_runners", "_states")
FILES = [
    pytest.param(folder, path.stem, id=f"{folder}/{path.stem}")
    for folder in FOLDERS
    for path in sorted((support.ROOT / folder).glob("*.py"))
]
CALLABLE = [param for param in FILES if param.values[0] != "_states"]
STATES = [param for param in FILES if param.values[0] == "_states"]
#: States of orchestrations that only look or only tell: with test=True they do the same.
LOOKING = {("cloud_operation", "fit"), ("cloud_operation", "ended")}
RETURN_KEYS = {"name", "result", "changes", "comment"}


def tree(folder: str, name: str) -> ast.Module:
    return ast.parse((support.ROOT / folder / f"{name}.py").read_text())


def public(module: ast.Module) -> Iterator[ast.FunctionDef]:
    """Functions that Salt shows: not private, not imported."""
    yield from (
        node
        for node in module.body
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
    )


def virtual_name(module: ast.Module, default: str) -> str:
    for node in module.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__virtualname__":
            return str(ast.literal_eval(node.value))
    return default


@pytest.mark.parametrize(("folder", "name"), FILES)
def test_it_says_what_it_is_for(folder: str, name: str) -> None:
    module = tree(folder, name)
    assert ast.get_docstring(module), "the module has no docstring"
    for function in public(module):
        text = ast.get_docstring(function)
        assert text, f"{function.name} has no docstring"
        arguments = [a.arg for a in [*function.args.args, *function.args.kwonlyargs]]
        words = set(re.findall(r"\w+", text.partition("CLI Example:")[0]))
        missing = set(arguments) - words - ({"name"} if folder == "_states" else set())
        assert not missing, f"{function.name}: not explained: {missing}"


@pytest.mark.parametrize(("folder", "name"), CALLABLE)
def test_every_function_shows_how_it_is_called(folder: str, name: str) -> None:
    module = tree(folder, name)
    called = virtual_name(module, name)
    command = "salt-run " if folder == "_runners" else "salt "
    for function in public(module):
        text = ast.get_docstring(function) or ""
        example = text.partition("CLI Example:")[2]
        shown = function.name.rstrip("_")  # reload_ is there to leave Python's own reload alone
        assert f"{called}.{shown}" in example, f"{function.name}: no CLI example"
        assert command in example, f"{function.name}: the example does not begin with {command}"


@pytest.mark.parametrize(("folder", "name"), FILES)
def test_it_says_why_it_does_not_load(folder: str, name: str) -> None:
    """``__virtual__`` answers with its name, or with False and the reason."""
    for node in ast.walk(tree(folder, name)):
        if isinstance(node, ast.FunctionDef) and node.name == "__virtual__":
            for answer in (n for n in ast.walk(node) if isinstance(n, ast.Return)):
                text = ast.unparse(answer.value) if answer.value else "None"
                assert text not in ("False", "None", "(False,)"), "no reason"


@pytest.mark.parametrize(("folder", "name"), STATES)
def test_a_state_obeys_the_contract(folder: str, name: str) -> None:
    """It goes through converge(), or looks at test itself and returns the four keys."""
    module = tree(folder, name)
    source = {
        node.name: ast.unparse(node) for node in module.body if isinstance(node, ast.FunctionDef)
    }
    for function in public(module):
        reached, todo = set(), [function.name]
        while todo:  # private helpers count for the functions that call them
            current = todo.pop()
            reached.add(current)
            todo += [n for n in source if n not in reached and f"{n}(" in source[current]]
        text = "\n".join(source[n] for n in reached)
        if "converge(" in text:
            assert "__opts__['test']" in text, f"{function.name}: converge() is not told of test"
            continue
        assert "__opts__['test']" in text or (name, function.name) in LOOKING, (
            f"{function.name}: neither converge() nor test=True"
        )
        assert all(f"'{key}'" in text for key in RETURN_KEYS), f"{function.name}: returns what?"


@pytest.mark.parametrize(("folder", "name"), FILES)
def test_it_imports_without_salt_running(folder: str, name: str) -> None:
    module = support.load_module(folder, name)
    for function in public(tree(folder, name)):
        assert inspect.isfunction(getattr(module, function.name))


def test_no_module_takes_a_name_of_the_core() -> None:
    """A virtual name that Salt's own modules have is lost to whoever loads first."""
    import salt.modules

    core = {p.stem for p in pathlib.Path(salt.modules.__path__[0]).glob("*.py")}
    ours = {path.stem for path in (support.ROOT / "_modules").glob("*.py")}
    assert not {virtual_name(tree("_modules", name), name) for name in ours} & core
