"""Every fault of every node, each with what to do about it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import support
from saltern import preflight
from saltern.cloud import Cloud

Edit = Callable[[dict[str, Any]], None]

SS = """\
LISTEN 0 128 10.77.0.11:5000 0.0.0.0:* users:(("uwsgi",pid=12,fd=3),("uwsgi",pid=13,fd=3))
LISTEN 0 80 127.0.0.1:3306 0.0.0.0:*
LISTEN 0 80 [::1]:3306 [::]:*
LISTEN 0 4096 [::]:4369 [::]:* users:(("systemd",pid=1,fd=72))
LISTEN 0 4096 127.0.0.53%lo:53 0.0.0.0:*
LISTEN 0 128 10.77.0.11%eth0:22 0.0.0.0:*
UNCONN nonsense
"""


def facts(cloud: Cloud, node: str, number: int) -> dict[str, Any]:
    """A node that is fit for everything."""
    interfaces = {
        name: {"mac": f"02:00:00:00:0{index}:{number:02x}", "mtu": 1500, "addresses": []}
        for index, name in enumerate(("eth0", "eth1", "eth2"))
    }
    interfaces["eth0"]["addresses"] = [cloud.address(node)]
    if "tunnel" in cloud.model["nodes"][node]["addresses"]:
        interfaces["eth1"]["addresses"] = [cloud.address(node, "tunnel")]
    return {
        "os": {"id": "debian", "version": "13"},
        "systemd": True,
        "container": False,
        "salt": "3008.3",
        "python": "3.13.5",
        "hostname": node,
        "machine_id": f"id-{node}",
        "memory": 32000,
        "disk": {"/": 90000, "/var/lib": 90000},
        "clock": {"offset": 0.4, "synchronised": True},
        "interfaces": interfaces,
        "resolved": {},
        "reverse": {},
        "listeners": [],
        "running": [],
        "vip_answers": {},
        "dpkg": {"holder": None, "interrupted": False},
        "stamp": "abc",
    }


@pytest.fixture
def known(lab: Cloud) -> dict[str, Any]:
    return {node: facts(lab, node, number) for number, node in enumerate(lab.nodes)}


def listener(port: int, process: str, unit: str, address: str = "*") -> dict[str, Any]:
    return {"address": address, "port": port, "process": process, "unit": unit}


def test_fit_nodes_have_no_faults(lab: Cloud, known: dict[str, Any]) -> None:
    assert preflight.verdict(lab, known) == []
    assert preflight.verdict(lab, known, stamp="abc") == []


def test_silent_nodes_are_named_with_all_other_faults(lab: Cloud, known: dict[str, Any]) -> None:
    known["lb2"] = None
    del known["cmp1"]
    known["ctl1"]["hostname"] = "debian"
    assert [fault.partition(":")[0] for fault in preflight.verdict(lab, known)] == [
        "lb2",
        "cmp1",
        "ctl1",
    ]


def test_no_node_at_all(lab: Cloud) -> None:
    assert len(preflight.verdict(lab, {})) == len(lab.nodes)


NODE_FAULTS: list[tuple[str, Edit, str]] = [
    ("ctl1", lambda f: f["os"].update(version="12"), "it runs debian 12, not Debian 13"),
    ("ctl1", lambda f: f.update(systemd=False), "systemd is not its init"),
    ("ctl1", lambda f: f.update(salt="3007.1"), "its minion is Salt 3007.1"),
    ("ctl1", lambda f: f.update(hostname="x"), "run `hostnamectl set-hostname ctl1`"),
    ("ctl1", lambda f: f["resolved"].update(lb1=["10.9.9.9"]), "the name lb1 leads to 10.9.9.9"),
    ("ctl1", lambda f: f["reverse"].update({"10.77.0.5": "lb2.x"}), "10.77.0.5 is called lb2.x"),
    ("ctl1", lambda f: f["interfaces"]["eth0"].update(addresses=[]), "address 10.77.0.11 is on no"),
    ("cmp1", lambda f: f["interfaces"]["eth1"].update(addresses=[]), "tunnel address 10.77.1.21"),
    ("cmp1", lambda f: f["interfaces"].pop("eth2"), "no interface eth2 for the network provider"),
    (
        "ctl1",
        lambda f: (
            f["interfaces"]["eth0"].update(addresses=[])
            or f["interfaces"]["eth1"].update(addresses=["10.77.0.11"])
        ),
        "its management address is on eth1, not on eth0",
    ),
    ("ctl1", lambda f: f.update(memory=1000), "1000 MiB of memory, its services need"),
    ("ctl1", lambda f: f["disk"].update({"/var/lib": 10}), "10 MiB free under /var/lib"),
    ("ctl1", lambda f: f["clock"].update(offset=-5.0), "5.0 s behind the master's"),
    ("ctl1", lambda f: f["clock"].update(offset=90.0), "90.0 s ahead of the master's"),
    ("ctl1", lambda f: f["clock"].update(synchronised=False), "chrony runs but is not"),
    ("ctl1", lambda f: f["dpkg"].update(holder="apt-get (pid 7)"), "dpkg is in use by apt-get"),
    ("ctl1", lambda f: f["dpkg"].update(interrupted=True), "run `dpkg --configure -a`"),
    (
        "ctl1",
        lambda f: f["listeners"].append(listener(3306, "mysqld", "my-db")),
        "port 3306, wanted by galera, is held by mysqld (my-db)",
    ),
    (
        "lb1",
        lambda f: f["listeners"].append(listener(5000, "", "", "10.77.0.10")),
        "port 5000, wanted by haproxy, is held by an unknown process (no unit)",
    ),
]


@pytest.mark.parametrize(
    ("node", "edit", "words"), NODE_FAULTS, ids=lambda v: "edit" if callable(v) else str(v)[:40]
)
def test_one_fault_of_one_node(
    lab: Cloud, known: dict[str, Any], node: str, edit: Edit, words: str
) -> None:
    edit(known[node])
    (fault,) = preflight.verdict(lab, known)
    assert fault.startswith(f"{node}: ")
    assert words in fault


HARMLESS: list[tuple[str, Edit]] = [
    ("ctl1", lambda f: f["resolved"].update(ctl1=["127.0.1.1"], stranger=["10.9.9.9"])),
    ("ctl1", lambda f: f["reverse"].update({"10.77.0.5": "lb1.x", "10.77.0.6": "host-6.x"})),
    ("ctl1", lambda f: f["reverse"].update({"10.9.9.9": "lb1"})),
    ("ctl1", lambda f: f["clock"].update(offset=None, synchronised=None)),
    ("ctl1", lambda f: f.update(container=True, clock={"offset": 90.0, "synchronised": None})),
    ("ctl1", lambda f: f["listeners"].append(listener(3306, "mariadbd", "mariadb"))),
    ("ctl1", lambda f: f["listeners"].append(listener(4369, "systemd", ""))),
    ("ctl1", lambda f: f["listeners"].append(listener(9200, "python3", "galera-check"))),
    ("ctl1", lambda f: f["listeners"].append(listener(3306, "x", "y", "172.17.0.1"))),
    ("ctl1", lambda f: f["listeners"].append(listener(8099, "x", "y"))),
    (
        "ctl1",
        lambda f: f["running"].append("mariadb") or f["listeners"].append(listener(3306, "", "")),
    ),
    ("ctl1", lambda f: f["interfaces"].pop("eth2")),
    ("lb1", lambda f: f["vip_answers"].update({"10.77.0.10": "02:00:00:00:00:01"})),  # lb2's
]


@pytest.mark.parametrize(("node", "edit"), HARMLESS)
def test_what_is_as_it_may_be(lab: Cloud, known: dict[str, Any], node: str, edit: Edit) -> None:
    edit(known[node])
    assert preflight.verdict(lab, known) == []


def test_a_network_s_mtu_is_kept_and_the_same_everywhere(known: dict[str, Any]) -> None:
    networks = copy.deepcopy(support.example("lab")["networks"])
    networks["tunnel"]["mtu"] = 9000
    jumbo = support.cloud("lab", networks=networks)
    known["cmp1"]["interfaces"]["eth1"]["mtu"] = 9000
    assert preflight.verdict(jumbo, known) == [
        "cmp2: eth1 has an MTU of 1500, tunnel wants 9000; raise it there",
        "network tunnel: different MTUs (1500 on cmp2; 9000 on cmp1); give all of them the same",
    ]


def test_faults_between_nodes(lab: Cloud, known: dict[str, Any]) -> None:
    known["ctl2"]["machine_id"] = known["ctl1"]["machine_id"]
    known["lb1"]["vip_answers"] = {"10.77.0.10": "de:ad:be:ef:00:00"}
    known["lb2"]["vip_answers"] = {"10.77.0.10": "de:ad:be:ef:00:00"}
    known["ctl3"]["stamp"] = "old"
    found = preflight.verdict(lab, known)
    assert len(found) == 3
    assert found[0].startswith("ctl1, ctl2: the same machine id id-ctl1")
    assert "10.77.0.10 is in use by the machine with MAC de:ad:be:ef:00:00" in found[1]
    assert found[2].startswith("ctl3: it runs other Saltern code than the others")
    assert len(preflight.verdict(lab, known, stamp="new")) == 2 + len(lab.nodes)


def test_the_balancer_takes_the_ports_of_what_it_fronts(lab: Cloud) -> None:
    on_lb, on_ctl = preflight.wanted_ports(lab, "lb1"), preflight.wanted_ports(lab, "ctl1")
    assert on_lb[lab.port("keystone")] == "haproxy"
    assert lab.port("memcached") not in on_lb
    assert on_ctl[lab.listen_port("keystone")] == "keystone"
    assert on_ctl[4567] == "galera"


def test_interfaces_without_loopback() -> None:
    text = (
        '[{"ifname":"lo","mtu":65536,"flags":["LOOPBACK"]},'
        '{"ifname":"eth0","mtu":1500,"address":"aa:bb","flags":["UP"],'
        '"addr_info":[{"local":"10.0.0.1"},{"family":"inet6"}]}]'
    )
    assert preflight.parse_addresses(text) == {
        "eth0": {"mac": "aa:bb", "mtu": 1500, "addresses": ["10.0.0.1"]}
    }


def test_listeners_that_others_can_reach() -> None:
    assert preflight.parse_listeners(SS) == [
        {"address": "10.77.0.11", "port": 5000, "process": "uwsgi", "pids": [12, 13]},
        {"address": "::", "port": 4369, "process": "systemd", "pids": [1]},
        {"address": "10.77.0.11", "port": 22, "process": "", "pids": []},
    ]


@pytest.mark.parametrize(
    ("cgroup", "unit"),
    [
        ("0::/system.slice/keystone.service\n", "keystone"),
        ("9:name=systemd:/libpod-9/system.slice/epmd.service\n0::/libpod-9/x.service\n", "epmd"),
        ("0::/user.slice/user-0.slice/session-1.scope\n", ""),
    ],
)
def test_a_process_belongs_to_a_unit(cgroup: str, unit: str) -> None:
    assert preflight.parse_unit(cgroup) == unit


def test_the_stamp_changes_with_any_file() -> None:
    stamp = preflight.code_stamp({"a.py": b"1", "b.py": b"2"})
    assert stamp == preflight.code_stamp({"b.py": b"2", "a.py": b"1"})
    assert stamp != preflight.code_stamp({"a.py": b"1", "b.py": b"3"})
    assert stamp != preflight.code_stamp({"a.py": b"1"})


def test_dns_is_asked_only_for_what_the_hosts_file_leaves_open() -> None:
    text = "10.0.0.1 ctl1\n# 10.0.0.2 ctl2\n"
    assert preflight.names_to_resolve(text, {"ctl1": "10.0.0.1", "ctl2": "10.0.0.2"}) == (
        ["ctl2"],
        ["10.0.0.2"],
    )
