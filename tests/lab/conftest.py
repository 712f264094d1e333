"""The running lab. Its tests are in order; each file can be run alone on a lab that is up.

``SALTERN_LAB=as-it-is`` spares the machines of a lab that runs: no look at whether the image is
stale, only Salt's configuration and code are brought up to date.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from labkit import apis, commands, nodes, reactor
from labkit.model import Edit, editing

from lab import podman
from lab.model import MASTER

UP = 2400  # seconds, for a machine that has to build the image first
DEPLOY = 1800
ANSWERS = 180


@pytest.fixture(scope="session")
def members() -> list[str]:
    """Every node of the model, by its id. Every machine is up and answers."""
    if os.geteuid():
        pytest.skip("the lab needs root: it makes networks and containers")
    if podman.machines().get(MASTER, {}).get("state") == "running":
        commands.wait_for("another operation on the cloud to end", commands.idle, commands.IDLE)
    command = "start-salt" if os.environ.get("SALTERN_LAB") == "as-it-is" else "up"
    done = commands.run("lab/lab", command, timeout=UP)
    assert not done.code, f"lab/lab {command}: {done.tail()}"
    commands.keep(command, {"seconds": round(done.seconds, 1)})
    expected = list(apis.model()["nodes"])

    def answer() -> bool:
        return set(expected) <= set(commands.salt(None, "test.ping").nodes)

    commands.wait_for("every node to answer", answer, ANSWERS)
    return expected


@pytest.fixture(scope="session")
def deployment(members: list[str]) -> commands.Outcome:
    """``orch.deploy`` on the nodes as they are, once in a session."""
    outcome = commands.orchestrate("deploy", DEPLOY)
    if not outcome.code:
        commands.keep("deploy", commands.record("deploy"))
    return outcome


@pytest.fixture(scope="session")
def deployed(members: list[str], request: pytest.FixtureRequest) -> None:
    """A cloud that is deployed and well; it is deployed now only when it is not."""
    answers = commands.salt(None, "openstack.health")
    if nodes.ill(answers, members):
        outcome = request.getfixturevalue("deployment")
        assert not outcome.code, f"orch.deploy: {outcome.failed or outcome.done.tail()}"
    nodes.wait_healthy(members)


@pytest.fixture
def quiet(deployed: None, members: list[str]) -> Iterator[None]:
    """Each fault comes upon a cloud that is well and at rest, and leaves one that is well."""
    commands.wait_for("another operation on the cloud to end", commands.idle, commands.IDLE)
    if _left_ill:
        nodes.wait_healthy(members)
    reactor.wait_quiet(reactor.LONG)
    _left_ill.append(True)
    yield
    nodes.wait_healthy(members)
    _left_ill.clear()


#: Not empty: the fault before this one may have left the cloud ill.
_left_ill = [True]


@pytest.fixture
def edited(deployed: None) -> Iterator[Edit]:
    """``edited(change)`` changes the model that the lab uses; it is as before afterwards."""
    commands.wait_for("another operation on the cloud to end", commands.idle, commands.IDLE)
    with editing() as edit:
        yield edit
