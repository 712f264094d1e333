"""cloud_validation over a small cloud: what it checks, what it says, and that nothing stays."""

from __future__ import annotations

import pathlib
from types import SimpleNamespace
from typing import Any

import openstack.exceptions
import pytest
import saltern_canary
import saltern_sdk
import support
from fake_cloud import KINDS, FakeCloud
from salt.exceptions import CommandExecutionError

module = support.load_module("_modules", "cloud_validation")


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeCloud:
    fake = FakeCloud()
    monkeypatch.setattr(saltern_sdk, "connect", lambda pillar: fake)
    monkeypatch.setattr(saltern_canary, "POLL", 0)
    monkeypatch.setattr(saltern_canary, "LISTEN", 0)
    return fake


@pytest.fixture
def image(tmp_path: pathlib.Path) -> str:
    path = tmp_path / "canary.raw"
    path.touch()
    return str(path)


@pytest.fixture
def wanted() -> dict[str, Any]:
    return {"routed": True, "physical_networks": ["physnet1"]}


@pytest.fixture
def configure_loader_modules(fake: FakeCloud, wanted: dict[str, Any]) -> dict[Any, Any]:
    served = {"salt://validation/canary.raw": __file__}
    return {
        module: {
            "__pillar__": {"cloud": {"values": {"nova": {"validation": wanted}}}},
            "__salt__": {"cp.cache_file": lambda url: served.get(url, False)},
        }
    }


def test_a_good_cloud_passes_and_nothing_is_left(fake: FakeCloud, image: str) -> None:
    report = module.run(image=image)
    assert report["ok"] is True
    names = [check["name"] for check in report["checks"]]
    assert "instance: ping of its router" in names and "compute API (public)" in names
    assert fake.read == ["http://v/v2.1/flavors?limit=1", "http://v/dns/"]
    assert not any(fake.items.values())
    assert "availability_zone" not in fake.asked[0]


def test_an_image_on_the_master(fake: FakeCloud) -> None:
    assert module.run(image="salt://validation/canary.raw")["ok"] is True
    with pytest.raises(CommandExecutionError, match="file server has no salt://elsewhere"):
        module.run(image="salt://elsewhere")


def test_one_instance_for_each_compute_that_is_up(fake: FakeCloud, image: str) -> None:
    module.run(image=image, hosts="all")
    assert [asked["availability_zone"] for asked in fake.asked] == ["nova:cmp1"]
    module.run(image=image, hosts="cmp2")
    module.run(image=image, hosts=["cmp3"])
    assert [asked["availability_zone"] for asked in fake.asked[1:]] == ["nova:cmp2", "nova:cmp3"]


def test_a_console_that_comes_later_is_waited_for(fake: FakeCloud, image: str) -> None:
    fake.said = "later"
    assert module.run(image=image)["ok"] is True


def test_an_instance_without_a_lease_fails_and_is_removed(fake: FakeCloud, image: str) -> None:
    fake.said = "SALTERN CANARY DHCP FAILED\nSALTERN CANARY READY 60s\n"
    with pytest.raises(CommandExecutionError, match="address by DHCP: no lease.*: metadata"):
        module.run(image=image)
    assert not any(fake.items.values())


def test_an_instance_that_never_speaks(fake: FakeCloud, image: str) -> None:
    fake.said = ""
    with pytest.raises(CommandExecutionError):
        module.run(image=image, timeout=0)


def test_an_instance_in_error_says_novas_reason(fake: FakeCloud, image: str) -> None:
    fake.status = "ERROR"
    with pytest.raises(CommandExecutionError, match="No valid host"):
        module.run(image=image)
    assert not any(fake.items.values())


def test_an_instance_that_is_built_for_ever(fake: FakeCloud, image: str) -> None:
    fake.status = "BUILD"
    with pytest.raises(CommandExecutionError, match=r"still BUILD \(spawning\)"):
        module.run(image=image, timeout=0)


def test_no_token_no_further_checks(fake: FakeCloud, image: str) -> None:
    fake.login = openstack.exceptions.SDKException("401 wrong password")
    with pytest.raises(CommandExecutionError, match="^token: 401 wrong password; next"):
        module.run(image=image)
    assert not fake.read


@pytest.mark.parametrize(("status", "unknown_too"), [(404, False), (503, True), (0, True)])
def test_an_api_that_is_broken_is_named(
    fake: FakeCloud, image: str, status: int, unknown_too: bool
) -> None:
    fake.api_status = status
    with pytest.raises(CommandExecutionError, match=r"compute API \(public\)") as error:
        module.run(image=image)
    assert ("dns API" in str(error.value)) is unknown_too


def test_a_missing_image_is_named(fake: FakeCloud) -> None:
    with pytest.raises(CommandExecutionError, match="image upload: .*canary.raw"):
        module.run(image="/nowhere/canary.raw")


def test_leftovers_of_a_killed_run_are_removed_first(fake: FakeCloud, image: str) -> None:
    for kind in KINDS:
        fake._add(kind, "saltern-validate-dead")
    fake._add("server", "somebody's")
    checks = {check["name"]: check["detail"] for check in module.run(image=image)["checks"]}
    assert "1 server" in checks["nothing left of an earlier run"]
    assert [server.name for server in fake.items["server"]] == ["somebody's"]


def test_a_removal_is_asked_for_once(fake: FakeCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def delete(key: str, force: bool) -> None:
        asked.append(key)

    fake._add("server", "saltern-validate-dead")
    monkeypatch.setattr(fake, "delete_server", delete)
    monkeypatch.setattr(saltern_canary, "CLEANUP_TIMEOUT", 0.1)
    with pytest.raises(CommandExecutionError, match="server saltern-validate-dead"):
        module.clean()
    assert len(asked) == 1
    monkeypatch.setattr(saltern_canary, "ASK_AGAIN", 0.0)
    with pytest.raises(CommandExecutionError):
        module.clean()
    assert len(asked) > 2


def test_what_cannot_be_removed_is_named(fake: FakeCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saltern_canary, "CLEANUP_TIMEOUT", 0.05)
    fake._add("network", "saltern-validate-dead")
    fake.sticky = {"network"}
    with pytest.raises(CommandExecutionError, match=r"network saltern-validate-dead \(.*in use"):
        module.clean()
    fake.sticky = set()
    assert module.clean() == "1 network"
    assert module.clean() == "nothing"


def test_behind_a_hardware_router_an_instance_is_on_a_provider_network(
    fake: FakeCloud, image: str, wanted: dict[str, Any]
) -> None:
    wanted["routed"] = False
    names = [check["name"] for check in module.run(image=image)["checks"]]
    assert "instance: ping of its router" not in names
    fake.flat_taken = True
    fake.dhcp_networks = [SimpleNamespace(id="without"), SimpleNamespace(id="with-dhcp")]
    module.run(image=image)
    assert fake.asked[-1]["networks"] == [{"uuid": "with-dhcp"}]
    fake.dhcp_networks = []
    with pytest.raises(CommandExecutionError, match="no network for instances"):
        module.run(image=image)


def test_a_node_without_the_password_says_where_to_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    for function in (module.run, module.clean):
        with pytest.raises(CommandExecutionError, match="on a controller"):
            function()
