"""Sections that several OpenStack services share."""

from __future__ import annotations

from typing import Any

from saltern.cloud import Cloud


def workers(cloud: Cloud) -> int | str:
    """API processes per service: a number, or ``auto``: the template sizes by the node's cores."""
    value: int | str = cloud.option("workers")
    return value


def service_user(cloud: Cloud, project: str) -> dict[str, str]:
    """How ``project`` logs in to Keystone as itself: the options of a keystoneauth section."""
    return {
        "auth_type": "password",
        "auth_url": cloud.url("keystone"),
        "region_name": cloud.region,
        "project_domain_name": "Default",
        "user_domain_name": "Default",
        "project_name": "service",
        "username": project,
        "password": cloud.secret(project, "service"),
    }


def authtoken(cloud: Cloud, project: str) -> dict[str, str]:
    """``[keystone_authtoken]``: how the API of ``project`` checks the tokens it is given."""
    return {
        **service_user(cloud, project),
        "www_authenticate_uri": cloud.url("keystone", "public"),
        "memcached_servers": ",".join(cloud.members("memcached")),
        "service_token_roles_required": "true",
    }


def messaging() -> dict[str, Any]:
    """``[oslo_messaging_rabbit]``: quorum queues and streams only: a lost broker loses nothing.

    Working values of RabbitMQ 4.0 with oslo.messaging 16.1 (docs/adr/0003).
    """
    return {
        "rabbit_quorum_queue": "true",
        "rabbit_transient_quorum_queue": "true",
        "rabbit_stream_fanout": "true",
        "use_queue_manager": "true",
        "rabbit_qos_prefetch_count": 10,
        "heartbeat_timeout_threshold": 30,
        "heartbeat_rate": 3,
        "kombu_reconnect_delay": 0.5,
    }


def database(cloud: Cloud, project: str, name: str) -> dict[str, Any]:
    """``[database]`` sections: few connections, given back before the balancer cuts them."""
    return {
        "connection": cloud.database_url(project, name),
        "max_pool_size": 5,
        "max_overflow": 10,
        "connection_recycle_time": 300,
        "max_retries": -1,  # a process that starts while the writer moves waits for it
    }


def healthcheck(project: str) -> dict[str, str]:
    """``[healthcheck]``: a file takes one copy of an API out of the balancer."""
    return {
        "backends": "disable_by_file",
        "disable_by_file_path": f"/etc/{project}/healthcheck_disable",
    }
