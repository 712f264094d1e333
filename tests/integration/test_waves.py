"""``orch.deploy`` through all of its waves: real Salt, and stubs for what would touch a machine.

The stubs (``stubs/``) note what they were asked and when; the order is what a deploy promises.
"""

from __future__ import annotations

import json
import pathlib
import shutil
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import saltern_operation
import support
import yaml
from integration.conftest import NODES, Site
from saltern.cloud import Cloud

STUBS = pathlib.Path(__file__).with_name("stubs")
NEXT = "Mend this, then run it again: salt-run state.orch orch.deploy"

Note = tuple[float, str, str, dict[str, Any]]


def model() -> dict[str, Any]:
    """The two machines that answer: one is a compute node, the other everything else."""
    lab = support.example("lab")
    nodes = {name: lab["nodes"][name] for name in NODES}
    nodes["ctl1"]["roles"] = ["endpoint", "controller"]
    return {**lab, "nodes": nodes}


class Stubs:
    """What the stubs of both nodes are told, and what they note."""

    def __init__(self, site: Site) -> None:
        self.caches = [pathlib.Path(site.minions[node].config["cachedir"]) for node in NODES]
        operation = saltern_operation.Operation(site.master.config)
        self.stamp = operation.expected(str).stamp

    def tell(self, ill: Sequence[str] = (), pending: Sequence[str] = ()) -> None:
        """How services are from now on; what was noted is forgotten."""
        for cache in self.caches:
            said = {"stamp": self.stamp, "ill": ill, "pending": pending}
            (cache / "stub.json").write_text(json.dumps(said))
            (cache / "stub.log").unlink(missing_ok=True)

    def notes(self, *functions: str) -> list[Note]:
        """Calls of ``functions`` on both nodes in the order of time."""
        logs = [cache / "stub.log" for cache in self.caches if (cache / "stub.log").exists()]
        found = [tuple(json.loads(line)) for log in logs for line in log.read_text().splitlines()]
        return sorted(note for note in found if note[2] in functions)


@pytest.fixture(scope="module")
def stubs(site: Site) -> Iterator[Stubs]:
    """Both nodes run stubs instead of what they stand for; afterwards the real thing again."""
    copied = [
        path.relative_to(STUBS) for path in STUBS.rglob("*") if path.suffix in (".py", ".sls")
    ]
    for path in copied:
        (site.stubs / path).parent.mkdir(exist_ok=True)
        shutil.copy(STUBS / path, site.stubs / path)
    try:
        with site.model(yaml.safe_dump(model())):
            for node in NODES:
                site.call(node, "saltutil.sync_all")
            yield Stubs(site)
    finally:
        for path in copied:
            (site.stubs / path).unlink()
        for node in NODES:
            site.call(node, "saltutil.sync_all")


def test_waves_follow_one_another_and_the_balancer_admits_last(site: Site, stubs: Stubs) -> None:
    stubs.tell(pending=["keystone"])
    cloud = Cloud(model(), support.catalog(), support.fake_secrets())

    done = site.run("state.orch", "orch.deploy")

    assert done.returncode == 0, done.stdout + done.stderr
    stages = [said for _, _, _, said in stubs.notes("states")]
    assert [s["waves"] for s in stages] == sorted(s["waves"] for s in stages)
    assert {wave for s in stages for wave in s["waves"]} == set(range(len(cloud.waves)))
    [bootstrap] = stubs.notes("bootstrap")
    assert bootstrap[1] == "ctl1"
    first = [at for at, _, _, said in stubs.notes("states") if said["stage"] == "then"][0]
    assert bootstrap[0] < first, "something was done with a database that did not stand yet"
    admitted: list[str] = []
    for at, node, _, said in stubs.notes("admit"):
        assert node == "ctl1"
        healthy = {s for t, _, _, h in stubs.notes("health") for s in h["services"] if t < at}
        assert set(said["services"]) <= healthy, "admitted before it was seen healthy"
        admitted += said["services"]
    [tried], [let_in] = stubs.notes("tried"), stubs.notes("let in")
    assert tried[3] == {"hosts": ["cmp1"]}
    assert at < tried[0] < let_in[0], "the compute worked before an instance had proven it"
    assert sorted(admitted) == sorted(n for n, spec in cloud.catalog.items() if "proxy" in spec)


def test_a_restart_is_drained_before_and_admitted_after(site: Site, stubs: Stubs) -> None:
    stubs.tell(pending=["keystone"])
    assert site.run("state.orch", "orch.deploy").returncode == 0
    [drain], [restart], [again] = map(stubs.notes, ("drain", "restart", "admit again"))
    assert drain[0] < restart[0] < again[0]
    assert restart[3] == {"services": ["keystone"]}
    seen = [h for h in stubs.notes("health") if restart[0] < h[0] < again[0]]
    assert any(h[3]["services"] == ["keystone"] for h in seen), "admitted without a look"


def test_what_stays_ill_ends_the_deploy_before_the_next_wave(site: Site, stubs: Stubs) -> None:
    stubs.tell(ill=["keystone"])
    cloud = Cloud(model(), support.catalog(), support.fake_secrets())
    ill = next(number for number, wave in enumerate(cloud.waves) if "keystone" in wave)

    done = site.run("state.orch", "orch.deploy")

    assert done.returncode != 0
    assert "ctl1: keystone is down: stubbed" in done.stdout
    assert NEXT in done.stdout
    assert max(said["waves"] for _, _, _, said in stubs.notes("states")) == [ill]
    assert not any("keystone" in said["services"] for _, _, _, said in stubs.notes("admit"))

    stubs.tell()
    assert site.run("state.orch", "orch.deploy").returncode == 0, "running it again finishes"
