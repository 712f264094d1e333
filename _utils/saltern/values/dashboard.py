"""Values of Horizon, the dashboard."""

from __future__ import annotations

from typing import Any

from saltern.cloud import Cloud
from saltern.values import common

#: Sites of Debian's packages that would hold the port, or ask for modules that are not there.
PACKAGED_SITES = (
    "000-default",
    "default-ssl",
    "openstack-dashboard",
    "openstack-dashboard-alias-only",
    "openstack-dashboard-ssl",
    "openstack-dashboard-ssl-redirect",
)


def horizon(cloud: Cloud, node: str) -> dict[str, Any]:
    """The virtual host and Django's settings.

    Sessions are signed cookies: they need no cache and survive the loss of any node.
    """
    return {
        "address": cloud.address(node),
        "port": cloud.listen_port("horizon"),
        "workers": common.workers(cloud),
        "packaged_sites": list(PACKAGED_SITES),
        "settings": {
            "SECRET_KEY": cloud.secret("horizon", "session"),
            # The balancer, port forwards and names in people's DNS all lead here.
            "ALLOWED_HOSTS": ["*"],
            "WEBROOT": "/horizon/",
            "SESSION_ENGINE": "django.contrib.sessions.backends.signed_cookies",
            "SESSION_COOKIE_HTTPONLY": True,
            "OPENSTACK_HOST": cloud.vip(),
            "OPENSTACK_KEYSTONE_URL": cloud.endpoint_url("keystone"),
            "OPENSTACK_ENDPOINT_TYPE": "internalURL",
            "OPENSTACK_KEYSTONE_DEFAULT_ROLE": "member",
            "TIME_ZONE": "UTC",
            # What the operator adds: config: {horizon: {settings: {...}}} in the model.
            **cloud.overrides("horizon").get("settings", {}),
        },
    }
