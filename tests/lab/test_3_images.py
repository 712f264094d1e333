"""An image belongs to the cloud, not to the controller that took it."""

from __future__ import annotations

import contextlib
import hashlib
import random
from collections.abc import Iterator

import pytest
from labkit import apis, nodes

pytestmark = pytest.mark.lab

CONTROLLERS = ("ctl1", "ctl2", "ctl3")
SIZE = 16 * 1024 * 1024  # several pieces for every layer it passes
NAME = "saltern-test-image"
SWIFT = ("swift-proxy", "swift-account", "swift-container", "swift-object")


@contextlib.contextmanager
def uploaded(content: bytes, node: str) -> Iterator[str]:
    """The id of an image with ``content``, sent to the Glance of ``node``; gone afterwards."""
    glance = apis.client("glance", node)
    wanted = {"name": NAME, "disk_format": "raw", "container_format": "bare"}
    identity = str(glance.ask("POST", "/v2/images", json=wanted).json()["id"])
    try:
        glance.ask(
            "PUT",
            f"/v2/images/{identity}/file",
            data=content,
            headers={"Content-Type": "application/octet-stream"},
        )
        yield identity
    finally:
        apis.client("glance").ask("DELETE", f"/v2/images/{identity}")


def test_an_image_is_the_same_on_every_controller_also_when_one_store_is_gone(
    deployed: None, members: list[str]
) -> None:
    content = random.Random(7).randbytes(SIZE)  # noqa: S311 - no secret: it must not compress
    expected = hashlib.sha256(content).hexdigest()

    def downloads(identity: str) -> dict[str, str]:
        path = f"/v2/images/{identity}/file"
        return {
            node: hashlib.sha256(apis.client("glance", node).ask("GET", path).content).hexdigest()
            for node in CONTROLLERS
        }

    with uploaded(content, CONTROLLERS[0]) as identity:
        assert downloads(identity) == dict.fromkeys(CONTROLLERS, expected)
        with nodes.stopped(CONTROLLERS[0], *SWIFT):
            assert downloads(identity) == dict.fromkeys(CONTROLLERS, expected)
    nodes.wait_healthy(members, 60)
