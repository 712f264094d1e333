"""saltern runner: the cloud as a whole, over a fleet that answers as told."""

from __future__ import annotations

import pathlib
import shutil
from typing import Any

import pytest
import saltern_fleet
import support
from fake_fleet import FakeFleet, fails
from support import refused

runner = support.load_module("_runners", "saltern")

WELL = {"file_|-a_|-/etc/a_|-managed": {"result": True, "changes": {}}}
BAD = {"file_|-a_|-/etc/a_|-managed": {"__sls__": "keystone", "__id__": "a", "result": False}}


@pytest.fixture
def root(tmp_path: pathlib.Path) -> pathlib.Path:
    for room in ("catalog", "schema", "reactor"):
        shutil.copytree(support.ROOT / room, tmp_path / room)
    (tmp_path / "pillar").mkdir()
    shutil.copy(support.ROOT / "examples/small.yaml", tmp_path / "pillar/cloud.yaml")
    return tmp_path


@pytest.fixture
def fleet(monkeypatch: pytest.MonkeyPatch) -> FakeFleet:
    fake = FakeFleet(
        openstack__health=lambda node, kwargs: {"keystone": {"status": "ok", "reason": ""}},
        state__apply=lambda node, kwargs: WELL,
        state__sls=lambda node, kwargs: WELL,
    )
    monkeypatch.setattr(saltern_fleet, "SaltFleet", lambda conf_file: fake)
    return fake


@pytest.fixture
def configure_loader_modules(root: pathlib.Path, fleet: FakeFleet) -> dict[Any, Any]:
    opts = {
        "id": "salt_master",
        "conf_file": "master",
        "ext_pillar": [{"saltern": {"root": str(root)}}],
    }
    return {runner: {"__opts__": opts}}


def test_a_master_whose_orchestrations_would_get_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(runner.__opts__, "id", "deployer")
    assert refused(runner.validate(), "next: `id: deployer_master` in")


def test_validating() -> None:
    cloud = support.cloud("small")
    assert runner.validate().startswith(f"{cloud.name}: {len(cloud.nodes)} nodes, ")


def test_every_fault_of_the_model_and_of_its_text_at_once(root: pathlib.Path) -> None:
    model = root / "pillar/cloud.yaml"
    text = model.read_text().replace("node1:", "localhost:", 1)
    model.write_text(f"{text}\nnodez: 1\n")
    assert refused(runner.validate(), r"(?s)nodez.*localhost|localhost.*nodez")


def test_planning_asks_and_changes_nothing(fleet: FakeFleet) -> None:
    assert runner.plan()["summary"] == "nothing to do"
    assert [kwargs for function, _, kwargs in fleet.asked if function == "state.apply"] == [
        {"test": True}
    ]


def test_status(fleet: FakeFleet) -> None:
    assert runner.status()["cloud"].endswith(": ok")
    fleet.handlers["openstack.health"] = fails("did not answer")
    assert runner.status()["cloud"].endswith(": NOT ok")


def test_what_an_appliance_needs_to_know() -> None:
    assert "keystone" in str(runner.backends())


def test_passwords() -> None:
    assert runner.password() == runner.password("admin") != runner.password("glance")
    assert refused(runner.password("nobody"), "no user 'nobody'; there are: admin, .*glance")


def test_a_secret_that_is_a_reference_is_resolved(
    root: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "pillar/secrets").mkdir()
    (root / "pillar/secrets/glance.yaml").write_text("service: sdb://vault/glance\n")
    monkeypatch.setattr(runner.salt.utils.sdb, "sdb_get", lambda uri, opts: f"value of {uri}")
    assert runner.password("glance") == "value of sdb://vault/glance"


def fernet_keys(root: pathlib.Path) -> str:
    runner.password()  # secrets are made on first use
    return (root / "pillar/secrets/keystone.yaml").read_text().partition("fernet")[2]


def test_rotating_hands_new_keys_to_every_keystone(root: pathlib.Path, fleet: FakeFleet) -> None:
    nodes = support.cloud("small").nodes_running("keystone")
    before = fernet_keys(root)
    assert runner.rotate_fernet_keys() == dict.fromkeys(nodes, "rotated")
    assert fernet_keys(root) != before
    assert [asked[:2] for asked in fleet.asked] == [
        ("openstack.health", tuple(nodes)),
        ("state.sls", tuple(nodes)),
    ]


def test_no_rotation_while_a_keystone_is_away(root: pathlib.Path, fleet: FakeFleet) -> None:
    before = fernet_keys(root)
    fleet.handlers["openstack.health"] = fails("did not answer")
    assert refused(runner.rotate_fernet_keys(), "before rotating: did not answer")
    assert fernet_keys(root) == before


def test_no_rotation_while_a_keystone_is_ill(root: pathlib.Path, fleet: FakeFleet) -> None:
    before = fernet_keys(root)
    down = {"keystone": {"status": "down", "reason": "HTTP 503"}}
    fleet.handlers["openstack.health"] = lambda node, kwargs: down
    assert refused(runner.rotate_fernet_keys(), "keystone is down: HTTP 503")
    assert fernet_keys(root) == before


@pytest.mark.parametrize(
    ("handler", "reason"),
    [(fails("did not answer"), "did not answer"), (lambda node, kwargs: BAD, "keystone: a")],
)
def test_a_node_without_the_new_keys_is_named(
    root: pathlib.Path, fleet: FakeFleet, handler: Any, reason: str
) -> None:
    fernet_keys(root)
    fleet.handlers["state.sls"] = handler
    assert refused(runner.rotate_fernet_keys(), f"node1: {reason}")
