"""What a rule may say, as JSON Schema. ``python -m tools.docs`` writes it to schema/rule.json."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: Most that a budget can allow; a history keeps as many actions as this and no more.
MOST_ACTIONS = 1000
#: Characters of a text field whose rule sets no limit of its own.
TEXT_LIMIT = 300

_WORD: Mapping[str, Any] = {
    "type": "string",
    "pattern": "^[a-z][a-z0-9_-]{0,62}$",
    "x-expected": "a name (a-z, 0-9, -, _)",
}


def _seconds(description: str, default: int, least: int = 1, most: int = 86400) -> dict[str, Any]:
    return {
        "description": description,
        "type": "integer",
        "minimum": least,
        "maximum": most,
        "default": default,
    }


def _count(description: str, default: int, least: int = 1, most: int = 100) -> dict[str, Any]:
    return _seconds(description, default, least, most)


def _budget(description: str, actions: int, per: int, most: int) -> dict[str, Any]:
    return {
        "description": description,
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "actions": _count("So many, ...", actions, most=most),
            "per": _seconds("... in so many seconds.", per),
        },
    }


def _values(description: str) -> dict[str, Any]:
    """A mapping from fields to the values that are meant."""
    return {
        "description": description,
        "type": "object",
        "minProperties": 1,
        "x-key": "FIELD",
        "additionalProperties": {
            "type": "array",
            "minItems": 1,
            "uniqueItems": True,
            "items": {"$ref": "#/$defs/scalar"},
        },
    }


SCHEMA: Mapping[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "A rule of the reactor (reactor/<rule>.yaml)",
    "description": "What the cloud does by itself about one kind of event. The file's name is the "
    "rule's name everywhere. A rule is data: it holds no template and no code.",
    "type": "object",
    "additionalProperties": False,
    "required": ["summary", "tags", "source", "about", "ladder"],
    "properties": {
        "summary": {
            "description": "One line for people: what has happened when this rule is looked at.",
            "type": "string",
            "minLength": 3,
            "maxLength": 100,
        },
        "tags": {
            "description": "Tags of the events that it is about; `*` stands for one segment. What "
            "begins with `saltern/scan/` comes from the scan and is refused from the bus.",
            "type": "array",
            "minItems": 1,
            "uniqueItems": True,
            "items": {
                "type": "string",
                "maxLength": 100,
                "pattern": "^[a-z][a-z0-9_-]*(/(\\*|[a-z][a-z0-9_-]*))+$",
                "x-expected": "the tag of an event, such as saltern/node/*/service",
            },
        },
        "source": {
            "description": "Who may send the other tags. `node`: the minion whose id stands where "
            "the tag has its `*`; `master`: the master alone; `scan`: there are no other tags.",
            "enum": ["node", "master", "scan"],
        },
        "fields": {
            "description": "The fields of the event that it uses, each with its type. All must be "
            "there but those with a `default`; what else an event holds is dropped.",
            "type": "object",
            "default": {},
            "propertyNames": {"$ref": "#/$defs/word"},
            "x-key": "FIELD",
            "additionalProperties": {"$ref": "#/$defs/field"},
        },
        "about": {
            "description": "Which trouble it is. Events about the same trouble are copies.",
            "type": "object",
            "additionalProperties": False,
            "required": ["kind"],
            "properties": {
                "kind": {
                    "description": "The kind of trouble; rules with the same kind share it.",
                    "$ref": "#/$defs/word",
                },
                "subject": {
                    "description": "The field that names the service. Left out where the trouble "
                    "is the node itself.",
                    "$ref": "#/$defs/word",
                },
            },
        },
        "bad": _values(
            "It is a trouble when each of these fields (or `tag`) has one of its values. "
            "Default: always."
        ),
        "good": _values(
            "The trouble is over when each of these fields (or `tag`) has one of its values. "
            "Default: never."
        ),
        "skip": {
            "description": "Where the ladder begins for a value of a field: 1 leaves out the first "
            "rung.",
            "type": "object",
            "minProperties": 1,
            "x-key": "FIELD",
            "additionalProperties": {
                "type": "object",
                "minProperties": 1,
                "x-key": "VALUE",
                "additionalProperties": {"type": "integer", "minimum": 1, "maximum": 10},
            },
        },
        "ladder": {
            "description": "Operations, tried one after the other; after the last comes a human.",
            "type": "array",
            "maxItems": 10,
            "uniqueItems": True,
            "items": {"$ref": "#/$defs/word"},
        },
        "lane": {
            "description": "Whose workers do it. Lanes do not wait for one another.",
            "enum": ["services", "joins", "checks"],
            "default": "services",
        },
        "severity": {
            "description": "How urgent it is when a human is told.",
            "enum": ["notice", "warning", "critical"],
            "default": "warning",
        },
        "mode": {
            "description": "`armed`: it acts. `shadow`: it says what it would do. `off`: nothing. "
            "`reactor.rules` of the model overrides it.",
            "enum": ["armed", "shadow", "off"],
            "default": "shadow",
        },
        "guards": {
            "description": "The guard rails, where the defaults do not fit.",
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "window": _seconds(
                    "Seconds after a verified action in which a report of the same trouble counts "
                    "as a late copy, unless it was well in between.",
                    10,
                    0,
                ),
                "target": _budget(
                    "For one trouble, this many actions, and so many calls for a human.",
                    6,
                    600,
                    100,
                ),
                "overall": _budget(
                    "For all nodes together, this many of the operations on the ladder.",
                    30,
                    60,
                    MOST_ACTIONS,
                ),
                "backoff": {
                    "description": "How long to wait before the second, third, ... action.",
                    "type": "object",
                    "additionalProperties": False,
                    "properties": {
                        "first": _seconds("Seconds before the second action.", 1),
                        "factor": _count("Each further wait is so many times longer.", 2, most=10),
                        "most": _seconds("Seconds that no wait exceeds.", 300),
                    },
                },
                "breaker": {
                    "description": "When to stop trying and tell a human.",
                    "type": "object",
                    "additionalProperties": False,
                    "properties": {
                        "failures": _count("So many actions that did not help or last.", 4),
                        "stable": _seconds(
                            "Seconds without the trouble after which all is forgotten: the ladder "
                            "begins at its first rung, the breaker closes.",
                            600,
                        ),
                    },
                },
                "sick": {
                    "description": "Per cent of a group (three nodes or more) that must look sick "
                    "or silent for the reactor to suspect itself and do nothing. 101: never.",
                    "type": "integer",
                    "minimum": 1,
                    "maximum": 101,
                    "default": 55,
                },
            },
        },
    },
    "$defs": {
        "word": _WORD,
        "scalar": {
            "type": ["string", "integer", "boolean"],
            "x-expected": "text, a whole number, true or false",
        },
        "field": {
            "type": "object",
            "additionalProperties": False,
            "minProperties": 1,
            "properties": {
                "description": {"description": "One line for people.", "type": "string"},
                "type": {
                    "description": "Its type.",
                    "enum": ["string", "integer", "number", "boolean"],
                },
                "enum": {
                    "description": "The values that it can have.",
                    "type": "array",
                    "minItems": 1,
                    "uniqueItems": True,
                    "items": {"$ref": "#/$defs/scalar"},
                },
                "maxLength": {
                    "description": f"Characters of a text at most. Default: {TEXT_LIMIT}.",
                    "type": "integer",
                    "minimum": 1,
                    "maximum": 2000,
                },
                "minimum": {"description": "The least number.", "type": "number"},
                "maximum": {"description": "The greatest number.", "type": "number"},
                "default": {
                    "description": "Its value where an event lacks it.",
                    "$ref": "#/$defs/scalar",
                },
            },
        },
    },
}
