"""What a node is to watch, and a unit as it was seen."""

from __future__ import annotations

from typing import Any

import pytest
import support
from saltern import share
from saltern.reactor import watched
from saltern.values import functions


def test_a_unit_from_the_bus_and_from_systemctl() -> None:
    bus = {
        "LoadState": "loaded", "UnitFileState": "enabled", "ActiveState": "active",
        "SubState": "running", "Result": "success", "NRestarts": 2, "MainPID": 7,
        "Job": (12, "/org/freedesktop/systemd1/job/12"), "ActiveEnterTimestampMonotonic": 2500000,
    }  # fmt: skip
    shown = {**bus, "NRestarts": "2", "MainPID": "7", "Job": "12",
             "ActiveEnterTimestampMonotonic": "2500000"}  # fmt: skip
    assert watched.unit_of("a", bus) == watched.unit_of("a", shown)
    assert watched.unit_of("a", bus).since == 2.5
    assert watched.unit_of("a", bus).queued
    assert not watched.unit_of("a", {"Job": ""}).queued
    assert watched.unit_of("a", {**bus, "ActiveState": "inactive", "Job": ""}).off
    assert not watched.unit_of("a", {**bus, "ActiveState": "activating", "Job": ""}).off


def test_which_unit_a_probe_is_about() -> None:
    assert watched.unit_to_restart("neutron", ["neutron-api", "neutron-periodic-workers"]) == [
        "neutron-api"
    ]
    assert watched.unit_to_restart("ovn-controller", ["ovs-vswitchd", "ovn-controller"]) == [
        "ovn-controller"
    ]
    assert watched.unit_to_restart("horizon", ["apache2"]) == ["apache2"]


@pytest.mark.parametrize("node", ["ctl1", "cmp1"])
def test_a_node_s_share_without_its_secrets(node: str) -> None:
    told = share.share(support.cloud("lab"), node, functions())
    given = watched.to_tell(told)
    assert "SECRET" not in repr(given)
    read = watched.share_of(given)
    assert set(read.services) == set(told["services"])
    assert read.quorum == ({"galera", "rabbitmq", "ovn-central"} if node == "ctl1" else set())
    if node == "ctl1":
        check = {"address": "10.77.0.11", "port": 9200, "path": "/"}
        assert read.probes["galera"]["check"] == check


@pytest.mark.parametrize("told", [{}, {"units": []}, {"units": {"a": {}}}, {"units": 1}])
def test_what_is_no_share_is_refused(told: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="not as in pillar"):
        watched.share_of({"probes": {}, **told})
