"""Nova as a fleet sees it: compute hosts that are disabled or not, instances that work or not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fake_fleet import FakeFleet
from saltern import computes


class FakeNova:
    """Compute hosts behind the functions that a trial calls; ``doers`` answered, in order."""

    def __init__(self, *hosts: str) -> None:
        self.hosts: dict[str, dict[str, Any]] = {}
        for host in hosts:
            self.add(host, computes.AUTOMATIC)
        self.marked = set(hosts)  # in placement, as disabled
        self.bad: dict[str, str] = {}  # host -> what its instance lacks, or why it stays disabled
        self.broken = ""  # what is wrong with the whole cloud
        self.silent: set[str] = set()  # controllers
        self.together = 0  # instances at a time
        self.booted: list[tuple[str, ...]] = []
        self.doers: list[str] = []
        self.left: set[str] = set()  # hosts whose trial instance is still there
        self.sticky = ""  # why instances cannot be removed

    def add(self, host: str, reason: str | None, enabled: bool = False) -> None:
        self.hosts[host] = {"host": host, "enabled": enabled, "reason": reason}

    def fleet(self, **handlers: Any) -> FakeFleet:
        """Nodes that answer for this Nova, and as ``handlers`` say."""
        return FakeFleet(
            nova__services=self._services,
            nova_trial__allow=self._allow,
            nova_trial__hold=self._hold,
            nova_trial__prove=self._prove,
            cloud_validation__clean=self._clean,
            **handlers,
        )

    def _answers(self, node: str) -> None:
        if node in self.silent:
            raise RuntimeError("did not answer")
        self.doers.append(node)

    def _services(self, node: str, kwargs: Mapping[str, Any]) -> list[dict[str, Any]]:
        self._answers(node)
        assert kwargs["binary"] == "nova-compute"
        wanted = kwargs.get("host")
        return [dict(r) for h, r in sorted(self.hosts.items()) if wanted in (None, h)]

    def _allow(self, node: str, kwargs: Mapping[str, Any]) -> list[str]:
        self._answers(node)
        assert not kwargs["allowed"], "only the trial itself lets an instance in"
        self.marked |= set(kwargs["hosts"])
        return list(kwargs["hosts"])

    def _hold(self, node: str, kwargs: Mapping[str, Any]) -> bool:
        self._answers(node)
        record = self.hosts[kwargs["host"]]
        if not record["enabled"] and not computes.ours(record["reason"]):
            return False
        dated = " 2026-11-22T14:00:00Z" if kwargs.get("dated") else ""
        self.add(kwargs["host"], kwargs["reason"] + dated)
        return True

    def _prove(self, node: str, kwargs: Mapping[str, Any]) -> dict[str, str]:
        """As ``nova_trial.prove``: who passes is enabled, and the instances stay."""
        self._answers(node)
        hosts = tuple(kwargs["hosts"])
        self.booted.append(hosts)
        self.together = kwargs["together"]
        if self.broken:
            raise RuntimeError(self.broken)
        self.left |= set(hosts)
        self.marked -= set(hosts)
        for host in hosts:
            if host not in self.bad and computes.ours(self.hosts[host]["reason"]):
                self.add(host, None, enabled=True)
        return {host: self.bad.get(host, "") for host in hosts}

    def _clean(self, node: str, kwargs: Mapping[str, Any]) -> str:
        self._answers(node)
        if self.sticky:
            raise RuntimeError(self.sticky)
        self.left = set()
        return "1 server"
