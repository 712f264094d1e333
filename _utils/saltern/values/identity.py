"""Values of Keystone: tokens, users and the catalogue of endpoints."""

from __future__ import annotations

from typing import Any

from saltern.cloud import Cloud
from saltern.values import common, uwsgi

#: Roles that services need in project ``service``: to act for others, and to be known as a service.
SERVICE_ROLES = ("admin", "service")
INTERFACES = ("public", "internal", "admin")


def keystone(cloud: Cloud, node: str) -> dict[str, Any]:
    """Configuration, keys and the administrator's credentials; on the leader, the catalogue."""
    fernet = cloud.secret("keystone", "fernet").split("\n")
    values: dict[str, Any] = {
        "uwsgi": uwsgi.application(
            cloud,
            node,
            "keystone",
            unit="keystone",
            wsgi_file="/usr/bin/keystone-wsgi-public",
            plugins=("python3", "apparmor"),
            options={"apparmor-profile": ["keystone"]},
        ),
        "sections": {
            "database": common.database(cloud, "keystone", "keystone"),
            "cache": {
                "enabled": "true",
                "backend": "oslo_cache.memcache_pool",
                "memcache_servers": ",".join(cloud.members("memcached")),
                # A dead cache server costs one short wait per process and half a minute.
                "memcache_socket_timeout": 0.5,
                "memcache_dead_retry": 30,
            },
            "identity": {"max_password_length": 72},  # bcrypt reads no more
            "token": {"provider": "fernet"},
            "fernet_tokens": {"max_active_keys": max(3, len(fernet))},
            "healthcheck": common.healthcheck("keystone"),
            "oslo_middleware": {"enable_proxy_headers_parsing": "true"},
        },
        "overrides": {"keystone.conf": cloud.overrides("keystone.conf")},
        "keys": {
            "/etc/keystone/fernet-keys": fernet,
            "/etc/keystone/credential-keys": cloud.secret("keystone", "credential").split("\n"),
        },
        "admin": admin(cloud),
        "urls": _urls(cloud, "keystone"),
    }
    if cloud.leader("keystone") == node:
        values["catalogue"] = catalogue(cloud)
    return values


def admin(cloud: Cloud) -> dict[str, str]:
    """How the cloud's administrator logs in, as openstacksdk names the fields."""
    return {
        "auth_url": cloud.endpoint_url("keystone"),
        "username": "admin",
        "password": cloud.secret("keystone", "admin"),
        "project_name": "admin",
        "user_domain_name": "Default",
        "project_domain_name": "Default",
        "region_name": cloud.region,
    }


def _urls(cloud: Cloud, service: str) -> dict[str, str]:
    """URLs by interface; what the balancer does not show to the public has no public one."""
    shown = cloud.catalog[service].get("proxy", {}).get("vips", ["internal", "public"])
    return {
        interface: cloud.endpoint_url(service, "public" if interface == "public" else "internal")
        for interface in INTERFACES
        if interface != "public" or "public" in shown
    }


def catalogue(cloud: Cloud) -> dict[str, Any]:
    """Every service, endpoint, project, role and service user that Keystone must know."""
    running = [service for service in sorted(cloud.catalog) if cloud.runs(service)]
    listed = [service for service in running if "endpoint" in cloud.catalog[service]]
    projects = {cloud.project(service) for service in running}
    users = sorted(project for project in projects if f"{project}.service" in cloud.secrets)
    return {
        "region": cloud.region,
        "projects": {"service": "Users of the services themselves"},
        "roles": list(SERVICE_ROLES),
        "services": [
            {
                "type": cloud.catalog[service]["endpoint"]["type"],
                "name": cloud.catalog[service]["endpoint"]["name"],
                "description": cloud.catalog[service]["summary"],
                "endpoints": _urls(cloud, service),
            }
            for service in listed
        ],
        "users": {
            user: {
                "password": cloud.secret(user, "service"),
                "project": "service",
                "roles": list(SERVICE_ROLES),
            }
            for user in users
        },
    }
