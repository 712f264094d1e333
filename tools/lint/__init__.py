"""Checks that only make sense here: mistakes that were made once, and laws of docs/design.md.

Run with ``python -m tools.lint``. A check takes a path (relative to the repository) and the file's
text, and yields ``(line, sentence)``.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator

from saltern import schema
from saltern.reactor.rules import TEMPLATE

Found = Iterator[tuple[int, str]]
Check = Callable[[str, str], Found]

MAX_LINES = 400
CODE = (".py", ".sls", ".jinja", ".j2", ".sh")
JINJA = (".sls", ".jinja", ".j2")

#: What decisions must not know: Salt, clocks, the network, other processes.
IMPURE = {"salt", "time", "subprocess", "socket", "requests", "urllib.request", "random"}
#: What costs every ``salt '*' openstack.health`` its import time.
HEAVY = {"openstack", "keystoneauth1", "jsonschema", "pymysql", "MySQLdb", "rich"}
#: Where the lab's own addresses may be written down.
LAB_FOLDERS = ("examples/lab.yaml", "lab/", "tests/", "docs/", "bench/", "README")
#: Files that name what they look for.
OWN = ("tools/lint/__init__.py", "tests/contract/test_lint.py")


def lines(pattern: str, text: str, sentence: str, flags: int = 0) -> Found:
    """``sentence`` for each line that ``pattern`` is in; ``{}`` becomes what was found."""
    for number, line in enumerate(text.splitlines(), 1):
        match = re.search(pattern, line, flags)
        if match:
            yield number, sentence.format(match.group(0).strip())


def long_file(path: str, text: str) -> Found:
    if path.endswith(CODE) and text.count("\n") > MAX_LINES:
        yield MAX_LINES, f"the file has more than {MAX_LINES} lines: split it by what it decides"


def commands_in_states(path: str, text: str) -> Found:
    if path.endswith(".sls"):
        yield from lines(
            r"^\s*(- )?cmd\.(run|script|wait)\b", text, "{}: write a state with converge() instead"
        )
        yield from lines(r"^\s*- order:", text, "order: say what is required instead")


def sleeping(path: str, text: str) -> Found:
    if path.endswith((*JINJA, ".sh")) or path.startswith("_utils/saltern/"):
        yield from lines(
            r"(^|[^\w#])(time\.sleep\(|sleep [0-9$])", text, "{}: wait for a condition instead"
        )


def lab_addresses(path: str, text: str) -> Found:
    if not path.startswith(LAB_FOLDERS):
        yield from lines(r"\b10\.77\.\d+\.\d+", text, "{} is the lab's: derive it from the model")


def private_places(path: str, text: str) -> Found:
    yield from lines(
        r"(?<![\w.])/work/(main|shared|\.library)|/opt/pypi|file:///opt/",
        text,
        "{} exists on one machine only",
    )


def impure_decisions(path: str, text: str) -> Found:
    if not path.startswith("_utils/saltern/") or not path.endswith(".py"):
        return
    for line, module in imports(ast.parse(text), everywhere=True):
        if {module, module.partition(".")[0]} & IMPURE:
            yield line, f"import {module}: decisions know neither Salt nor a clock nor a network"
    yield from lines(r"\.(now|utcnow|today)\(", text, "{}: take the time as an argument")
    if not path.endswith("/lock.py"):  # the lock is a file
        yield from lines(
            r"(?<!def )(?<![.\w])open\(|\.(read|write)_text\(", text, "{}: no I/O here"
        )


def heavy_imports(path: str, text: str) -> Found:
    if path.startswith(("_modules/", "_states/", "_grains/")) and path.endswith(".py"):
        for line, module in imports(ast.parse(text), everywhere=False):
            if module.partition(".")[0] in HEAVY:
                yield line, f"import {module} inside the function that needs it: it is slow"


def imports(tree: ast.Module, everywhere: bool) -> Iterator[tuple[int, str]]:
    """Modules that ``tree`` imports, at module level or anywhere."""
    for node in ast.walk(tree) if everywhere else tree.body:
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.lineno, node.module


def shells(path: str, text: str) -> Found:
    if path.endswith(".py"):
        yield from lines(
            r"python_shell=True|shell=True|os\.system\(",
            text,
            "{}: pass a list of arguments",
        )


def dict_methods_in_jinja(path: str, text: str) -> Found:
    """``cloud.values.nova`` asks the method ``dict.values``: Jinja tries attributes first."""
    if path.endswith(JINJA):
        for number, line in enumerate(text.splitlines(), 1):
            for code in re.findall(r"\{[{%](.*?)[}%]\}", line):
                for name in re.findall(
                    r"[\w\])]\.(values|items|keys|update|copy|get|pop|clear)\b(?!\s*\()",
                    code,
                ):
                    yield number, f'.{name} is a method of every mapping: write ["{name}"]'


def surprising_yaml(path: str, text: str) -> Found:
    """Keys that are there twice, and ``on: x``, whose key is ``true``."""
    if path.startswith(("catalog/", "examples/", "reactor/")) and path.endswith(".yaml"):
        data, faults = schema.parse(text)
        for fault in faults + schema.schema_faults(data, {}):
            yield 1, fault


def templates_in_rules(path: str, text: str) -> Found:
    """What an event says is data: nothing that touches it may be rendered."""
    if path.startswith("reactor/"):
        yield from lines(TEMPLATE.pattern, text, "{}: a rule holds no template")


def unfinished(path: str, text: str) -> Found:
    if path.endswith((*CODE, ".yaml", ".md", ".json")):
        yield from lines(r"\b(TODO|FIXME|XXX)\b", text, "{}: do it or delete it")


CHECKS: tuple[Check, ...] = (
    long_file,
    commands_in_states,
    sleeping,
    lab_addresses,
    private_places,
    impure_decisions,
    heavy_imports,
    shells,
    dict_methods_in_jinja,
    surprising_yaml,
    templates_in_rules,
    unfinished,
)


def check(path: str, text: str) -> Iterator[str]:
    """Everything that is wrong with the file at ``path``."""
    if path in OWN:
        return
    for one in CHECKS:
        for line, sentence in one(path, text):
            yield f"{path}:{line}: {one.__name__.replace('_', ' ')}: {sentence}"
