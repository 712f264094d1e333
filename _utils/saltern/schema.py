"""Reading what an operator wrote, and saying everything about it that a schema can say.

``parse`` turns text into data without trusting it; ``schema_faults`` compares data with a JSON
Schema. Both answer with sentences that start with the place in the file.
"""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import jsonschema
import yaml

MAX_BYTES = 1_000_000
MAX_VALUES = 50_000  # of the whole file with its aliases written out; 1000 nodes are 10,000
MAX_FAULTS = 100
MAX_SHOWN = 60  # characters of a value in a message

KINDS: Mapping[type, str] = {
    bool: "true or false",
    int: "a number",
    float: "a number",
    str: "text",
    list: "a list",
    dict: "a mapping",
    type(None): "nothing",
}
JSON_KINDS = {
    "object": "a mapping",
    "array": "a list",
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
}
LIMITS = {
    "minimum": "is less than {}",
    "maximum": "is more than {}",
    "minItems": "needs at least {} of them",
    "minProperties": "needs at least {} of them",
    "maxProperties": "has more than {} of them",
    "minLength": "is shorter than {} characters",
    "maxLength": "is longer than {} characters",
    "uniqueItems": "names something twice",
}
#: What PyYAML raises, beside its own errors, for a value that is not what its tag promises.
WRONG_VALUE = (ValueError, KeyError, AttributeError, TypeError, OverflowError)

Path = tuple[str | int, ...]
Error = Any  # jsonschema.ValidationError, whose published types say that any part may be unset


class _Unreadable(ValueError):
    """The text is YAML that nobody would write on purpose."""


def shown(value: Any) -> str:
    """``value`` for a message: one line, never long."""
    if value is None or isinstance(value, (dict, list)):
        return KINDS[type(value)]
    text = repr(value)
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 3]}..."


def guess(word: str, known: Iterable[str]) -> str:
    """``; did you mean ...?`` when something known looks like ``word``; else nothing."""
    close = difflib.get_close_matches(word[:100], list(known), 1, 0.7)
    return f"; did you mean {close[0]!r}?" if close else ""


def place(path: Iterable[str | int]) -> str:
    """Where something is in the file: ``nodes.ctl1.roles[0]``."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif re.fullmatch(r"[\w-]{1,63}", step):
            text += f".{step}" if text else step
        else:
            text += f"[{shown(step)}]"
    return text


# -- text -----------------------------------------------------------------------------------------


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, whose every failure knows the line."""

    values = 0

    def compose_node(self, parent: Any, index: Any) -> yaml.nodes.Node | None:
        self.values += 1
        if self.values > MAX_VALUES:
            raise _Unreadable(
                f"line {self.line + 1}: more than {MAX_VALUES} values so far: not read"
            )
        node: yaml.nodes.Node | None = super().compose_node(parent, index)
        return node

    def construct_object(self, node: yaml.nodes.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except WRONG_VALUE as exc:
            kind = str(node.tag).rpartition(":")[2]
            raise yaml.constructor.ConstructorError(
                None, None, f"{shown(node.value)} is not a valid {kind}", node.start_mark
            ) from exc


def parse(text: str | bytes) -> tuple[Any, list[str]]:
    """The data in the YAML ``text``, and what is wrong with the text itself.

    :returns: ``(data, faults)``; data is ``None`` where the text cannot be read at all, and the
        last value wins where a key is there twice (which is a fault).
    """
    raw = text.encode(errors="replace") if isinstance(text, str) else text
    if len(raw) > MAX_BYTES:
        return None, [f"the file has {len(raw)} bytes, more than {MAX_BYTES}: not read"]
    try:
        loader = _Loader(raw.decode())
        root = loader.get_single_node()
        if root is None:
            return None, []
        faults: list[str] = []
        _measure(root, (), {}, faults)
        return loader.construct_document(root), faults[:MAX_FAULTS]
    except UnicodeDecodeError as exc:
        return None, [f"byte {exc.start}: the file is not UTF-8 text"]
    except yaml.reader.ReaderError as exc:
        return None, [f"character {exc.position}: {exc.reason}"]
    except yaml.MarkedYAMLError as exc:
        return None, [_syntax_fault(exc)]
    except _Unreadable as exc:
        return None, [str(exc)]
    except RecursionError:
        return None, ["the file is nested too deeply"]


def _measure(
    node: yaml.nodes.Node, path: Path, sizes: dict[int, int | None], faults: list[str]
) -> int:
    """How many values ``node`` is with its aliases written out; notes keys that are there twice.

    Aliases are cheap for the parser and exponential for whoever walks the data.
    """
    line = node.start_mark.line + 1
    if id(node) in sizes:
        size = sizes[id(node)]
        if size is None:
            raise _Unreadable(f"line {line}: {place(path)} contains itself")
        return size
    sizes[id(node)] = None
    total = 1
    if isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key, value in node.value:
            name = str(key.value) if isinstance(key, yaml.ScalarNode) else "?"
            at = key.start_mark.line + 1
            if name in seen and isinstance(key, yaml.ScalarNode) and name != "<<":
                where = place((*path, name))
                faults.append(f"{where}: is there twice, on lines {seen[name]} and {at}")
            seen.setdefault(name, at)
            total += _measure(key, path, sizes, faults)
            total += _measure(value, (*path, name), sizes, faults)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            total += _measure(value, (*path, index), sizes, faults)
    if total > MAX_VALUES:
        raise _Unreadable(f"line {line}: more than {MAX_VALUES} values (with aliases written out)")
    sizes[id(node)] = total
    return total


def _syntax_fault(exc: yaml.MarkedYAMLError) -> str:
    mark = exc.problem_mark or exc.context_mark
    where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    problem = str(exc.problem or exc.context)
    hint = " (indent with spaces, not tabs)" if "'\\t'" in problem else ""
    return _bounded(f"{where}{problem}{hint}")


def _bounded(message: str, limit: int = 300) -> str:
    return message if len(message) <= limit else f"{message[: limit - 3]}..."


# -- data -----------------------------------------------------------------------------------------


def schema_faults(model: Any, schema: Mapping[str, Any]) -> list[str]:
    """Everything in ``model`` that ``schema`` does not allow, each with its place in the file."""
    clean, faults = _text_keys(model, ())
    found = (fault for error in _errors(clean, schema) for fault in _sentences(error))
    faults += itertools.islice(found, MAX_FAULTS + 1)
    if len(faults) > MAX_FAULTS:
        faults = [*faults[:MAX_FAULTS], "and more: these first"]
    return faults


def prune(model: Any, schema: Mapping[str, Any]) -> tuple[dict[str, Any] | None, set[str]]:
    """What is left of ``model`` without the parts that ``schema`` does not allow.

    :returns: the rest, with an empty value for what is required and missing, or ``None`` where
        there is nothing to speak of; and the top-level keys that are missing or have lost more than
        keys nobody knows: what is said about those could be wrong.
    """
    rest = _text_keys(model, ())[0]
    if not isinstance(rest, dict):
        return None, set()
    damaged: set[str] = set()
    while bad := set(itertools.islice(_bad_places(rest, schema, damaged), MAX_FAULTS)):
        rest = _without(rest, bad)
    missing = set(schema["required"]) - rest.keys()
    return {**rest, **{key: {} for key in missing}}, damaged | missing


def _bad_places(
    model: dict[str, Any], schema: Mapping[str, Any], damaged: set[str]
) -> Iterator[Path]:
    """Where ``model`` has something that must go; ``damaged`` learns what loses parts by it."""
    for error in _errors(model, schema):
        path = tuple(error.absolute_path)
        if error.validator == "additionalProperties":
            yield from ((*path, key) for key in _unexpected(error))
            continue
        if "propertyNames" in error.absolute_schema_path:
            path = (*path, error.instance)
        if path:
            damaged.add(str(path[0]))
            yield path


def _without(value: Any, paths: Iterable[Path]) -> Any:
    """A copy of ``value`` without what is at ``paths``."""
    drop: dict[str | int, list[Path]] = {}
    for step, *rest in paths:
        drop.setdefault(step, []).append(tuple(rest))
    items = value.items() if isinstance(value, dict) else enumerate(value)
    kept = [
        (key, _without(item, drop[key]) if key in drop else item)
        for key, item in items
        if () not in drop.get(key, ())
    ]
    return dict(kept) if isinstance(value, dict) else [item for _, item in kept]


def _text_keys(value: Any, path: Path) -> tuple[Any, list[str]]:
    """``value`` with text for every key, and a fault for each key that was something else."""
    if isinstance(value, list):
        parts = [_text_keys(item, (*path, index)) for index, item in enumerate(value)]
        return [part for part, _ in parts], [fault for _, some in parts for fault in some]
    if not isinstance(value, dict):
        return value, []
    clean: dict[str, Any] = {}
    faults = []
    for key, item in value.items():
        name = key if isinstance(key, str) else str(key)
        if name is not key:
            kind = KINDS.get(type(key), f"a {type(key).__name__}")
            faults.append(
                f"{place((*path, name))}: the key is {kind}, not text: write it in quotes"
            )
        clean[name], some = _text_keys(item, (*path, name))
        faults += some
    return clean, faults


def _pattern(validator: Any, pattern: str, value: Any, schema: Any) -> Iterator[Error]:
    r"""``pattern`` with the ``$`` of JSON Schema: Python's would let a final ``\n`` pass."""
    if isinstance(value, str) and not re.search(re.sub(r"\$\Z", r"\\Z", pattern), value):
        yield jsonschema.ValidationError(f"{shown(value)} does not match {pattern}")


def _whole(checker: Any, value: Any) -> bool:
    """Whole numbers as people write them: 2.0 would end up as such in a configuration file."""
    return isinstance(value, int) and not isinstance(value, bool)


_Validator: Any = jsonschema.validators.extend(  # type: ignore[no-untyped-call]
    jsonschema.Draft202012Validator,
    {"pattern": _pattern},
    type_checker=jsonschema.Draft202012Validator.TYPE_CHECKER.redefine("integer", _whole),
)


def _errors(model: Any, schema: Mapping[str, Any]) -> Iterator[Error]:
    return iter(_Validator(schema).iter_errors(model))


def _unexpected(error: Error) -> list[str]:
    """Keys of ``error``'s mapping that its schema does not know."""
    known = error.schema.get("properties", {})
    patterns = error.schema.get("patternProperties", {})
    return [
        key
        for key in error.instance
        if key not in known and not any(re.search(p, key) for p in patterns)
    ]


def _sentences(error: Error) -> Iterator[str]:
    """``error`` in words that name the place, what is there and what could be."""
    path = tuple(error.absolute_path)
    where = place(path) or "the file"
    expected = error.schema.get("x-expected") if isinstance(error.schema, Mapping) else None
    if error.validator == "additionalProperties":
        known = list(error.schema.get("properties", {}))
        for key in _unexpected(error):
            hint = guess(key, known) or f" (known: {', '.join(known)})"
            yield _bounded(f"{place((*path, key))}: unknown key{hint}")
    elif error.validator == "required":
        missing = [k for k in error.validator_value if k not in error.instance]
        # jsonschema reports each missing key on its own: the message names which
        name = next(k for k in missing if repr(k) in error.message)
        yield f"{place((*path, name))}: is missing"
    elif "propertyNames" in error.absolute_schema_path:
        yield _bounded(f"{where}: the key {shown(error.instance)} is not {expected or 'text'}")
    elif error.validator == "enum":
        known = [str(value) for value in error.validator_value]
        hint = _misread(error.instance, known) or guess(str(error.instance), known)
        yield _bounded(f"{where}: {shown(error.instance)} is not one of {', '.join(known)}{hint}")
    elif expected:
        yield _bounded(f"{where}: {shown(error.instance)} is not {expected}")
    elif error.validator == "type":
        wanted = JSON_KINDS.get(str(error.validator_value), str(error.validator_value))
        keys = "" if path else f" ({', '.join(error.schema.get('required', ()))}, ...)"
        yield f"{where}: expected {wanted}{keys}, not {shown(error.instance)}"
    elif error.validator in LIMITS:
        yield f"{where}: {LIMITS[error.validator].format(error.validator_value)}"
    else:
        yield _bounded(f"{where}: {error.message}")


def _misread(value: Any, known: Iterable[str]) -> str:
    """What to do about a word that YAML takes for true or false."""
    words = [word for word in known if isinstance(value, bool) and yaml.safe_load(word) is value]
    return f"; YAML reads {words[0]} as {shown(value)}: write '{words[0]}'" if words else ""
