"""nova_trial over a Nova and a placement that are a few records, and a cloud for instances."""

from __future__ import annotations

import pathlib
import time
from types import SimpleNamespace
from typing import Any

import openstack.exceptions
import pytest
import saltern_canary
import saltern_sdk
import support
from fake_cloud import FakeCloud
from salt.exceptions import CommandExecutionError
from saltern import computes

trial = support.load_module("_modules", "nova_trial")

MARK = computes.TRAIT
UNFIT = f"{computes.FAILED}no lease"


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
    }
    wanted = {"routed": True, "physical_networks": []}
    pillar = {"cloud": {"values": {"nova": {"validation": wanted}}}}
    return {trial: {"__pillar__": pillar, "__salt__": dunder, "__opts__": {"id": "ctl1"}}}


def test_it_needs_the_module_of_nova(monkeypatch: pytest.MonkeyPatch) -> None:
    assert trial.__virtual__() == "nova_trial"
    monkeypatch.setattr(trial, "__salt__", {})
    assert trial.__virtual__()[0] is False


# -- hold and release ----------------------------------------------------------------------------


def test_a_new_host_is_named_once_and_released(fake: FakeCompute) -> None:
    assert trial.hold("cmp1", UNFIT) is True
    assert trial.hold("cmp1", UNFIT) is False
    assert fake.records["cmp1"]["reason"] == UNFIT
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


@pytest.mark.parametrize("call", [lambda: trial.hold("x", UNFIT), lambda: trial.release("x")])
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


# -- the trial itself ----------------------------------------------------------------------------


class Placed(FakeCloud):
    """Instances, which get to a host only while it has no mark in placement."""

    def __init__(self, hosts: FakeCompute) -> None:
        super().__init__()
        self.hosts = self.placement = hosts
        self.hypervisors = hosts.hypervisors
        self.building: set[str] = set()  # hosts whose instances never get beyond BUILD
        self.down: set[str] = set()  # hosts that Nova hears nothing of
        self.reports = 0  # how often a host puts its mark back before the scheduler looks
        self.most = 0  # instances at a time
        self.subnets_made: list[dict[str, Any]] = []

    def services(self, binary: str, host: str = "") -> list[Any]:
        assert binary == "nova-compute"
        return [SimpleNamespace(state="down" if host in self.down else "up")]

    def create_subnet(self, **kwargs: Any) -> Any:
        self.subnets_made.append(kwargs)
        return super().create_subnet(**kwargs)

    def create_server(self, name: str, **kwargs: Any) -> Any:
        host = kwargs["availability_zone"].removeprefix("nova:")
        if self.reports:
            self.reports -= 1
            self.hosts.traits[f"id-{host}"] = ["COMPUTE_NODE", MARK]
        server = super().create_server(name, **kwargs)
        server.refused = MARK in self.hosts.traits[f"id-{host}"]
        server.stuck = host in self.building
        self.most = max(self.most, len([s for s in self.items["server"] if not s.refused]))
        return server

    def get_server(self, key: str) -> Any:
        server = super().get_server(key)
        if server.refused:
            server.status = "ERROR"
        if server.stuck:
            server.status = "BUILD"
        return server


@pytest.fixture
def placed(fake: FakeCompute, monkeypatch: pytest.MonkeyPatch) -> Placed:
    placed = Placed(fake)
    both = iter([placed])
    monkeypatch.setattr(saltern_sdk, "connect", lambda pillar: next(both, fake))
    monkeypatch.setattr(saltern_canary, "POLL", 0)
    monkeypatch.setattr(saltern_canary, "LISTEN", 0)
    monkeypatch.setattr(trial, "KNOWN", 0.1)
    return placed


@pytest.fixture
def image(tmp_path: pathlib.Path) -> str:
    path = tmp_path / "canary.raw"
    path.touch()
    return str(path)


def test_a_host_that_gives_an_instance_what_it_needs_is_enabled(
    fake: FakeCompute, placed: Placed, image: str
) -> None:
    assert trial.prove(["cmp1"], image=image) == {"cmp1": ""}
    assert fake.records["cmp1"]["enabled"] is True
    assert placed.items["server"] == [], "it makes room for the next one"
    [subnet] = placed.subnets_made
    assert subnet["gateway_ip"] is None and placed.items["router"] == []


def test_who_is_refused_because_its_mark_was_back_is_tried_again(
    fake: FakeCompute, placed: Placed, image: str
) -> None:
    placed.reports = 2
    assert trial.prove(["cmp1"], image=image) == {"cmp1": ""}
    assert len(placed.asked) == 3


def test_who_is_refused_without_its_mark_has_failed(
    fake: FakeCompute, placed: Placed, image: str
) -> None:
    placed.status = "ERROR"
    assert trial.prove(["cmp1"], image=image) == {"cmp1": "ERROR: No valid host"}
    assert len(placed.asked) == 1
    assert fake.records["cmp1"]["enabled"] is False


def test_a_host_without_dhcp_or_metadata_stays_disabled(
    fake: FakeCompute, placed: Placed, image: str
) -> None:
    placed.said = "SALTERN CANARY DHCP FAILED\nSALTERN CANARY READY 60s\n"
    [reason] = trial.prove(["cmp1"], image=image).values()
    assert "address by DHCP: no lease; metadata: it said nothing" in reason
    assert fake.records["cmp1"]["enabled"] is False


def test_one_that_fails_says_nothing_of_the_others(
    fake: FakeCompute, placed: Placed, image: str
) -> None:
    for host in ("cmp2", "cmp3", "cmp4"):
        fake.add(host, computes.AUTOMATIC)
        fake.traits[f"id-{host}"] = [MARK]
    del fake.traits["id-cmp2"]
    found = trial.prove(["cmp9", "cmp2", "cmp1", "cmp3", "cmp4"], image=image, together=2)
    assert "no hypervisor of cmp9" in found.pop("cmp9")
    assert "placement on cmp2: 404" in found.pop("cmp2")
    assert found == dict.fromkeys(("cmp1", "cmp3", "cmp4"), "")
    assert placed.most == 2


@pytest.mark.parametrize(
    ("up", "why"),
    [
        (False, "Nova has heard nothing of cmp1 for 0 s; it went away"),
        (True, "still BUILD (spawning)"),
    ],
)
def test_only_who_is_heard_of_is_waited_for_until_the_end(
    fake: FakeCompute,
    placed: Placed,
    image: str,
    monkeypatch: pytest.MonkeyPatch,
    up: bool,
    why: str,
) -> None:
    """An instance on a host that went away is in BUILD for as long as anybody waits."""
    monkeypatch.setattr(trial, "LOOK", 0)
    monkeypatch.setattr(trial, "SILENT", 0.05)
    fake.add("cmp2", computes.AUTOMATIC)
    fake.traits["id-cmp2"] = [MARK]
    placed.building = {"cmp1"}
    placed.down = set() if up else {"cmp1"}
    began = time.monotonic()
    found = trial.prove(["cmp1", "cmp2"], image=image, timeout=1)
    assert found == {"cmp1": why, "cmp2": ""}
    assert (time.monotonic() - began > 1) == up


@pytest.mark.parametrize("harm", ["image", "network", "password"])
def test_a_cause_that_is_no_hosts_own(
    fake: FakeCompute, placed: Placed, image: str, monkeypatch: pytest.MonkeyPatch, harm: str
) -> None:
    def broken(*args: Any, **kwargs: Any) -> None:
        raise {
            "network": openstack.exceptions.SDKException("503"),
            "password": LookupError("run it on a controller"),
        }[harm]

    if harm == "network":
        monkeypatch.setattr(placed, "create_network", broken)
    if harm == "password":
        monkeypatch.setattr(saltern_sdk, "connect", broken)
    path = "/nowhere/canary.raw" if harm == "image" else image
    with pytest.raises(CommandExecutionError, match="no instance can be tried: "):
        trial.prove(["cmp1"], image=path)
    assert placed.asked == [] and fake.records["cmp1"]["enabled"] is False
