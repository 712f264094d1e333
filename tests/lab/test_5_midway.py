"""What breaks in the middle of a deploy is named, with what to do; the next deploy finishes."""

from __future__ import annotations

import re
import subprocess
import threading
from collections.abc import Callable, Iterator

import pytest
import support
from labkit import commands, nodes
from labkit.model import Edit

from lab import podman

pytestmark = pytest.mark.lab

DEPLOY = 600
NEXT = "Mend this, then run it again: salt-run state.orch orch.deploy"


@pytest.fixture(scope="module")
def whole_again(deployed: None, members: list[str]) -> Iterator[None]:
    """What these tests left of their edits is taken back by one more deploy."""
    yield
    finish()
    nodes.wait_healthy(members)


def finish() -> commands.Outcome:
    """A deploy that ends well."""
    outcome = commands.orchestrate("deploy", DEPLOY)
    assert not outcome.code, outcome.failed or outcome.done.tail()
    return outcome


def shell(node: str, script: str) -> str:
    """Run ``script`` on ``node``; its output."""
    return podman.inside(node, "sh", "-euc", script)


def fails_then_finishes(node: str, reason: str, mend: Callable[[], None]) -> None:
    """A deploy fails with ``reason`` and what to do next; after ``mend`` the next one finishes."""
    broken = commands.orchestrate("deploy", DEPLOY)
    mend()
    assert broken.code != 0, broken.done.tail()
    assert node in broken.failed, broken.failed or broken.done.tail()
    assert reason in broken.failed, broken.failed
    assert NEXT in broken.failed, broken.failed
    assert finish().changes, "the first deploy had finished it already"


def test_a_full_disk(whole_again: None, edited: Edit) -> None:
    """The file system that holds Placement's configuration on ctl2 takes no more."""
    edited(lambda model: model.update(config={"placement.conf": {"DEFAULT": {"debug": "false"}}}))
    shell(
        "ctl2",
        "cp -a /etc/placement /root/was; mount -t tmpfs -o size=1m full /etc/placement;"
        "cp -a /root/was/. /etc/placement; dd if=/dev/zero of=/etc/placement/full bs=4k || true",
    )
    fails_then_finishes(
        "ctl2",
        "No space left on device",
        lambda: void(shell("ctl2", "umount /etc/placement; rm -r /root/was")),
    )


def test_a_package_that_cannot_be_configured(whole_again: None) -> None:
    """memcached of ctl3 is half configured, and its maintainer script fails."""
    script = "/var/lib/dpkg/info/memcached.postinst"
    shell(
        "ctl3",
        f"cp -a {script} /root/was; printf '#!/bin/sh\\necho no luck >&2; exit 7\\n' >{script};"
        "sed -i '/^Package: memcached$/,/^$/s/^Status: .*/Status: install ok half-configured/'"
        " /var/lib/dpkg/status",
    )
    fails_then_finishes("ctl3", "memcached", lambda: void(shell("ctl3", f"mv /root/was {script}")))


def test_a_minion_that_is_killed(whole_again: None) -> None:
    """ctl2's minion and all its jobs die while it applies states."""
    command = [str(support.ROOT / "lab/salt-run"), "state.orch", "orch.deploy"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as p:
        guard = threading.Timer(DEPLOY, p.kill)
        guard.start()
        said = []
        assert p.stdout
        for line in p.stdout:
            said.append(line)
            if "wave 1 of" in line and "states on" in line:
                podman.inside("ctl2", "systemctl", "kill", "--signal=KILL", "salt-minion")
        guard.cancel()
    text = "".join(said)
    assert p.returncode != 0, text
    assert re.search(r"ctl2: (lost the job|did not answer)", text), text
    assert NEXT in text, text
    commands.wait_for("ctl2 to answer", lambda: answers("ctl2"), 60)
    finish()


def answers(node: str) -> bool:
    """Whether the minion of ``node`` is there."""
    return node in commands.salt([node], "test.ping").nodes


def test_wrong_passwords(whole_again: None, members: list[str]) -> None:
    """Somebody changed passwords by hand; the next deploy sets what the secrets say."""
    shell("ctl1", "mariadb -e \"ALTER USER placement@'%' IDENTIFIED BY 'wrong'\"")
    shell("ctl1", "rabbitmqctl change_password openstack wrong")
    shell("ctl1", ". /etc/saltern/openrc; openstack user set --password wrong glance")
    assert finish().changes
    deep = commands.salt(None, "openstack.health", "deep=True")
    assert not nodes.ill(deep, members), nodes.ill(deep, members)


def void(_: object) -> None:
    """For a callable that must not return anything."""
