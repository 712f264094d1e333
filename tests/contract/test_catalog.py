"""The catalog holds what docs/design.md promises, and points at things that exist."""

from __future__ import annotations

import json
import re
from typing import Any

import jsonschema
import pytest
import support
from saltern import faults, schema, secrets
from saltern.cloud import Cloud
from saltern.values import functions

RULES = json.loads((support.ROOT / "schema/catalog.json").read_text())
CATALOG = support.catalog()


@pytest.mark.parametrize("name", CATALOG)
def test_each_file_is_as_the_schema_says(name: str) -> None:
    data, found = schema.parse((support.ROOT / f"catalog/{name}.yaml").read_bytes())
    assert found + schema.schema_faults(data, RULES) == []


def test_together_they_are_a_catalog() -> None:
    assert [
        f for f in faults.faults(Cloud(support.example("lab"), CATALOG)) if "catalog" in f
    ] == []


@pytest.mark.parametrize("name", CATALOG)
def test_its_states_exist(name: str) -> None:
    spec = CATALOG[name]
    then = [step if isinstance(step, str) else step["sls"] for step in spec.get("then", [])]
    for sls in [*spec.get("once", []), *spec["states"], *then]:
        path = support.ROOT / "salt" / sls.replace(".", "/")
        assert path.with_suffix(".sls").is_file() or (path / "init.sls").is_file(), sls


@pytest.mark.parametrize("name", CATALOG)
def test_its_project_has_values(name: str) -> None:
    assert CATALOG[name].get("project", name) in functions()


@pytest.mark.parametrize("name", [n for n, spec in CATALOG.items() if "quorum" in spec])
def test_its_members_can_be_formed(name: str) -> None:
    module = CATALOG[name]["quorum"]["module"]
    decisions = (support.ROOT / f"_utils/saltern/{module}.py").read_text()
    assert re.search(r"^def formation\(", decisions, re.MULTILINE)
    sources = [path.read_text() for path in (support.ROOT / "_modules").glob("*.py")]
    [source] = [
        text
        for path, text in zip((support.ROOT / "_modules").glob("*.py"), sources, strict=True)
        if path.stem == module or f'__virtualname__ = "{module}"' in text
    ]
    for function in ("observe", "restart_member"):
        assert re.search(rf"^def {function}\(", source, re.MULTILINE), function


def test_secrets_are_of_kinds_that_can_be_made() -> None:
    for names in secrets.wanted(CATALOG).values():
        for kind in names.values():
            assert secrets.generate(kind, lambda count: b"x" * count)


def test_services_of_one_project_do_not_declare_a_secret_twice() -> None:
    seen: dict[str, str] = {}
    for service, spec in CATALOG.items():
        for name in spec.get("secrets", {}):
            key = f"{spec.get('project', service)}.{name}"
            assert key not in seen, f"{key}: {service} and {seen.get(key)}"
            seen[key] = service


def test_the_catalog_names_every_file_that_the_operator_can_add_to() -> None:
    """Anything else in `config:` would be dropped without a word."""
    declared = {file for spec in CATALOG.values() for file in spec.get("config", ())}
    sources = (support.ROOT / "_utils/saltern/values").glob("*.py")
    asked = {m for path in sources for m in re.findall(r'overrides\("([^"]+)"\)', path.read_text())}
    assert asked == declared


@pytest.mark.parametrize("name", ["cloud", "catalog"])
def test_a_schema_is_one_and_explains_every_key(name: str) -> None:
    rules = json.loads((support.ROOT / f"schema/{name}.json").read_text())
    jsonschema.Draft202012Validator.check_schema(rules)
    for where, part in objects(rules, name):
        assert part.get("additionalProperties") is not None, f"{where} takes any key"
        for key, value in part.get("properties", {}).items():
            target = rules["$defs"].get(value.get("$ref", "").rpartition("/")[2], {})
            known = value.get("description") or target.get("description")
            assert known, f"{where}.{key} is not explained"


def objects(part: Any, where: str) -> list[tuple[str, dict[str, Any]]]:
    """Every schema of a mapping below ``part``, conditions left out."""
    found = []
    if isinstance(part, dict):
        if part.get("type") == "object":
            found.append((where, part))
        for key, value in part.items():
            if key not in ("if", "then"):
                found += objects(value, f"{where}.{key}")
    return found
