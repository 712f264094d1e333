"""Fingerprints: as Salt makes them, and what follows from comparing them."""

from __future__ import annotations

import pathlib

import pytest
import salt.utils.crypt
from hypothesis import given
from hypothesis import strategies as st

from lab import keys

PEM = """-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAnothing
aboutthisisakeybutithastheshapeofone
-----END PUBLIC KEY-----"""


@pytest.mark.parametrize("text", [PEM, PEM + "\n", PEM.replace("\n", "\r\n"), PEM + "\n\n"])
def test_the_fingerprint_is_salts(tmp_path: pathlib.Path, text: str) -> None:
    path = tmp_path / "minion.pub"
    path.write_bytes(text.encode())
    assert keys.fingerprint(text) == salt.utils.crypt.pem_finger(str(path), sum_type="sha256")


@pytest.mark.parametrize("text", ["", "no key", "-----BEGIN PUBLIC KEY-----\n"])
def test_what_is_no_key_has_no_fingerprint(text: str) -> None:
    with pytest.raises(ValueError, match="no public key"):
        keys.fingerprint(text)


def test_a_pending_key_is_accepted_only_when_it_is_the_nodes_own() -> None:
    verdict = keys.judge({"a": "1", "b": "2", "c": "3"}, {"a": "1", "b": "x"}, {})
    assert verdict == keys.Verdict(accept=["a"], wait=["c"], foreign=["b"])


def test_an_accepted_key_of_somebody_else_is_foreign_even_if_the_own_one_is_pending() -> None:
    assert keys.judge({"a": "1"}, {"a": "1"}, {"a": "x"}).foreign == ["a"]


def test_a_key_that_is_accepted_and_pending_is_accepted_again() -> None:
    assert keys.judge({"a": "1"}, {"a": "1"}, {"a": "1"}).accept == ["a"]


def test_ids_that_are_not_the_labs_are_left_alone() -> None:
    assert keys.judge({}, {"stranger": "1"}, {}) == keys.Verdict([], [], [])


_held = st.dictionaries(st.sampled_from("abcd"), st.sampled_from("123"))


@given(own=_held, pending=_held, accepted=_held)
def test_nothing_is_accepted_that_does_not_match(
    own: dict[str, str], pending: dict[str, str], accepted: dict[str, str]
) -> None:
    verdict = keys.judge(own, pending, accepted)
    assert all(pending[node] == own[node] for node in verdict.accept)
    assert all(accepted.get(node, own[node]) == own[node] for node in verdict.accept)
    assert not set(verdict.accept) & set(verdict.foreign + verdict.wait)
