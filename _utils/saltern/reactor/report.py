"""From an event on the bus to a typed report, or to a rejection with its reason.

Whoever can send an event may be broken or hostile. What arrives here is data of any shape; what
leaves is text and numbers of the types and sizes that a rule names. Nothing here raises.
"""

from __future__ import annotations

import math
import re
from collections.abc import Container, Iterable, Mapping
from typing import Any

from saltern import schema
from saltern.reactor.rules import SCAN_PREFIX, TEMPLATE, Rule, source_of
from saltern.reactor.terms import Rejected, Report

#: Characters of a tag or an id; both are names, and Salt's own are far shorter.
MAX_NAME = 253
#: Fields of an event. Salt's own events have ten; a report has nine.
MAX_FIELDS = 64
#: Characters of a text, whatever its rule allows.
MAX_TEXT = 2000
#: Characters of an unreadable thing that are kept for people.
SHOWN = 80
#: Whole numbers that a database and JSON can hold.
MAX_NUMBER = 2**53

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@:-]*")
#: Control characters (C0, DEL, C1), halves of characters, and what breaks a line elsewhere.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029]")


def read(
    tag: object,
    raw: object,
    rules: Mapping[str, Rule],
    known: Container[str],
    *,
    source: str = "bus",
) -> Report | Rejected | None:
    """The report that an event is, why it must not be one, or ``None`` where no rule wants it.

    :param raw: the event's data as it came: of a minion ``{"id": .., "data": {..}, ..}``.
    :param known: ids whose key the master has accepted.
    :param source: ``bus``, or ``scan`` for what the reactor itself found (``{"id": .., "data":
        {..}}`` with ``id`` ``""`` for what concerns the whole cloud).
    """
    if not isinstance(tag, str) or len(tag) > MAX_NAME:
        return Rejected(_shown(tag), "", "the tag is no name")
    scanned = source == "scan"
    segments = tuple(tag.split("/"))
    rule, named = _rule_of(segments, rules.values())
    if rule is None:
        # Nobody but the reactor has any business below this prefix, with a rule or without.
        forged = tag.startswith(SCAN_PREFIX) and not scanned
        return Rejected(_shown(tag), "", "only the scan may say this") if forged else None
    if not isinstance(raw, Mapping):
        return Rejected(_shown(tag), "", _no_mapping("event", raw))
    node: Any = raw.get("id")
    reason = _stranger(tag, raw, rule, named, known, scanned)
    if not reason:
        data = raw if source_of(rule, tag) == "master" else raw.get("data")
        body, reason = _body(data, rule, scanned)
        if not reason:
            return Report(0, 0.0, tag, node, source_of(rule, tag), rule.name, body)
    return Rejected(_shown(tag), _shown(node) if isinstance(node, str) else "", reason)


def tidy(text: str, limit: int) -> str:
    """``text`` as a report may carry it: one printable line of at most ``limit`` characters.

    For whoever makes a report out of what a program printed.
    """
    line = " ".join(_UNPRINTABLE.sub(" ", text[: 4 * limit]).split())
    while found := TEMPLATE.search(line):
        line = f"{line[: found.start() + 1]} {line[found.start() + 1 :]}"
    return line if len(line) <= limit else f"{line[: limit - 3]}..."[:limit]


def _rule_of(segments: tuple[str, ...], rules: Iterable[Rule]) -> tuple[Rule | None, str]:
    """The rule whose tag fits, and what stands where that has its ``*``."""
    for rule in rules:
        for pattern in rule.patterns:
            if len(pattern) == len(segments) and all(
                wanted in ("*", got) for wanted, got in zip(pattern, segments, strict=True)
            ):
                return rule, segments[pattern.index("*")] if "*" in pattern else ""
    return None, ""


def _stranger(
    tag: str,
    raw: Mapping[Any, Any],
    rule: Rule,
    named: str,
    known: Container[str],
    scanned: bool,
) -> str:
    """Why the sender may not say this; empty where it may."""
    wanted = source_of(rule, tag)
    if (wanted == "scan") != scanned:
        return "only the scan may say this" if wanted == "scan" else "the scan does not say this"
    node = raw.get("id")
    if node == "" and scanned:
        return ""
    if not isinstance(node, str) or len(node) > MAX_NAME or not _ID.fullmatch(node):
        return "the id is no id of a minion"
    if wanted == "node" and node != named:
        return "the tag names another node than the one that sent it"
    if wanted == "node" and node not in known:
        return "the master has not accepted this node's key"
    # A minion can send any tag; what it sends comes wrapped with the command it used.
    if wanted == "master" and "cmd" in raw:
        return "a minion sent what only the master may say"
    return ""


def _body(data: object, rule: Rule, scanned: bool) -> tuple[dict[str, Any], str]:
    """The fields that ``rule`` names, or what is wrong with them."""
    if not rule.fields:
        return {}, ""
    if not isinstance(data, Mapping):
        return {}, _no_mapping("data", data)
    if len(data) > MAX_FIELDS:
        return {}, f"the data has more than {MAX_FIELDS} fields"
    if not all(isinstance(key, str) for key in data):
        return {}, "the data has keys that are not text"
    body = {**rule.defaults, **{name: data[name] for name in rule.fields if name in data}}
    for name, value in body.items():
        if isinstance(value, str) and scanned:
            body[name] = tidy(value, int(rule.body["properties"][name].get("maxLength", SHOWN)))
        elif fault := _unclean(value):
            return {}, f"{name}: {fault}"
    found = schema.schema_faults(body, rule.body)
    return (body, "") if not found else ({}, _shown(found[0], 4 * SHOWN))


def _unclean(value: object) -> str:
    """What is wrong with a value whatever the rule says; empty when nothing is."""
    if isinstance(value, str):
        if len(value) > MAX_TEXT:
            return f"is longer than {MAX_TEXT} characters"
        if _UNPRINTABLE.search(value):
            return "has characters that do not print"
        return "has the beginning of a template" if TEMPLATE.search(value) else ""
    if isinstance(value, float):
        return "" if math.isfinite(value) else "is no number"
    if isinstance(value, int):
        return "" if abs(value) <= MAX_NUMBER else "is too large a number"
    return f"is {schema.KINDS.get(type(value), 'of no known type')}"


def _no_mapping(what: str, value: object) -> str:
    return f"the {what} is {schema.KINDS.get(type(value), 'something')}, not a mapping"


def _shown(value: object, limit: int = SHOWN) -> str:
    """Something of a stranger's, for people: short, and nothing that moves their cursor."""
    return tidy(value if isinstance(value, str) else type(value).__name__, limit)
