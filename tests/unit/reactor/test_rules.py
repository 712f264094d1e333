"""Rules are read, or everything that is wrong with them is said; one never stops another."""
# ruff: noqa: E501 - a table reads better with one case to a line

from __future__ import annotations

import json
import re
import textwrap
from typing import Any

import pytest
import saltern_store
import support
import yaml
from saltern.reactor import grammar, operations, rules
from saltern.reactor.rules import Budget, Guards

from tools import lint

GOOD: dict[str, Any] = {
    "summary": "A service stopped",
    "tags": ["saltern/node/*/service"],
    "source": "node",
    "fields": {"service": {"type": "string"}, "status": {"enum": ["ok", "down", "looping"]}},
    "about": {"kind": "service", "subject": "service"},
    "bad": {"status": ["down", "looping"]},
    "good": {"status": ["ok"]},
    "skip": {"status": {"looping": 1}},
    "ladder": ["restart", "reapply"],
}
SHIPPED = saltern_store.Store(support.ROOT).rules()


def text(**changes: Any) -> str:
    made = {**GOOD, **changes}
    return yaml.safe_dump({k: v for k, v in made.items() if v is not None})


def faults_of(source: str | bytes, name: str = "x") -> list[str]:
    found, faults = rules.read({name: source})
    assert bool(found) != bool(faults)
    return faults


def test_the_shipped_rules_are_read_and_armed() -> None:
    found, faults = rules.read(SHIPPED)
    assert faults == []
    assert sorted(found) == [
        "backend-missing",
        "member-missing",
        "node-gone",
        "node-new",
        "node-started",
        "report-overflow",
        "service-drift",
        "service-failed",
    ]
    assert {rule.mode for rule in found.values()} == {"armed"}
    assert {name for rule in found.values() for name in rule.ladder} <= set(operations.OPERATIONS)


def test_every_operation_that_a_ladder_may_name_can_be_done() -> None:
    assert set(rules.OPERATIONS) == set(operations.OPERATIONS)


def test_a_rule_says_what_it_was_told_and_has_defaults_for_the_rest() -> None:
    [rule] = rules.read({"x": text()})[0].values()
    assert rule.name == "x" and rule.mode == "shadow" and rule.severity == "warning"
    assert rule.bad == {"status": ("down", "looping")} and rule.skip == {"status": {"looping": 1}}
    assert rule.guards == Guards() and rule.lane == "services"
    said = {
        "window": 3,
        "target": {"actions": 2},
        "overall": {"per": 7},
        "backoff": {"first": 5, "factor": 3, "most": 40},
        "breaker": {"failures": 9, "stable": 30},
        "sick": 70,
    }
    [rule] = rules.read({"x": text(guards=said)})[0].values()
    assert rule.guards == Guards(3, Budget(2, 600), Budget(30, 7), 5, 3, 40, 9, 30, 70)
    assert [rule.guards.pause_after(n) for n in (1, 2, 3, 500)] == [5, 15, 40, 40]


def test_the_defaults_of_the_schema_are_those_of_the_code() -> None:
    parts = grammar.SCHEMA["properties"]["guards"]["properties"]
    said = {
        name: {k: v["default"] for k, v in part["properties"].items()}
        if "properties" in part
        else part["default"]
        for name, part in parts.items()
    }
    [rule] = rules.read({"x": text(guards=said)})[0].values()
    assert rule.guards == Guards()


def test_a_faulty_rule_is_left_out_and_the_others_stay() -> None:
    found, faults = rules.read({"a": text(ladder=["explode"]), "b": text(), "c": "{"})
    assert list(found) == ["b"]
    assert faults[0].startswith("reactor/a.yaml: ladder[0]: explode is no operation")
    assert faults[1].startswith("reactor/c.yaml: line 1")
    assert rules.faults({"a": text(), "b": "{"}) == rules.read({"b": "{"})[1]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"ladder": ["restart", "reaply"]}, "ladder[1]: reaply is no operation; did you mean 're"),
        ({"ladder": ["restart", "restart"]}, "ladder: names something twice"),
        ({"ladder": ["restart"], "skip": {"status": {"looping": 2}}}, "the ladder has no rung 2"),
        ({"about": {"kind": "service", "subject": "servce"}}, "about.subject: servce is not in fi"),
        ({"fields": {"service": {"type": "integer"}, "status": {"enum": ["ok", "down", "looping"]}}},
         "about.subject: service is not text"),
        ({"fields": {"service": {"enum": ["a", 1]}, "status": {"enum": ["ok", "down", "looping"]}}},
         "about.subject: service is not text"),
        ({"bad": {"state": ["down"]}}, "bad.state: is not in fields; did you mean 'status'?"),
        ({"bad": {"status": ["dwn"]}}, "bad.status: 'dwn' is not one of ok, down, looping"),
        ({"good": {"stat": ["ok"]}}, "good.stat: is not in fields"),
        ({"skip": {"stat": {"looping": 1}}}, "skip.stat: is not in fields"),
        ({"skip": {"status": {"lopping": 1}}}, "skip.status: 'lopping' is not one of"),
        ({"bad": None}, "good: a report could be bad and good at once"),
        ({"good": {"status": ["ok", "down"]}}, "good: a report could be bad and good at once"),
        ({"bad": {"tag": ["a/b"]}}, "bad.tag: 'a/b' is not one of saltern/node/*/service"),
        ({"fields": {**GOOD["fields"], "tag": {"type": "string"}}}, "every event has one already"),
        ({"fields": {**GOOD["fields"], "n": {"type": "integer", "enum": [1]}}}, "either a type or"),
        ({"fields": {**GOOD["fields"], "n": {"maximum": 3}}}, "fields.n: needs either a type or an"),
        ({"fields": {**GOOD["fields"], "n": {"type": "integer", "default": "x"}}},
         "fields.n.default: n: expected a whole number"),
        ({"fields": {**GOOD["fields"], "n": {"type": "array"}}}, "fields.n.type: 'array' is not one"),
        ({"tags": ["saltern/node/service"]}, "needs one * where the node's id stands"),
        ({"tags": ["saltern/*/*/service"]}, "needs one * where the node's id stands"),
        ({"source": "master"}, "tags[0]: saltern/node/*/service of source master needs no *"),
        ({"tags": ["saltern/scan/*"]}, "tags[0]: saltern/scan/* of source node needs no *"),
        ({"source": "scan", "tags": ["a/b"]}, "source: scan cannot send a/b"),
        ({"tags": ["saltern/scan/x"]}, "source: node is not needed for saltern/scan/x"),
        ({"tags": ["A B"]}, "tags[0]: 'A B' is not the tag of an event"),
        ({"summary": "{{ 7 * 7 }}"}, "'{{' begins a template: a rule is data"),
        ({"summary": "{% if x %}"}, "'{%' begins a template"),
        ({"summary": "run ${HOME}"}, "'${' begins a template"),
        ({"summary": "{# no #}"}, "'{#' begins a template"),
        ({"colour": "red"}, "colour: unknown key"),
        ({"mode": "armd"}, "mode: 'armd' is not one of armed, shadow, off; did you mean 'armed'?"),
        ({"about": None}, "about: is missing"),
        ({"guards": {"target": {"actions": 101}}}, "guards.target.actions: is more than 100"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_place(changes: dict[str, Any], said: str) -> None:
    faults = faults_of(text(**changes))
    assert any(said in fault for fault in faults), faults
    assert all(fault.startswith("reactor/x.yaml: ") for fault in faults)


def test_a_template_in_a_comment_or_in_bytes_is_a_fault() -> None:
    assert "line 1: '{{' begins a template" in faults_of("# {{ x }}\n" + text())[0]
    assert "line 1: '${' begins" in faults_of(b"# ${x}\n" + text().encode())[0]


@pytest.mark.parametrize("source", ["", "# nothing\n", "[]", "a", b"\xff\xfe\x00", "x" * 2_000_000])
def test_text_that_is_no_rule_gets_a_sentence(source: str | bytes) -> None:
    assert all(len(fault) < 400 for fault in faults_of(source))


def test_a_key_that_is_there_twice_is_a_fault() -> None:
    assert "is there twice" in faults_of(text() + "mode: armed\nmode: off\n")[0]


def test_a_file_needs_a_name_for_a_rule() -> None:
    assert "'My rule' is not a name for a rule" in faults_of(text(), "My rule")[0]


def test_a_tag_has_one_rule() -> None:
    other = text(tags=["saltern/*/a/service"], good=None, bad=None, skip=None)
    longer = text(tags=["saltern/node/*/service/more"])
    found, faults = rules.read({"a": text(), "b": other, "c": longer})
    assert list(found) == ["a", "c"]
    assert faults == [
        "reactor/b.yaml: tags: saltern/*/a/service is a matter of reactor/a.yaml already"
    ]


@pytest.mark.parametrize(
    ("own", "modes", "mode"),
    [
        ("armed", {}, "armed"),
        ("armed", {"x": "shadow"}, "shadow"),
        ("shadow", {"x": "armed"}, "armed"),
        ("shadow", {"*": "armed"}, "shadow"),
        ("armed", {"*": "shadow"}, "shadow"),
        ("armed", {"*": "off", "x": "armed"}, "off"),
        ("off", {"*": "shadow"}, "off"),
    ],
)
def test_the_model_overrides_a_mode_and_limits_all(own: str, modes: Any, mode: str) -> None:
    [rule] = rules.read({"x": text(mode=own)}, modes)[0].values()
    assert rule.mode == mode


def test_a_mode_for_no_rule_is_a_fault() -> None:
    assert rules.faults({"service-failed": text()}, {"service-faild": "off"}) == [
        "reactor.rules.service-faild: there is no such rule; did you mean 'service-failed'?"
    ]
    assert rules.faults({"a": text()}, {"zzz": "off"})[0].endswith("(known: a)")


def test_modes_come_from_the_model() -> None:
    assert rules.modes({}) == {"*": "armed"}
    section = {"mode": "shadow", "rules": {"a": {"mode": "off"}, "b": {}}}
    assert rules.modes({"reactor": section}) == {"*": "shadow", "a": "off"}


def test_prefixes_are_what_tags_begin_with() -> None:
    found = rules.read({"x": text(), "y": text(tags=["salt/key"], source="master")})[0]
    assert rules.prefixes(found) == ("salt/key", "saltern/node/")
    assert rules.prefixes({}) == ()


def test_the_published_schema_is_the_one_in_use() -> None:
    published = json.loads((support.ROOT / "schema/rule.json").read_text())
    assert published == grammar.SCHEMA, "run: python -m tools.docs"


def test_the_rule_of_the_howto_is_one() -> None:
    page = (support.ROOT / "docs/howto/write-a-rule.md").read_text()
    block = page.partition("`reactor/backup-stopped.yaml`\n\n")[2].partition("\n\n- ")[0]
    found, faults = rules.read({**SHIPPED, "backup-stopped": textwrap.dedent(block)})
    assert faults == [] and found["backup-stopped"].mode == "shadow"
    named = re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)
    assert set(named) == set(rules.OPERATIONS)


@pytest.mark.parametrize("name", SHIPPED)
def test_the_shipped_rules_pass_the_lint(name: str) -> None:
    assert list(lint.check(f"reactor/{name}.yaml", SHIPPED[name].decode())) == []
