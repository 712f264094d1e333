"""The RabbitMQ broker of this node: its port, and its tools, each call with a timeout."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import saltern_probes
from salt.exceptions import CommandExecutionError
from saltern import rabbitmq_cluster as rabbitmq

UNIT = "rabbitmq-server"
DATA = pathlib.Path("/var/lib/rabbitmq/mnesia")
LOCAL = 0.5  # seconds for a port of this node
CALL = 20  # seconds for a call of a tool
POLL = 0.3  # seconds between two looks while waiting


def is_open(address: str, port: int) -> bool:
    """Whether something accepts connections there."""
    try:
        socket.create_connection((address, port), timeout=LOCAL).close()
    except OSError:
        return False
    return True


def greets(address: str, port: int) -> bool:
    """Whether the broker there greets clients; one that paused itself does not."""
    if not is_open(address, port):
        return False
    try:
        return saltern_probes.rabbitmq({"address": address, "port": port}) is None
    except OSError:
        return False


class Broker:
    """``rabbitmqctl`` and its kin, run by Salt's ``cmd.run_all``."""

    def __init__(self, run_all: Callable[..., Mapping[str, Any]]) -> None:
        self._run_all = run_all

    def run(self, *argv: str, timeout: float = CALL) -> Mapping[str, Any]:
        """Code and output of any tool; the code is None when it did not end in time."""
        return self._run_all(
            list(argv),
            python_shell=False,
            timeout=timeout,
            ignore_retcode=True,
            output_loglevel="quiet",  # definitions hold password hashes
        )

    def ctl(self, *args: str, timeout: float = CALL, tool: str = "rabbitmqctl") -> str:
        """Output of a command of ``tool``.

        :raises CommandExecutionError: with the tool's own words.
        """
        ret = self.run(tool, "--quiet", *args, timeout=timeout)
        if ret["retcode"] != 0:
            said = (ret["stderr"] or ret["stdout"]).split() or [f"no answer in {timeout} s"]
            raise CommandExecutionError(
                f"{tool} {args[0]}: {' '.join(said)[:300]}. Next: rabbitmq_cluster.node_state,"
                f" journalctl -u {UNIT}"
            )
        return str(ret["stdout"])

    def ask(self, *args: str, timeout: float = CALL) -> Any:
        """What ``rabbitmqctl`` answers in JSON."""
        try:
            return rabbitmq.parse_json(self.ctl(*args, "--formatter", "json", timeout=timeout))
        except ValueError as exc:
            raise CommandExecutionError(f"rabbitmqctl {args[0]} did not answer in JSON") from exc

    def definitions(self) -> Any:
        """Vhosts, users, permissions and queues, in one call (``--formatter`` would quote it)."""
        try:
            return rabbitmq.parse_json(self.ctl("export_definitions", "-", "--format", "json"))
        except ValueError as exc:
            raise CommandExecutionError("rabbitmqctl export_definitions gave no JSON") from exc

    def import_definitions(self, wanted: Mapping[str, Any]) -> None:
        """Give the broker ``wanted`` by file: from a pipe, rabbitmqctl 4.0.5 waits for ever."""
        handle, path = tempfile.mkstemp(dir=DATA.parent, suffix=".json")  # 0600
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as out:
                json.dump(wanted, out)
            shutil.chown(path, "rabbitmq", "rabbitmq")
            self.ctl("import_definitions", path)
        finally:
            pathlib.Path(path).unlink()

    def membership(self) -> dict[str, Any]:
        """Which brokers form the cluster, and which of them run."""
        return rabbitmq.parse_membership(self.ask("cluster_status"))

    def quorum_critical(self) -> list[str]:
        """Queues that would lose their quorum if this broker stopped now."""
        check = ("check_if_node_is_quorum_critical", "--formatter", "json")
        ret = self.run("rabbitmq-diagnostics", "--quiet", *check)
        found = rabbitmq.parse_critical(ret["retcode"], ret["stdout"], ret["stderr"])
        if found is None:
            raise CommandExecutionError(
                "whether queues depend on this broker cannot be told; see"
                " rabbitmq_cluster.membership"
            )
        return found

    def queue_health(self, vhost: str, configured: Sequence[str]) -> dict[str, Any]:
        """Replicated queues of ``vhost`` that have copies missing or offline."""
        known = {item["name"] for item in self.ask("list_vhosts", "name")}
        if vhost not in known:  # list_queues would answer with an empty list
            raise CommandExecutionError(f"there is no vhost {vhost}, only {sorted(known)}")
        queues = self.ask("list_queues", "-p", vhost, "name", "type", "members", "online")
        return rabbitmq.parse_queues(queues, configured)

    def reset(self) -> None:
        """Make this broker forget all, unless it has something to lose."""
        members = self.membership()["members"]
        if len(members) > 1:
            raise CommandExecutionError(f"not resetting: it is clustered as {members}")
        queues = len(self.definitions().get("queues", ()))
        if queues:
            raise CommandExecutionError(f"not resetting: {queues} queues would be lost")
        self.ctl("stop_app", timeout=60)
        self.ctl("reset", timeout=60)

    def join(self, node: str, seed: str) -> dict[str, Any]:
        """Reset this broker, called ``node``, and join it to the cluster of ``seed``."""
        self.reset()
        known = rabbitmq.parse_membership(self.ask("cluster_status", "--node", seed))
        if node in known["members"]:  # from before it lost its data: it would be turned away
            self.ctl("forget_cluster_node", node, "--node", seed, timeout=60)
        self.ctl("join_cluster", seed, timeout=60)
        self.ctl("start_app", timeout=60)
        return self.membership()

    def forget(self, node: str) -> dict[str, Any]:
        """Take a broker that is down out of this cluster, which must be whole without it."""
        known = self.membership()
        if node not in known["members"]:
            raise CommandExecutionError(f"{node} is no member, they are {known['members']}")
        if node in known["running"]:
            raise CommandExecutionError(f"not forgetting {node}: it runs. Stop it there first")
        if len(known["running"]) * 2 <= len(known["members"]):
            raise CommandExecutionError(f"not forgetting {node}: only {known['running']} run")
        self.ctl("forget_cluster_node", node, timeout=60)
        return self.membership()

    def grow(self, node: str) -> None:
        """Give a running broker a copy of every quorum queue that has none there."""
        if node not in self.membership()["running"]:
            raise CommandExecutionError(f"{node} does not run: start it first")
        self.ctl("grow", node, "all", timeout=60, tool="rabbitmq-queues")

    def wait_online(self, number: int, timeout: int) -> dict[str, Any]:
        """Wait until so many brokers of this cluster run."""
        words = ("await_online_nodes", str(number), "--timeout", str(timeout))
        self.ctl(*words, timeout=timeout + 5)
        return self.membership()

    def access(self, vhost: str, user: str, password: str) -> dict[str, Any]:
        """What the broker knows of an account, see :func:`saltern.rabbitmq_cluster.access`."""
        return rabbitmq.access(self.definitions(), vhost, user, password)

    def set_access(self, vhost: str, user: str, password: str, default_queue_type: str) -> None:
        """Create or correct vhost, user, password and permissions, and remove ``guest``."""
        stored = rabbitmq.password_hash(password, os.urandom(4))
        if "guest" in {item["user"] for item in self.ask("list_users")}:
            self.ctl("delete_user", "guest")
        self.import_definitions(rabbitmq.account(vhost, user, stored, default_queue_type))
        done = {"vhost": True, "user": True, "permissions": True, "password": "as specified"}
        deadline = time.monotonic() + CALL  # the broker imports after rabbitmqctl has returned
        while not done.items() <= self.access(vhost, user, password).items():
            if time.monotonic() > deadline:
                raise CommandExecutionError(
                    f"the broker did not import {user} within {CALL} s; see journalctl -u {UNIT}"
                )
            time.sleep(POLL)
