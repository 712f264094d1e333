"""Who is told by default, where secrets come from, and what time it is."""

from __future__ import annotations

import pathlib
import time

import pytest
import salt.utils.sdb
import saltern_notify
import saltern_notify_targets as targets


def test_without_settings_there_is_the_log() -> None:
    [name] = targets.targets({}, str)
    assert name == "log /var/log/salt/saltern-reactor.log"


def test_references(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opts = {"ext_pillar": [{"saltern": {"root": str(tmp_path)}}]}
    resolve = targets.resolver(opts)
    assert resolve("https://example.org") == "https://example.org"
    with pytest.raises(targets.Undelivered, match="no 'smtp' in pillar/secrets/reactor.yaml"):
        resolve("secret://smtp")
    (tmp_path / "pillar/secrets").mkdir(parents=True)
    (tmp_path / "pillar/secrets/reactor.yaml").write_text("smtp: hunter2\nnumber: 1\n")
    assert resolve("secret://smtp") == "hunter2"
    with pytest.raises(targets.Undelivered):
        resolve("secret://number")
    monkeypatch.setattr(salt.utils.sdb, "sdb_get", lambda uri, opts, strict: f"of {uri}")
    assert resolve("sdb://vault/x") == "of sdb://vault/x"


def test_times_are_the_masters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    assert saltern_notify.local_time(1_800_000_000.0) == "2027-01-15 08:00:00 UTC"
