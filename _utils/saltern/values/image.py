"""Values of Glance: images, and the store that keeps them."""

from __future__ import annotations

from typing import Any

from saltern.cloud import Cloud
from saltern.values import common

#: Pieces in which an image larger than this is kept in Swift, MiB.
SEGMENT_MIB = 1024


def glance(cloud: Cloud, node: str) -> dict[str, Any]:
    """Configuration of the image API.

    Images live in Swift where the cloud has it: every copy of the API serves every image, and none
    is lost with a node. Without Swift they are files, and only a folder that all nodes share is
    safe.
    """
    store = "swift" if cloud.runs("swift-proxy") else "file"
    address, port = cloud.address(node), cloud.listen_port("glance")
    values: dict[str, Any] = {
        "store": store,
        "workers": common.workers(cloud),
        "sections": {
            "DEFAULT": {
                "bind_host": address,
                "bind_port": port,
                "enabled_backends": f"{store}:{store}",
                # Where the other copies find what a client staged here for an import.
                "worker_self_reference_url": f"http://{address}:{port}",
                "show_image_direct_url": "false",
                "log_file": "/var/log/glance/glance-api.log",
            },
            "glance_store": {"default_backend": store},
            "file": {"filesystem_store_datadir": "/var/lib/glance/images"},
            "os_glance_staging_store": {"filesystem_store_datadir": "/var/lib/glance/staging"},
            "os_glance_tasks_store": {"filesystem_store_datadir": "/var/lib/glance/tasks"},
            "paste_deploy": {"flavor": "keystone"},
            "database": common.database(cloud, "glance", "glance"),
            "keystone_authtoken": common.authtoken(cloud, "glance"),
            "oslo_middleware": {"enable_proxy_headers_parsing": "true"},
            "oslo_concurrency": {"lock_path": "/run/lock/glance"},
        },
        "overrides": {"glance-api.conf": cloud.overrides("glance-api.conf")},
    }
    if store == "swift":
        user = common.service_user(cloud, "glance")
        del values["sections"]["file"]
        values["sections"]["swift"] = {
            "default_swift_reference": "saltern",
            "swift_store_config_file": "/etc/glance/glance-swift.conf",
            "swift_store_container": "glance",
            "swift_store_create_container_on_put": "true",
            "swift_store_service_type": cloud.catalog["swift-proxy"]["endpoint"]["type"],
            "swift_store_endpoint_type": "internalURL",
            "swift_store_region": cloud.region,
            "swift_store_large_object_size": SEGMENT_MIB,
            "swift_store_large_object_chunk_size": 200,
            "swift_store_retry_get_count": 3,
        }
        values["swift"] = {
            "saltern": {
                "user": f"{user['project_name']}:{user['username']}",
                "key": user["password"],
                "auth_version": 3,
                "auth_address": cloud.endpoint_url("keystone"),
                "user_domain_name": user["user_domain_name"],
                "project_domain_name": user["project_domain_name"],
            }
        }
    return values
