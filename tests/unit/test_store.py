"""The files behind a cloud, on a real file system."""

from __future__ import annotations

import pathlib
import shutil
import threading

import pytest
import saltern_store
import support
import yaml
from saltern.cloud import ModelError


@pytest.fixture
def root(tmp_path: pathlib.Path) -> pathlib.Path:
    """A Saltern root with the lab's model."""
    for room in ("catalog", "schema"):
        shutil.copytree(support.ROOT / room, tmp_path / room)
    (tmp_path / "pillar").mkdir()
    shutil.copy(support.ROOT / "examples/lab.yaml", tmp_path / "pillar/cloud.yaml")
    return tmp_path


def test_secrets_are_generated_once_and_only_their_owner_can_read_them(root: pathlib.Path) -> None:
    first = saltern_store.Store(root).cloud().secrets
    assert saltern_store.Store(root).cloud().secrets == first
    home = root / "pillar/secrets"
    assert home.stat().st_mode & 0o777 == 0o700
    assert {p.stat().st_mode & 0o777 for p in home.glob("*.yaml")} == {0o600}
    assert len(set(first.values())) == len(first)


def test_many_at_once_agree_on_one_secret(root: pathlib.Path) -> None:
    seen: list[str] = []

    def read() -> None:
        store = saltern_store.Store(root)
        seen.append(store.secrets()["keystone.admin"])

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(seen)) == 1


def test_a_secret_of_the_operator_is_kept_and_what_is_missing_is_added(root: pathlib.Path) -> None:
    home = root / "pillar/secrets"
    home.mkdir(mode=0o700)
    (home / "keystone.yaml").write_text(yaml.safe_dump({"admin": "mine"}))
    held = saltern_store.Store(root).secrets()
    assert held["keystone.admin"] == "mine"
    assert held["keystone.database"]
    assert yaml.safe_load((home / "keystone.yaml").read_text())["admin"] == "mine"


def test_a_reference_is_resolved_and_never_written_back(root: pathlib.Path) -> None:
    home = root / "pillar/secrets"
    home.mkdir(mode=0o700)
    (home / "keystone.yaml").write_text(yaml.safe_dump({"admin": "sdb://vault/admin"}))
    held = saltern_store.Store(root).secrets(lambda uri: f"resolved {uri}")
    assert held["keystone.admin"] == "resolved sdb://vault/admin"
    assert "resolved" not in (home / "keystone.yaml").read_text()


def test_a_damaged_secret_file_is_not_overwritten(root: pathlib.Path) -> None:
    home = root / "pillar/secrets"
    home.mkdir(mode=0o700)
    (home / "keystone.yaml").write_text("just text")
    with pytest.raises(ModelError, match="restore it from a backup"):
        saltern_store.Store(root).secrets()
    assert (home / "keystone.yaml").read_text() == "just text"


def test_a_secret_can_be_replaced(root: pathlib.Path) -> None:
    store = saltern_store.Store(root)
    before = store.secrets()["keystone.admin"]
    store.replace_secret("keystone", "admin", lambda old: old + "x")
    assert saltern_store.Store(root).secrets()["keystone.admin"] == before + "x"


def test_a_changed_model_is_read_again_and_its_faults_are_named(root: pathlib.Path) -> None:
    store = saltern_store.Store(root)
    assert store.cloud().name == "lab"
    (root / "pillar/cloud.yaml").write_text("[]")
    with pytest.raises(ModelError):
        store.cloud()


def test_a_missing_model_is_a_fault(root: pathlib.Path) -> None:
    (root / "pillar/cloud.yaml").unlink()
    cloud, found = saltern_store.Store(root).examine()
    assert cloud is None
    assert "cloud.yaml" in found[0]
