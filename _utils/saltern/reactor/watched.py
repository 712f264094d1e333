"""What a node watches: its units as systemd tells of them, and its share of the cloud."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

#: What is asked of systemd, by interface.
PROPERTIES: Mapping[str, tuple[str, ...]] = {
    "org.freedesktop.systemd1.Unit": (
        "Id",
        "LoadState",
        "UnitFileState",
        "ActiveState",
        "SubState",
        "Job",
        "ActiveEnterTimestampMonotonic",
    ),
    "org.freedesktop.systemd1.Service": ("Result", "NRestarts", "MainPID"),
}


@dataclass(frozen=True)
class Unit:
    """One unit as systemd told it last."""

    name: str
    load: str = ""
    file_state: str = ""
    active: str = ""
    sub: str = ""
    result: str = ""
    restarts: int = 0
    pid: int = 0
    queued: bool = False  # systemd has a job for it
    since: float = 0.0  # when it last became active

    @property
    def up(self) -> bool:
        return self.active in ("active", "reloading", "refreshing")

    @property
    def moving(self) -> bool:
        return self.queued or self.active in ("activating", "deactivating")

    @property
    def crashed(self) -> bool:
        """systemd itself is about to start it again."""
        return "auto-restart" in self.sub

    @property
    def off(self) -> bool:
        """Nothing runs and nothing is about to: a plain start takes nothing away."""
        return self.active in ("inactive", "failed") and not self.queued and not self.crashed

    @property
    def deliberate(self) -> bool:
        """Somebody has said that it is not to run: not until the end of this boot, or ever."""
        return self.load == "masked" or self.file_state in (
            *("masked", "masked-runtime", "disabled"),
        )

    def describe(self) -> str:
        words = [f"{self.name} is {self.active or 'unknown'}"]
        words[0] += f" ({self.sub})" if self.sub else ""
        if self.load not in ("", "loaded"):
            words.append(self.load)
        if self.result not in ("", "success"):
            words.append(self.result)
        if self.deliberate and self.load != "masked":
            words.append(self.file_state)
        if self.restarts:
            words.append(f"restarted {self.restarts} times by systemd")
        return ", ".join(words)


def unit_of(name: str, said: Mapping[str, Any]) -> Unit:
    """A unit from properties as D-Bus types them, or as ``systemctl show`` prints them."""
    job = said.get("Job") or 0
    return Unit(
        name=name,
        load=str(said.get("LoadState", "")),
        file_state=str(said.get("UnitFileState", "")),
        active=str(said.get("ActiveState", "")),
        sub=str(said.get("SubState", "")),
        result=str(said.get("Result", "")),
        restarts=int(said.get("NRestarts") or 0),
        pid=int(said.get("MainPID") or 0),
        queued=bool(int(job[0] if isinstance(job, tuple) else job)),
        since=int(said.get("ActiveEnterTimestampMonotonic") or 0) / 1e6,
    )


@dataclass(frozen=True)
class Share:
    """What this node is to watch: a part of ``pillar.cloud`` that holds no secret."""

    units: Mapping[str, str] = field(default_factory=dict)  # unit -> service
    probes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # service -> how
    quorum: frozenset[str] = frozenset()  # services with members that must not all go at once

    @property
    def services(self) -> list[str]:
        return list(dict.fromkeys(self.units.values()))

    def units_of(self, service: str) -> list[str]:
        return [unit for unit, owner in self.units.items() if owner == service]


def share_of(told: Mapping[str, Any]) -> Share:
    """From ``units`` and ``probes`` of ``pillar.cloud``. Members are named to quorum services only.

    :raises ValueError: when they are not there, or not what they should be.
    """
    try:
        units = {str(name): str(spec["service"]) for name, spec in told["units"].items()}
        probes = {str(name): dict(spec) for name, spec in told["probes"].items()}
    except (AttributeError, KeyError, TypeError, ValueError) as exc:
        raise ValueError(f"units and probes are not as in pillar.cloud: {exc!r}") from exc
    quorum = frozenset(name for name, spec in probes.items() if "members" in spec)
    return Share(units, probes, quorum)


def to_tell(cloud: Mapping[str, Any]) -> dict[str, Any]:
    """What of ``pillar.cloud`` its watch is told: :func:`share_of` reads it. No secret is in it."""
    probes = {str(name): dict(spec) for name, spec in cloud["probes"].items()}
    if "galera" in probes:
        check = cloud["values"]["galera"]["check"]
        address = probes["galera"]["address"]
        probes["galera"]["check"] = {"address": address, "port": check["port"], "path": "/"}
    units = {name: {"service": spec["service"]} for name, spec in cloud["units"].items()}
    return {"units": units, "probes": probes}


def unit_to_restart(service: str, units: Iterable[str]) -> list[str]:
    """Which of a service's running units its probe is about: its namesake, its API, or all."""
    held = list(units)
    for name in (service, f"{service}-api"):
        if name in held:
            return [name]
    return held
