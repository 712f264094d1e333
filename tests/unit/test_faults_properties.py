"""Whatever happens to a model on its way here: a cloud that works, or sentences about it."""

from __future__ import annotations

import copy
import json
from typing import Any

import support
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from saltern import faults, schema
from saltern.cloud import Cloud
from saltern.schema import MAX_FAULTS, MAX_SHOWN

RULES = json.loads((support.ROOT / "schema/cloud.json").read_text())
CATALOG = support.catalog()
LAB = support.example("lab")

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-10, 70000),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(["10.77.0.5", "10.77.0.11", "10.77.1.0", "10.77.0.0/8", "compute", "galera"]),
    st.sampled_from(["$(reboot)", "a: b", "{{ x }}", "ctl1\n", "\u0661", "-", "x" * 500]),
    st.dates(),
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(scalars, inner, max_size=4),
    max_leaves=8,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, item in items:
        found += places(item, (*path, key))
    return found


@st.composite
def mutants(draw: st.DrawFn) -> Any:
    """lab.yaml after a few accidents: something replaced, removed, added, copied elsewhere."""
    model = copy.deepcopy(LAB)
    for _ in range(draw(st.integers(1, 4))):
        spots = places(model)
        if not spots:
            break
        *way, last = draw(st.sampled_from(spots))
        parent = model
        for step in way:
            parent = parent[step]
        kind = draw(st.sampled_from(["replace", "remove", "add", "copy"]))
        if kind == "remove":
            del parent[last]
        elif kind == "replace":
            parent[last] = draw(values)
        elif isinstance(parent, list):
            parent.append(copy.deepcopy(parent[last]) if kind == "copy" else draw(values))
        else:
            new = draw(scalars)
            parent[new] = copy.deepcopy(parent[last]) if kind == "copy" else draw(values)
    return model


def is_readable(fault: str) -> bool:
    return 0 < len(fault) <= 600 and "\n" not in fault and "Traceback" not in fault


def assert_sound(model: Any, found: list[str]) -> None:
    assert (model is None) == bool(found)
    assert all(map(is_readable, found)), found
    if model is not None:
        cloud = Cloud(model, CATALOG, support.fake_secrets())
        for node in cloud.nodes:
            assert cloud.services_on(node) is not None
        assert cloud.waves and cloud.transport_url()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(mutants())
def test_every_mutant_is_a_cloud_or_a_list_of_faults(model: Any) -> None:
    text = yaml.safe_dump(model, sort_keys=False)
    assert_sound(*faults.check(text, CATALOG, RULES))


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(values)
def test_data_from_anywhere_gets_sentences(value: Any) -> None:
    found = schema.schema_faults(value, RULES)
    assert found and all(map(is_readable, found)) and len(found) <= MAX_FAULTS + 1
    schema.prune(value, RULES)
    assert len(schema.shown(value)) <= MAX_SHOWN


@settings(max_examples=300, deadline=None)
@given(st.text() | st.binary() | st.text(alphabet="[]{}:-&*!<>|'\"%@`#? \n\tab1", max_size=80))
def test_text_from_anywhere_gets_sentences(text: str | bytes) -> None:
    assert_sound(*faults.check(text, CATALOG, RULES))
