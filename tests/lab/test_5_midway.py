"""What breaks in the middle of a deploy is named, with what to do; the next deploy finishes.

One deploy, that of the last test, finishes what three others left undone.
"""

from __future__ import annotations

import re
import subprocess
import threading
from collections.abc import Iterator
from pathlib import PurePosixPath

import pytest
import support
from labkit import commands, nodes
from labkit.model import editing

from lab import podman

pytestmark = pytest.mark.lab

DEPLOY = 1200
CONFIG = PurePosixPath("/etc/placement/placement.conf")
NEXT = "Mend this, then run it again: salt-run state.orch orch.deploy"


def shell(node: str, script: str) -> str:
    """Run ``script`` on ``node``; its output."""
    return podman.inside(node, "sh", "-euc", script)


def fails(node: str, reason: str) -> None:
    """A deploy fails on ``node`` with ``reason``, and says what to do next."""
    broken = commands.orchestrate("deploy", DEPLOY)
    assert broken.code != 0, broken.done.tail()
    assert node in broken.failed, broken.failed or broken.done.tail()
    assert reason in broken.failed, broken.failed
    assert NEXT in broken.failed, broken.failed


@pytest.fixture(scope="module")
def changed(deployed: None) -> Iterator[None]:
    """The model wants another file of each controller than the one that is there."""
    with editing() as edit:
        edit(lambda model: model.update(config={CONFIG.name: {"DEFAULT": {"debug": "false"}}}))
        yield


def new(node: str) -> bool:
    """Whether ``node`` has the file that the model wants."""
    return "debug = false" in shell(node, f"cat {CONFIG}")


def test_a_full_disk(changed: None) -> None:
    """The file system that holds Placement's configuration on ctl2 takes no more."""
    shell(
        "ctl2",
        "cp -a /etc/placement /root/was; mount -t tmpfs -o size=1m full /etc/placement;"
        "cp -a /root/was/. /etc/placement; dd if=/dev/zero of=/etc/placement/full bs=4k || true",
    )
    try:
        fails("ctl2", "No space left on device")
    finally:
        shell("ctl2", "umount /etc/placement; rm -r /root/was")
    assert not new("ctl2"), "the deploy had finished it already"


def test_a_package_that_cannot_be_configured(changed: None) -> None:
    """memcached of ctl3 is half configured, and its maintainer script fails."""
    script = "/var/lib/dpkg/info/memcached.postinst"
    shell(
        "ctl3",
        f"cp -a {script} /root/was; printf '#!/bin/sh\\necho no luck >&2; exit 7\\n' >{script};"
        "sed -i '/^Package: memcached$/,/^$/s/^Status: .*/Status: install ok half-configured/'"
        " /var/lib/dpkg/status",
    )
    try:
        fails("ctl3", "memcached")
    finally:
        shell("ctl3", f"mv /root/was {script}")


def test_a_minion_that_is_killed(changed: None) -> None:
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


def answers(node: str) -> bool:
    """Whether the minion of ``node`` is there."""
    return node in commands.salt([node], "test.ping").nodes


def test_the_next_deploy_finishes_all_of_it(changed: None, members: list[str]) -> None:
    """Wrong passwords too, which somebody set by hand: it sets what the secrets say."""
    shell("ctl1", "mariadb -e \"ALTER USER placement@'%' IDENTIFIED BY 'wrong'\"")
    shell("ctl1", "rabbitmqctl change_password openstack wrong")
    shell("ctl1", ". /etc/saltern/openrc; openstack user set --password wrong glance")
    outcome = commands.orchestrate("deploy", DEPLOY)
    assert not outcome.code, outcome.failed or outcome.done.tail()
    assert outcome.changes
    deep = commands.salt(None, "openstack.health", "deep=True")
    assert not nodes.ill(deep, members), nodes.ill(deep, members)
    assert shell("ctl3", "dpkg-query --show --showformat='${db:Status-Abbrev}' memcached") == "ii"
    assert all(new(node) for node in ("ctl1", "ctl2", "ctl3"))
