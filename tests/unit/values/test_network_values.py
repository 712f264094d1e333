"""Values of Neutron and OVN."""

from __future__ import annotations

import json
from typing import Any

import pytest
import support
from saltern.cloud import Cloud, ModelError
from saltern.values import network


def test_the_server_and_the_agent_are_told_their_own_parts(lab: Cloud) -> None:
    server, agent = network.neutron(lab, "ctl1"), network.neutron(lab, "cmp1")
    assert "metadata" not in server and "config" not in agent
    assert "SECRET-neutron" not in json.dumps(agent)
    assert agent["metadata"]["DEFAULT"]["metadata_proxy_shared_secret"] == "SECRET-nova-metadata"
    assert agent["metadata"]["DEFAULT"]["nova_metadata_host"] == "10.77.0.10"
    assert network.neutron(lab, "lb1") == {}


def test_neutron_knows_every_member_of_ovn(lab: Cloud) -> None:
    ovn = network.neutron(lab, "ctl1")["ml2"]["ovn"]
    assert ovn["ovn_nb_connection"] == "tcp:10.77.0.11:6641,tcp:10.77.0.12:6641,tcp:10.77.0.13:6641"
    assert ovn["ovn_sb_connection"].count(":6642") == 3


def test_a_hardware_router_leaves_provider_networks_only() -> None:
    cloud = support.cloud("lab", network={"routing": "external"})
    values = network.neutron(cloud, "ctl1")
    assert values["config"]["DEFAULT"]["service_plugins"] == ""
    assert values["ml2"]["ml2"]["tenant_network_types"] == ""
    assert values["ml2"]["ml2_type_flat"]["flat_networks"] == "physnet1"
    assert "ovn-cms-options" not in network.ovn(cloud, "cmp1")["switch"]["external_ids"]


def test_the_mtu_of_the_tunnel_network_counts(lab: Cloud) -> None:
    networks: dict[str, Any] = support.example("lab")["networks"]
    networks["tunnel"]["mtu"] = 9000
    jumbo = support.cloud("lab", networks=networks)
    assert network.neutron(jumbo, "ctl1")["ml2"]["ml2"]["path_mtu"] == 9000
    assert network.neutron(lab, "ctl1")["ml2"]["ml2"]["path_mtu"] == 1500


def test_a_member_of_ovn_listens_on_its_own_address(lab: Cloud) -> None:
    central = network.ovn(lab, "ctl2")["central"]
    assert central["address"] == "10.77.0.12"
    assert central["peers"] == ["10.77.0.11", "10.77.0.13"]
    assert central["raft"] == {"nb": 6643, "sb": 6644}
    assert "--db-sb-cluster-local-addr=10.77.0.12" in central["options"]
    assert not any("remote-addr" in option for option in central["options"])
    assert network.ovn(lab, "lb1") == {}


def test_in_user_space_a_bridge_owns_the_tunnel_address(lab: Cloud) -> None:
    switch = network.ovn(lab, "cmp1")["switch"]
    assert switch["bridges"] == {
        "br-provider": {"port": "eth2", "address": None},
        "br-phy": {"port": "eth1", "address": "10.77.1.21/24"},
    }
    assert switch["external_ids"]["ovn-bridge-datapath-type"] == "netdev"
    assert switch["external_ids"]["ovn-encap-ip"] == "10.77.1.21"
    assert switch["external_ids"]["ovn-bridge-mappings"] == "physnet1:br-provider"


def test_the_kernel_keeps_its_tunnel_device() -> None:
    switch = network.ovn(support.cloud("lab", options={}), "cmp1")["switch"]
    assert list(switch["bridges"]) == ["br-provider"]
    assert "ovn-bridge-datapath-type" not in switch["external_ids"]


def test_user_space_without_a_tunnel_network_would_cut_the_node_off() -> None:
    nodes = support.example("lab")["nodes"]
    del nodes["cmp1"]["addresses"]["tunnel"]
    with pytest.raises(ModelError, match="nodes.cmp1: datapath userspace"):
        network.ovn(support.cloud("lab", nodes=nodes), "cmp1")


def test_a_bridge_of_a_long_network_name_still_fits_an_interface() -> None:
    name = network._bridge("provider_in_the_basement")
    assert len(name) <= 15 and name != network._bridge("provider_in_the_attic_too")
