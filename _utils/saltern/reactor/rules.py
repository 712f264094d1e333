"""Rules: what the cloud does by itself about which event, read from ``reactor/*.yaml``.

A rule is data. What is wrong with one is said with file and place, and the rule is left out: a
typing error in one file never stops the others.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from typing import Any, Literal

from saltern import schema
from saltern.reactor.grammar import SCHEMA, TEXT_LIMIT
from saltern.reactor.terms import Mode, Severity, Source

Lane = Literal["services", "joins", "checks"]

#: Tags that only the reactor itself puts into the journal.
SCAN_PREFIX = "saltern/scan/"
#: What a template begins with, in any of the languages that Salt renders.
TEMPLATE = re.compile(r"\{\{|\{%|\{#|\$\{")
#: The name under which ``bad``, ``good`` and ``skip`` can ask for the event's tag.
TAG = "tag"
#: The key of ``modes`` that stands for all rules: none does more than it allows.
EVERY_RULE = "*"
_QUIETEST: tuple[Mode, ...] = ("off", "shadow", "armed")


@dataclass(frozen=True)
class Operation:
    """What the guard rails have to know of a rung."""

    #: It takes a service of the node away for a moment, or changes what runs there.
    disrupts: bool = False
    #: It works through the node's own agent, which therefore must be heard of.
    inside: bool = False
    #: A member of a quorum must not be touched by it unless all the others are well.
    quorate: bool = False
    #: It keeps a trouble from spreading, and does not take it away.
    contains: bool = False


#: What can be on a ladder; done by :mod:`saltern.reactor.operations`.
OPERATIONS: Mapping[str, Operation] = {
    "restart": Operation(disrupts=True, inside=True, quorate=True),
    "reapply": Operation(disrupts=True, inside=True, quorate=True),
    "isolate": Operation(disrupts=True, quorate=True, contains=True),
    # It looks at all members and refuses by itself: it is for when they are not well.
    "form": Operation(disrupts=True, inside=True),
    "admit": Operation(inside=True),
    "look": Operation(inside=True),
    "mark_gone": Operation(contains=True),
    "join": Operation(inside=True),
}


@dataclass(frozen=True)
class Budget:
    """At most ``actions`` within any ``per`` seconds."""

    actions: int
    per: int


@dataclass(frozen=True)
class Guards:
    """The numbers of a rule's guard rails; seconds, counts and one percentage."""

    window: int = 10
    target: Budget = Budget(6, 600)
    overall: Budget = Budget(30, 60)
    first: int = 1
    factor: int = 2
    most: int = 300
    failures: int = 4
    stable: int = 600
    sick: int = 55

    def pause_after(self, actions: int) -> float:
        """Seconds to wait before the next action after ``actions`` that did not help or last."""
        # The exponent has a limit: beyond it every factor but 1 has long reached `most`.
        return min(self.first * float(self.factor) ** min(actions - 1, 60), self.most)


@dataclass(frozen=True)
class Rule:
    """One file of ``reactor/``."""

    name: str
    summary: str
    tags: tuple[str, ...]
    source: Source
    fields: Mapping[str, Mapping[str, Any]]
    about: Mapping[str, str]
    bad: Mapping[str, tuple[Any, ...]]
    good: Mapping[str, tuple[Any, ...]]
    skip: Mapping[str, Mapping[str, int]]
    ladder: tuple[str, ...]
    lane: Lane
    severity: Severity
    mode: Mode
    guards: Guards = field(default_factory=Guards)

    @cached_property
    def patterns(self) -> tuple[tuple[str, ...], ...]:
        """Its tags in segments."""
        return tuple(tuple(tag.split("/")) for tag in self.tags)

    @cached_property
    def body(self) -> Mapping[str, Any]:
        """JSON Schema of what a report of this rule holds."""
        return {
            "type": "object",
            "required": [name for name, spec in self.fields.items() if "default" not in spec],
            "properties": {name: _bounded(spec) for name, spec in self.fields.items()},
        }

    @cached_property
    def defaults(self) -> Mapping[str, Any]:
        """Field -> its value where an event lacks it."""
        return {n: spec["default"] for n, spec in self.fields.items() if "default" in spec}


def _bounded(spec: Mapping[str, Any]) -> dict[str, Any]:
    """A field's schema, with a limit for what could be as long as it likes."""
    bounded = dict(spec)
    if "enum" not in spec and spec["type"] == "string":
        bounded.setdefault("maxLength", TEXT_LIMIT)
    return bounded


def read(
    texts: Mapping[str, str | bytes], modes: Mapping[str, Mode] | None = None
) -> tuple[dict[str, Rule], list[str]]:
    """The rules in ``texts`` (file's stem -> its text), and everything that is wrong with them.

    :param modes: rule -> mode, over the rule's own; ``*`` -> the most that any rule may do
        (:func:`modes`).
    """
    modes = modes or {}
    rules: dict[str, Rule] = {}
    faults: list[str] = []
    for name, text in sorted(texts.items()):
        data, found = _examine(name, text)
        if not found:
            rule = _made(name, data, modes)
            found = list(_clashes(rule, rules))
            if not found:
                rules[name] = rule
        faults += [f"reactor/{name}.yaml: {fault}" for fault in found]
    for name in sorted(modes.keys() - texts.keys() - {EVERY_RULE}):
        hint = schema.guess(name, texts) or f" (known: {', '.join(sorted(texts))})"
        faults.append(f"reactor.rules.{name}: there is no such rule{hint}")
    return rules, faults


def faults(texts: Mapping[str, str | bytes], modes: Mapping[str, Mode] | None = None) -> list[str]:
    """Everything that is wrong with the rules in ``texts``, each with file and place."""
    return read(texts, modes)[1]


def modes(model: Mapping[str, Any]) -> dict[str, Mode]:
    """What the section ``reactor`` of the model says about modes, for :func:`read`."""
    section = model.get("reactor", {})
    found = {
        name: spec["mode"] for name, spec in section.get("rules", {}).items() if "mode" in spec
    }
    return {**found, EVERY_RULE: section.get("mode", "armed")}


def prefixes(rules: Mapping[str, Rule]) -> tuple[str, ...]:
    """What the tags of ``rules`` begin with: the first, cheap look at an event."""
    tags = [tag for rule in rules.values() for tag in rule.tags]
    return tuple(sorted({tag.partition("*")[0] for tag in tags}))


def source_of(rule: Rule, tag: str) -> Source:
    """Who may send ``tag``, which is one of ``rule``."""
    return "scan" if tag.startswith(SCAN_PREFIX) else rule.source


# -- one file -------------------------------------------------------------------------------------


def _examine(name: str, text: str | bytes) -> tuple[Any, list[str]]:
    """The data of one file, and everything that is wrong with it on its own."""
    data, faults = schema.parse(text)
    if data is None and not faults:
        faults = ["is empty"]
    elif data is not None:
        faults += schema.schema_faults(data, SCHEMA)
    if not re.fullmatch(r"[a-z][a-z0-9_-]{0,62}", name):
        faults.append(f"{schema.shown(name)} is not a name for a rule (a-z, 0-9, -, _)")
    faults += _templates(text)
    if not faults:
        faults = [fault for check in CHECKS for fault in check(data)]
    return data, faults


def _templates(text: str | bytes) -> Iterator[str]:
    shown = text if isinstance(text, str) else text.decode(errors="replace")
    for number, line in enumerate(shown.splitlines(), 1):
        found = TEMPLATE.search(line)
        if found:
            yield f"line {number}: {found.group()!r} begins a template: a rule is data"


def _tag_faults(data: Mapping[str, Any]) -> Iterator[str]:
    others = [tag for tag in data["tags"] if not tag.startswith(SCAN_PREFIX)]
    stars = {"node": 1}.get(data["source"], 0)
    for index, tag in enumerate(data["tags"]):
        wanted = stars if tag in others else 0
        if tag.count("*") != wanted:
            which = "one * where the node's id stands" if wanted else "no *"
            yield f"tags[{index}]: {tag} of source {data['source']} needs {which}"
    if bool(others) == (data["source"] == "scan"):
        which = "cannot send" if others else "is not needed for"
        yield f"source: {data['source']} {which} {', '.join(others or data['tags'])}"


def _field_faults(data: Mapping[str, Any]) -> Iterator[str]:
    fields = data.get("fields", {})
    if TAG in fields:
        yield f"fields.{TAG}: every event has one already"
    for name, spec in fields.items():
        if ("type" in spec) == ("enum" in spec):
            yield f"fields.{name}: needs either a type or an enum"
        elif "default" in spec:
            wrong = schema.schema_faults({name: spec["default"]}, {"properties": {name: spec}})
            yield from (f"fields.{name}.default: {fault}" for fault in wrong)
    subject = data["about"].get("subject")
    if subject is not None and subject not in fields:
        yield f"about.subject: {subject} is not in fields{schema.guess(subject, fields)}"
    elif subject is not None and not _is_text(fields[subject]):
        yield f"about.subject: {subject} is not text"


def _is_text(spec: Mapping[str, Any]) -> bool:
    return spec.get("type") == "string" or all(isinstance(v, str) for v in spec.get("enum", [0]))


def _value_faults(data: Mapping[str, Any]) -> Iterator[str]:
    fields = data.get("fields", {})
    allowed = {TAG: {"enum": data["tags"]}, **fields}
    for part in ("bad", "good", "skip"):
        for name, values in data.get(part, {}).items():
            if name not in allowed:
                yield f"{part}.{name}: is not in fields{schema.guess(name, allowed)}"
                continue
            for value in values:
                known = allowed[name].get("enum")
                if known is not None and value not in known:
                    yield (
                        f"{part}.{name}: {schema.shown(value)} is not one of "
                        f"{', '.join(map(str, known))}"
                    )
    bad, good = data.get("bad", {}), data.get("good", {})
    both = bad.keys() & good.keys()
    if good and not any(set(bad[name]).isdisjoint(good[name]) for name in both):
        yield "good: a report could be bad and good at once: name other values of the same field"


def _ladder_faults(data: Mapping[str, Any]) -> Iterator[str]:
    for index, name in enumerate(data["ladder"]):
        if name not in OPERATIONS:
            hint = schema.guess(name, OPERATIONS) or f" (known: {', '.join(OPERATIONS)})"
            yield f"ladder[{index}]: {name} is no operation{hint}"
    for name, rungs in data.get("skip", {}).items():
        for value, rung in rungs.items():
            if rung > len(data["ladder"]):
                yield f"skip.{name}.{value}: the ladder has no rung {rung}"


CHECKS = (_tag_faults, _field_faults, _value_faults, _ladder_faults)


def _clashes(rule: Rule, others: Mapping[str, Rule]) -> Iterator[str]:
    """A tag has one rule: two would act on one event."""
    for other in others.values():
        for mine, theirs in product(rule.patterns, other.patterns):
            if len(mine) == len(theirs) and all(
                a == b or "*" in (a, b) for a, b in zip(mine, theirs, strict=True)
            ):
                yield f"tags: {'/'.join(mine)} is a matter of reactor/{other.name}.yaml already"


def _made(name: str, data: Mapping[str, Any], modes: Mapping[str, Mode]) -> Rule:
    """The rule in ``data``, which is as the schema says."""
    own: Mode = modes.get(name, data.get("mode", "shadow"))
    return Rule(
        name=name,
        summary=data["summary"],
        tags=tuple(data["tags"]),
        source=data["source"],
        fields=data.get("fields", {}),
        about=data["about"],
        bad={key: tuple(values) for key, values in data.get("bad", {}).items()},
        good={key: tuple(values) for key, values in data.get("good", {}).items()},
        skip=data.get("skip", {}),
        ladder=tuple(data["ladder"]),
        lane=data.get("lane", "services"),
        severity=data.get("severity", "warning"),
        mode=min(own, modes.get(EVERY_RULE, "armed"), key=_QUIETEST.index),
        guards=_guards(data.get("guards", {})),
    )


def _guards(said: Mapping[str, Any]) -> Guards:
    default = Guards()
    target = {"actions": default.target.actions, "per": default.target.per}
    overall = {"actions": default.overall.actions, "per": default.overall.per}
    return Guards(
        window=said.get("window", default.window),
        target=Budget(**{**target, **said.get("target", {})}),
        overall=Budget(**{**overall, **said.get("overall", {})}),
        **said.get("backoff", {}),
        **said.get("breaker", {}),
        sick=said.get("sick", default.sick),
    )
