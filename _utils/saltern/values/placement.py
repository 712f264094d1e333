"""Values of Placement: the inventory of what computes have and use."""

from __future__ import annotations

from typing import Any

from saltern.cloud import Cloud
from saltern.values import common, uwsgi


def placement(cloud: Cloud, node: str) -> dict[str, Any]:
    """Configuration of the one API of Placement."""
    return {
        "uwsgi": uwsgi.application(
            cloud, node, "placement", unit="placement-api", wsgi_file="/usr/bin/placement-api"
        ),
        "sections": {
            "placement_database": common.database(cloud, "placement", "placement"),
            "keystone_authtoken": common.authtoken(cloud, "placement"),
            "oslo_middleware": {"enable_proxy_headers_parsing": "true"},
        },
        "overrides": {"placement.conf": cloud.overrides("placement.conf")},
    }
