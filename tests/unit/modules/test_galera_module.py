"""galera execution module, against a MariaDB that is a few facts."""

from __future__ import annotations

from typing import Any

import pymysql
import pytest
import saltern_galera
import support
from salt.exceptions import CommandExecutionError

module = support.load_module("_modules", "galera")

A = "f6310fc9-e64c-11f1-93d8-1b7ea625c393"
GRASTATE = f"version: 2.1\nuuid:    {A}\nseqno:   {{}}\nsafe_to_bootstrap: 0\n"
NODES = ["ctl1", "ctl2", "ctl3"]


class FakeServer:
    """One member: its process, its status, its data directory."""

    def __init__(self, data: Any) -> None:
        self.data = data
        self.active = "active"
        self.restarts = 0
        self.size = 3
        self.status = "Primary"
        self.password: str | None = "check-pw"
        self.recovered = f"--wsrep_start_position={A}:9"
        self.recovery_fails = False
        self.comes_up = True
        self.asked: list[str] = []
        (data / "nova").mkdir()
        (data / "grastate.dat").write_text(GRASTATE.format(-1))

    def rows(self) -> tuple[tuple[str, str], ...]:
        primary = self.status == "Primary"
        return (
            ("wsrep_ready", "ON" if primary else "OFF"),
            ("wsrep_connected", "OFF" if self.status == "Disconnected" else "ON"),
            ("wsrep_cluster_status", self.status),
            ("wsrep_local_state", "4" if primary else "0"),
            ("wsrep_local_state_comment", "Synced" if primary else "Initialized"),
            ("wsrep_cluster_size", str(self.size)),
            ("wsrep_local_state_uuid", A),
            ("wsrep_last_committed", "10"),
        )

    def sql(self, statement: str, parameters: Any = None, *args: Any, **login: Any) -> Any:
        if self.active != "active":
            raise pymysql.err.OperationalError(2003, "Can't connect to local server")
        if login.get("password", self.password) != self.password:
            raise pymysql.err.OperationalError(1045, "Access denied")
        if not statement.startswith("SHOW GLOBAL STATUS"):
            self.asked.append(statement)
        if "pc.bootstrap" in statement:
            self.status = "Primary"
        if statement.startswith("CREATE OR REPLACE USER"):
            self.password = parameters[1]
        if "VARIABLES" in statement:
            return (("wsrep_desync", "ON"),)
        return self.rows()

    def show(self, unit: str) -> dict[str, Any]:
        return {
            unit: {
                "active": self.active,
                "up": self.active == "active",
                "pid": 0,
                "restarts": self.restarts,
            }
        }

    def stop(self, unit: str, timeout: int) -> bool:
        self.asked.append("stop")
        self.active = "inactive"
        return True

    def start(self, unit: str, wait: bool) -> bool:
        self.asked.append("start")
        self.active, self.status = ("active", "Primary") if self.comes_up else ("failed", "")
        return True

    def run_all(self, argv: list[str], **kwargs: Any) -> dict[str, Any]:
        self.asked.append(argv[0])
        if argv[0] == "galera_recovery":
            if self.recovery_fails:
                return {"retcode": 1, "stdout": "", "stderr": "0 [ERROR] InnoDB: corrupt"}
            return {"retcode": 0, "stdout": self.recovered, "stderr": ""}
        if argv[0] == "galera_new_cluster":
            self.start("mariadb", wait=False)
            return {"retcode": 0 if self.comes_up else 1, "stdout": "", "stderr": ""}
        return {"retcode": 0, "stdout": "x [ERROR] WSREP: it may not be safe\n", "stderr": ""}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> FakeServer:
    fake = FakeServer(tmp_path)
    monkeypatch.setattr(saltern_galera, "DATA", tmp_path)
    monkeypatch.setattr(saltern_galera, "sql", fake.sql)
    monkeypatch.setattr(saltern_galera, "serves", lambda address, port: False)
    monkeypatch.setattr(module.time, "sleep", lambda seconds: None)
    return fake


@pytest.fixture
def configure_loader_modules(server: FakeServer) -> Any:
    values = {
        "node": "ctl1",
        "nodes": NODES,
        "peers": ["10.0.0.2", "10.0.0.3"],
        "check": {"user": "c", "password": "check-pw", "port": 9200, "donor_serves": False},
    }
    return {
        module: {
            "__opts__": {"id": "ctl1"},
            "__pillar__": {"cloud": {"values": {"galera": values}}},
            "__salt__": {
                "cmd.run_all": server.run_all,
                "unit.show": server.show,
                "unit.stop": server.stop,
                "unit.start": server.start,
            },
        }
    }


def proof(**others: Any) -> dict[str, Any]:
    wiped = {**module.observe(), "uuid": None, "seqno": None, "databases": []}
    return {"ctl1": module.observe(), "ctl2": wiped, "ctl3": wiped, **others}


def test_status(server: FakeServer) -> None:
    found = module.status()
    assert found["healthy"] and found["synced"] and found["warnings"] == []


def test_status_of_a_server_that_is_down_is_an_answer(server: FakeServer) -> None:
    server.active = "inactive"
    found = module.status()
    assert found["healthy"] is False and "does not answer" in found["reasons"][0]


def test_observing_a_running_member_runs_no_tool(server: FakeServer) -> None:
    found = module.observe()
    assert (found["service"], found["seqno"], found["databases"]) == ("running", 10, ["nova"])
    assert "galera_recovery" not in server.asked


def test_observing_a_crashed_member_asks_innodb(server: FakeServer) -> None:
    server.active = "failed"
    found = module.observe()
    assert (found["service"], found["uuid"], found["seqno"]) == ("stopped", A, 9)


def test_observing_a_member_that_was_stopped_cleanly_believes_it(server: FakeServer) -> None:
    server.active = "inactive"
    (server.data / "grastate.dat").write_text(GRASTATE.format(8))
    assert module.observe()["seqno"] == 8
    assert "galera_recovery" not in server.asked


def test_observing_data_that_cannot_be_read(server: FakeServer) -> None:
    server.active, server.recovery_fails = "failed", True
    assert "InnoDB: corrupt" in module.observe()["damaged"]
    with pytest.raises(CommandExecutionError, match="InnoDB: corrupt"):
        module.position()


def test_observing_one_that_looks_for_its_cluster(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.active = "activating"
    monkeypatch.setattr(saltern_galera, "started_with", lambda pid: {"uuid": A, "seqno": 7})
    found = module.observe()
    assert (found["service"], found["seqno"]) == ("starting", 7)


def test_a_process_that_is_gone_was_started_with_nothing() -> None:
    assert saltern_galera.started_with(0) is None


def test_the_check_is_let_in_with_the_password_of_the_model(server: FakeServer) -> None:
    server.password = "old"
    assert module.observe()["checkable"] is False
    assert module.admit_check() is True
    assert module.observe()["checkable"] is True


def test_the_check_cannot_be_let_in_by_a_server_that_is_down(server: FakeServer) -> None:
    server.active = "inactive"
    with pytest.raises(CommandExecutionError, match="see galera.status"):
        module.admit_check()


def test_files(server: FakeServer) -> None:
    assert module.grastate() == {"uuid": A, "seqno": -1, "safe_to_bootstrap": False}
    assert module.gvwstate() is None
    assert module.position() == {"uuid": A, "seqno": 10}
    (server.data / "grastate.dat").write_text("garbage")
    with pytest.raises(CommandExecutionError, match="compare galera.position"):
        module.grastate()


def test_bootstrap_with_proof(server: FakeServer) -> None:
    server.active = "inactive"
    (server.data / "gvwstate.dat").write_text("view")
    server.password = None
    assert module.bootstrap(proof=proof())["healthy"]
    assert "safe_to_bootstrap: 1" in (server.data / "grastate.dat").read_text()
    assert not (server.data / "gvwstate.dat").exists()
    assert server.password == "check-pw"


def test_bootstrap_of_a_member_that_lost_its_majority_needs_no_restart(server: FakeServer) -> None:
    server.status = "non-Primary"
    module.bootstrap(proof=proof())
    assert "stop" not in server.asked


@pytest.mark.parametrize("given", [None, {}])
def test_bootstrap_without_proof_is_refused(server: FakeServer, given: Any) -> None:
    server.active = "inactive"
    with pytest.raises(CommandExecutionError, match="nothing is known about ctl2"):
        module.bootstrap(proof=given)
    assert "galera_new_cluster" not in server.asked


def test_a_human_may_force_it(server: FakeServer) -> None:
    server.active = "inactive"
    assert module.bootstrap(force=True)["healthy"]


def test_nobody_may_force_it_beside_a_living_cluster(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(CommandExecutionError, match="ctl1 is in a primary component itself"):
        module.bootstrap(force=True)
    server.active = "inactive"
    monkeypatch.setattr(saltern_galera, "serves", lambda address, port: address == "10.0.0.3")
    with pytest.raises(CommandExecutionError, match=r"10\.0\.0\.3 answers"):
        module.bootstrap(force=True)


def test_a_bootstrap_that_fails_says_why(server: FakeServer) -> None:
    server.active, server.comes_up = "inactive", False
    with pytest.raises(CommandExecutionError, match="it may not be safe"):
        module.bootstrap(proof=proof())


def test_starting(server: FakeServer) -> None:
    server.active = "inactive"
    assert module.start()["healthy"]
    assert server.asked[0] == "start"


def test_one_that_runs_is_not_started_again(server: FakeServer) -> None:
    module.start()
    assert server.asked == []


def test_a_server_outside_of_any_cluster_is_restarted(server: FakeServer) -> None:
    server.status = "Disconnected"
    module.start()
    assert server.asked == ["stop", "start"]


def test_restarting(server: FakeServer) -> None:
    assert module.restart_member()["healthy"]
    assert server.asked == ["stop", "start"]


@pytest.mark.parametrize(
    ("facts", "reason"), [({"size": 2}, "only 2 of 3"), ({"rows": "joining"}, "wait for it")]
)
def test_restarting_is_refused(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch, facts: Any, reason: Any
) -> None:
    server.size = facts.get("size", 3)
    if "rows" in facts:
        rows = {**dict(server.rows()), "wsrep_local_state": "1"}
        monkeypatch.setattr(server, "rows", lambda: tuple(rows.items()))
    with pytest.raises(CommandExecutionError, match=reason):
        module.restart_member()
    assert "stop" not in server.asked


def test_waiting_ends_with_the_reason(server: FakeServer) -> None:
    with pytest.raises(CommandExecutionError, match="not synced after 0 s.*may not be safe"):
        module.wait_synced(size=4, timeout=0)
    server.active = "failed"
    with pytest.raises(CommandExecutionError, match="does not stay up"):
        module.wait_synced()


def test_desync(server: FakeServer) -> None:
    assert module.desync() is True
    assert server.asked[0] == "SET GLOBAL wsrep_desync = ON"
    server.active = "inactive"
    with pytest.raises(CommandExecutionError, match="see galera.status"):
        module.desync(on=False)
