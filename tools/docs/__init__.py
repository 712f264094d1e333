"""The reference, made from what the code says about itself: schemas, catalog and docstrings.

``python -m tools.docs`` writes ``docs/reference/``; a test says when that was forgotten.
"""

from __future__ import annotations

import ast
import inspect
import json
import pathlib
from collections.abc import Iterator
from typing import Any

import yaml

NOTE = "<!-- Made by `python -m tools.docs`: change the source, not this file. -->"


def reference(root: pathlib.Path) -> dict[str, str]:
    """Path below ``docs/reference/`` -> text."""
    return {
        "model.md": _model(root),
        "catalog.md": _catalog(root),
        "rules.md": _rules(root),
        "modules.md": _modules(root),
    }


# -- schemas --------------------------------------------------------------------------------------


def _model(root: pathlib.Path) -> str:
    rules = json.loads((root / "schema/cloud.json").read_text())
    example = (root / "examples/small.yaml").read_text()
    return _page(
        "The model: `pillar/cloud.yaml`",
        "schema/cloud.json",
        rules["description"],
        "`salt-run saltern.validate` names everything that is wrong with it at once.",
        *_rows(rules),
        f"## An example\n\n```yaml\n{example}```",
    )


def _catalog(root: pathlib.Path) -> str:
    rules = json.loads((root / "schema/catalog.json").read_text())
    services = [
        "| service | what it is | roles | needs | port |",
        "|---|---|---|---|---|",
    ]
    for path in sorted((root / "catalog").glob("*.yaml")):
        spec = yaml.safe_load(path.read_text())
        services.append(
            f"| `{path.stem}` | {_cell(spec['summary'])} | {', '.join(spec['roles'])} "
            f"| {', '.join(spec.get('needs', ()))} | {spec.get('port', '')} |"
        )
    return _page(
        "The catalog: `catalog/<service>.yaml`",
        "schema/catalog.json and catalog/*.yaml",
        rules["description"],
        "## The services\n\n" + "\n".join(services),
        *_rows(rules),
    )


def _rules(root: pathlib.Path) -> str:
    rules = json.loads((root / "schema/rule.json").read_text())
    shipped = ["| rule | what has happened | ladder | mode |", "|---|---|---|---|"]
    for path in sorted((root / "reactor").glob("*.yaml")):
        rule = yaml.safe_load(path.read_text())
        ladder = ", ".join([*rule["ladder"], "a human"])
        shipped.append(f"| `{path.stem}` | {_cell(rule['summary'])} | {ladder} | {rule['mode']} |")
    return _page(
        "The rules: `reactor/<rule>.yaml`",
        "schema/rule.json and reactor/*.yaml",
        rules["description"],
        "[Write a rule](../howto/write-a-rule.md) goes from a wish to a rule that acts.",
        "## The rules that come with it\n\n" + "\n".join(shipped),
        *_rows(rules),
    )


def _rows(rules: dict[str, Any]) -> Iterator[str]:
    yield "## Keys\n\n| key | what it says | allowed | default |\n|---|---|---|---|\n" + "\n".join(
        f"| {path} | {_cell(said)} | {_cell(allowed)} | {default} |"
        for path, said, allowed, default in _keys(rules, rules, "")
    )


def _keys(
    part: dict[str, Any], rules: dict[str, Any], path: str
) -> Iterator[tuple[str, str, str, str]]:
    """Every key below the mapping ``part`` that has something to say, in the schema's order."""
    named = [
        *part.get("properties", {}).items(),
        *((_pattern_name(p), value) for p, value in part.get("patternProperties", {}).items()),
    ]
    if isinstance(part.get("additionalProperties"), dict):
        named.append((part.get("x-key", "NAME"), part["additionalProperties"]))
    for key, value in named:
        spec = _resolved(value, rules)
        where = f"{path}.{key}" if path else key
        if "description" in spec:
            mark = " **required**" if key in part.get("required", ()) else ""
            default = f"`{_written(spec['default'])}`" if "default" in spec else ""
            yield f"`{where}`{mark}", spec["description"], _allowed(spec, rules), default
        yield from _keys(spec, rules, where)
        if "items" in spec:
            yield from _keys(_resolved(spec["items"], rules), rules, f"{where}[]")


def _written(value: Any) -> str:
    """A default as it would stand in the file."""
    return value if isinstance(value, str) else json.dumps(value)


def _resolved(spec: dict[str, Any], rules: dict[str, Any]) -> dict[str, Any]:
    """``spec`` with what it refers to; its own words win."""
    if "$ref" not in spec:
        return spec
    target = rules["$defs"][spec["$ref"].rpartition("/")[2]]
    return {**_resolved(target, rules), **{k: v for k, v in spec.items() if k != "$ref"}}


def _pattern_name(pattern: str) -> str:
    return pattern.lstrip("^").partition("[")[0] + "*"


def _allowed(spec: dict[str, Any], rules: dict[str, Any]) -> str:
    if "x-expected" in spec:
        return str(spec["x-expected"])
    if "enum" in spec:
        return ", ".join(f"`{value}`" for value in spec["enum"])
    kind = str(spec.get("type", ""))
    if kind == "array":
        inner = _allowed(_resolved(spec["items"], rules), rules)
        return f"a list: {inner}"
    if kind == "integer":
        low, high = spec.get("minimum"), spec.get("maximum")
        return f"{low} to {high}" if high is not None else f"a number from {low}"
    return {"object": "a mapping", "boolean": "true or false", "string": "text"}.get(kind, kind)


# -- modules --------------------------------------------------------------------------------------

KINDS = {
    "_modules": ("Execution modules", "what a node is asked or told: `salt NODE MODULE.FUNCTION`"),
    "_runners": ("Runners", "what is asked of the cloud: `salt-run RUNNER.FUNCTION`"),
    "_states": ("States", "what must be true, in SLS files"),
}


def _modules(root: pathlib.Path) -> str:
    parts = []
    for folder, (title, words) in KINDS.items():
        parts.append(f"## {title}\n\n{title} say {words}.")
        for path in sorted((root / folder).glob("*.py")):
            parts += _module(path)
    return _page("Modules, runners and states", "their docstrings", *parts)


def _module(path: pathlib.Path) -> Iterator[str]:
    tree = ast.parse(path.read_text())
    name = path.stem
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__virtualname__":
            name = ast.literal_eval(node.value)
    yield f"### {name}\n\n{_markdown(ast.get_docstring(tree) or '')}"
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            signature = f"{name}.{node.name.rstrip('_')}({ast.unparse(node.args)})"
            yield f"#### `{signature}`\n\n{_markdown(ast.get_docstring(node) or '')}"


def _markdown(text: str) -> str:
    """A docstring's code blocks and literals, as Markdown."""
    out: list[str] = []
    code = False
    for line in inspect.cleandoc(text).splitlines():
        if line.startswith(".. code-block::"):
            out.append(f"```{line.partition('::')[2].strip()}")
            code = True
            continue
        if code and line and not line.startswith(" "):
            out += ["```", ""]
            code = False
        out.append(line[4:] if code else line.replace("``", "`"))
    return _tidy_fences([*out, *(["```"] if code else [])])


def _tidy_fences(text: list[str]) -> str:
    """Fences without the empty lines that reStructuredText wants around them."""
    lines: list[str] = []
    for line in text:
        if line == "" and lines and lines[-1].startswith("```") and len(lines[-1]) > 3:
            continue
        if line == "```":
            while lines and lines[-1] == "":
                lines.pop()
        lines.append(line)
    return "\n".join(lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _page(title: str, source: str, *parts: str) -> str:
    body = "\n\n".join(part.strip() for part in parts if part)
    return f"# {title}\n\n{NOTE}\n<!-- Source: {source} -->\n\n{body}\n"
