"""swift_rings: rings are built once, and again when the devices change."""

from __future__ import annotations

import json
from typing import Any

import pytest
import support
from fake_ring import DEVICE, ring_file

execution = support.load_module("_modules", "swift_rings")
state = support.load_module("_states", "swift_rings")
WANTED = {"object": {"part_power": 10, "replicas": 3, "devices": [DEVICE]}}


@pytest.fixture
def builder(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> dict[str, Any]:
    """Swift's builder, as a process that writes files; ``retcode`` makes it fail."""
    fake: dict[str, Any] = {"retcode": 0, "runs": 0}

    def run_all(argv: list[str], stdin: str, **kwargs: Any) -> dict[str, Any]:
        fake["runs"] += 1
        asked = json.loads(stdin)
        for kind, ring in asked["rings"].items():
            (tmp_path / f"{kind}.ring.gz").write_bytes(ring_file(ring["devices"]))
        return {"retcode": fake["retcode"], "stderr": "Traceback\nEmptyRingError: no devices"}

    monkeypatch.setattr(execution, "__salt__", {"cmd.run_all": run_all}, raising=False)
    salt = {f"swift_rings.{name}": getattr(execution, name) for name in ("show", "build")}
    monkeypatch.setattr(state, "__salt__", salt, raising=False)
    monkeypatch.setattr(state, "__opts__", {"test": False}, raising=False)
    return fake


def test_rings_are_built_once_and_again_for_new_devices(builder: Any, tmp_path: Any) -> None:
    assert state.present(str(tmp_path), WANTED)["result"] is True
    assert state.present(str(tmp_path), WANTED)["changes"] == {}
    more = [DEVICE, {**DEVICE, "id": 1, "zone": 2, "ip": "10.0.0.2"}]
    changed = state.present(str(tmp_path), {"object": {**WANTED["object"], "devices": more}})
    assert (list(changed["changes"]), builder["runs"]) == (["object"], 2)


def test_a_dry_run_builds_nothing(builder: Any, tmp_path: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(state, "__opts__", {"test": True})
    assert state.present(str(tmp_path), WANTED)["result"] is None
    assert builder["runs"] == 0


def test_an_unreadable_ring_is_built_anew(builder: Any, tmp_path: Any) -> None:
    (tmp_path / "object.ring.gz").write_bytes(b"junk")
    assert state.present(str(tmp_path), WANTED)["changes"]["object"]["old"].startswith("unreadable")


def test_a_failed_build_says_what_swift_said(builder: Any, tmp_path: Any) -> None:
    builder["retcode"] = 1
    assert "EmptyRingError" in state.present(str(tmp_path), WANTED)["comment"]


def test_they_load(builder: Any, monkeypatch: Any) -> None:
    assert execution.__virtual__() == state.__virtual__() == "swift_rings"
    monkeypatch.setattr(state, "__salt__", {})
    assert state.__virtual__()[0] is False
