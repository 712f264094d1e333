"""nova_trial over a Nova and a placement that are a few records."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import saltern_sdk
import support
from salt.exceptions import CommandExecutionError
from saltern import computes

trial = support.load_module("_modules", "nova_trial")

MARK = computes.TRAIT


class Answer(SimpleNamespace):
    """What placement answers, as far as the module looks at it."""

    @property
    def ok(self) -> bool:
        return bool(self.status_code < 400)

    def json(self) -> Any:
        return self.body


class FakeCompute:
    """One host: its record in Nova, and its provider in placement."""

    def __init__(self) -> None:
        self.compute = self.placement = self
        self.records: dict[str, dict[str, Any]] = {}
        self.add("cmp1", computes.AUTOMATIC)
        self.traits: dict[str, list[str]] = {"id-cmp1": ["COMPUTE_NODE", MARK]}
        self.generation = 7
        self.writes_between = 0  # how often somebody else is faster
        self.late = 0  # looks before the host has told placement anything
        self.rows: list[tuple[str, str | None]] = []

    def add(self, host: str, reason: str | None, enabled: bool = False) -> None:
        self.records[host] = {"host": host, "enabled": enabled, "reason": reason}

    def __enter__(self) -> FakeCompute:
        return self

    def __exit__(self, *exc: object) -> None:
        return None

    # nova.*, as the loader has it
    def services(self, host: str, binary: str) -> list[dict[str, Any]]:
        assert binary == "nova-compute"
        return [self.records[host]] if host in self.records else []

    def enable(self, host: str) -> bool:
        self.add(host, None, enabled=True)
        return True

    def disable(self, host: str, reason: str) -> bool:
        self.add(host, reason)
        return True

    # the SDK
    def hypervisors(self, details: bool) -> list[SimpleNamespace]:
        assert details
        known = [SimpleNamespace(id=f"id-{h}", service_details={"host": h}) for h in self.records]
        return [*known, SimpleNamespace(id="x", service_details=None)]

    def get(self, url: str, microversion: str) -> Answer:
        provider = url.split("/")[2]
        if provider not in self.traits:
            return Answer(status_code=404, text="no such provider")
        if self.late:
            self.late -= 1
            return Answer(status_code=200, body={"traits": []})
        body = {"resource_provider_generation": self.generation, "traits": self.traits[provider]}
        return Answer(status_code=200, body=body)

    def put(self, url: str, json: dict[str, Any], microversion: str) -> Answer:
        if self.writes_between:
            self.writes_between -= 1
            self.generation += 1
        if json["resource_provider_generation"] != self.generation:
            return Answer(status_code=409, text="generation conflict")
        self.traits[url.split("/")[2]] = json["traits"]
        return Answer(status_code=200, body={})

    def query(self, config: str, section: str, sql: str) -> list[tuple[str, str | None]]:
        assert (section, sql) == ("database", computes.SQL_HOLDS)
        return self.rows


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeCompute:
    fake = FakeCompute()
    monkeypatch.setattr(saltern_sdk, "connect", lambda pillar: fake)
    monkeypatch.setattr(trial, "POLL", 0)
    return fake


@pytest.fixture
def configure_loader_modules(fake: FakeCompute) -> dict[Any, Any]:
    dunder = {
        "nova.services": fake.services,
        "nova.enable": fake.enable,
        "nova.disable": fake.disable,
        "openstack_schema.query": fake.query,
    }
    return {trial: {"__pillar__": {}, "__salt__": dunder, "__opts__": {"id": "ctl1"}}}


def test_it_needs_the_module_of_nova(monkeypatch: pytest.MonkeyPatch) -> None:
    assert trial.__virtual__() == "nova_trial"
    monkeypatch.setattr(trial, "__salt__", {})
    assert trial.__virtual__()[0] is False


def test_hosts_that_nova_disabled_by_itself(fake: FakeCompute) -> None:
    fake.rows = [("cmp1", computes.AUTOMATIC), ("cmp2", "memory")]
    assert trial.new_hosts() == ["cmp1"]


# -- hold and release ----------------------------------------------------------------------------


def test_a_new_host_is_named_once_and_released(fake: FakeCompute) -> None:
    assert trial.hold("cmp1", computes.NEW) is True
    assert trial.hold("cmp1", computes.NEW) is False
    assert fake.records["cmp1"]["reason"] == computes.NEW
    assert trial.release("cmp1") is True
    assert fake.records["cmp1"]["enabled"] is True
    assert trial.release("cmp1") is False


def test_a_host_that_works_is_held_when_it_is_gone_and_dated_once(fake: FakeCompute) -> None:
    fake.add("cmp1", None, enabled=True)
    assert trial.hold("cmp1", computes.GONE, dated=True) is True
    reason = fake.records["cmp1"]["reason"]
    assert reason.startswith("saltern: gone 2") and reason.endswith("Z")
    assert trial.hold("cmp1", computes.GONE, dated=True) is False
    assert fake.records["cmp1"]["reason"] == reason


@pytest.mark.parametrize("reason", ["memory", None, ""])
def test_what_an_operator_disabled_stays_as_it_is(fake: FakeCompute, reason: str | None) -> None:
    fake.add("cmp1", reason)
    assert trial.hold("cmp1", computes.GONE) is False
    assert trial.release("cmp1") is False
    assert fake.records["cmp1"] == {"host": "cmp1", "enabled": False, "reason": reason}


def test_a_reason_that_release_would_not_know_is_refused(fake: FakeCompute) -> None:
    with pytest.raises(CommandExecutionError, match="does not begin with 'saltern: '"):
        trial.hold("cmp1", "gone")


@pytest.mark.parametrize(
    "call", [lambda: trial.hold("x", computes.NEW), lambda: trial.release("x")]
)
def test_an_unknown_host_is_said_to_be_unknown(call: Any) -> None:
    with pytest.raises(CommandExecutionError, match="no nova-compute on x"):
        call()


# -- the mark in placement -----------------------------------------------------------------------


def test_the_mark_is_taken_and_put_back_and_other_traits_stay(fake: FakeCompute) -> None:
    assert trial.allow(["cmp1"]) == ["cmp1"]
    assert fake.traits["id-cmp1"] == ["COMPUTE_NODE"]
    assert trial.allow(["cmp1"]) == []
    assert trial.allow(["cmp1"], allowed=False) == ["cmp1"]
    assert fake.traits["id-cmp1"] == ["COMPUTE_NODE", MARK]
    assert fake.records["cmp1"]["enabled"] is False, "the scheduler would use it"


def test_the_host_may_write_its_traits_at_the_same_time(fake: FakeCompute) -> None:
    fake.writes_between = 2
    assert trial.allow(["cmp1"]) == ["cmp1"]
    fake.writes_between = 99
    with pytest.raises(CommandExecutionError, match="change all the time"):
        trial.allow(["cmp1"], allowed=False)


def test_a_host_that_has_just_started_is_waited_for(fake: FakeCompute) -> None:
    fake.late = 3
    assert trial.allow(["cmp1"]) == ["cmp1"]


def test_a_host_that_nova_or_placement_does_not_know(fake: FakeCompute) -> None:
    with pytest.raises(CommandExecutionError, match="no hypervisor of cmp9"):
        trial.allow(["cmp1", "cmp9"])
    fake.traits = {}
    with pytest.raises(CommandExecutionError, match="placement on cmp1: 404 no such provider"):
        trial.allow(["cmp1"], timeout=0)
