"""What cannot work is refused at once, by name, and nothing is touched."""

from __future__ import annotations

import time
from typing import Any

import pytest
from labkit import commands, nodes, reactor
from labkit.model import Edit

pytestmark = pytest.mark.lab

AT_ONCE = 30  # seconds until a deploy must have named a node that is away


def test_a_model_with_faults_is_refused_with_all_of_them(edited: Edit, members: list[str]) -> None:
    def spoil(model: dict[str, Any]) -> None:
        model["nodes"]["cmp1"]["roles"] = ["compote"]
        model["nodes"]["ctl2"]["addresses"]["management"] = "10.78.0.12"
        model["vips"]["internal"] = model["nodes"]["ctl1"]["addresses"]["management"]
        del model["nodes"]["cmp2"]["addresses"]["tunnel"]

    faults = (
        "nodes.cmp1.roles[0]: there is no role 'compote'",
        "nodes.ctl2.addresses.management: 10.78.0.12 is outside management",
        "vips.internal: ",
        "nodes.cmp2.addresses.tunnel: is missing",
    )
    units = nodes.units()
    before = nodes.processes(units)
    edited(spoil)

    validation = commands.runner("saltern.validate")
    deploy = commands.orchestrate("deploy", AT_ONCE * 2)

    assert validation.code != 0
    assert deploy.code != 0
    for fault in faults:
        assert fault in validation.out + validation.err, validation.tail()
        assert fault in deploy.done.out + deploy.done.err, deploy.done.tail()
    assert deploy.changes == {}
    assert nodes.processes(units) == before


def test_a_node_that_is_away_is_named_at_once(deployed: None, members: list[str]) -> None:
    commands.wait_for("another operation on the cloud to end", commands.idle, commands.IDLE)
    with reactor.paused("a test"), nodes.stopped("cmp2", "salt-minion"):
        began = time.monotonic()
        outcome = commands.orchestrate("deploy", AT_ONCE * 4)
        seconds = time.monotonic() - began
    assert outcome.code != 0
    assert "cmp2: no answer" in outcome.failed, outcome.failed or outcome.done.tail()
    assert seconds < AT_ONCE, f"it took {seconds:.0f} s to say so"
    assert outcome.changes == {}
    commands.keep("node-away", {"seconds": round(seconds, 1), "said": outcome.failed})
    nodes.wait_healthy(members)
