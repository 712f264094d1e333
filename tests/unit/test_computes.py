"""Who disabled a compute host, by the reason that Nova keeps."""

from __future__ import annotations

from typing import Any

import pytest
from saltern import computes


def a_service(host: str, reason: str | None = None, enabled: bool = False) -> dict[str, Any]:
    return {"host": host, "enabled": enabled, "reason": reason}


@pytest.mark.parametrize(
    "reason", [computes.AUTOMATIC, computes.FAILED, "saltern: gone 2026-11-22"]
)
def test_what_nova_or_we_disabled_may_be_enabled(reason: str) -> None:
    assert computes.ours(reason)


@pytest.mark.parametrize("reason", [None, "", "memory", "SALTERN: gone", "saltern:gone"])
def test_what_an_operator_disabled_may_not(reason: str | None) -> None:
    assert not computes.ours(reason)


def test_who_waits_for_a_trial_and_who_is_held() -> None:
    services = [
        a_service("new", computes.AUTOMATIC),
        a_service("failed", f"{computes.FAILED}no lease"),
        a_service("held", "memory"),
        a_service("quiet"),
        a_service("works", computes.AUTOMATIC, enabled=True),
        a_service("elsewhere", computes.AUTOMATIC),
        a_service("elsewhere too", "disk"),
    ]
    hosts = ("new", "failed", "held", "quiet", "works")
    assert computes.unproven(services, hosts) == ["failed", "new"]
    assert computes.held(services, hosts) == {"held": "memory", "quiet": "no reason given"}


def test_a_reason_fits_into_novas_column() -> None:
    assert computes.shorten("a\n  b\tc") == "a b c"
    assert computes.shorten("x" * 255) == "x" * 255
    short = computes.shorten("x" * 256)
    assert len(short) == 255 and short.endswith("x...")
