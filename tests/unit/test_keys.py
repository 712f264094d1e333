"""Whose keys the master holds."""

from __future__ import annotations

import os
import pathlib

import pytest
from saltern_keys import AcceptedKeys
from saltern_reactor_threads import KEYS_EVERY, Keys


@pytest.fixture
def pki(tmp_path: pathlib.Path) -> pathlib.Path:
    for folder in ("minions", "minions_pre"):
        (tmp_path / folder).mkdir()
    return tmp_path


def _put(pki: pathlib.Path, folder: str, node: str, key: str = "the node's") -> None:
    (pki / folder / node).write_text(key, encoding="utf-8")


def _put_in_both(pki: pathlib.Path, node: str) -> None:
    for folder in ("minions", "minions_pre"):
        _put(pki, folder, node)


def test_keys_are_those_that_are_accepted_now(tmp_path: pathlib.Path) -> None:
    keys = AcceptedKeys(str(tmp_path))
    assert keys.ids() == frozenset()
    (tmp_path / "minions").mkdir()
    (tmp_path / "minions/ctl1").touch()
    (tmp_path / "minions/.key_cache").touch()
    assert keys.ids() == {"ctl1"}
    (tmp_path / "minions/ctl2").touch()
    assert keys.ids() == {"ctl1", "ctl2"}
    (tmp_path / "minions/ctl1").unlink()
    assert keys.ids() == {"ctl2"}


def test_two_keys_within_one_tick_of_the_clock_are_both_seen(pki: pathlib.Path) -> None:
    keys = AcceptedKeys(str(pki))
    _put(pki, "minions", "cmp1")
    then = (pki / "minions").stat().st_mtime_ns
    assert keys.ids() == {"cmp1"}
    _put(pki, "minions", "cmp2")
    os.utime(pki / "minions", ns=(then, then))
    assert keys.ids() == {"cmp1", "cmp2"}


def test_a_folder_that_has_not_changed_for_a_while_is_not_read_again(pki: pathlib.Path) -> None:
    keys = AcceptedKeys(str(pki))
    _put(pki, "minions", "cmp1")
    long_ago = (pki / "minions").stat().st_mtime_ns - 10**9
    os.utime(pki / "minions", ns=(long_ago, long_ago))
    assert keys.ids() == {"cmp1"}
    _put(pki, "minions", "cmp2")
    os.utime(pki / "minions", ns=(long_ago, long_ago))
    assert keys.ids() == {"cmp1"}


def test_an_acceptance_that_salt_lost_is_made_good(
    pki: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As seen on the lab: the master held cmp1's key in both folders and let it in never."""
    keys = AcceptedKeys(str(pki))
    _put_in_both(pki, "cmp1")
    _put(pki, "minions_pre", "cmp2")
    _put(pki, "minions", "ctl1")
    assert Keys(keys).tick() == KEYS_EVERY
    assert keys.ids() == {"cmp1", "ctl1"}
    assert [p.name for p in (pki / "minions_pre").iterdir()] == ["cmp2"]
    assert "acceptance of the key of cmp1" in caplog.text
    assert keys.mend() == []


def test_another_key_under_the_same_id_is_left_to_people(pki: pathlib.Path) -> None:
    keys = AcceptedKeys(str(pki))
    _put(pki, "minions", "cmp1")
    _put(pki, "minions_pre", "cmp1", "somebody else's")
    assert keys.mend() == []
    assert (pki / "minions_pre/cmp1").exists()


def test_a_decision_that_is_made_meanwhile_stands(
    pki: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = AcceptedKeys(str(pki))
    _put_in_both(pki, "cmp1")
    keys.ids()

    def rejected(path: pathlib.Path) -> bytes:
        raise FileNotFoundError(path)

    monkeypatch.setattr(pathlib.Path, "read_bytes", rejected)
    assert keys.mend() == []
