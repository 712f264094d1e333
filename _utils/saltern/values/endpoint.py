"""Values of the endpoint nodes: the balancer and the virtual addresses in front of it."""

from __future__ import annotations

import ipaddress
import zlib
from collections.abc import Mapping
from typing import Any

from saltern.cloud import Cloud

#: How HAProxy asks its servers, by option ``timers``. ``timeout check`` counts only from ``inter``
#: on (measured: below it, the check ends after ``inter``), so a server that hangs is out after
#: 4.3 to 6.3 s when quick, unless the reactor has heard of it first. One miss is not enough: with
#: ``inter 450ms fall 1`` two busy cores took out copies that were only slow, above all the
#: dashboard's, whose check rendered a page then. Nor is it cheap to ask: every second, by two
#: balancers, took a third of a core of the lab's three controllers. A proxy for WebSockets forks
#: for each that asks. One writer (``single``) is changed less readily: every change cuts all of its
#: connections.
CHECKS: Mapping[str, Mapping[str, str]] = {
    "quick": {
        "server": "inter 2s fastinter 300ms fall 2 rise 1",
        "websocket": "inter 10s fastinter 1s fall 2 rise 1",
        "single": "inter 1s fastinter 500ms downinter 500ms fall 4 rise 1",
        "timeout": "2s",
        "single_timeout": "3s",
        "hard_stop": "60s",
    },
    "production": {
        "server": "inter 2s fastinter 500ms fall 3 rise 2",
        "websocket": "inter 10s fastinter 1s fall 3 rise 2",
        "single": "inter 2s fastinter 500ms downinter 1s fall 3 rise 2",
        "timeout": "2s",
        "single_timeout": "2s",
        "hard_stop": "10m",
    },
}

#: Seconds between two VRRP adverts. A silent holder is replaced after a little more than three.
ADVERTS: Mapping[str, float] = {"quick": 0.2, "production": 0.5}


def appliance(cloud: Cloud) -> list[dict[str, Any]]:
    """What a load balancer needs to front this cloud, be it our HAProxy or an appliance.

    :returns: for every proxied service that the cloud runs ``service``, ``vips`` (addresses),
        ``port``,
        ``mode`` (http or tcp), ``check`` (HTTP GET: ``port``, ``path``, ``status`` when healthy),
        ``single`` (only the first healthy member gets traffic) and ``members`` (``name``,
        ``address``, ``port``).
    """
    return [
        _front(cloud, service, spec["proxy"])
        for service, spec in sorted(cloud.catalog.items())
        if "proxy" in spec and cloud.runs(service)
    ]


def _front(cloud: Cloud, service: str, proxy: Mapping[str, Any]) -> dict[str, Any]:
    port = cloud.listen_port(service)
    check = proxy["check"]
    return {
        "service": service,
        "vips": list(
            dict.fromkeys(cloud.vip(v) for v in proxy.get("vips", ("internal", "public")))
        ),
        "port": cloud.port(service),
        "mode": proxy["mode"],
        "single": bool(proxy.get("single")),
        "check": {
            "port": check.get("port", port),
            "path": check["path"],
            "status": check.get("status", 200),
        },
        "members": [
            {"name": node, "address": cloud.address(node), "port": port}
            for node in cloud.nodes_running(service)
        ],
    }


def haproxy(cloud: Cloud, node: str) -> dict[str, Any]:
    """The balancer of an endpoint node; the same on every one of them."""
    timers = CHECKS[cloud.option("timers")]
    proxies = appliance(cloud)
    for front in proxies:
        proxy = cloud.catalog[front["service"]]["proxy"]
        front["lines"] = _lines(front, proxy, timers)
        front["servers"] = [
            f"server {member['name']} {member['address']}:{member['port']} "
            + _server_options(front, proxy, timers, first=member is front["members"][0])
            for member in front["members"]
        ]
    added = cloud.overrides("haproxy.cfg")
    ours = {"global", "defaults", *(f"listen {front['service']}" for front in proxies)}
    return {
        "proxies": proxies,
        # One connection costs two descriptors and some 40 KiB; every node brings its database
        # pools.
        "maxconn": min(4000 + 100 * len(cloud.nodes), 50000),
        "hard_stop": timers["hard_stop"],
        "check_timeout": timers["timeout"],
        "overrides": {"haproxy.cfg": added},
        "extra": {section: options for section, options in added.items() if section not in ours},
    }


def _server_options(
    front: Mapping[str, Any], proxy: Mapping[str, Any], timers: Mapping[str, str], first: bool
) -> str:
    options = ["disabled", "check"]
    if front["check"]["port"] != front["members"][0]["port"]:
        options.append(f"port {front['check']['port']}")
    kind = "single" if front["single"] else "websocket" if proxy.get("websocket") else "server"
    options.append(timers[kind])
    if front["single"]:
        options.append("on-marked-down shutdown-sessions")
        options.append("on-marked-up shutdown-backup-sessions" if first else "backup")
    return " ".join(options)


def _lines(
    front: Mapping[str, Any], proxy: Mapping[str, Any], timers: Mapping[str, str]
) -> list[str]:
    """The section of one service, but for its binds and servers."""
    lines = [f"mode {front['mode']}"]
    if front["mode"] == "tcp":
        # An idle connection in an API's pool lives for an hour (oslo.db recycles it then).
        lines += ["option tcplog", "option clitcpka", "option srvtcpka"]
        lines += ["timeout client 90m", "timeout server 90m"]
    else:
        lines += [
            "balance leastconn",
            "option httplog",
            # uwsgi closes after every answer; a kept connection to it would now and then be a dead
            # one
            "option http-server-close",
            "option idle-close-on-response",
            "option forwardfor",
            "http-request set-header X-Forwarded-Proto https if { ssl_fc }",
            "http-request set-header X-Forwarded-Proto http if !{ ssl_fc }",
            # what may be repeated is, on another server, when one dies before it answered
            "retry-on conn-failure empty-response",
            "http-request disable-l7-retry if !{ method GET HEAD OPTIONS }",
        ]
    if front["single"]:
        lines.append(f"timeout check {timers['single_timeout']}")
    if proxy.get("websocket"):
        lines.append("timeout tunnel 8h")
    if proxy.get("home"):
        lines.append(f"http-request redirect location {proxy['home']} code 302 if {{ path / }}")
    check = front["check"]
    return [
        *lines,
        "option httpchk",
        f"http-check send meth GET uri {check['path']} ver HTTP/1.1 "
        f"hdr Host {front['vips'][0]} hdr Connection close",
        f"http-check expect status {check['status']}",
    ]


def keepalived(cloud: Cloud, node: str) -> dict[str, Any]:
    """The virtual addresses, as one VRRP instance that holds all of them or none."""
    members = cloud.nodes_running("keepalived")
    return {
        "node": node,
        # One broadcast domain may carry several clouds: each needs an id of its own, 1 to 255.
        "router_id": zlib.crc32(f"{cloud.name}/{cloud.vip()}".encode()) % 255 + 1,
        "priority": 200 - members.index(node),
        "advert": ADVERTS[cloud.option("timers")],
        "interface": _interface(cloud, node, "management"),
        "address": cloud.address(node),
        "peers": [cloud.address(peer) for peer in members if peer != node],
        "vips": [_vip(cloud, node, v) for v in dict.fromkeys((cloud.vip(), cloud.vip("public")))],
        "overrides": {"keepalived.conf": cloud.overrides("keepalived.conf")},
    }


def _vip(cloud: Cloud, node: str, address: str) -> dict[str, Any]:
    """How ``node`` holds ``address``; one outside of all networks is a host route."""
    for name, network in cloud.model["networks"].items():
        cidr = ipaddress.ip_network(network["cidr"])
        if ipaddress.ip_address(address) in cidr:
            return {
                "address": address,
                "prefix": cidr.prefixlen,
                "interface": _interface(cloud, node, name),
            }
    prefix = ipaddress.ip_address(address).max_prefixlen
    return {
        "address": address,
        "prefix": prefix,
        "interface": _interface(cloud, node, "management"),
    }


def _interface(cloud: Cloud, node: str, network: str) -> str:
    own: Mapping[str, str] = cloud.model["nodes"][node].get("interfaces", {})
    return str(own.get(network, cloud.model["networks"][network]["interface"]))
