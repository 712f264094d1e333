"""From a machine to the arguments of podman."""

from __future__ import annotations

import pathlib

import pytest
import yaml

from lab import shape
from lab.model import Lab, lab
from lab.runtime import Runtime, choose

EXAMPLE = pathlib.Path(__file__).resolve().parents[3] / "examples" / "lab.yaml"
HOST = shape.Host(Runtime((), ("--ulimit", "nofile=5:5")), True, "/src", "/src/.lab/pillar")


@pytest.fixture
def cloud() -> Lab:
    return lab(yaml.safe_load(EXAMPLE.read_text()))


def arguments(cloud: Lab, name: str) -> list[str]:
    return shape.run_arguments(cloud.machines[name], cloud, HOST)


def test_a_compute_node_has_three_nics_in_order(cloud: Lab) -> None:
    nics = [a for a in arguments(cloud, "cmp1") if a.startswith("--network")]
    assert nics == [
        "--network=saltern-mgmt:ip=10.77.0.21,interface_name=eth0",
        "--network=saltern-tunnel:ip=10.77.1.21,interface_name=eth1",
        "--network=saltern-provider:ip=10.77.2.254,interface_name=eth2",
    ]
    assert shape.unnumbered(cloud.machines["cmp1"], cloud) == ["eth2"]


def test_nobody_is_privileged(cloud: Lab) -> None:
    for name in cloud.machines:
        assert not [a for a in arguments(cloud, name) if "privileged" in a]
    assert "--device=/dev/net/tun" in arguments(cloud, "cmp1")
    assert "--device=/dev/net/tun" not in arguments(cloud, "ctl1")
    assert f"--cap-add={shape.CAPABILITIES}" in arguments(cloud, "ctl1")


def test_only_the_master_sees_the_checkout_and_cannot_write_it(cloud: Lab) -> None:
    volumes = {n: [a for a in arguments(cloud, n) if "volume" in a] for n in cloud.machines}
    assert volumes.pop("master") == [
        "--volume=/src:/srv/saltern:ro",
        "--volume=/src/.lab/pillar:/srv/saltern/pillar:rw",
    ]
    assert not any(volumes.values())


def test_the_shape_follows_the_address(cloud: Lab) -> None:
    before = shape.shape_of(arguments(cloud, "ctl1"))
    assert before == shape.shape_of(arguments(cloud, "ctl1"))
    assert before != shape.shape_of(arguments(cloud, "ctl2"))


def test_networks_are_internal_and_give_the_host_the_first_address(cloud: Lab) -> None:
    made = shape.network_arguments(cloud.networks["management"])
    assert made[-1] == "saltern-mgmt"
    assert {"--internal", "--disable-dns", "--gateway=10.77.0.1"} <= set(made)


@pytest.mark.parametrize(
    ("cgroups", "found", "flags"),
    [
        ("cgroup2fs", {"crun": "/usr/bin/crun", "runc": "/usr/sbin/runc"}, ()),
        ("cgroup2fs", {"crun": None, "runc": "/usr/sbin/runc"}, ("--runtime", "/usr/sbin/runc")),
        ("tmpfs", {"crun": "/usr/bin/crun", "runc": "/sbin/runc"}, ("--runtime", "/sbin/runc")),
        ("tmpfs", {"crun": "/usr/bin/crun", "runc": None}, ()),
    ],
)
def test_runc_where_crun_refuses_the_cgroups(
    cgroups: str, found: dict[str, str | None], flags: tuple[str, ...]
) -> None:
    assert choose(cgroups, found, -1, -1).flags == flags


def test_limits_are_never_above_the_hosts() -> None:
    assert choose("cgroup2fs", {}, 20000, 1000).ulimits == (
        "--ulimit",
        "nofile=20000:20000",
        "--ulimit",
        "nproc=1000:1000",
    )
    assert "nofile=1048576:1048576" in choose("cgroup2fs", {}, -1, -1).ulimits
