"""openstack_schema: what is missing is synced once, by the service user, and no secret shows."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest
import support
from salt.exceptions import CommandExecutionError

execution = support.load_module("_modules", "openstack_schema")
state = support.load_module("_states", "openstack_schema")
CONNECTION = "mysql+pymysql://nova:s3cret@10.0.0.1:3306/nova"


class FakeServer:
    """Databases with alembic tables; a sync command fills them as real ones do."""

    def __init__(self) -> None:
        self.tables: dict[str, list[str]] = {}
        self.databases = {"nova", "nova_cell0"}
        self.synced = ["a", "b"]
        self.commands: list[list[str]] = []
        self.retcode = 0
        self.asked: dict[str, Any] = {}

    def connect(self, **how: Any) -> Any:
        self.asked = how
        if how["database"] not in self.databases:
            raise sys.modules["pymysql"].MySQLError(1049, f"Unknown database {how['database']}")
        return self

    def __enter__(self) -> FakeServer:
        return self

    def __exit__(self, *exc: object) -> None:
        return None

    def cursor(self) -> FakeServer:
        return self

    def execute(self, sql: str, parameters: tuple[Any, ...]) -> None:
        if self.asked["database"] not in self.tables:
            raise sys.modules["pymysql"].MySQLError(1146, "Table 'alembic_version' doesn't exist")

    def fetchall(self) -> list[tuple[str]]:
        return [(version,) for version in self.tables[self.asked["database"]]]

    def run_all(self, argv: list[str], **kwargs: Any) -> dict[str, Any]:
        self.commands.append(argv)
        if not self.retcode:
            self.tables = dict.fromkeys(self.databases, self.synced)
        return {"retcode": self.retcode, "stdout": "cannot connect with s3cret"}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> FakeServer:
    fake = FakeServer()
    pymysql = ModuleType("pymysql")
    pymysql.MySQLError = type("MySQLError", (Exception,), {})  # type: ignore[attr-defined]
    pymysql.connect = fake.connect  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pymysql", pymysql)
    monkeypatch.setattr(execution, "__salt__", {"cmd.run_all": fake.run_all}, raising=False)
    salt = {f"openstack_schema.{name}": getattr(execution, name) for name in ("missing", "sync")}
    monkeypatch.setattr(state, "__salt__", salt, raising=False)
    monkeypatch.setattr(state, "__opts__", {"test": False}, raising=False)
    return fake


@pytest.fixture
def wanted(tmp_path: Any) -> dict[str, Any]:
    """Arguments of the state for a project with two migrations."""
    config = tmp_path / "nova.conf"
    config.write_text(f"[database]\nconnection = {CONNECTION}\nflag\n[database]\nmax = 5\n")
    folder = tmp_path / "versions" / "deep"
    folder.mkdir(parents=True)
    (folder / "a.py").write_text("revision = 'a'\ndown_revision = None\n")
    (folder / "b.py").write_text("revision = 'b'\ndown_revision = 'a'\n")
    return {
        "name": "nova",
        "user": "nova",
        "config": str(config),
        "migrations": str(tmp_path / "versions"),
        "databases": ["nova", "nova_cell0"],
        "sync": [["nova-manage", "db", "sync"], ["nova-manage", "db", "online_data_migrations"]],
    }


def test_what_is_behind_is_synced_once(server: FakeServer, wanted: dict[str, Any]) -> None:
    first = state.synced(**wanted)
    assert first["result"] is True
    assert first["changes"]["nova_cell0"] == {"old": "2 migrations behind", "new": "current"}
    assert server.commands == [["runuser", "-u", "nova", "--", *argv] for argv in wanted["sync"]]
    second = state.synced(**wanted)
    assert (second["result"], second["changes"], len(server.commands)) == (True, {}, 2)


def test_a_dry_run_says_what_is_behind(server: FakeServer, wanted: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(state, "__opts__", {"test": True})
    dry = state.synced(**{**wanted, "databases": None, "sync": ["nova-manage", "db", "sync"]})
    assert (dry["result"], list(dry["changes"]), server.commands) == (None, ["nova"], [])
    assert server.asked["database"] == "nova"
    server.tables = {"nova": ["b"]}
    assert state.synced(**{**wanted, "databases": None})["result"] is True


def test_a_failed_sync_tells_its_end_without_the_password(server: Any, wanted: Any) -> None:
    server.retcode = 1
    failed = state.synced(**wanted)
    assert failed["result"] is False
    assert "nova-manage db sync as nova ended with 1: cannot connect with ***" in failed["comment"]


def test_a_sync_that_changes_nothing_is_not_believed(server: Any, wanted: Any) -> None:
    server.synced = ["a"]
    assert "still differs" in state.synced(**wanted)["comment"]


def test_newer_databases_are_refused(server: Any, wanted: Any) -> None:
    server.tables = {"nova": ["z"], "nova_cell0": ["b"]}
    failed = state.synced(**wanted)
    assert (failed["result"], server.commands) == (False, [])
    assert "upgrade the packages" in failed["comment"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"databases": ["gone"]}, "Unknown database gone"),
        ({"section": "api_database"}, "does not say where the database is"),
        ({"config": "/nowhere"}, "does not say where the database is"),
        ({"migrations": "/nowhere"}, "install the package"),
    ],
)
def test_what_stands_in_the_way_is_said(
    server: Any, wanted: Any, change: Any, message: str
) -> None:
    failed = state.synced(**{**wanted, **change})
    assert failed["result"] is False
    assert message in failed["comment"]


def test_environment_values_are_masked_too(server: Any, wanted: Any) -> None:
    server.retcode = 2
    with pytest.raises(CommandExecutionError, match=r"ended with 2: cannot \*\*\* with"):
        execution.sync("keystone", ["keystone-manage"], wanted["config"], env={"P": "connect"})
    server.retcode = 0
    assert execution.sync("keystone", ["keystone-manage"]) == "cannot connect with s3cret"


def test_modules_load_only_with_what_they_need(server: Any, monkeypatch: Any) -> None:
    assert execution.__virtual__() == state.__virtual__() == "openstack_schema"
    monkeypatch.setitem(sys.modules, "pymysql", None)
    monkeypatch.setattr(state, "__salt__", {})
    assert execution.__virtual__()[0] is False
    assert state.__virtual__()[0] is False
