"""The last net: what desired and observed differ in, seen by asking and not by being told.

Events may be lost, and a node's own watch may be the thing that broke. So everybody is asked now
and then, and what comes back is compared with the model. What is found goes the way of every other
report; it is a hint like them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from saltern import haproxy, health, ovn
from saltern.cloud import Cloud
from saltern.fleet import Answer
from saltern.reactor.guards import SICK
from saltern.reactor.terms import Fault

#: Characters of a reason that are kept.
REASON = 300

#: Seconds for which somebody is taken to work on what ``haproxy.drain_node`` took out. A deploy
#: holds the lock meanwhile, who drains a node by hand does not. What is out for longer was left
#: behind: a restart was interrupted, or what was isolated is well again.
UNDER_WAY = 600

#: Status of what is down on a machine that has just booted: nobody is to help it yet.
STARTING = "starting"

#: Tag, node ("" for the whole cloud), body.
Finding = tuple[str, str, dict[str, Any]]
#: Function -> node -> what it answered.
Answers = Mapping[str, Mapping[str, Answer]]
#: Node -> why it is no member of its cluster.
Missing = dict[str, str]
#: ``(node, service)`` of which something was learnt while everybody was being asked. An answer may
#: be older than that: it says nothing.
Newer = Collection[tuple[str, str]]


@dataclass(frozen=True)
class Question:
    """One function, asked of many nodes side by side."""

    function: str
    timeout: int  # seconds for the whole call
    service: str = ""  # asked where this one runs; "": wherever anything does
    joined: bool = True  # asked of nodes that a deploy or join has finished; False: of the others

    def nodes(self, cloud: Cloud, accepted: Collection[str], joined: Collection[str]) -> list[str]:
        """Whom to ask. Without a key nobody answers: asking them would only take time."""
        among = self.service and cloud.nodes_running(self.service) or cloud.nodes
        if self.service and not cloud.runs(self.service):
            return []
        return [n for n in among if n in accepted and (n in joined) == self.joined]


#: Who has not joined is asked this, now and then by itself: it may have become well.
NEWCOMERS = Question("test.ping", timeout=10, joined=False)

#: All that a scan asks. A question with nobody to ask is left out.
QUESTIONS: tuple[Question, ...] = (
    Question("openstack.health", timeout=20),
    Question("haproxy.servers", timeout=15, service="haproxy"),
    Question("galera.status", timeout=15, service="galera"),
    Question("rabbitmq_cluster.membership", timeout=30, service="rabbitmq"),
    Question("ovn.status", timeout=15, service="ovn-central"),
    NEWCOMERS,
)


def findings(
    cloud: Cloud,
    answers: Answers,
    joined: Collection[str],
    *,
    busy: str = "",
    out: Collection[tuple[str, str]] = (),
    faults: Collection[Fault] = (),
    newer: Newer = (),
) -> list[Finding]:
    """Everything that is not as the model wants it, by what the nodes have just said.

    A node that does not answer gives no finding: whether it is gone is decided by presence. A node
    that has not joined gives none but that it is new: what is half deployed is nobody's fault, and
    must not be admitted.

    :param joined: nodes that a deploy or a join has finished; empty: the cloud is not deployed yet.
    :param busy: who holds the lock of the cloud. Who deploys takes things down on purpose.
    :param out: ``(service, node)`` taken out of the balancer on purpose.
    :param faults: troubles that are open; the end of one is found too.
    :param newer: what was learnt of meanwhile; it is left to the next scan.
    """
    if busy or not joined:
        return []
    healths = _healths(cloud, answers, joined, newer)
    missing = _missing(cloud, answers, healths)
    return [
        *_services(healths, missing, faults),
        *_members(missing, healths),
        *_backends(cloud, answers, healths, out),
        *_new(cloud, answers, joined),
    ]


def over(
    cloud: Cloud,
    answers: Answers,
    joined: Collection[str],
    faults: Collection[Fault],
    newer: Newer = (),
) -> dict[Fault, str]:
    """Which of the open ``faults`` have ended without anybody reporting it, and how that is known.

    Of a service its own node says so; these have nobody who does: too much being sick at once, a
    member outside of its cluster, reports that were dropped, a node that was gone and joined anew.
    """
    healths = _healths(cloud, answers, joined, newer)
    missing = _missing(cloud, answers, healths)
    found = {}
    for fault in faults:
        if fault.kind == SICK and _all_well(_group(cloud, fault.subject, joined), healths, newer):
            found[fault] = "all of them answer, and nothing on them is down"
        elif fault.node not in healths:
            continue
        elif fault.kind == "member" and fault.node not in missing.get(fault.subject, ()):
            found[fault] = "the scan found it in its cluster"
        elif fault.kind == "gone":
            found[fault] = "it answers"
        elif fault.kind == "overflow":
            found[fault] = "the node was asked for what its reports would have said"
    return found


def _group(cloud: Cloud, label: str, joined: Collection[str]) -> list[str]:
    """Nodes of a group as a guard rail names it: ``cloud``, or roles with commas between them."""
    roles = set(label.split(", "))
    return [
        node
        for node in cloud.nodes
        if node in joined and (label == "cloud" or roles & set(cloud.model["nodes"][node]["roles"]))
    ]


def _all_well(nodes: Collection[str], healths: Healths, newer: Newer) -> bool:
    return not any(node in nodes for node, _ in newer) and all(
        node in healths
        and all(status not in (health.DOWN, STARTING) for status, _ in healths[node].values())
        for node in nodes
    )


def pending(cloud: Cloud, accepted: Collection[str]) -> list[str]:
    """Nodes with an accepted key that the model does not know: they wait, visibly, for a person."""
    return sorted(set(accepted) - set(cloud.nodes))


# -- services ------------------------------------------------------------------------------------

Healths = Mapping[str, Mapping[str, tuple[str, str]]]  # node -> service -> status, reason


def _healths(cloud: Cloud, answers: Answers, joined: Collection[str], newer: Newer) -> Healths:
    """What each node says of the services that it runs by the model, and of no others."""
    found = {}
    for node in cloud.nodes:
        said = _said(answers, "openstack.health", node) if node in joined else None
        if isinstance(said, Mapping):
            own = {service: said.get(service) for service in cloud.services_on(node)}
            found[node] = {
                service: (_status(state), _short(state.get("reason")))
                for service, state in own.items()
                if isinstance(state, Mapping) and (node, service) not in newer
            }
    return found


def _status(state: Mapping[str, Any]) -> str:
    return STARTING if health.is_starting(state) else str(state.get("status"))


def _services(
    healths: Healths, missing: Mapping[str, Missing], faults: Collection[Fault]
) -> Iterator[Finding]:
    open_ = {(f.node, f.subject) for f in faults if f.kind == "service"}
    for node, services in healths.items():
        for service, (status, reason) in services.items():
            body = {"service": service, "status": status, "reason": reason}
            down = status == health.DOWN and node not in missing.get(service, ())
            if down or (status == health.OK and (node, service) in open_):
                yield "saltern/scan/service", node, body


# -- members of clusters -------------------------------------------------------------------------


def _galera(cloud: Cloud, said: Mapping[str, Any]) -> Missing:
    """Servers that run outside of the cluster, or in another one than most."""
    running = {node: status for node, status in said.items() if "cluster_status" in status}
    found = {
        node: "; ".join(map(str, _listed(status.get("reasons"))))
        for node, status in running.items()
        if not status.get("healthy")
    }
    inside = {node: status for node, status in running.items() if node not in found}
    main: Mapping[str, Any] = max(inside.values(), key=_size, default={})
    if _size(main) < len(cloud.nodes_running("galera")):
        for node, status in inside.items():
            if (status.get("uuid"), _size(status)) != (main.get("uuid"), _size(main)):
                found[node] = f"in a cluster of its own with {_size(status)} members"
    return found


def _size(status: Mapping[str, Any]) -> int:
    size = status.get("cluster_size")
    return size if isinstance(size, int) else 0


def _rabbitmq(cloud: Cloud, said: Mapping[str, Any]) -> Missing:
    """Brokers that the largest group of running ones does not count among them."""
    groups = [sorted(map(str, _listed(status.get("running")))) for status in said.values()]
    main: list[str] = max(groups, key=len, default=[])
    return {
        node: f"not in the cluster of {', '.join(main)}"
        for node in said
        if f"rabbit@{node}" not in main
    }


def _ovn(cloud: Cloud, said: Mapping[str, Any]) -> Missing:
    """Servers of either database that are in no cluster, or in another one than most."""
    found: Missing = {}
    for name in ovn.DATABASES:
        own = {n: s[name] for n, s in said.items() if isinstance(s.get(name), Mapping)}
        main: Mapping[str, Any] = max(own.values(), key=_servers, default={})
        for node, status in own.items():
            if status.get("status") != "cluster member":
                found[node] = f"{name}: {status.get('status')}"
            elif status.get("cluster") != main.get("cluster"):
                found[node] = f"{name}: in a cluster of its own"
    return found


def _servers(status: Mapping[str, Any]) -> int:
    return len(_listed(status.get("servers")))


#: Service -> the function that tells of its cluster, and who is missing by all that is told.
CLUSTERS: Mapping[str, tuple[str, Callable[[Cloud, Mapping[str, Any]], Missing]]] = {
    "galera": ("galera.status", _galera),
    "ovn-central": ("ovn.status", _ovn),
    "rabbitmq": ("rabbitmq_cluster.membership", _rabbitmq),
}


def _missing(cloud: Cloud, answers: Answers, healths: Healths) -> dict[str, Missing]:
    """Service -> members that run, but not in their cluster.

    One that does not run at all is an ordinary fault of a service: it joins as it starts.
    """
    found = {}
    for service, (function, who) in CLUSTERS.items():
        said = {
            node: value
            for node in cloud.nodes_running(service)
            if service in healths.get(node, ())
            and isinstance(value := _said(answers, function, node), Mapping)
        }
        found[service] = who(cloud, said)
    return found


def _members(missing: Mapping[str, Missing], healths: Healths) -> Iterator[Finding]:
    for service, nodes in missing.items():
        for node, reason in nodes.items():
            if healths[node][service][0] == STARTING:
                continue
            body = {"service": service, "reason": _short(reason)}
            yield "saltern/scan/member", node, body


# -- balancers -----------------------------------------------------------------------------------


def _backends(
    cloud: Cloud, answers: Answers, healths: Healths, out: Collection[tuple[str, str]]
) -> Iterator[Finding]:
    """Healthy copies that get no work although nobody wants it so, each with who does not send."""
    wanted = [
        (service, node)
        for node, services in healths.items()
        for service, (status, _) in services.items()
        if "proxy" in cloud.catalog[service] and status == health.OK and (service, node) not in out
    ]
    without: dict[tuple[str, str], list[str]] = {}
    for balancer in cloud.nodes_running("haproxy"):
        said = _listed(_said(answers, "haproxy.servers", balancer)) if balancer in healths else []
        observed = [
            {key: str(server.get(key, "")) for key in ("backend", "server", "admin", "hold")}
            for server in said
            if isinstance(server, Mapping) and not _worked_on(server)
        ]
        holds = {f"{s['backend']}/{s['server']}": s["hold"] for s in observed}
        for key in haproxy.admissions(observed, wanted, holds).admit:
            without.setdefault(key, []).append(balancer)
    for (service, server), balancers in without.items():
        body = {"service": service, "server": server, "balancer": ", ".join(balancers)}
        yield "saltern/scan/backend", server, body


def _worked_on(server: Mapping[Any, Any]) -> bool:
    since = server.get("since")
    left_behind = isinstance(since, int) and since >= UNDER_WAY
    return server.get("hold") == haproxy.ROLLING and not left_behind


# -- new nodes -----------------------------------------------------------------------------------


def _new(cloud: Cloud, answers: Answers, joined: Collection[str]) -> Iterator[Finding]:
    """Nodes of the model that answer, and so have an accepted key, and were never deployed."""
    for node in cloud.nodes:
        if node not in joined and _said(answers, "test.ping", node) is True:
            yield "saltern/scan/new", node, {}


# -- small things --------------------------------------------------------------------------------


def _said(answers: Answers, function: str, node: str) -> Any:
    """What ``node`` answered, None when it did not or could not."""
    answer = answers.get(function, {}).get(node)
    return answer.value if answer is not None and answer.ok else None


def _listed(value: Any) -> list[Any]:
    """``value`` when it is a list (or the names in a mapping), else nothing."""
    return list(value) if isinstance(value, list | Mapping) else []


def _short(reason: Any) -> str:
    return str(reason or "")[:REASON]
