"""haproxy_config and keepalived_config: reload what runs with an older file, and only that."""

from typing import Any
from unittest.mock import create_autospec

import pytest
import support
from salt.exceptions import CommandExecutionError

NAMES = ["haproxy", "keepalived"]


class FakeService:
    """A daemon that runs with one configuration while another may be on disk."""

    def __init__(self) -> None:
        self.loaded, self.on_disk, self.reloads, self.refuses = "old", "new", 0, False

    def configuration(self, path: Any) -> dict[str, str]:
        return {"loaded": self.loaded, "on_disk": self.on_disk}

    def reload(self) -> bool:
        if self.refuses:
            raise CommandExecutionError("refused the configuration")
        self.reloads += 1
        self.loaded = self.on_disk
        return True


@pytest.fixture
def service() -> FakeService:
    return FakeService()


@pytest.fixture(params=[False, True], ids=["real", "test=True"])
def testmode(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(params=NAMES)
def state(request: pytest.FixtureRequest) -> Any:
    return support.load_module("_states", f"{request.param}_config")


@pytest.fixture
def configure_loader_modules(service: FakeService, testmode: bool) -> dict[Any, Any]:
    found = {}
    for name in NAMES:
        execution = support.load_module("_modules", name)
        found[support.load_module("_states", f"{name}_config")] = {
            "__opts__": {"test": testmode},
            "__salt__": {
                f"{name}.configuration": create_autospec(
                    execution.configuration, side_effect=service.configuration
                ),
                f"{name}.reload": create_autospec(execution.reload_, side_effect=service.reload),
            },
        }
    return found


def test_a_changed_file_is_loaded_once(state: Any, service: FakeService, testmode: bool) -> None:
    ret = state.loaded("/etc/x.cfg")
    assert ret["result"] is (None if testmode else True)
    assert ret["changes"] == {"loaded": {"old": "old", "new": "new"}}
    assert service.reloads == (0 if testmode else 1)


def test_what_runs_with_its_file_is_left_alone(
    state: Any, service: FakeService, testmode: bool
) -> None:
    service.loaded = "new"
    ret = state.loaded("/etc/x.cfg")
    assert (ret["result"], ret["changes"], service.reloads) == (True, {}, 0)


def test_a_refused_configuration_is_a_failed_state(
    state: Any, service: FakeService, testmode: bool
) -> None:
    service.refuses = True
    ret = state.loaded("/etc/x.cfg")
    assert ret["result"] is (None if testmode else False)
    assert testmode or "refused" in ret["comment"]


def test_without_the_module_the_state_says_why(state: Any, testmode: bool) -> None:
    assert state.__virtual__() == state.__virtualname__
    state.__salt__.clear()
    assert state.__virtual__()[0] is False
