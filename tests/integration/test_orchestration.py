"""Operations, run as a person runs them: what they refuse, and with which exit code."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import support
import yaml
from integration.conftest import NODES, PATIENCE, Site

DOWN = {"lb1", "lb2", "ctl2", "ctl3", "cmp2"}

BROKEN = """
name: lab
networks: {management: {cidr: 10.77.0.0/24, interface: eth0}}
flavour: sweet
vips: {internal: 10.99.0.10}
nodes:
  ctl1: {roles: [kontroller], addresses: {management: 10.77.0.11}}
  cmp1: {roles: [compute], addresses: {management: 10.77.0.11}}
"""
FAULTS = ("flavour", "10.99.0.10", "kontroller", "nodes.cmp1.addresses.management")


def two_nodes() -> str:
    """A model whose nodes are the two that answer."""
    model = support.example("lab")
    nodes = {name: model["nodes"][name] for name in NODES}
    return yaml.safe_dump({**model, "nodes": nodes, "endpoints": "external"})


def test_a_good_model_is_called_so(site: Site) -> None:
    done = site.run("saltern.validate")
    assert (done.returncode, "no faults" in done.stdout) == (0, True), done.stdout + done.stderr


def test_a_broken_model_is_refused_with_every_fault(site: Site) -> None:
    with site.model(BROKEN):
        validated = site.run("saltern.validate")
        deployed = site.run("state.orch", "orch.deploy")
        applied = site.job("ctl1", "state.apply", test=True)
    assert validated.returncode != 0
    assert deployed.returncode != 0
    assert applied["retcode"] != 0
    for fault in FAULTS:
        assert fault in validated.stdout + validated.stderr
        assert fault in deployed.stdout + deployed.stderr
        assert fault in str(applied["ret"])


def compiled(site: Site, name: str) -> dict[str, dict[str, object]]:
    """State id -> what it does, of the orchestration ``name``."""
    done = site.run("state.orchestrate_show_sls", name, "--out=json")
    assert done.returncode == 0, done.stderr
    [found] = json.loads(done.stdout).values()
    assert isinstance(found, dict), found
    return found


def test_orch_deploy_compiles(site: Site) -> None:
    states = compiled(site, "orch.deploy")
    assert {"one operation at a time", "every node is fit", "deploy"} <= set(states)
    assert len([name for name in states if name.startswith("wave ")]) >= 3
    assert all("cloud_operation" in state for state in states.values())


def test_orch_validate_compiles(site: Site) -> None:
    states = compiled(site, "orch.validate")
    assert "'validator': 'ctl" in str(states["the cloud works"])


@contextmanager
def halted(command: list[str], at: str) -> Iterator[subprocess.Popen[str]]:
    """``command`` in a process group of its own, standing still since it printed ``at``."""
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            assert process.stdout
            seen = []
            for line in process.stdout:
                seen.append(line)
                if at in line:
                    break
            else:
                pytest.fail(f"it never printed {at!r}:\n" + "".join(seen))
            os.killpg(process.pid, signal.SIGSTOP)
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def silent(text: str) -> set[str]:
    """Nodes that ``text`` says do not answer."""
    return set(re.findall(r"- (\w+): no answer", text))


def test_one_operation_at_a_time_and_nodes_that_are_down_are_named(site: Site) -> None:
    command = site.runner("state.orch", "orch.deploy")
    with halted(command, "preflight on") as first:
        second = site.run("state.orch", "orch.deploy")
        dry = site.run("state.orch", "orch.deploy", "test=True")
        assert first.poll() is None
        [holder] = set(re.findall(r"lab\.lock is held by pid (\d+)", second.stdout))
        assert os.getpgid(int(holder)) == first.pid, "it names somebody else"
        os.killpg(first.pid, signal.SIGCONT)
        text, _ = first.communicate(timeout=PATIENCE)
    assert second.returncode != 0
    assert "preflight" not in second.stderr, "it went on"
    # The first one goes on where it was, and a dry run changes nothing, so it needs no lock.
    for code, said in ((first.returncode, text), (dry.returncode, dry.stdout + dry.stderr)):
        assert code != 0
        assert silent(said) == DOWN
        assert "Nothing was changed" in said
        assert "] wave 1 of" not in said, "it went on"


def test_unfit_nodes_are_refused_with_every_fault(site: Site) -> None:
    """Both nodes answer, but this machine has the addresses of neither."""
    with site.model(two_nodes()):
        done = site.run("state.orch", "orch.deploy")
    assert done.returncode != 0
    assert set(re.findall(r"- (\w+): (?!no answer)", done.stdout)) >= set(NODES)
    assert not silent(done.stdout)
    assert "Nothing was changed" in done.stdout
    assert "] wave 1 of" not in done.stderr, "it went on"


STUB = """
def run(hosts=None, timeout=900, **others):
    if hosts == "broken":
        raise RuntimeError("glance answered 503")
    return {"checks": [{"name": "token", "seconds": 0.1, "detail": "from ctl1"}]}
"""


@pytest.fixture
def stubbed(site: Site) -> Iterator[None]:
    """``cloud_validation`` on ctl1 is a stub, and ctl1 is the only controller of the model."""
    stub = site.stubs / "_modules/cloud_validation.py"
    stub.parent.mkdir(exist_ok=True)
    stub.write_text(STUB)
    with site.model(two_nodes()):
        site.call("ctl1", "saltutil.sync_modules")
        yield
    stub.unlink()
    site.call("ctl1", "saltutil.sync_modules")


def test_validation_says_by_its_exit_code_how_it_went(site: Site, stubbed: None) -> None:
    good = site.run("state.orch", "orch.validate")
    assert (good.returncode, "token: from ctl1" in good.stderr) == (0, True), good.stdout
    bad = site.run("state.orch", "orch.validate", 'pillar={"hosts": "broken"}')
    assert bad.returncode != 0
    assert "glance answered 503" in bad.stdout
