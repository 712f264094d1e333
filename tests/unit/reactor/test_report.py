"""Whatever comes from the bus: a typed report, a counted rejection, or nobody's business."""

from __future__ import annotations

from typing import Any

import pytest
import saltern_store
import support
from hypothesis import given, settings
from hypothesis import strategies as st
from saltern.reactor import report, rules
from saltern.reactor.terms import Rejected, Report

RULES = rules.read(saltern_store.Store(support.ROOT).rules())[0]
KNOWN = {"ctl1", "ctl2"}
TAG = "saltern/node/ctl1/service"
BODY = {"epoch": "ab12", "number": 7, "at": 1.5, "service": "keystone", "status": "down",
        "unit": "keystone", "reason": "exited", "restarts": 0, "healed": False}  # fmt: skip

TWICE: dict[Any, Any] = {b"status": "ok", **BODY}


def event(node: Any = "ctl1", tag: str = TAG, **changes: Any) -> dict[str, Any]:
    return {"id": node, "tag": tag, "data": {**BODY, **changes}, "cmd": "_minion_event"}


def read(raw: object, tag: object = TAG, source: str = "bus") -> Report | Rejected | None:
    return report.read(tag, raw, RULES, KNOWN, source=source)


def reason(raw: object, tag: object = TAG, source: str = "bus") -> str:
    found = read(raw, tag, source)
    assert isinstance(found, Rejected), found
    assert len(found.reason) <= 320 and len(found.tag) <= 80 and len(found.node) <= 80
    assert f"{found.tag}{found.node}{found.reason}".isprintable()
    return found.reason


def test_a_report_holds_the_fields_of_its_rule_and_no_others() -> None:
    assert read(event()) == Report(
        id=0,
        at=0.0,
        tag=TAG,
        node="ctl1",
        source="node",
        rule="service-failed",
        body={"service": "keystone", "status": "down", "reason": "exited"},
    )


def test_what_a_rule_does_not_name_is_dropped_unseen() -> None:
    nested: list[Any] = []
    for _ in range(50_000):
        nested = [nested]
    found = read(event(surprise=nested, more="\0" * 1_000_000))
    assert isinstance(found, Report) and set(found.body) == {"service", "status", "reason"}


def test_a_field_with_a_default_may_be_missing() -> None:
    raw = event()
    del raw["data"]["reason"]
    found = read(raw)
    assert isinstance(found, Report) and found.body["reason"] == ""
    del raw["data"]["status"]
    assert reason(raw) == "status: is missing"


@pytest.mark.parametrize("tag", ["salt/job/1/ret/ctl1", "saltern/node/ctl1", "", "a" * 200])
def test_what_no_rule_wants_is_nobodys_business(tag: str) -> None:
    assert read(event(), tag) is None
    assert read(None, tag) is None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"status": "x"}, "status: 'x' is not one of ok, down, hung, looping"),
        ({"status": None}, "status: is nothing"),
        ({"status": ["down"]}, "status: is a list"),
        ({"status": {"down": 1}}, "status: is a mapping"),
        ({"status": True}, "status: True is not one of"),
        ({"service": 7}, "service: expected text"),
        ({"service": b"keystone"}, "service: is of no known type"),
        ({"service": "k" * 65}, "service: is longer than 64 characters"),
        ({"service": "k" * 1_000_000}, "service: is longer than 2000 characters"),
        ({"service": "a\nb: c"}, "service: has characters that do not print"),
        ({"service": "a\0"}, "service: has characters that do not print"),
        ({"service": "\x1b[2J"}, "service: has characters that do not print"),
        ({"service": "\ud800"}, "service: has characters that do not print"),
        ({"service": "\u2028"}, "service: has characters that do not print"),
        ({"reason": "{{ salt['cmd.run']('id') }}"}, "reason: has the beginning of a template"),
        ({"reason": "{% set x = 1 %}"}, "reason: has the beginning of a template"),
        ({"reason": "r" * 301}, "reason: is longer than 300 characters"),
    ],
)
def test_values_of_other_types_and_sizes_are_rejected(changes: dict[str, Any], said: str) -> None:
    assert reason(event(**changes)).startswith(said)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0, "dropped: is less than 1"),
        (True, "dropped: expected a whole number"),
        (2.0, "dropped: expected a whole number"),
        (float("nan"), "dropped: is no number"),
        (float("inf"), "dropped: is no number"),
        (10**400, "dropped: is too large a number"),
        ("3", "dropped: expected a whole number"),
    ],
)
def test_numbers_are_whole_and_finite(value: Any, said: str) -> None:
    tag = "saltern/node/ctl1/overflow"
    assert reason(event(tag=tag, dropped=value), tag).startswith(said)
    found = read(event(tag=tag, dropped=3), tag)
    assert isinstance(found, Report) and found.body == {"dropped": 3}


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (None, "the event is nothing, not a mapping"),
        ("text", "the event is text, not a mapping"),
        (b"\xff", "the event is something, not a mapping"),
        ([event()], "the event is a list, not a mapping"),
        ({}, "the id is no id of a minion"),
        (event(node=7), "the id is no id of a minion"),
        (event(node=""), "the id is no id of a minion"),
        (event(node="ctl1\n"), "the id is no id of a minion"),
        (event(node="../ctl1"), "the id is no id of a minion"),
        (event(node="c" * 300), "the id is no id of a minion"),
        (event(node="ctl2"), "the tag names another node than the one that sent it"),
        ({"id": "ctl1"}, "the data is nothing, not a mapping"),
        ({"id": "ctl1", "data": "status: down"}, "the data is text, not a mapping"),
        ({"id": "ctl1", "data": {1: 2}}, "the data has keys that are not text"),
        ({"id": "ctl1", "data": TWICE}, "the data has keys that are not text"),
        ({"id": "ctl1", "data": {str(n): n for n in range(65)}}, "the data has more than 64"),
    ],
)
def test_what_is_not_from_whom_it_says_is_rejected(raw: object, said: str) -> None:
    assert reason(raw).startswith(said)


def test_a_node_whose_key_is_not_accepted_is_not_listened_to() -> None:
    tag = "saltern/node/evil/service"
    assert reason(event("evil", tag), tag) == "the master has not accepted this node's key"


def test_a_tag_is_a_short_text() -> None:
    assert reason(event(), 7) == "the tag is no name"
    assert reason(event(), "saltern/node/" + "x" * 1_000_000) == "the tag is no name"


def test_the_masters_own_events_have_no_node_in_the_tag() -> None:
    raw = {"id": "new1", "act": "accepted", "result": True, "_stamp": "2026"}
    found = read(raw, "salt/key")
    assert found == Report(0, 0.0, "salt/key", "new1", "master", "node-new", {"act": "accepted"})


def test_a_minion_cannot_say_what_the_master_says() -> None:
    forged = {"id": "ctl1", "act": "accepted", "cmd": "_minion_event", "tag": "salt/key"}
    assert reason(forged, "salt/key") == "a minion sent what only the master may say"


def test_a_start_has_a_sentence_for_data_and_that_is_fine() -> None:
    raw = {"id": "ctl1", "data": "Minion ctl1 started", "cmd": "_minion_event"}
    found = read(raw, "salt/minion/ctl1/start")
    assert isinstance(found, Report) and found.body == {}


def test_only_the_scan_says_what_the_scan_says() -> None:
    raw = {"id": "ctl1", "data": {"service": "keystone", "status": "down"}}
    tag = "saltern/scan/service"
    assert reason(raw, tag) == "only the scan may say this"
    assert reason(raw, "saltern/scan/unheard-of") == "only the scan may say this"
    found = read(raw, tag, "scan")
    assert isinstance(found, Report) and (found.source, found.rule) == ("scan", "service-drift")
    assert reason(event(), TAG, "scan") == "the scan does not say this"
    assert read(raw, "saltern/scan/unheard-of", "scan") is None
    assert reason({"id": "a b"}, tag, "scan") == "the id is no id of a minion"


def test_the_scan_finds_things_for_rules_of_the_master_and_about_the_whole_cloud() -> None:
    found = read({"id": "new1", "data": {}}, "saltern/scan/new", "scan")
    assert isinstance(found, Report) and found.source == "scan"
    assert found.body == {"act": "accepted"}
    found = read({"id": "", "data": {"reason": "cut off"}}, "saltern/scan/gone", "scan")
    assert isinstance(found, Report) and found.node == ""


def test_what_the_scan_was_told_is_made_fit_for_a_report() -> None:
    said = {"service": "keystone", "status": "down", "reason": "a\nb {{x}} \0" + "c" * 900}
    found = read({"id": "ctl1", "data": said}, "saltern/scan/service", "scan")
    assert isinstance(found, Report)
    assert found.body["reason"].startswith("a b { {x}} ccc") and len(found.body["reason"]) == 300
    assert reason({"id": "c", "data": {**said, "status": 3}}, "saltern/scan/service", "scan")


@given(st.text(), st.integers(1, 50))
def test_a_tidy_text_is_one_clean_line(text: str, limit: int) -> None:
    line = report.tidy(text, limit)
    assert len(line) <= limit and line == report.tidy(line, limit)
    assert not report._UNPRINTABLE.search(line) and not rules.TEMPLATE.search(line)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=9) | st.integers() | st.binary(), inner, max_size=4)
    ),
    max_leaves=12,
)
tags = st.sampled_from([TAG, "salt/key", "saltern/scan/service", "salt/minion/ctl1/start"])


@settings(max_examples=300)
@given(tags | anything, anything, st.dictionaries(st.sampled_from(sorted(BODY)), anything))
def test_nothing_of_any_shape_raises_or_gets_through_untyped(
    tag: Any, raw: Any, changes: dict[str, Any]
) -> None:
    for data in (raw, event(**changes), {"id": "ctl1", "data": raw}):
        for source in ("bus", "scan"):
            found = read(data, tag, source)
            if isinstance(found, Report):
                rule = RULES[found.rule]
                assert set(found.body) <= set(rule.fields)
                assert all(isinstance(v, str | int | float) for v in found.body.values())
            elif found is not None:
                assert found.reason and len(found.reason) <= 320
