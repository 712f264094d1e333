"""rabbitmq_cluster state: the services' account, converged also when its secret was rotated."""

from __future__ import annotations

from typing import Any
from unittest.mock import create_autospec

import pytest
import support
from salt.exceptions import CommandExecutionError

execution = support.load_module("_modules", "rabbitmq_cluster")
state = support.load_module("_states", "rabbitmq_cluster")

WANTED = {
    "vhost": True,
    "default_queue_type": "quorum",
    "user": True,
    "password": "as specified",
    "permissions": True,
    "guest": False,
}


class FakeBroker:
    """Knows one account, and forgets nothing that it is told."""

    def __init__(self) -> None:
        self.facts: dict[str, Any] = {**WANTED, "guest": True, "user": False, "password": "another"}
        self.told = 0
        self.down = False

    def access(self, vhost: str, user: str, pillar: str) -> dict[str, Any]:
        if self.down:
            raise CommandExecutionError("rabbitmqctl export_definitions: nodedown")
        return dict(self.facts)

    def set_access(self, vhost: str, user: str, pillar: str, default_queue_type: str) -> bool:
        self.told += 1
        self.facts = dict(WANTED)
        return True


@pytest.fixture
def broker() -> FakeBroker:
    return FakeBroker()


@pytest.fixture(params=[False, True], ids=["real", "test=True"])
def testmode(request: Any) -> Any:
    return request.param


@pytest.fixture
def configure_loader_modules(broker: FakeBroker, testmode: bool) -> Any:
    return {
        state: {
            "__opts__": {"test": testmode},
            "__salt__": {
                "rabbitmq_cluster.access": create_autospec(
                    execution.access, side_effect=broker.access
                ),
                "rabbitmq_cluster.set_access": create_autospec(
                    execution.set_access, side_effect=broker.set_access
                ),
            },
        }
    }


def apply() -> dict[str, Any]:
    result: dict[str, Any] = state.access("openstack", "openstack", "cloud:password")
    return result


def test_the_account_is_made_once(broker: FakeBroker, testmode: bool) -> None:
    ret = apply()
    assert ret["result"] is (None if testmode else True)
    assert set(ret["changes"]) == {"guest", "user", "password"}
    assert broker.told == (0 if testmode else 1)


def test_what_is_right_is_left_alone(broker: FakeBroker, testmode: bool) -> None:
    broker.facts = dict(WANTED)
    assert (apply()["changes"], broker.told) == ({}, 0)


def test_a_rotated_secret_is_noticed(broker: FakeBroker, testmode: bool) -> None:
    broker.facts = {**WANTED, "password": "another"}
    assert apply()["changes"] == {"password": {"old": "another", "new": "as specified"}}
    assert broker.told == (0 if testmode else 1)


def test_a_broker_that_is_down_is_reported_not_raised(broker: FakeBroker, testmode: bool) -> None:
    broker.down = True
    ret = apply()
    assert ret["result"] is False and "nodedown" in ret["comment"] and not ret["changes"]


def test_it_loads_where_the_module_does(testmode: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    assert state.__virtual__() == "rabbitmq_cluster"
    monkeypatch.setattr(state, "__salt__", {})
    assert state.__virtual__()[0] is False
