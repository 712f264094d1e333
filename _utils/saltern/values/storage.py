"""Values of Swift, which keeps the images (docs/adr/0002-image-store.md)."""

from __future__ import annotations

from typing import Any

from saltern.cloud import Cloud
from saltern.values import common

DEVICES = "/srv/node"
DEVICE = "images"  # a folder, or the mount point of a disk of its own
REPLICAS = 3
PART_POWER = 10  # 1024 partitions: enough for some dozens of disks, quick to walk
PORTS = {"object": 6200, "container": 6201, "account": 6202}


def swift(cloud: Cloud, node: str) -> dict[str, Any]:
    """The rings, the three storage servers, the proxy and how often copies are compared."""
    members = cloud.nodes_running("swift-storage")
    address = cloud.address(node)
    values: dict[str, Any] = {
        "address": address,
        "devices": DEVICES,
        "device": DEVICE,
        "peers": [cloud.address(member) for member in members],
        "hash": cloud.secret("swift", "hash"),
        # One process without a parent that only waits for it.
        "workers": 0 if cloud.option("workers") == 1 else common.workers(cloud),
        "ports": PORTS,
        "rings": {
            kind: {
                "part_power": PART_POWER,
                "replicas": min(REPLICAS, len(members)),
                # A node is a zone: no two copies share one.
                "devices": [
                    {
                        "id": index,
                        "region": 1,
                        "zone": index + 1,
                        "ip": cloud.address(member),
                        "port": port,
                        "device": DEVICE,
                        "weight": 100.0,
                    }
                    for index, member in enumerate(members)
                ],
            }
            for kind, port in PORTS.items()
        },
        "overrides": {
            f"{kind}-server.conf": cloud.overrides(f"{kind}-server.conf")
            for kind in (*PORTS, "proxy")
        },
    }
    if cloud.runs("swift-proxy") and node in cloud.nodes_running("swift-proxy"):
        values["proxy"] = {
            "port": cloud.listen_port("swift-proxy"),
            "memcached": ",".join(cloud.members("memcached")),
            # A copy that is on its way to another node is still found there.
            "request_node_count": max(2 * REPLICAS, len(members)),
            "authtoken": common.authtoken(cloud, "swift"),
        }
    return values
