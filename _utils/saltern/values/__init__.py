"""Ready values for the templates of each project: what ``pillar.cloud.values.<project>`` holds.

One module per family of services. A function is named after its project, takes the cloud and the
id of the node that is asking, and returns plain data that YAML and Jinja can carry. A secret
reaches a node only because the function of one of that node's projects returned it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from saltern.cloud import Cloud

ValueFunction = Callable[[Cloud, str], dict[str, Any]]


def functions() -> Mapping[str, ValueFunction]:
    """Project -> the function that computes its values."""
    from saltern.values import (  # here, because each of them imports this package's types
        backends,
        compute,
        dashboard,
        endpoint,
        identity,
        image,
        network,
        placement,
        storage,
    )

    return {
        "galera": backends.galera,
        "glance": image.glance,
        "haproxy": endpoint.haproxy,
        "horizon": dashboard.horizon,
        "keepalived": endpoint.keepalived,
        "keystone": identity.keystone,
        "libvirt": compute.libvirt,
        "memcached": backends.memcached,
        "neutron": network.neutron,
        "nova": compute.nova,
        "ovn": network.ovn,
        "placement": placement.placement,
        "rabbitmq": backends.rabbitmq,
        "swift": storage.swift,
    }
