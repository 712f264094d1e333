"""Facts of the catalogue, and the order in which key files change."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from saltern import keystone

CATALOGUE = {
    "region": "R",
    "roles": ["admin"],
    "projects": {"service": ""},
    "services": [{"type": "image", "name": "glance", "endpoints": {"public": "http://new"}}],
    "users": {
        "glance": {"password": "p", "project": "service", "roles": ["service", "admin"]},
        "guest": {"password": "p", "roles": []},
    },
}
FOUND = keystone.Found(
    roles=[{"id": "r1", "name": "admin"}],
    projects=[{"id": "p1", "name": "service"}],
    services=[{"id": "s1", "type": "image", "name": "glance"}],
    endpoints=[
        {
            "id": "e1",
            "service_id": "s1",
            "interface": "public",
            "region_id": "R",
            "url": "http://a",
        },
        {
            "id": "e2",
            "service_id": "s1",
            "interface": "public",
            "region_id": "R",
            "url": "http://b",
        },
        {
            "id": "e3",
            "service_id": "s1",
            "interface": "public",
            "region_id": "X",
            "url": "http://c",
        },
        {"id": "e4", "service_id": "gone", "interface": "public", "region_id": "R", "url": "d"},
    ],
    users=[{"id": "u1", "name": "glance"}, {"id": "u2", "name": "guest", "enabled": False}],
    assignments=[
        {"user": {"id": "u1"}, "role": {"id": "r1"}, "scope": {"project": {"id": "p1"}}},
        {"user": {"id": "u1"}, "role": {"id": "unknown"}, "scope": {"project": {"id": "p1"}}},
        {"user": {"id": "u1"}, "role": {"id": "r1"}, "scope": {"domain": {"id": "d"}}},
        {"group": {"id": "g"}, "role": {"id": "r1"}, "scope": {"project": {"id": "p1"}}},
    ],
    accepted={"glance", "guest"},
)


def test_a_catalogue_is_a_flat_list_of_facts_without_secrets() -> None:
    assert keystone.desired(CATALOGUE) == {
        "role:admin": "present",
        "project:service": "present",
        "service:image": "glance",
        "endpoint:image:public": "http://new",
        "user:glance": "logs in",
        "grant:glance:service": "admin, service",
        "user:guest": "logs in",
    }


def test_facts_as_they_are_show_surplus_endpoints_disabled_users_and_missing_roles() -> None:
    assert keystone.observed(CATALOGUE, FOUND) == {
        "role:admin": "present",
        "project:service": "present",
        "service:image": "glance",
        "endpoint:image:public": "http://a, http://b",
        "user:glance": "logs in",
        "user:guest": "cannot log in",
        "grant:glance:service": "admin",
    }


def test_an_empty_keystone_has_no_facts() -> None:
    assert keystone.observed(CATALOGUE, keystone.Found()) == {}


def test_endpoints_of_one_kind_are_found_by_type() -> None:
    assert [e["id"] for e in keystone.endpoints(FOUND, "image", "public", "R")] == ["e1", "e2"]
    assert keystone.endpoints(FOUND, "image", "admin", "R") == []


def test_things_are_made_before_what_needs_them() -> None:
    made = keystone.in_order(keystone.desired(CATALOGUE))
    assert [fact.split(":")[0] for fact in made] == [
        "role",
        "project",
        "service",
        "endpoint",
        "user",
        "user",
        "grant",
    ]


def test_keys_as_wanted_are_left_alone() -> None:
    assert keystone.key_operations({0: "a", 1: "b"}, ["a", "b"]) == []


def test_first_keys_are_simply_written() -> None:
    assert keystone.key_operations({}, ["a", "b"]) == [(0, "a"), (1, "b")]


KEYS = st.lists(st.sampled_from("abcdef"), unique=True, min_size=1, max_size=4)


@given(before=st.dictionaries(st.integers(0, 6), st.sampled_from("abcdef"), max_size=4), after=KEYS)
def test_no_old_key_is_unreadable_before_every_new_one_is_there(before: Any, after: Any) -> None:
    files = dict(before)
    for index, key in keystone.key_operations(before, after):
        if key is None:
            del files[index]
        else:
            files[index] = key
        readable = set(files.values())
        assert set(before.values()) <= readable or set(after) <= readable
    assert files == dict(enumerate(after))


def test_a_fingerprint_tells_keys_apart_and_nothing_else() -> None:
    assert keystone.fingerprint("a") != keystone.fingerprint("b")
    assert len(keystone.fingerprint("a")) == 12
