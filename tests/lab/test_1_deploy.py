"""From bare nodes to a cloud, and a second time without touching it."""

from __future__ import annotations

import pytest
from labkit import commands, nodes

pytestmark = pytest.mark.lab

DEPLOY_AGAIN = 300  # seconds


def test_deploy_brings_up_the_cloud(deployment: commands.Outcome) -> None:
    assert deployment.code == 0, deployment.failed or deployment.done.tail()
    assert deployment.states
    assert all(state["result"] is True for state in deployment.states), deployment.comments


def test_a_second_deploy_changes_nothing_and_restarts_nothing(deployed: None) -> None:
    units = nodes.units()
    before = nodes.processes(units)
    running = [said for on in before.values() for said in on.values() if "active" in said.split()]
    assert len(running) > len(before), f"hardly anything runs: {before}"

    outcome = commands.orchestrate("deploy", DEPLOY_AGAIN)

    assert outcome.code == 0, outcome.failed or outcome.done.tail()
    assert outcome.changes == {}
    after = nodes.processes(units)
    assert after == before
    commands.keep("deploy-again", commands.record("deploy"))
