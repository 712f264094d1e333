"""Every file that a node would get, rendered by Salt and read back by a parser of its kind."""

from __future__ import annotations

import configparser
import json
import re
from typing import Any

import pytest
import support

OPENSTACK = re.compile(r"^/etc/(keystone|glance|nova|neutron|placement)/.*\.(conf|ini)$")
SYSTEMD = re.compile(r"^/etc/systemd/.*\.(conf|service)$")
MARIADB = re.compile(r"^/etc/mysql/.*\.cnf$")
#: Traces of a template that was not told something, or that printed data structures.
LEFTOVERS = re.compile(
    r"\{\{|\{%|%\}|Undefined|jinja2|<bound method|<function|object at 0x"
    r"|[=:\s]None\s*$|=\s*[\[{]'",
    re.MULTILINE,
)
SECRET_WORDS = re.compile(r"SECRET-")


def files_of(compiled: Any) -> list[dict[str, Any]]:
    return [
        c for c in compiled.highstate if c["state"] == "file" and c["fun"] in ("managed", "append")
    ]


def read_ini(text: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(
        strict=False, interpolation=None, allow_no_value=True, default_section="no such section"
    )
    parser.read_string(text)
    return parser


def test_every_file_renders_and_reads_back(compiled: Any) -> None:
    for chunk in files_of(compiled):
        text, name = compiled.render(chunk), chunk["name"]
        where = f"{compiled.node}: {name}"
        assert text.strip(), f"{where} is empty"
        assert text.endswith("\n"), f"{where} has no end of line"
        python = name.endswith(".py") or "python" in text.partition("\n")[0]
        if not python:
            left = LEFTOVERS.search(text)
            assert not left, f"{where}: {text[max(0, left.start() - 80) : left.end() + 40]!r}"
        if OPENSTACK.match(name) or SYSTEMD.match(name) or MARIADB.match(name):
            assert read_ini(text).sections(), where
        elif python:
            compile(text, name, "exec")
        elif name.endswith(".json"):
            json.loads(text)


def test_no_secret_where_others_read_it(compiled: Any) -> None:
    """A file with a secret is not for everybody, and its changes are not shown."""
    for chunk in files_of(compiled):
        if not SECRET_WORDS.search(compiled.render(chunk)):
            continue
        where = f"{compiled.node}: {chunk['name']}"
        assert str(chunk.get("mode", "")).lstrip("0")[-1:] == "0", (
            f"{where}: mode {chunk.get('mode')}"
        )
        assert chunk.get("show_changes") is False, f"{where}: show_changes"


def test_no_secret_in_the_arguments_of_other_states(compiled: Any) -> None:
    """Ids and names of states are in every job return."""
    for chunk in compiled.highstate:
        assert not SECRET_WORDS.search(str(chunk["name"])), chunk["__id__"]
        assert not SECRET_WORDS.search(chunk["__id__"]), chunk["__id__"]


def test_what_a_unit_reads_is_what_we_write(compiled: Any) -> None:
    """A file that the catalog names and nobody writes would never ask for a restart."""
    written = {c["name"] for c in compiled.highstate if c["state"] == "file"}
    missing = {
        f"{unit}: {file}"
        for unit, spec in compiled.pillar["cloud"]["units"].items()
        for file in spec["files"]
        if file not in written
    }
    assert not missing


@pytest.mark.parametrize("section", ["DEFAULT", "scheduler"])
def test_what_the_operator_adds_is_in_the_file(compiler: Any, section: str) -> None:
    node = compiler("small", "node1")
    [chunk] = [c for c in files_of(node) if c["name"] == "/etc/nova/nova.conf"]
    parsed = read_ini(node.render(chunk))
    for key, value in support.cloud("small").overrides("nova.conf")[section].items():
        assert parsed[section][key] == str(value)
