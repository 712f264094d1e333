"""The probes that a node's watch asks every few seconds: cheap, local, nothing to fork."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import saltern_haproxy_link
import saltern_probes
import saltern_processes
import saltern_systemd
from saltern import health
from saltern.reactor.watched import Share

Spec = Mapping[str, Any]


#: What the check of Galera (salt/galera) says of a member that gives a copy of its data.
DONOR = "Donor/Desynced"


def _galera(spec: Spec) -> str | None:
    """The check that balancers ask: 200 only from a member that may take requests."""
    reason = saltern_probes.ask({**spec["check"], "kind": "http"})
    return health.Degraded(reason) if reason and DONOR in reason else reason


def _haproxy(spec: Spec) -> str | None:
    """Its admin socket answers. Whether servers behind it do is another question."""
    try:
        saltern_haproxy_link.ask("show info")
    except saltern_haproxy_link.NoAnswer as exc:
        return str(exc)
    return None


_MORE: Mapping[str, Callable[[Spec], str | None]] = {"galera": _galera, "haproxy": _haproxy}

#: Kinds that are asked; a service of any other kind is what its units are.
KINDS = frozenset({*saltern_probes.KINDS, *_MORE})


def ask(spec: Spec) -> str | None:
    """None when the service answers as it should, or the reason why not."""
    kind = _MORE.get(spec["kind"], saltern_probes.ask)
    return kind(spec)


def look(share: Share, service: str) -> dict[str, Any]:
    """``{status, reason}`` of a service by its units and its probe, fresh."""
    units = saltern_systemd.show(share.units_of(service))
    stopped = [unit.describe() for unit in units if not unit.up]
    pids = {unit.name: unit.pid for unit in units}
    if reason := "; ".join(stopped) or saltern_processes.why_halted(pids):
        return {"status": health.DOWN, "reason": reason}
    spec = share.probes[service]
    status, words = health.of_reason(ask(spec) if spec["kind"] in KINDS else None)
    return {"status": status, "reason": words}
