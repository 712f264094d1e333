"""rabbitmq_cluster execution module, against a broker that remembers what it was told."""

from __future__ import annotations

import json
import pathlib
import shutil
from typing import Any

import pytest
import saltern_probes
import saltern_rabbitmq
import support
from salt.exceptions import CommandExecutionError
from saltern import rabbitmq_cluster as rabbitmq

module = support.load_module("_modules", "rabbitmq_cluster")

ALL = ["rabbit@ctl1", "rabbit@ctl2", "rabbit@ctl3"]
DOWN = {"retcode": 69, "stdout": "", "stderr": "Error: unable to perform an operation\nmore"}


class FakeBroker:
    """``rabbitmqctl`` and systemd of one node."""

    def __init__(self) -> None:
        self.members = list(ALL)
        self.running = list(ALL)
        self.unit: dict[str, Any] = {"active": "active", "restarts": 0, "summary": "active"}
        self.seed_knows = ALL[1:]
        self.greets = True
        self.critical: list[list[str]] = []
        self.definitions: dict[str, Any] = {"users": [{"name": "guest"}], "queues": []}
        self.asked: list[tuple[str, ...]] = []
        self.answers: dict[str, dict[str, Any]] = {}

    def run_all(self, argv: list[str], **kwargs: Any) -> dict[str, Any]:
        assert kwargs["python_shell"] is False and kwargs["timeout"]
        command = argv[2]
        self.asked.append(tuple(argv[2:]))
        if command in self.answers:
            return self.answers[command]
        out: Any = ""
        if command == "cluster_status" and "--node" in argv:
            out = {"disk_nodes": self.seed_knows}
        elif command == "cluster_status":
            out = {"disk_nodes": self.members, "running_nodes": self.running}
        elif command == "export_definitions":
            out = self.definitions
        elif command == "import_definitions":
            told = json.loads(pathlib.Path(argv[3]).read_text())
            kept = [u for u in self.definitions["users"] if u["name"] != told["users"][0]["name"]]
            self.definitions = {**self.definitions, **told, "users": [*kept, *told["users"]]}
        elif command == "list_users":
            out = [{"user": user["name"]} for user in self.definitions["users"]]
        elif command == "delete_user":
            self.definitions["users"] = [
                user for user in self.definitions["users"] if user["name"] != argv[3]
            ]
        elif command == "list_vhosts":
            out = [{"name": "openstack"}]
        elif command == "list_queues":
            out = [{"name": "q", "type": "quorum", "members": ALL[:2], "online": ALL[:2]}]
        elif command == "check_if_node_is_quorum_critical" and self.critical:
            names = self.critical.pop(0)
            if names:
                said = json.dumps({"queues": [{"name": name} for name in names]})
                return {"retcode": 69, "stdout": "", "stderr": said}
        elif command == "forget_cluster_node" and "--node" not in argv:
            self.members.remove(argv[3])
        return {"retcode": 0, "stdout": json.dumps(out) if out != "" else "", "stderr": ""}

    def greeting(self, spec: Any) -> str | None:
        return None if self.greets else "silent"

    def show(self, unit: str) -> dict[str, Any]:
        return {unit: dict(self.unit)}

    def start(self, unit: str, wait: bool = True) -> bool:
        self.asked.append(("systemctl start",))
        self.greets = True
        return True

    def restart(self, unit: str, timeout: int) -> bool:
        self.asked.append(("systemctl restart",))
        return True

    @property
    def commands(self) -> list[str]:
        return [asked[0] for asked in self.asked]


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> FakeBroker:
    fake = FakeBroker()
    monkeypatch.setattr(saltern_rabbitmq, "is_open", lambda _, port: fake.greets or port == 25672)
    monkeypatch.setattr(saltern_probes, "rabbitmq", fake.greeting)
    monkeypatch.setattr(saltern_rabbitmq, "DATA", tmp_path / "mnesia")
    monkeypatch.setattr(shutil, "chown", lambda *args, **kwargs: None)
    monkeypatch.setattr(module.time, "sleep", lambda seconds: None)
    (tmp_path / "mnesia/rabbit@ctl1").mkdir(parents=True)
    (tmp_path / "mnesia/rabbit@ctl1/cluster_nodes.config").write_text("")
    return fake


@pytest.fixture
def configure_loader_modules(broker: FakeBroker) -> Any:
    def secret(pillar: str, unmask: bool = False) -> str | None:
        # Salt 3008 hands out asterisks to whoever does not ask for the real thing.
        return {"a:b": "hunter2" if unmask else "**********"}.get(pillar)

    values = {"node": ALL[0], "nodes": ALL, "address": "10.0.0.1", "port": 5672}
    return {
        module: {
            "__opts__": {"id": "ctl1"},
            "__pillar__": {"cloud": {"values": {"rabbitmq": values}}},
            "__salt__": {
                "cmd.run_all": broker.run_all,
                "unit.show": broker.show,
                "unit.start": broker.start,
                "unit.restart": broker.restart,
                "pillar.get": secret,
            },
        }
    }


def test_a_running_broker_costs_no_call_of_a_tool(broker: FakeBroker) -> None:
    assert module.node_state() == "running"
    assert broker.asked == []


@pytest.mark.parametrize(
    ("active", "answer", "state"),
    [
        ("inactive", None, "stopped"),
        ("activating", None, "booting"),
        ("active", {"retcode": 0, "stdout": "false", "stderr": ""}, "app_stopped"),
        ("active", DOWN, "paused"),
        ("active", {"retcode": None, "stdout": "", "stderr": ""}, "paused"),
    ],
)
def test_states_that_systemd_does_not_know(
    broker: FakeBroker, active: Any, answer: Any, state: Any
) -> None:
    broker.greets = False
    broker.unit["active"] = active
    if answer:
        broker.answers["eval"] = answer
    assert module.node_state() == state


def test_observing_a_member(broker: FakeBroker) -> None:
    assert module.observe() == {
        "state": "running",
        "members": ALL,
        "running": ALL,
        "fresh": False,
        "queues": 0,
    }


def test_observing_one_that_is_alone_counts_its_queues(broker: FakeBroker) -> None:
    broker.members = broker.running = [ALL[0]]
    broker.definitions["queues"] = [{}, {}]
    assert module.observe()["queues"] == 2


def test_observing_in_a_partition_does_not_fail(broker: FakeBroker) -> None:
    broker.answers["cluster_status"] = DOWN
    found = module.observe()
    assert (found["state"], found["members"]) == ("running", [])


def test_observing_a_stopped_member(broker: FakeBroker, tmp_path: pathlib.Path) -> None:
    broker.greets, broker.unit["active"] = False, "inactive"
    (tmp_path / "mnesia/rabbit@ctl1/cluster_nodes.config").write_text("{['rabbit@a'],[]}.")
    assert module.observe()["members"] == ["rabbit@a"]


def test_observing_a_stopped_fresh_one(broker: FakeBroker, tmp_path: pathlib.Path) -> None:
    broker.greets, broker.unit["active"] = False, "inactive"
    (tmp_path / "mnesia/rabbit@ctl1/cluster_nodes.config").unlink()
    found = module.observe()
    assert (found["state"], found["fresh"], broker.asked) == ("stopped", True, [])


def test_a_failing_tool_says_which_and_what_next(broker: FakeBroker) -> None:
    broker.answers["cluster_status"] = DOWN
    with pytest.raises(CommandExecutionError, match="cluster_status: Error: unable.*Next:"):
        module.membership()


@pytest.mark.parametrize("call", ["_ask", "_definitions"])
def test_an_answer_that_is_no_json(broker: FakeBroker, call: Any) -> None:
    garbage = {"retcode": 0, "stdout": "hello", "stderr": ""}
    broker.answers.update(cluster_status=garbage, export_definitions=garbage)
    with pytest.raises(CommandExecutionError, match="JSON"):
        module._broker().definitions() if call == "_definitions" else module.membership()


def test_quorum_critical(broker: FakeBroker) -> None:
    assert module.quorum_critical() == []
    broker.answers["check_if_node_is_quorum_critical"] = DOWN
    with pytest.raises(CommandExecutionError, match="cannot be told"):
        module.quorum_critical()


def test_queue_health(broker: FakeBroker) -> None:
    assert [queue["name"] for queue in module.queue_health()["short"]] == ["q"]
    with pytest.raises(CommandExecutionError, match="no vhost nova"):
        module.queue_health("nova")


def test_starting_a_stopped_one(broker: FakeBroker) -> None:
    broker.greets, broker.unit["active"] = False, "inactive"
    assert module.start() == "running"
    assert broker.commands == ["systemctl start"]


def test_starting_the_application(broker: FakeBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    broker.greets = False
    broker.answers["eval"] = {"retcode": 0, "stdout": "false", "stderr": ""}
    monkeypatch.setattr(module, "_await_running", lambda timeout: "running")
    assert module.start() == "running"
    assert broker.commands == ["eval", "start_app"]


def test_a_start_that_fails_says_the_state(broker: FakeBroker) -> None:
    broker.greets, broker.unit["active"] = False, "failed"
    with pytest.raises(CommandExecutionError, match="stopped, active.*Next"):
        module._await_running(5)


def test_restarting_a_member(broker: FakeBroker) -> None:
    assert module.restart_member()["running"] == ALL
    assert "systemctl restart" in broker.commands


def test_a_restart_waits_for_queues_to_find_their_members(broker: FakeBroker) -> None:
    broker.critical = [["q1"], []]
    module.restart_member()
    assert broker.commands.count("check_if_node_is_quorum_critical") == 2


def test_no_restart_while_queues_depend_on_it(
    broker: FakeBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SETTLE", 0)
    broker.critical = [["q1"]] * 9
    with pytest.raises(CommandExecutionError, match="quorum of 1 queues"):
        module.restart_member()
    assert "systemctl restart" not in broker.commands


def test_no_restart_while_another_is_down(broker: FakeBroker) -> None:
    broker.running = ALL[:2]
    with pytest.raises(CommandExecutionError, match="only 2 of 3"):
        module.restart_member()
    assert "systemctl restart" not in broker.commands


@pytest.mark.parametrize(
    ("known", "forget"), [(ALL[1:], []), (ALL, ["forget_cluster_node"])], ids=["new", "wiped"]
)
def test_a_lone_empty_broker_joins(broker: FakeBroker, known: Any, forget: Any) -> None:
    broker.members, broker.seed_knows = [ALL[0]], known
    module.join("rabbit@ctl2")
    reads = ("cluster_status", "export_definitions")
    steps = [command for command in broker.commands if command not in reads]
    assert steps == ["stop_app", "reset", *forget, "join_cluster", "start_app"]


@pytest.mark.parametrize(("members", "queues"), [(ALL, []), (ALL[:1], [{}])])
def test_a_broker_with_something_to_lose_is_never_reset(
    broker: FakeBroker, members: Any, queues: Any
) -> None:
    broker.members, broker.definitions["queues"] = list(members), queues
    with pytest.raises(CommandExecutionError, match="not resetting"):
        module.join("rabbit@ctl2")
    assert "stop_app" not in broker.commands


def test_forgetting_one_that_is_gone(broker: FakeBroker) -> None:
    broker.running = ALL[:2]
    assert ALL[2] not in module.forget(ALL[2])["members"]


@pytest.mark.parametrize(
    ("node", "running", "reason"),
    [
        ("rabbit@x", ALL, "no member"),
        (ALL[2], ALL, "it runs"),
        (ALL[2], ALL[:1], "only .* run"),
    ],
)
def test_forgetting_is_refused(broker: FakeBroker, node: Any, running: Any, reason: Any) -> None:
    broker.running = list(running)
    with pytest.raises(CommandExecutionError, match=reason):
        module.forget(node)
    assert "forget_cluster_node" not in broker.commands


def test_growing(broker: FakeBroker) -> None:
    assert module.grow(ALL[2]) is True
    assert ("grow", ALL[2], "all") in broker.asked
    with pytest.raises(CommandExecutionError, match="does not run"):
        module.grow("rabbit@x")


def test_the_account_is_made_with_the_real_password_that_no_command_line_shows(
    broker: FakeBroker,
) -> None:
    assert module.access("openstack", "openstack", "a:b")["password"] == "another"
    assert module.set_access("openstack", "openstack", "a:b") is True
    found = module.access("openstack", "openstack", "a:b")
    assert (found["password"], found["guest"], found["permissions"]) == (
        "as specified",
        False,
        True,
    )
    user = next(u for u in broker.definitions["users"] if u["name"] == "openstack")
    assert rabbitmq.password_matches(user["password_hash"], "hunter2")
    assert "hunter2" not in str(broker.asked)


def test_an_import_that_never_arrives(broker: FakeBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saltern_rabbitmq, "CALL", -1)
    broker.answers["import_definitions"] = {"retcode": 0, "stdout": "", "stderr": ""}
    with pytest.raises(CommandExecutionError, match="did not import openstack"):
        module.set_access("openstack", "openstack", "a:b")


def test_no_password_in_the_pillar(broker: FakeBroker) -> None:
    with pytest.raises(CommandExecutionError, match="no password at pillar a:c"):
        module.access("openstack", "openstack", "a:c")
