"""The trial of new computes: one is let in once an instance has done its work on that very host."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from saltern import computes
from saltern.cloud import Cloud
from saltern.fleet import Answer, Fleet, Reporter
from saltern.joining import ASK_TIMEOUT, any_of, ask_one

#: Instances on trial at the same time: Nova's default quota of a project is ten.
TRIALS = 8
#: The same where they run without KVM: in a lab, whose hosts share a few cores, eight take longer
#: than a trial may.
EMULATED = 3

# Seconds.
TRIAL_TIMEOUT = 300
EMULATED_TIMEOUT = 900  # on two cores that the whole cloud shared, two instances took over 300
CLEANUP_TIMEOUT = 240  # twice what a validation gives itself for removing everything


@dataclass
class Proof:
    """What came of the trial of compute hosts."""

    proven: list[str] = field(default_factory=list)  # enabled, seen by asking again
    failed: dict[str, str] = field(default_factory=dict)  # host -> why it stays disabled
    waiting: list[str] = field(default_factory=list)  # under test=True: would be tried


def prove(
    cloud: Cloud, fleet: Fleet, report: Reporter, hosts: Sequence[str], *, test: bool = False
) -> Proof:
    """Boot an instance on each of ``hosts`` that is new, and let in those where it did its work.

    A host that an operator disabled is left as it is. One that was held by us before - its trial
    failed, or it was gone - is tried again.
    """
    proof = Proof()
    if not hosts:
        return proof
    if not cloud.runs("nova-api"):
        proof.failed = dict.fromkeys(hosts, "no nova-api in the model: nobody can try it")
        return proof
    node, answer = _services(cloud, fleet)
    if not answer.ok:
        proof.failed = dict.fromkeys(hosts, f"{node}: nova.services: {answer.value}")
        return proof
    known = {service["host"] for service in answer.value}
    proof.failed = {host: "Nova knows no such host" for host in hosts if host not in known}
    for host, reason in computes.held(answer.value, hosts).items():
        report.note(f"{host} stays disabled, as an operator wants it: {reason}")
    new = computes.unproven(answer.value, hosts)
    if test:
        proof.waiting = new
        return proof
    if new:
        with report.step("prove new computes", new):
            _Trial(cloud, fleet, report, node).run(new, proof)
    return proof


def _services(cloud: Cloud, fleet: Fleet) -> tuple[str, Answer]:
    return ask_one(
        fleet,
        any_of(cloud, "nova-api"),
        "nova.services",
        ASK_TIMEOUT,
        {"binary": "nova-compute"},
    )


@dataclass(frozen=True)
class _Trial:
    cloud: Cloud
    fleet: Fleet
    report: Reporter
    node: str  # from which everything is done

    def run(self, hosts: Sequence[str], proof: Proof) -> None:
        """Add to ``proof`` the hosts that passed and are enabled, and why the others are not.

        A host is enabled before its instance is removed: that takes a third of the trial, and tells
        little about a host that has just built one. If it fails, the host is held again.
        """
        failed = self._try(hosts)
        for host, reason in failed.items():
            self._hold(host, reason)
        failed |= self._remove([host for host in hosts if host not in failed])
        _, answer = _services(self.cloud, self.fleet)
        enabled = {s["host"] for s in answer.value if s["enabled"]} if answer.ok else set()
        for host in hosts:
            if host not in failed and host not in enabled:
                failed[host] = "it passed and was enabled, but Nova does not say so"
        proof.proven += [host for host in hosts if host not in failed]
        proof.failed.update(failed)

    def _try(self, hosts: Sequence[str]) -> dict[str, str]:
        """Those of ``hosts`` where the instance did not do its work -> why."""
        emulated = self.cloud.option("cpu") == "qemu"
        together = EMULATED if emulated else TRIALS
        timeout = EMULATED_TIMEOUT if emulated else TRIAL_TIMEOUT
        answer = self._ask(
            "nova_trial.prove",
            -(-len(hosts) // together) * timeout + CLEANUP_TIMEOUT,
            hosts=list(hosts),
            image=self.cloud.option("validation_image"),
            timeout=timeout,
            together=together,
        )
        if not answer.ok:
            return dict.fromkeys(hosts, str(answer.value))
        return {host: reason for host, reason in answer.value.items() if reason}

    def _remove(self, hosts: Sequence[str]) -> dict[str, str]:
        """Remove all instances; those of ``hosts``, which are enabled, that failed after all."""
        answer = self._ask("cloud_validation.clean", CLEANUP_TIMEOUT)
        if answer.ok:
            return {}
        failed = dict.fromkeys(
            hosts, f"it passed, but its instance cannot be removed: {answer.value}"
        )
        for host, reason in failed.items():
            self._hold(host, reason)
        return failed

    def _hold(self, host: str, reason: str) -> None:
        """Keep instances away from ``host``."""
        self._ask("nova_trial.hold", host=host, reason=computes.FAILED + reason)
        self._ask("nova_trial.allow", hosts=[host], allowed=False, timeout=1)
        self.report.note(f"{host} stays disabled: {reason}")

    def _ask(self, function: str, limit: int = ASK_TIMEOUT * 2, /, **kwargs: Any) -> Answer:
        return self.fleet.call([self.node], function, timeout=limit, kwargs=kwargs)[self.node]
