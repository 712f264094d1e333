from dataclasses import replace
from typing import Any

import jinja2
import pytest
import support
from saltern.cloud import Cloud
from saltern.values import endpoint


def front(name: str, cloud: Cloud) -> dict[str, Any]:
    return next(f for f in endpoint.appliance(cloud) if f["service"] == name)


def rendered(template: str, values: dict[str, Any]) -> str:
    loader = jinja2.FileSystemLoader(support.ROOT / "salt")
    env = jinja2.Environment(loader=loader, undefined=jinja2.StrictUndefined)  # noqa: S701
    return env.get_template(template).render(v=values)


def section(text: str, header: str) -> list[str]:
    """Stripped lines of one section of haproxy.cfg."""
    body = text.split(f"\n{header}\n", 1)[1].split("\n\n", 1)[0]
    return [line.strip() for line in body.splitlines()]


def test_an_appliance_is_told_everything_about_a_service(lab: Cloud) -> None:
    assert front("galera", lab) == {
        "service": "galera",
        "vips": ["10.77.0.10"],
        "port": 3306,
        "mode": "tcp",
        "single": True,
        "check": {"port": 9200, "path": "/", "status": 200},
        "members": [
            {"name": f"ctl{n}", "address": f"10.77.0.1{n}", "port": 3306} for n in (1, 2, 3)
        ],
    }


def test_every_proxied_service_that_runs_is_fronted_and_no_other(lab: Cloud) -> None:
    fronted = [f["service"] for f in endpoint.appliance(lab)]
    assert fronted == sorted(s for s, c in lab.catalog.items() if "proxy" in c)
    controllers = {n: s for n, s in lab.model["nodes"].items() if s["roles"] != ["controller"]}
    assert endpoint.appliance(support.cloud("lab", nodes=controllers)) == []


def test_one_address_for_both_interfaces_is_bound_once() -> None:
    cloud = support.cloud("lab", vips={"internal": "10.77.0.10"})
    assert front("keystone", cloud)["vips"] == ["10.77.0.10"]
    assert len(endpoint.keepalived(cloud, "lb1")["vips"]) == 1


def test_where_balancer_and_api_share_a_node_the_api_is_at_its_moved_port() -> None:
    cloud = support.cloud("small")
    keystone = front("keystone", cloud)
    assert keystone["port"] == 5000
    assert {m["port"] for m in keystone["members"]} == {15000}
    assert keystone["check"]["port"] == 15000


def test_nobody_is_admitted_by_the_configuration(lab: Cloud) -> None:
    text = rendered("haproxy/files/haproxy.cfg.j2", endpoint.haproxy(lab, "lb1"))
    servers = [line.split() for line in text.splitlines() if line.strip().startswith("server ")]
    assert servers
    assert all("disabled" in words and "check" in words for words in servers)


def test_one_writer_the_others_wait(lab: Cloud) -> None:
    text = rendered("haproxy/files/haproxy.cfg.j2", endpoint.haproxy(lab, "lb1"))
    galera = section(text, "listen galera")
    servers = [line for line in galera if line.startswith("server ")]
    assert [line.endswith(" backup") for line in servers] == [False, True, True]
    assert all("on-marked-down shutdown-sessions" in line for line in servers)
    assert all(" port 9200 " in line for line in servers)
    assert "on-marked-up shutdown-backup-sessions" in servers[0]
    assert "mode tcp" in galera
    assert "option http-server-close" not in galera


def test_an_api_is_checked_by_its_health_page(lab: Cloud) -> None:
    text = rendered("haproxy/files/haproxy.cfg.j2", endpoint.haproxy(lab, "lb1"))
    keystone = section(text, "listen keystone")
    assert "bind 10.77.0.10:5000 transparent" in keystone
    assert "bind 10.77.0.9:5000 transparent" in keystone
    assert any(line.startswith("http-check send meth GET uri /healthcheck ") for line in keystone)
    assert "http-check expect status 200" in keystone
    assert "timeout tunnel 8h" in section(text, "listen nova-novncproxy")
    home = "http-request redirect location /horizon/ code 302 if { path / }"
    assert home in section(text, "listen horizon")
    assert home not in keystone


def test_a_hanging_server_is_out_within_seconds_when_quick_but_not_for_one_miss() -> None:
    words = endpoint.CHECKS["quick"]["server"].split()
    said = dict(zip(words[::2], words[1::2], strict=True))
    inter, fall = seconds(said["inter"]), int(said["fall"])
    assert fall > 1
    assert inter + fall * max(inter, seconds(endpoint.CHECKS["quick"]["timeout"])) <= 6


def test_what_forks_for_each_that_asks_is_asked_seldom() -> None:
    [console] = (
        front
        for front in endpoint.haproxy(support.cloud("lab"), "lb1")["proxies"]
        if front["service"] == "nova-novncproxy"
    )
    assert all(" check inter 10s " in server for server in console["servers"])


def seconds(text: str) -> float:
    return int(text[:-2]) / 1000 if text.endswith("ms") else int(text.removesuffix("s"))


@pytest.mark.parametrize("timers", ["quick", "production"])
def test_timers_are_the_operators_choice(timers: str) -> None:
    cloud = support.cloud("lab", options={"timers": timers})
    values = endpoint.haproxy(cloud, "lb1")
    assert values["check_timeout"] == endpoint.CHECKS[timers]["timeout"]
    assert endpoint.keepalived(cloud, "lb1")["advert"] == endpoint.ADVERTS[timers]


def test_an_operator_adds_to_sections_and_adds_sections() -> None:
    added = {
        "haproxy.cfg": {
            "global": {"maxconn": 9},
            "listen keystone": {"timeout server": "10m"},
            "listen stats": {"stats": "enable"},
        },
        "keepalived.conf": {"vrrp_instance saltern": {"smtp_alert": ""}},
    }
    cloud = support.cloud("lab", config=added)
    values = endpoint.haproxy(cloud, "lb1")
    assert list(values["extra"]) == ["listen stats"]
    text = rendered("haproxy/files/haproxy.cfg.j2", values)
    assert section(text, "global")[-1] == "maxconn 9"
    assert "timeout server 10m" in section(text, "listen keystone")
    assert section(text, "listen stats") == ["stats enable"]
    conf = rendered("keepalived/files/keepalived.conf.j2", endpoint.keepalived(cloud, "lb1"))
    assert "    smtp_alert" in conf


def test_connections_are_sized_by_the_cloud_within_bounds(lab: Cloud) -> None:
    assert endpoint.haproxy(lab, "lb1")["maxconn"] == 4700
    assert endpoint.haproxy(support.cloud("large"), "lb1")["maxconn"] > 4700


def test_the_first_endpoint_of_the_model_is_preferred_and_peers_are_the_others(lab: Cloud) -> None:
    first, second = (endpoint.keepalived(lab, node) for node in ("lb1", "lb2"))
    assert first["priority"] > second["priority"]
    assert (first["address"], first["peers"]) == ("10.77.0.5", ["10.77.0.6"])
    assert first["router_id"] == second["router_id"]
    assert first["vips"] == [
        {"address": "10.77.0.10", "prefix": 24, "interface": "eth0"},
        {"address": "10.77.0.9", "prefix": 24, "interface": "eth0"},
    ]


def test_clouds_beside_each_other_differ_in_router_id(lab: Cloud) -> None:
    ids = {
        endpoint.keepalived(replace(lab, model={**lab.model, "name": name}), "lb1")["router_id"]
        for name in ("lab", "one", "two")
    }
    assert len(ids) == 3
    assert all(1 <= number <= 255 for number in ids)


def test_an_address_is_held_on_the_interface_of_its_network(lab: Cloud) -> None:
    nodes = {**lab.model["nodes"]}
    nodes["lb1"] = {**nodes["lb1"], "interfaces": {"provider": "bond1"}}
    vips = {"internal": "10.77.0.10", "public": "10.77.2.9"}
    cloud = support.cloud("lab", vips=vips, nodes=nodes)
    assert endpoint.keepalived(cloud, "lb1")["vips"][1]["interface"] == "bond1"
    assert endpoint.keepalived(cloud, "lb2")["vips"][1]["interface"] == "eth2"


def test_an_address_outside_every_network_is_a_host_route() -> None:
    cloud = support.cloud("lab", vips={"internal": "192.0.2.1"})
    assert endpoint.keepalived(cloud, "lb1")["vips"] == [
        {"address": "192.0.2.1", "prefix": 32, "interface": "eth0"}
    ]


def test_a_lone_endpoint_has_nobody_to_tell(lab: Cloud) -> None:
    nodes = {n: s for n, s in lab.model["nodes"].items() if n != "lb2"}
    values = endpoint.keepalived(support.cloud("lab", nodes=nodes), "lb1")
    assert "unicast_peer" not in rendered("keepalived/files/keepalived.conf.j2", values)
