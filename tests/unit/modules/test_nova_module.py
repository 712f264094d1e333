"""nova and neutron execution modules over fake APIs and tables."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import keystoneauth1.exceptions
import pytest
import saltern_sdk
import support
from salt.exceptions import CommandExecutionError
from saltern import nova as meaning

nova = support.load_module("_modules", "nova")
neutron = support.load_module("_modules", "neutron")


class FakeNova:
    """Services that can be switched, hosts that report after a few looks, and nova-manage."""

    def __init__(self) -> None:
        self.compute = self
        self.network = self
        self.records = [self.record("cmp1"), self.record("ctl1", binary="nova-scheduler")]
        self.cells: list[list[str]] = []
        self.mapped: list[str] = []
        self.reports: list[list[str]] = [["cmp1"]]
        self.commands: list[list[str]] = []
        self.fails: Exception | None = None

    @staticmethod
    def record(host: str, binary: str = "nova-compute") -> SimpleNamespace:
        return SimpleNamespace(
            id=f"{binary} on {host}",
            binary=binary,
            host=host,
            state="up",
            status="enabled",
            disabled_reason=None,
            updated_at="now",
            is_alive=True,
            is_admin_state_up=True,
        )

    def __enter__(self) -> FakeNova:
        return self

    def __exit__(self, *exc: object) -> None:
        return None

    def services(self, **query: str) -> list[SimpleNamespace]:
        if self.fails:
            raise self.fails
        return [r for r in self.records if all(getattr(r, k) == v for k, v in query.items())]

    agents = services

    def hypervisors(self, details: bool) -> list[SimpleNamespace]:
        return [
            SimpleNamespace(
                name="cmp1",
                service_details={"host": "cmp1"},
                state="up",
                status="enabled",
                hypervisor_type="QEMU",
                host_ip="10.0.0.21",
            )
        ]

    def enable_service(self, service: SimpleNamespace) -> None:
        service.status, service.disabled_reason = "enabled", None

    def disable_service(self, identity: str, disabled_reason: str) -> None:
        [service] = [r for r in self.records if r.id == identity]
        service.status, service.disabled_reason = "disabled", disabled_reason

    def query(self, config: str, section: str, sql: str) -> list[list[str]]:
        if sql == meaning.SQL_CELLS:
            return self.cells
        if sql == meaning.SQL_MAPPED:
            return [[host] for host in self.mapped]
        hosts = self.reports.pop(0) if len(self.reports) > 1 else self.reports[0]
        return [[host] for host in hosts]

    def sync(self, user: str, argv: list[str], config: str, timeout: int) -> str:
        self.commands.append(argv[1:])
        if self.fails:
            raise self.fails
        if "discover_hosts" in argv:
            self.mapped = sorted(set(self.mapped) | set(self.reports[0]))
        return ""


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeNova:
    fake = FakeNova()
    monkeypatch.setattr(saltern_sdk, "connect", lambda pillar: fake)
    monkeypatch.setattr(nova, "POLL", 0)
    return fake


@pytest.fixture
def configure_loader_modules(fake: FakeNova) -> dict[Any, Any]:
    dunder = {"openstack_schema.query": fake.query, "openstack_schema.sync": fake.sync}
    common = {"__pillar__": {}, "__salt__": dunder, "__opts__": {"id": "ctl1"}}
    return {nova: common, neutron: common}


def test_services_and_hypervisors(fake: FakeNova) -> None:
    assert [s["host"] for s in nova.services()] == ["cmp1", "ctl1"]
    assert nova.services(binary="nova-compute")[0]["up"] is True
    assert nova.hypervisors()[0] == {
        "name": "cmp1",
        "host": "cmp1",
        "up": True,
        "enabled": True,
        "type": "QEMU",
        "address": "10.0.0.21",
    }


def test_agents(fake: FakeNova) -> None:
    assert [a["host"] for a in neutron.agents()] == ["cmp1", "ctl1"]
    assert neutron.agents(host="cmp1")[0]["alive"] is True


def test_a_host_is_disabled_and_enabled_once(fake: FakeNova) -> None:
    assert nova.disable("cmp1", reason="memory") is True
    assert nova.disable("cmp1", reason="memory") is False
    assert nova.enable("cmp1") is True
    assert nova.enable("cmp1") is False


def test_the_reason_of_a_host_that_is_disabled_is_sent_with_its_status(fake: FakeNova) -> None:
    """The SDK sends what differs from the record it is given, and Nova wants both: so no record."""
    nova.disable("cmp1", reason="memory")
    assert nova.disable("cmp1", reason="disk") is True
    assert fake.records[0].disabled_reason == "disk"


def test_an_unknown_host_is_said_to_be_unknown(fake: FakeNova) -> None:
    with pytest.raises(CommandExecutionError, match="no nova-compute on cmp9"):
        nova.enable("cmp9")


def test_an_api_that_does_not_answer(fake: FakeNova) -> None:
    fake.fails = keystoneauth1.exceptions.ConnectFailure("refused")
    with pytest.raises(CommandExecutionError, match="Nova's API: refused"):
        nova.services()


def test_a_node_without_the_password_says_where_to_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    with pytest.raises(CommandExecutionError, match="run it on a controller"):
        neutron.agents()


def test_a_cell_is_created_once(fake: FakeNova) -> None:
    nova.create_cell("cell0", "db", "none:///")
    nova.create_cell("cell1", "db", "mq")
    assert [command[1] for command in fake.commands] == ["map_cell0", "create_cell"]
    fake.cells = [["u1", "cell1", "db", "mq"]]
    with pytest.raises(CommandExecutionError, match="a cell cell1 already"):
        nova.create_cell("cell1", "db", "mq")
    nova.update_cell("u1", "cell1", "db2", "mq")
    assert fake.commands[-1][1:4] == ["update_cell", "--cell_uuid", "u1"]


def test_a_host_that_just_started_is_waited_for(fake: FakeNova) -> None:
    fake.reports = [[], [], ["cmp1"]]
    assert nova.discover_hosts(["cmp1"]) == ["cmp1"]


def test_whoever_has_reported_is_mapped_without_being_named(fake: FakeNova) -> None:
    assert nova.discover_hosts() == ["cmp1"]


def test_a_silent_host_is_named_after_the_others_are_mapped(fake: FakeNova) -> None:
    with pytest.raises(CommandExecutionError, match="nova-compute on cmp2 did not report"):
        nova.discover_hosts(["cmp1", "cmp2"], timeout=0)
    assert fake.mapped == ["cmp1"]


def test_the_schedulers_search_may_win_the_race(fake: FakeNova) -> None:
    fake.fails = CommandExecutionError("duplicate host mapping")
    fake.mapped = ["cmp1"]
    assert nova.discover_hosts(["cmp1"]) == ["cmp1"]
    fake.mapped = []
    with pytest.raises(CommandExecutionError, match="duplicate"):
        nova.discover_hosts(["cmp1"])
