"""orch.join for nodes of a person's choice, and the states that the reactor applies alone."""

from __future__ import annotations

from typing import Any

import pytest
import salt.loader
import support
from fake_fleet import FakeFleet, Silent, fails
from render.test_render import faults_of_requisites
from saltern.reactor.operations import Context, reapply
from saltern.reactor.terms import Decision, Fault, Outcome


def test_a_join_names_its_nodes_in_every_step(compiler: Any) -> None:
    opts = compiler.options("lab", "salt_master")
    opts["pillar"]["nodes"] = ["cmp1", "cmp2"]
    low = compiler.low(opts, "orch.join")
    assert faults_of_requisites(low) == []
    functions = [chunk["fun"] for chunk in low]
    last = ["introduced", "joined", "named", "ended"]
    assert functions == ["exclusive", "fit", "built", *last]
    for chunk in low:
        if chunk["fun"] not in ("exclusive", "ended"):
            assert chunk["nodes"] == ["cmp1", "cmp2"], chunk["__id__"]


def test_whoever_names_nobody_is_told_by_the_first_step(compiler: Any) -> None:
    low = compiler.low(compiler.options("lab", "salt_master"), "orch.join")
    [fit] = [chunk for chunk in low if chunk["fun"] == "fit"]
    assert fit["nodes"] == []


@pytest.mark.parametrize("name", ["deploy", "join"])
def test_the_record_is_kept_when_a_trial_fails(compiler: Any, name: str) -> None:
    low = compiler.low(compiler.options("lab", "salt_master"), f"orch.{name}")
    [ended] = [chunk for chunk in low if chunk["fun"] == "ended"]
    [joined] = [chunk for chunk in low if chunk["fun"] == "joined"]
    for chunk in (ended, *(chunk for chunk in low if chunk["fun"] == "named")):
        assert {"cloud_operation": joined["__id__"]} not in chunk["require"]
        assert chunk["order"] > joined["order"]


def test_the_states_of_one_service_compile_alone(compiler: Any) -> None:
    """As ``reapply`` applies them: a wave of its own, by a pillar that is laid over the node's."""
    cloud = support.cloud("lab")
    for node in ("lb1", "ctl1", "cmp1"):
        opts = compiler.options("lab", node)
        modules = salt.loader.minion_mods(opts, utils=salt.loader.utils(opts))
        for service in cloud.services_on(node):
            decision = Decision(1, "r", Fault(node, "service", service), "act", (), "reapply")
            fleet = FakeFleet(state__sls=fails("nothing is done"))
            context = Context(cloud, fleet, Silent(), lambda orch, pillar: Outcome(True, ""))
            reapply(context, decision)
            sent = next(kwargs for function, _, kwargs in fleet.asked if function == "state.sls")
            low = modules["state.show_low_sls"](sent["mods"], pillar=sent["pillar"])
            assert all(isinstance(chunk, dict) for chunk in low), low
            assert [f"{service}: {fault}" for fault in faults_of_requisites(low)] == []
            named = {chunk["__sls__"].partition(".")[0] for chunk in low}
            own = {sls.partition(".")[0] for sls in cloud.catalog[service]["states"]}
            assert own <= named <= own | {"openstack"}, f"{service}: {named}"


@pytest.mark.parametrize(
    ("beside", "mapped"), [({}, ["cmp1", "cmp2"]), ({"joining": ["cmp2"]}, ["cmp2"])]
)
def test_a_join_waits_for_no_host_but_its_own(
    compiler: Any, beside: dict[str, Any], mapped: list[str]
) -> None:
    opts = compiler.options("lab", support.cloud("lab").leader("nova-conductor"))
    opts["pillar"].update(beside)
    [chunk] = compiler.low(opts, "nova.discover")
    assert chunk["hosts"] == mapped


def test_one_run_has_the_states_of_all_waves_in_their_order(compiler: Any) -> None:
    opts = compiler.options("lab", "cmp1")
    waves = opts["pillar"]["cloud"]["waves"]
    assert len(waves) > 1
    opts["pillar"]["stage"] = {"waves": [str(n) for n in range(9)], "name": "states"}
    low = compiler.low(opts, "wave")
    assert faults_of_requisites(low) == []
    named = list(dict.fromkeys(chunk["__sls__"] for chunk in low))
    wanted = [sls for stages in waves.values() for sls in stages["states"]]
    assert [sls for sls in named if sls in wanted] == wanted


def test_hosts_begin_disabled_where_their_records_are_written(compiler: Any) -> None:
    node = compiler("lab", support.cloud("lab").nodes_running("nova-conductor")[0])
    [chunk] = [c for c in node.highstate if c["name"] == "/etc/nova/nova.conf"]
    assert "\n[DEFAULT]\nenable_new_services = false\n" in node.render(chunk)
