"""Generated secrets: which, what they look like, and how Fernet keys rotate."""

from __future__ import annotations

import base64
import itertools

import pytest
from saltern import secrets


def counting() -> secrets.Random:
    """Bytes that differ from call to call."""
    calls = itertools.count(1)
    return lambda size: bytes([next(calls)]) * size


def test_secrets_belong_to_the_project_of_their_service() -> None:
    catalog = {
        "nova-api": {"project": "nova", "secrets": {"database": "password"}},
        "nova-metadata": {"project": "nova", "secrets": {"metadata": "password"}},
        "haproxy": {},
    }
    assert secrets.wanted(catalog) == {"nova": {"database": "password", "metadata": "password"}}


def test_a_password_needs_no_quoting_anywhere() -> None:
    made = secrets.generate("password", lambda size: b"\xff" * size)
    assert len(made) >= 40
    assert made.startswith("s") and set(made) <= set(
        "s_-ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
    ) | set("abcdefghijklmnopqrstuvwxyz")


def test_fernet_begins_with_a_staged_and_a_primary_key() -> None:
    staged, primary = secrets.generate("fernet", counting()).split("\n")
    assert staged != primary
    assert [len(base64.urlsafe_b64decode(key)) for key in (staged, primary)] == [32, 32]


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="'certificate'"):
        secrets.generate("certificate", counting())


def test_rotation_makes_the_staged_key_primary_and_keeps_the_old_primary_readable() -> None:
    random = counting()
    before = secrets.generate("fernet", random).split("\n")
    once = secrets.rotate_fernet("\n".join(before), random).split("\n")
    assert once[1:] == [before[1], before[0]]
    twice = secrets.rotate_fernet("\n".join(once), random).split("\n")
    assert len(twice) == secrets.MAX_FERNET_KEYS
    assert twice[1:] == [before[0], once[0]]
