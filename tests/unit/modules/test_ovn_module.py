"""ovn execution module over a small ovsdb-tool and servers that answer on their sockets."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest
import support
from salt.exceptions import CommandExecutionError

module = support.load_module("_modules", "ovn")

RAFT = {"nb": 6643, "sb": 6644}
CLUSTER = "beca2d5b-24d9-437c-b7ed-4a895611e1bb"


class FakeMember:
    """Files that ovsdb-tool makes, servers that run when their unit is started."""

    def __init__(self, home: pathlib.Path) -> None:
        self.files = {db: str(home / "ovn" / f"{db}.db") for db in RAFT}
        self.standalone: set[str] = set()
        self.running: set[str] = set()
        self.leaderless = False
        self.refuses: set[str] = set()
        self.asked: list[list[str]] = []
        self.unit_calls: list[tuple[str, tuple[str, ...]]] = []

    def run_all(self, argv: list[str], **_: Any) -> dict[str, Any]:
        assert argv[0] == "ovsdb-tool"
        self.asked.append(argv[1:])
        words = [word for word in argv[1:] if not word.startswith("--")]
        command, path = words[0], words[1]
        if command in self.refuses:
            return {"retcode": 2, "stdout": "", "stderr": "no"}
        if command == "db-is-standalone":
            return {"retcode": 0 if path in self.standalone else 2, "stdout": "", "stderr": ""}
        if command == "db-cid":
            return {"retcode": 0, "stdout": CLUSTER, "stderr": ""}
        pathlib.Path(path).touch()
        self.standalone.discard(path)
        return {"retcode": 0, "stdout": "", "stderr": ""}

    def show(self, units: list[str]) -> dict[str, Any]:
        return {unit: {"up": bool(self.running)} for unit in units}

    def start(self, units: list[str], timeout: int) -> None:
        self.unit_calls.append(("start", tuple(units)))
        self.running = set(RAFT)

    def restart(self, units: list[str], timeout: int) -> None:
        self.unit_calls.append(("restart", tuple(units)))

    def stop(self, units: list[str]) -> None:
        self.unit_calls.append(("stop", tuple(units)))

    def unixctl(self, path: str, method: str, *params: str) -> str:
        db = pathlib.Path(path).stem
        if db not in self.running:
            raise ConnectionRefusedError(path)
        if method == "cluster/kick":
            if "kick" in self.refuses:
                raise ValueError("unknown server")
            return f"sent removal of {params[1]}"
        leader = "unknown" if self.leaderless else "self"
        own = f"tcp:10.0.0.1:{RAFT[db]}"
        return (
            f"Cluster ID: beca ({CLUSTER})\nAddress: {own}\nStatus: cluster member\nRole: leader\n"
            f"Leader: {leader}\nServers:\n    aaaa (aaaa at {own}) (self)\n"
            f"    bbbb (bbbb at tcp:10.0.0.2:{RAFT[db]})\n"
        )


@pytest.fixture
def fake(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> FakeMember:
    fake = FakeMember(tmp_path)
    monkeypatch.setattr(module, "FILES", fake.files)
    monkeypatch.setattr(module, "SOCKETS", {db: f"/nowhere/{db}.ctl" for db in RAFT})
    monkeypatch.setattr(module, "POLL", 0)
    monkeypatch.setattr(module.saltern_probes, "unixctl", fake.unixctl)
    return fake


@pytest.fixture
def configure_loader_modules(fake: FakeMember) -> dict[Any, Any]:
    central = {
        "address": "10.0.0.1",
        "peers": ["10.0.0.2", "10.0.0.3"],
        "raft": RAFT,
        "election_timer": 2000,
    }
    return {
        module: {
            "__opts__": {"id": "ctl1"},
            "__pillar__": {"cloud": {"values": {"ovn": {"central": central}}}},
            "__salt__": {
                "cmd.run_all": fake.run_all,
                "unit.show": fake.show,
                "unit.start": fake.start,
                "unit.restart": fake.restart,
                "unit.stop": fake.stop,
            },
        }
    }


def made(fake: FakeMember) -> list[list[str]]:
    return [a for a in fake.asked if "create-cluster" in a or "join-cluster" in a]


def test_a_fresh_member_is_observed_without_touching_it(fake: FakeMember) -> None:
    seen = module.observe()
    assert seen["nb"]["file"] == "absent" and seen["nb"]["local"] == "tcp:10.0.0.1:6643"
    assert seen["northd"] is False and not made(fake)
    assert module.status() == {"nb": None, "sb": None}


def test_the_first_member_creates_both_databases(fake: FakeMember) -> None:
    assert module.start(create=["nb", "sb"])["nb"]["leader"] == "self"
    assert [a[:2] for a in made(fake)] == [["--election-timer=2000", "create-cluster"]] * 2
    assert fake.unit_calls == [("start", tuple(module.UNITS))]
    assert module.observe()["sb"]["running"] is True


def test_another_member_joins_from_all_the_others(fake: FakeMember) -> None:
    module.start()
    assert made(fake)[1][-3:] == ["tcp:10.0.0.1:6644", "tcp:10.0.0.2:6644", "tcp:10.0.0.3:6644"]


def test_a_database_that_exists_is_never_made_again(fake: FakeMember) -> None:
    module.start(create=["nb", "sb"])
    module.start(create=["nb", "sb"])
    assert len(made(fake)) == 2


def test_a_stopped_member_knows_its_cluster_from_its_files(fake: FakeMember) -> None:
    module.start()
    fake.running = set()
    assert module.observe()["nb"]["cluster"] == CLUSTER
    fake.refuses = {"db-cid"}
    assert module.observe()["nb"]["cluster"] is None


def test_debians_own_database_is_kept_aside(fake: FakeMember) -> None:
    path = pathlib.Path(fake.files["nb"])
    path.parent.mkdir()
    path.touch()
    fake.standalone.add(str(path))
    module.start(create=["nb", "sb"])
    assert path.with_name("nb.db.standalone").exists()
    assert fake.unit_calls[0] == ("stop", ("ovn-ovsdb-server-nb",))


def test_a_lone_member_is_not_created_by_accident(fake: FakeMember) -> None:
    module.__pillar__["cloud"]["values"]["ovn"]["central"]["peers"] = []
    with pytest.raises(CommandExecutionError, match="only member"):
        module.start()


def test_a_tool_that_fails_says_why(fake: FakeMember) -> None:
    fake.refuses = {"join-cluster"}
    with pytest.raises(CommandExecutionError, match="join-cluster .*: no"):
        module.start()


def test_a_member_without_a_leader_is_not_serving(fake: FakeMember) -> None:
    fake.leaderless = True
    with pytest.raises(CommandExecutionError, match="not serving after 0 s.*leader None"):
        module.start(timeout=0)


def test_a_restart_takes_one_database_after_the_other(fake: FakeMember) -> None:
    module.start()
    fake.unit_calls.clear()
    module.restart_member()
    assert [units for _, units in fake.unit_calls] == [
        ("ovn-ovsdb-server-nb",),
        ("ovn-ovsdb-server-sb",),
        ("ovn-northd",),
    ]


def test_only_a_server_that_is_known_and_not_ours_is_forgotten(fake: FakeMember) -> None:
    with pytest.raises(CommandExecutionError, match="does not run here"):
        module.forget("nb", "bbbb", "tcp:10.0.0.2:6643")
    module.start()
    assert "removal of bbbb" in module.forget("nb", "bbbb", "tcp:10.0.0.2:6643")
    with pytest.raises(CommandExecutionError, match="no server cccc"):
        module.forget("nb", "cccc", "tcp:10.0.0.2:6643")
    with pytest.raises(CommandExecutionError, match="own server"):
        module.forget("nb", "aaaa", "tcp:10.0.0.1:6643")
    fake.refuses = {"kick"}
    with pytest.raises(CommandExecutionError, match="unknown server"):
        module.forget("nb", "bbbb", "tcp:10.0.0.2:6643")


def test_a_node_that_is_no_member_says_so(fake: FakeMember) -> None:
    module.__pillar__["cloud"]["values"]["ovn"] = {}
    with pytest.raises(CommandExecutionError, match="no OVN database by the model"):
        module.start()
