"""cloud_operation state: the steps of an orchestration, over an operation that is a few facts."""

from __future__ import annotations

import io
import pathlib
from collections.abc import Mapping
from typing import Any

import pytest
import saltern_operation
import support
from fake_fleet import FakeFleet, fails
from saltern import deploy, fitness, lock
from saltern.cloud import Cloud, ModelError
from saltern.fleet import Failed

state = support.load_module("_states", "cloud_operation")

CLOUD = support.cloud("small")
CHECKS = [{"name": "token", "seconds": 0.4, "detail": "admin"}]


class FakeOperation:
    """A cloud, or what is wrong with it; and a lock that is free, unless ``busy``."""

    def __init__(self, home: pathlib.Path) -> None:
        self.home = home
        self.fleet = FakeFleet(cloud_validation__run=lambda node, kwargs: {"checks": CHECKS})
        self.progress = saltern_operation.Progress(io.StringIO())
        self.faults = ""
        self.busy = ""
        self.lost: dict[str, list[str]] = {}
        self.held: list[str] = []
        self.found: list[str] = []
        self.changes: dict[str, Any] = {}
        self.reasons: list[str] = []
        self.records: list[tuple[str, Mapping[str, Any]]] = []

    def cloud(self) -> Cloud:
        if self.faults:
            raise ModelError(self.faults)
        return CLOUD

    def expected(self, resolve: Any) -> str:
        assert resolve("sdb://vault/x") == "resolved"
        return "expected"

    def hold(self, name: str, owner: str) -> None:
        if self.busy:
            raise lock.Busy(self.busy)
        self.held.append(name)

    def write_record(self, name: str, extra: Mapping[str, Any]) -> pathlib.Path:
        self.records.append((name, extra))
        return self.home / name

    def examine(self, cloud: Cloud, fleet: FakeFleet, expected: str) -> list[str]:
        assert (cloud, fleet, expected) == (CLOUD, self.fleet, "expected")
        return self.found

    def deployment(
        self, cloud: Cloud, fleet: FakeFleet, progress: Any, test: bool, only: Any, lost: Any
    ) -> Any:
        operation = self
        assert only is None and not lost, "it is no join"

        class Work:
            changes: dict[str, Any] = {}

            def wave(self, number: int) -> None:
                assert number == 1
                self.changes = operation.changes
                if operation.reasons:
                    raise Failed(operation.reasons)

        return Work()

    @property
    def said(self) -> str:
        return str(self.progress.out.getvalue())  # type: ignore[attr-defined]


@pytest.fixture
def operation(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> FakeOperation:
    fake = FakeOperation(tmp_path)
    monkeypatch.setattr(saltern_operation, "current", lambda opts, key: fake)
    monkeypatch.setattr(fitness, "examine", fake.examine)
    monkeypatch.setattr(deploy, "Deployment", fake.deployment)
    monkeypatch.setattr(state.salt.utils.sdb, "sdb_get", lambda uri, opts: "resolved")
    return fake


@pytest.fixture
def configure_loader_modules(operation: FakeOperation) -> dict[Any, Any]:
    return {state: {"__opts__": {"test": False}}}


@pytest.fixture
def dry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(state.__opts__, "test", True)


def test_one_operation_at_a_time(operation: FakeOperation) -> None:
    assert state.exclusive("lab")["result"] is True
    assert operation.held == ["lab"]
    operation.busy = "lab.lock is held by pid 7"
    ret = state.exclusive("lab")
    assert ret["result"] is False and "held by pid 7" in ret["comment"]


def test_a_dry_run_takes_no_lock(operation: FakeOperation, dry: None) -> None:
    operation.busy = "lab.lock is held by pid 7"
    assert state.exclusive("lab")["result"] is True


def test_fit(operation: FakeOperation) -> None:
    ret = state.fit("preflight")
    assert (ret["result"], ret["changes"]) == (True, {})
    assert operation.progress.steps[0]["nodes"] == CLOUD.nodes


def test_every_fault_of_the_nodes_is_a_line_and_the_way_back_is_told(
    operation: FakeOperation,
) -> None:
    operation.found = ["node1: its clock is 9 s off", "node2: no disk"]
    ret = state.fit("preflight", retry="salt-run x")
    assert ret["result"] is False
    assert ret["comment"].splitlines()[:2] == [f"- {fault}" for fault in operation.found]
    assert ret["comment"].endswith("then: salt-run x")


def test_every_fault_of_the_model_is_a_line(operation: FakeOperation) -> None:
    operation.faults = "name: is missing; vips: is missing"
    ret = state.fit("preflight")
    assert ret["result"] is False
    assert ret["comment"].splitlines()[:2] == ["- name: is missing", "- vips: is missing"]


def test_a_wave_that_changes_nothing(operation: FakeOperation) -> None:
    ret = state.wave("wave 1", wave="1")
    assert (ret["result"], ret["changes"]) == (True, {})
    assert ", ".join(CLOUD.waves[1]) in operation.said


def test_a_wave_says_where_it_changed_something(operation: FakeOperation) -> None:
    operation.changes = {"node2": {"a": 1}, "node1": {"b": 2}}
    ret = state.wave("wave 1", wave=1)
    assert (ret["result"], ret["changes"]) == (True, operation.changes)
    assert ret["comment"] == "wave 1: changed on node1, node2"


def test_a_dry_wave_says_where_it_would(operation: FakeOperation, dry: None) -> None:
    assert state.wave("wave 1", wave=1)["result"] is True
    operation.changes = {"node1": {"a": 1}}
    ret = state.wave("wave 1", wave=1)
    assert (ret["result"], ret["comment"]) == (None, "wave 1: would change on node1")


def test_a_wave_that_fails_says_why_and_what_it_changed_before(operation: FakeOperation) -> None:
    operation.changes = {"node1": {"common: hosts": {"diff": "+ long\n"}}}
    operation.reasons = ["node2: keystone is down"]
    ret = state.wave("wave 1", wave=1)
    assert (ret["result"], ret["changes"]) == (False, {"node1": ["common: hosts"]})
    assert ret["comment"].startswith("- node2: keystone is down\n")


def test_the_end_tells_each_step_and_keeps_it(operation: FakeOperation) -> None:
    for name, nodes in (("sync", ["a", "b"]), ("states", [f"n{i}" for i in range(9)])):
        with operation.progress.step(name, nodes):
            pass
    ret = state.ended("deploy")
    assert ret["result"] is True and "deploy" in ret["comment"]
    assert operation.records == [("deploy", {"operation": "deploy"})]
    assert "sync (a, b)" in operation.said and "states (9 nodes)" in operation.said


def test_the_cloud_is_tried(operation: FakeOperation) -> None:
    ret = state.validated("validate", validator="node1", hosts="all", timeout=60)
    assert (ret["result"], ret["comment"]) == (True, "   0.4 s  token: admin")
    image = CLOUD.option("validation_image")
    wanted = {"hosts": "all", "timeout": 60, "image": image}
    assert operation.fleet.asked == [("cloud_validation.run", ("node1",), wanted)]


def test_a_cloud_that_does_not_work(operation: FakeOperation) -> None:
    operation.fleet = FakeFleet(cloud_validation__run=fails("no token"))
    ret = state.validated("validate", validator="node1")
    assert ret["result"] is False and ret["comment"].startswith("- node1: no token\n")


def test_a_dry_run_tries_nothing(operation: FakeOperation, dry: None) -> None:
    ret = state.validated("validate", validator="node1")
    assert ret["result"] is None and operation.fleet.asked == []
