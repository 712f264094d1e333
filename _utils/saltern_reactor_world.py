"""What the reactor knows of the cloud at this moment, gathered from all who have seen it."""

from __future__ import annotations

import pathlib
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import saltern_operation
from saltern import lock
from saltern.cloud import Cloud
from saltern.fleet import Answer
from saltern.reactor.terms import Observed, Report, Status
from saltern_journal import Journal
from saltern_keys import AcceptedKeys

#: Seconds for which a sign of life counts of a node that does not beat (it has not joined yet).
HEARD_FOR = 300.0
#: How the statuses of a watch are called in :mod:`saltern.health`.
CALLED = {"ok": "ok", "degraded": "degraded"}  # hung, looping and all else is down

START_TAG = "salt/minion/"


class World:
    """Filled by every thread of the reactor, read by the one that decides."""

    def __init__(
        self,
        journal: Journal,
        keys: AcceptedKeys,
        home: pathlib.Path,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._journal = journal
        self._keys = keys
        self._home = home
        self.clock = clock
        self._guard = threading.Lock()
        self._seen: dict[str, dict[str, Status]] = {}  # by reports and by asking
        self._asked: dict[tuple[str, str], float] = {}  # (node, service) -> when it was asked
        self._heard: dict[str, float] = {}
        self._present: Mapping[str, bool] = {}
        self._joined: tuple[Any, frozenset[str]] = (None, frozenset())

    # -- learning ----------------------------------------------------------------------------

    def reported(self, report: Report) -> None:
        """Learn from a report what it says of its node, until somebody has looked."""
        if report.tag.startswith(START_TAG):
            self.heard(report.node)
        service, status = report.body.get("service"), report.body.get("status")
        if report.node and isinstance(service, str) and isinstance(status, str):
            reason = str(report.body.get("reason", ""))
            self._learn(report.node, {service: _status(status, reason, report.at)})

    def answered(
        self, answers: Mapping[str, Answer], asked: float, services: list[str] | None = None
    ) -> None:
        """Learn from what nodes have answered to ``openstack.health``.

        asked
            When they were asked, by the clock. An answer takes its time: what a node has reported
            since then is newer.
        services
            The ones they were asked about, which count as asked even where nobody answered.
        """
        for node, answer in answers.items():
            with self._guard:
                self._asked.update({(node, service): asked for service in services or ()})
            if not answer.ok or not isinstance(answer.value, Mapping):
                continue
            self.heard(node)
            self._learn(
                node,
                {
                    str(service): _status(str(s.get("status")), str(s.get("reason", "")), asked)
                    for service, s in answer.value.items()
                    if isinstance(s, Mapping)
                },
            )

    def heard(self, node: str) -> None:
        """Learn that ``node`` answers."""
        with self._guard:
            self._heard[node] = self.clock()

    def present(self, answering: Mapping[str, bool]) -> None:
        """Learn who beats and who does not, of the nodes that have joined."""
        with self._guard:
            self._present = dict(answering)

    def _learn(self, node: str, statuses: Mapping[str, Status]) -> None:
        with self._guard:
            seen = self._seen.setdefault(node, {})
            for service, status in statuses.items():
                if service not in seen or seen[service].at <= status.at:
                    seen[service] = status

    # -- knowing -----------------------------------------------------------------------------

    def asked_since(self, node: str, service: str, since: float) -> bool:
        """Whether somebody has asked ``node`` about ``service`` after ``since``."""
        with self._guard:
            return self._asked.get((node, service), 0.0) >= since

    def learnt_since(self, since: float) -> set[tuple[str, str]]:
        """``(node, service)`` of all that something was learnt of after ``since``."""
        with self._guard:
            return {
                (node, service)
                for node, seen in self._seen.items()
                for service, status in seen.items()
                if status.at > since
            }

    def lock_path(self, cloud: Cloud) -> pathlib.Path:
        """The lock that every operation on ``cloud`` takes."""
        return self._home / f"{cloud.name}.lock"

    def busy(self, cloud: Cloud) -> str:
        """Who works on ``cloud`` alone, a deploy or a join; empty when nobody does."""
        return lock.holder(self.lock_path(cloud))

    def joined(self) -> frozenset[str]:
        """Nodes that a deploy or a join has finished."""
        try:
            stat = (self._home / saltern_operation.JOINED).stat()
        except FileNotFoundError:
            return frozenset()
        stamp = (stat.st_mtime_ns, stat.st_ino)
        if self._joined[0] != stamp:
            self._joined = (stamp, frozenset(saltern_operation.joined(self._home)))
        return self._joined[1]

    def forget_strangers(self) -> None:
        """A node whose key is gone has to join anew: who comes back by its name is another one."""
        accepted = self._keys.ids()
        for node in self.joined() - accepted if accepted else ():
            saltern_operation.left(self._home, node)
            self._journal.forget_outboxes(node)

    def observed(self, cloud: Cloud) -> Observed:
        """Everything at once, as it is now."""
        beats = self._journal.beats()
        services = {
            node: {
                service: _status(beats[node].bad.get(service, "ok"), "", beats[node].at)
                for service in (cloud.services_on(node) if node in beats else ())
            }
            for node in cloud.nodes
        }
        with self._guard:
            # A node can report about as many services as it likes: only its own are remembered.
            own = {node: set(cloud.services_on(node)) for node in self._seen if node in services}
            self._seen = {
                node: {s: status for s, status in self._seen[node].items() if s in there}
                for node, there in own.items()
            }
            for node, seen in self._seen.items():
                known = services[node]
                for service, status in seen.items():
                    if service not in known or known[service].at < status.at:
                        known[service] = status
        return Observed(
            accepted=self._keys.ids(),
            answering=self.answering(),
            services={node: found for node, found in services.items() if found},
            joined=self.joined(),
            busy=self.busy(cloud),
        )

    def answering(self) -> dict[str, bool]:
        """Node -> whether it is heard of; who is being asked for is left out."""
        now = self.clock()
        with self._guard:
            heard = {node: True for node, at in self._heard.items() if at > now - HEARD_FOR}
            return {**heard, **self._present}

    def outline(self, cloud: Cloud) -> tuple[Any, ...]:
        """Differs from the last one when something has changed that decisions may wait for."""
        there = frozenset(node for node, is_there in self.answering().items() if is_there)
        return self._keys.ids(), there, self.joined(), self.busy(cloud)


def _status(said: str, reason: str, at: float) -> Status:
    called = CALLED.get(said, "down")
    return Status(called, reason if said == called else f"{said}: {reason}".rstrip(": "), at)
