"""A minion gets what the model gives its id, whatever it says of itself."""

from __future__ import annotations

from typing import Any

import pytest
import saltern_store
from integration.conftest import CLAIMS, NODES, STRANGER, Site
from saltern import share
from saltern.values import functions

#: What a compute node cannot work without.
COMPUTE_SECRETS = {"nova.service", "nova.metadata", "neutron.service", "rabbitmq.openstack"}


def pillar(site: Site, node: str) -> dict[str, Any]:
    found: dict[str, Any] = site.call(node, "pillar.items", unmask=True)
    return found


def held(site: Site, told: Any) -> set[str]:
    """Names of the secrets whose value is somewhere in ``told``."""
    text = str(told)
    return {name for name, value in site.secrets().items() if _shown(value) in text}


def _shown(secret: str) -> str:
    """A part of ``secret`` that no quoting changes: a set of keys is text of several lines."""
    return max(secret.replace('"', " ").replace("\\", " ").split(), key=len)


@pytest.mark.parametrize("node", NODES)
def test_a_node_gets_its_slice(site: Site, node: str) -> None:
    told = pillar(site, node)
    cloud = saltern_store.Store(site.root).cloud()
    assert told["cloud"] == share.share(cloud, node, functions())
    assert set(told) == {"cloud"}


def test_a_compute_node_gets_no_foreign_secret(site: Site) -> None:
    told = held(site, pillar(site, "cmp1"))
    assert "rabbitmq.openstack" in told, "secrets are not recognised"
    assert told <= COMPUTE_SECRETS
    assert set(site.secrets()) > COMPUTE_SECRETS, "nothing is there that could be foreign"


def test_a_node_that_calls_itself_a_controller_gets_nothing_more(site: Site) -> None:
    before = pillar(site, "cmp1")
    site.call("cmp1", "grains.setvals", CLAIMS)
    try:
        assert site.call("cmp1", "grains.get", "role") == "controller"
        site.call("cmp1", "saltutil.refresh_pillar", wait=True)
        assert pillar(site, "cmp1") == before
    finally:
        site.call("cmp1", "grains.delkey", "role", force=True)


def test_a_stranger_gets_no_secret_and_no_states(site: Site) -> None:
    """Its key is accepted and it claims to be a controller; the model does not know it."""
    assert site.call(STRANGER, "grains.get", "role") == "controller"
    assert pillar(site, STRANGER) == {"cloud": share.stranger_share()}
    assert site.call(STRANGER, "state.show_states") == []


def test_a_stranger_cannot_apply_a_service_by_its_name(site: Site) -> None:
    ran = site.job(STRANGER, "state.sls", "keystone", test=True)
    assert ran["retcode"] != 0
    assert isinstance(ran["ret"], list), "it compiled"


def test_the_master_holds_no_secret_in_the_pillar_of_orchestrations(site: Site) -> None:
    shown = site.run("pillar.show_pillar", "saltern_master", "--out=json").stdout
    assert '"waves"' in shown
    assert not held(site, shown.encode().decode("unicode_escape"))


def test_secrets_lie_where_only_their_owner_reads(site: Site) -> None:
    folder = site.root / "pillar/secrets"
    assert folder.stat().st_mode & 0o077 == 0
    assert not [path for path in folder.glob("*.yaml") if path.stat().st_mode & 0o077]
