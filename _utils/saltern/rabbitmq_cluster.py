"""What RabbitMQ's tools say, which state a broker is in, and how brokers become one cluster."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from saltern.steps import Refused, Step

START_TIMEOUT = 330  # seconds
CLI_TIMEOUT = 60  # seconds
HASHING = "rabbit_password_hashing_sha256"

Observation = Mapping[str, Any]


# -- what the tools say ----------------------------------------------------------------------


def parse_json(text: str) -> Any:
    """The JSON in what a tool printed; a warning may stand before it.

    :raises ValueError: when there is none.
    """
    starts = [at for at in (text.find("{"), text.find("[")) if at >= 0]
    return json.loads(text[min(starts, default=0) :])


def parse_membership(status: Mapping[str, Any]) -> dict[str, Any]:
    """Members, running members, partitions and alarms out of ``cluster_status``."""
    return {
        "members": sorted([*status.get("disk_nodes", ()), *status.get("ram_nodes", ())]),
        "running": sorted(status.get("running_nodes", ())),
        "partitions": sorted(status.get("partitions", ())),
        "alarms": [str(alarm) for alarm in status.get("alarms", ())],
    }


def parse_known(text: str) -> list[str]:
    """Members that a stopped broker remembers, out of its cluster_nodes.config."""
    return sorted(set(re.findall(r"[\w-]+@[\w.-]+", text)))


def parse_critical(retcode: int, stdout: str, stderr: str) -> list[str] | None:
    """Queues that would lose their quorum with this node; None when the check itself failed."""
    if retcode == 0:
        return []
    try:
        said = parse_json(stderr if "{" in stderr else stdout)
        return sorted(queue["name"] for queue in said["queues"])
    except (ValueError, KeyError, TypeError):
        return None


def parse_queues(queues: Iterable[Mapping[str, Any]], members: Sequence[str]) -> dict[str, Any]:
    """Replicated queues of ``list_queues`` that have copies missing or offline."""
    kinds: dict[str, int] = {}
    short = []
    for queue in queues:
        kinds[queue["type"]] = kinds.get(queue["type"], 0) + 1
        held, online = (queue.get(key) or [] for key in ("members", "online"))  # may be ""
        if held and (len(online) < len(held) or len(held) < len(members)):
            short.append({"name": queue["name"], "members": sorted(held), "online": sorted(online)})
    return {"kinds": kinds, "short": short}


def state_of(active: str, greets: bool, distribution: bool, cli: tuple[int, str] | None) -> str:
    """``running``, ``stopped``, ``booting``, ``app_stopped``, ``paused``, ``unreachable`` or
    ``bad_cookie``.

    active
        systemd's ActiveState: for a broker that paused itself it says ``active``.

    greets
        Whether clients are greeted.

    distribution
        Whether the port for the other brokers is open.

    cli
        ``(retcode, output)`` of asking the broker whether its application runs.
    """
    if greets:
        return "running"
    if active in ("inactive", "failed", "deactivating"):
        return "stopped"
    if active == "activating":
        return "booting"
    if not distribution or cli is None:
        return "unreachable"
    retcode, said = cli
    if retcode == 0:
        return "booting" if said.strip() == "true" else "app_stopped"
    return "bad_cookie" if "cookie" in said.lower() else "paused"


# -- the account of the services -------------------------------------------------------------


def password_hash(password: str, salt: bytes) -> str:
    """``password`` the way RabbitMQ keeps it; ``salt`` is four bytes."""
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()


def password_matches(stored: str, password: str) -> bool:
    """Whether ``stored`` is the hash of ``password``."""
    salt = base64.b64decode(stored)[:4]
    return hmac.compare_digest(stored, password_hash(password, salt))


def access(definitions: Mapping[str, Any], vhost: str, user: str, password: str) -> dict[str, Any]:
    """What ``export_definitions`` says about the account that every service uses."""
    held = {item["name"]: item for item in definitions.get("vhosts", ())}
    users = {item["name"]: item for item in definitions.get("users", ())}
    rights = {(p["vhost"], p["user"]): p for p in definitions.get("permissions", ())}.get(
        (vhost, user), {}
    )
    place = held.get(vhost, {})
    return {
        "vhost": vhost in held,
        "default_queue_type": place.get("default_queue_type")
        or place.get("metadata", {}).get("default_queue_type", "classic"),
        "user": user in users,
        "password": "as specified"
        if user in users and password_matches(users[user].get("password_hash", ""), password)
        else "another",
        "permissions": all(rights.get(right) == ".*" for right in ("configure", "write", "read")),
        "guest": "guest" in users,
    }


def account(vhost: str, user: str, stored: str, queue_type: str) -> dict[str, Any]:
    """Definitions to import so that ``user`` may do everything in ``vhost``."""
    return {
        "vhosts": [
            {
                "name": vhost,
                "default_queue_type": queue_type,
                "metadata": {"default_queue_type": queue_type, "description": "", "tags": []},
            }
        ],
        "users": [
            {
                "name": user,
                "password_hash": stored,
                "hashing_algorithm": HASHING,
                "tags": [],
                "limits": {},
            }
        ],
        "permissions": [
            {"user": user, "vhost": vhost, "configure": ".*", "write": ".*", "read": ".*"}
        ],
    }


# -- what to do ------------------------------------------------------------------------------


def formation(members: Sequence[str], observed: Mapping[str, Observation | None]) -> list[Step]:
    """Steps that bring the brokers of all ``members`` (minion ids) into one cluster.

    An observation is ``{state, members, running, fresh, queues}``, see
    ``rabbitmq_cluster.observe``.

    :raises Refused: when acting could split the cluster or lose messages.
    """
    seen = {node: found for node in members if (found := observed.get(node)) is not None}
    wrong = [node for node, found in seen.items() if found["state"] == "bad_cookie"]
    if wrong:
        raise Refused(
            f"the cookie on disk is not the one that the broker on {_names(wrong)} runs with: stop"
            " rabbitmq-server on all members, then deploy again"
        )
    running = [node for node in members if node in seen and seen[node]["state"] == "running"]
    startable = [
        node
        for node in members
        if node in seen and seen[node]["state"] in ("stopped", "booting", "app_stopped")
    ]
    if not running:
        return _cold_start(members, seen, startable)
    settled = [node for node in startable if len(seen[node]["members"]) > 1]
    alone = [node for node in running if seen[node]["members"] == [f"rabbit@{node}"]]
    if settled and alone == running:
        return _yield(alone, settled, seen)
    return [*_reunite(running, seen), *_start(startable, seen, grow_from=running[0])]


def _cold_start(
    members: Sequence[str], seen: Mapping[str, Observation], startable: Sequence[str]
) -> list[Step]:
    silent = [node for node in members if node not in seen]
    if len(startable) * 2 <= len(members):
        states = (
            f"{node}: {seen[node]['state'] if node in seen else 'not answering'}"
            for node in members
        )
        raise Refused(
            f"no broker serves and fewer than a majority can be started ({', '.join(states)}):"
            " bring the nodes and the network between them back"
        )
    fresh = [node for node in startable if seen[node]["fresh"]]
    if silent and fresh:
        raise Refused(
            f"{_names(fresh)} have no data and {_names(silent)} cannot be asked: they could become"
            " two clusters. Bring the silent ones back, or take them out of the model"
        )
    # Members with data first: an empty one would found a cluster of its own. It comes next round.
    return _start([node for node in startable if node not in fresh] or startable, seen)


def _yield(
    alone: Sequence[str], settled: Sequence[str], seen: Mapping[str, Observation]
) -> list[Step]:
    """Brokers that lost their data and came up first keep the stopped cluster from starting."""
    full = [node for node in alone if seen[node]["queues"]]
    if full:
        raise Refused(
            f"{_names(full)} run alone and hold queues, while {_names(settled)} belong to a stopped"
            " cluster. Decide which one is right, then reset the other: rabbitmqctl stop_app, reset"
        )
    return [
        Step(
            tuple(alone),
            "rabbitmq_cluster.reset",
            "empty, and in the way of a stopped cluster",
            timeout=CLI_TIMEOUT * 2,
        )
    ]


def _start(
    nodes: Sequence[str], seen: Mapping[str, Observation], grow_from: str = ""
) -> list[Step]:
    """All at the same time: a stopped cluster waits for the member that stopped last."""
    if not nodes:
        return []
    steps = [
        Step(tuple(nodes), "rabbitmq_cluster.start", "start side by side", timeout=START_TIMEOUT)
    ]
    wiped = [node for node in nodes if seen[node]["fresh"]] if grow_from else []
    # A cluster that still knows a wiped member turns it away, and it would go on alone.
    known = [node for node in wiped if f"rabbit@{node}" in seen[grow_from]["members"]]
    return [
        *(
            _tell(grow_from, "forget", node, f"forget {node}, which lost its data")
            for node in known
        ),
        *steps,
        *(_tell(grow_from, "grow", node, f"give {node} copies of the queues") for node in wiped),
    ]


def _tell(teller: str, function: str, node: str, why: str) -> Step:
    return Step(
        (teller,),
        f"rabbitmq_cluster.{function}",
        why,
        kwargs={"node": f"rabbit@{node}"},
        timeout=CLI_TIMEOUT * 2,
    )


def _reunite(running: Sequence[str], seen: Mapping[str, Observation]) -> list[Step]:
    """Brokers that were started apart join the largest cluster, if they have nothing to lose."""
    known = [node for node in running if seen[node]["members"]]
    if not known:
        return []
    main = max(known, key=lambda node: (len(seen[node]["members"]), -running.index(node)))
    apart = [
        node for node in known if f"rabbit@{main}" not in seen[node]["members"] and node != main
    ]
    full = [node for node in apart if len(seen[node]["members"]) > 1 or seen[node]["queues"]]
    if full:
        raise Refused(
            f"{_names(full)} are in another cluster than {main} and hold queues. Decide which is"
            " right, then reset the other: rabbitmqctl stop_app, reset, and deploy again"
        )
    return [
        Step(
            (node,),
            "rabbitmq_cluster.join",
            f"join {main}",
            kwargs={"seed": f"rabbit@{main}"},
            timeout=CLI_TIMEOUT * 2,
        )
        for node in apart
    ]


def cannot_leave(running: int, members: int) -> str:
    """Why one of ``running`` brokers (of ``members``) must not be restarted now; or nothing."""
    if running >= members or (running - 1) * 2 > members:
        return ""
    return f"only {running} of {members} brokers run: bring the others back first"


def _names(nodes: Iterable[str]) -> str:
    return ", ".join(nodes)
