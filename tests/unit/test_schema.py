"""Reading a file that somebody wrote: everything is said, nothing is believed, nothing explodes."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
import support
from saltern import schema
from saltern.cloud import DEFAULT_OPTIONS

RULES = json.loads((support.ROOT / "schema/cloud.json").read_text())


def faults_in(**changes: Any) -> list[str]:
    return schema.schema_faults({**support.example("lab"), **changes}, RULES)


def nodes(**spec: Any) -> dict[str, Any]:
    return {"cmp9": {"roles": ["compute"], "addresses": {"management": "10.77.0.99"}, **spec}}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a: 1\na: 2", "a: is there twice, on lines 1 and 2"),
        ("n:\n  x: {r: 1}\n  x: {r: 2}", "n.x: is there twice, on lines 2 and 3"),
        ("a:\n\t- b", "line 2, column 1: found character '\\t' that cannot start any token "),
        ("a: [1", "line 1, column 6: expected ',' or ']'"),
        ("@", "line 1, column 1: found character '@'"),
        ("a: 1\n---\nb: 2", "line 2, column 1: but found another document"),
        ("a: !!int foo", "line 1, column 4: 'foo' is not a valid int"),
        ("a: 2026-99-99", "line 1, column 4: '2026-99-99' is not a valid timestamp"),
        ("!!python/object:os.system x", "line 1, column 1: could not determine a constructor"),
        ("? [a]\n: b", "line 1, column 3: found unhashable key"),
        ("a: &a [*a]", "line 1: a[0] contains itself"),
        ("\0", "character 0: special characters"),
        (b"\xff\xfe", "byte 0: the file is not UTF-8"),
        ("[" * 5000, "the file is nested too deeply"),
        ("a" * 1_000_001, "the file has 1000001 bytes"),
        ("- a\n" * 60_000, "line 50001: more than 50000 values"),
    ],
)
def test_what_is_wrong_with_the_text(text: str | bytes, fault: str) -> None:
    [found] = schema.parse(text)[1]
    assert found.startswith(fault)


def test_tabs_come_with_advice() -> None:
    assert schema.parse("a:\n\t- b")[1][0].endswith("(indent with spaces, not tabs)")


def test_aliases_cannot_multiply_without_end() -> None:
    names = "abcdefghi"
    bomb = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"{new}: &{new} [{', '.join([f'*{old}'] * 10)}]\n"
        for old, new in zip(names, names[1:], strict=False)
    )
    assert "with aliases written out" in schema.parse(bomb)[1][0]


def test_harmless_aliases_and_merges_are_read() -> None:
    text = "a: &a {x: 1}\nb: {<<: *a, y: 2}\nc: {<<: *a, <<: *a}\n"
    assert schema.parse(text) == ({"a": {"x": 1}, "b": {"x": 1, "y": 2}, "c": {"x": 1}}, [])


def test_nothing_is_nothing() -> None:
    assert schema.parse("# only words") == (None, [])
    assert schema.schema_faults(None, RULES) == [
        "the file: expected a mapping (name, networks, vips, nodes, ...), not nothing"
    ]


@pytest.mark.parametrize(
    "junk", ["x" * 1_000_000, "[" * 1_000_000, "- a\n" * 250_000, "\n- ?{" * 250_000]
)
def test_a_megabyte_of_junk_gets_a_short_answer_soon(junk: str) -> None:
    began = time.monotonic()
    data, found = schema.parse(junk)
    found = found or schema.schema_faults(data, RULES)
    assert found and all(len(fault) <= 300 for fault in found)
    assert time.monotonic() - began < 60  # a hang, not a speed: the limits make it about a second


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"nodez": {}}, "nodez: unknown key; did you mean 'nodes'?"),
        ({"zzz": {}}, "zzz: unknown key (known: name, region, "),
        ({"name": "Lab"}, "name: 'Lab' is not a short lower-case name"),
        ({"name": "lab\n"}, "name: 'lab\\n' is not a short lower-case name"),
        ({"endpoints": "keepalive"}, "did you mean 'keepalived'?"),
        ({"vips": {"public": "10.77.0.9"}}, "vips.internal: is missing"),
        ({"vips": {"internal": "10.77.0.256"}}, "vips.internal: '10.77.0.256' is not an IPv4"),
        ({"vips": {"internal": "10.77.0.١"}}, "is not an IPv4 address"),
        ({"nodes": []}, "nodes: expected a mapping, not a list"),
        ({"nodes": {}}, "nodes: needs at least 1 of them"),
        ({"nodes": {"a;reboot": nodes()["cmp9"]}}, "nodes: the key 'a;reboot' is not a host name"),
        ({"nodes": {"{{ x }}": nodes()["cmp9"]}}, "nodes: the key '{{ x }}' is not a host name"),
        ({"nodes": {"ctl1\n": nodes()["cmp9"]}}, "nodes: the key 'ctl1\\n' is not a host name"),
        ({"nodes": {7: nodes()["cmp9"]}}, "nodes.7: the key is a number, not text"),
        ({"nodes": {(1, 2): nodes()["cmp9"]}}, "nodes['(1, 2)']: the key is a tuple, not text"),
        ({"nodes": nodes(roles="compute")}, "nodes.cmp9.roles: expected a list, not 'compute'"),
        ({"nodes": nodes(roles=["compute"] * 2)}, "nodes.cmp9.roles: names something twice"),
        ({"nodes": nodes(role=1)}, "nodes.cmp9.role: unknown key; did you mean 'roles'?"),
        ({"options": {"workers": 2.0}}, "options.workers: 2.0 is not auto or a number"),
        ({"options": {"cache_memory": 64.0}}, "options.cache_memory: expected a whole number"),
        ({"options": {"cache_memory": 1}}, "options.cache_memory: is less than 16"),
        ({"config": {"nova.conf": {"DEFAULT": {"a": "1\nb=2"}}}}, "is not one line of text"),
        ({"config": {"nova.conf": {"a]": {}}}}, "the key 'a]' is not the name of a section"),
        ({"config": {"../x": {}}}, "config: the key '../x' is not the base name"),
    ],
)
def test_what_is_wrong_with_the_data(changes: dict[str, Any], fault: str) -> None:
    assert any(fault in found for found in faults_in(**changes)), faults_in(**changes)


def test_every_fault_is_named_at_once() -> None:
    found = faults_in(name=1, vips={}, nodes={"a b": {"roles": []}}, options={"cpu": "x"})
    assert [fault.split(":")[0] for fault in found] == [
        "name",
        "vips.internal",
        "nodes",
        "nodes['a b'].addresses",
        "nodes['a b'].roles",
        "options.cpu",
    ]


def test_a_rule_without_words_of_its_own_is_still_explained() -> None:
    assert schema.schema_faults({"a": 3}, {"properties": {"a": {"multipleOf": 2}}}) == [
        "a: 3 is not a multiple of 2"
    ]


def test_ten_thousand_faults_are_a_hundred() -> None:
    found = faults_in(nodes={f"n_{i}": {} for i in range(5000)})
    assert len(found) == schema.MAX_FAULTS + 1 and found[-1] == "and more: these first"


def test_pruning_keeps_what_is_right_and_tells_what_lost_parts() -> None:
    model = {**support.example("lab"), "nodez": 1, "region": 7, "name": None}
    model["nodes"]["cmp1"]["roles"] = "compute"
    model["nodes"]["a b"] = model["nodes"]["cmp2"]
    model["options"]["colour"] = "blue"
    del model["vips"]
    rest, damaged = schema.prune(model, RULES)
    assert rest is not None
    assert damaged == {"region", "name", "vips", "nodes"}
    assert list(rest["nodes"]) == ["lb1", "lb2", "ctl1", "ctl2", "ctl3", "cmp2"]
    assert "colour" not in rest["options"] and "nodez" not in rest and "region" not in rest


def test_pruning_drops_items_of_lists() -> None:
    model = support.example("lab")
    model["nodes"]["cmp1"]["roles"] = ["compute", 3, "endpoint"]
    rest, _ = schema.prune(model, RULES)
    assert rest is not None and rest["nodes"]["cmp1"]["roles"] == ["compute", "endpoint"]


def test_of_a_list_nothing_is_left() -> None:
    assert schema.prune([], RULES) == (None, set())


def test_long_values_are_cut() -> None:
    assert schema.shown("x" * 999).endswith("...")
    assert len(faults_in(name="x" * 9999)[0]) < 200
    assert len(faults_in(**{"x" * 9999: 1})[0]) <= 300


def test_the_schema_and_the_options_agree() -> None:
    described = RULES["properties"]["options"]["properties"]
    defaults = {k: v["default"] for k, v in described.items() if "default" in v}
    assert defaults == {k: v for k, v in DEFAULT_OPTIONS.items() if k in defaults}
    assert set(DEFAULT_OPTIONS) <= set(described)
