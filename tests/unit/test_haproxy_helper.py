"""saltern-haproxy: what is kept over starts and reloads, without Salt and without HAProxy."""

import importlib.machinery
import importlib.util
import pathlib
from typing import Any

import pytest
import support

loader = importlib.machinery.SourceFileLoader(
    "saltern_haproxy", str(support.ROOT / "salt/haproxy/files/saltern-haproxy")
)
spec = importlib.util.spec_from_loader("saltern_haproxy", loader)
assert spec
helper = importlib.util.module_from_spec(spec)
loader.exec_module(helper)

HEAD = "1\n# be_id be_name srv_id srv_name srv_addr srv_admin_state srv_port\n"
A = "2 api 1 a 10.0.0.1 4 80\n"
B = "2 api 2 b 10.0.0.2 12 80\n"
CONFIG = """
global
    server is not one here
listen api
    bind 10.0.0.10:80
    server a 10.0.0.1:80 disabled check
    server b 10.0.0.2:80 disabled check
"""


@pytest.fixture(autouse=True)
def place(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    for name in ("CONFIG", "STATE", "COPY", "LOADED"):
        monkeypatch.setattr(helper, name, tmp_path / name.lower() / "file")
    helper.write(helper.CONFIG, CONFIG)


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The running HAProxy: what it answers on its two sockets, and what it was asked."""
    answers: dict[str, Any] = {"asked": [], "reload": "Success=1\n--\n"}
    answers["show servers state"] = HEAD + A + B + "\n"

    def ask(path: Any, command: str, timeout: float = 5) -> str:
        answers["asked"].append(command)
        return str(answers[command])

    monkeypatch.setattr(helper, "ask", ask)
    return answers


def run(action: str) -> Any:
    return helper.main(["saltern-haproxy", action])


def test_save_keeps_two_of_the_same(running: dict[str, Any]) -> None:
    assert run("save") == 0
    assert helper.STATE.read_text() == helper.COPY.read_text() == HEAD + A + B


def test_an_answer_that_is_no_state_replaces_nothing(
    running: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    run("save")
    running["show servers state"] = "Unknown command\n"
    assert run("save") == 1
    assert "is not one" in capsys.readouterr().err
    assert helper.STATE.read_text() == HEAD + A + B


def test_a_haproxy_without_servers_does_not_wipe_what_is_known(running: dict[str, Any]) -> None:
    run("save")
    running["show servers state"] = HEAD + "\n"
    assert run("reload") == 0
    assert helper.STATE.read_text() == HEAD + A + B


@pytest.mark.parametrize(
    "damage", ["", HEAD + A[:9], "2\n" + HEAD + A, HEAD[:30], HEAD + A + B[:-1]]
)
def test_a_damaged_file_is_replaced_from_its_copy(running: dict[str, Any], damage: str) -> None:
    run("save")
    helper.STATE.write_text(damage)
    assert run("prepare") == 0
    assert helper.STATE.read_text() == HEAD + A + B


def test_a_lost_file_is_replaced_from_its_copy(running: dict[str, Any]) -> None:
    run("save")
    helper.STATE.unlink()
    assert run("prepare") == 0
    assert helper.STATE.read_text() == HEAD + A + B


def test_a_new_balancer_starts_with_nobody_admitted(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("prepare") == 0
    assert not helper.STATE.exists()
    assert "haproxy.admit_services" in capsys.readouterr().err


@pytest.mark.parametrize("moved", ["10.0.0.1:8080", "10.0.0.9:80"])
@pytest.mark.parametrize("action", ["prepare", "reload"])
def test_what_moved_is_new(running: dict[str, Any], moved: str, action: str) -> None:
    run("save")
    helper.CONFIG.write_text(CONFIG.replace("10.0.0.1:80", moved))
    assert run(action) == 0
    assert helper.STATE.read_text() == HEAD + B


def test_reload_saves_first_and_remembers_what_was_loaded(running: dict[str, Any]) -> None:
    assert run("reload") == 0
    assert running["asked"] == ["show servers state", "reload"]
    assert len(helper.LOADED.read_text().strip()) == 64


def test_a_refused_reload_fails_and_is_not_remembered(
    running: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    running["reload"] = "Success=0\n--\nunknown keyword 'bogus'"
    assert run("reload") == 1
    assert "bogus" in capsys.readouterr().err
    assert not helper.LOADED.exists()


def test_without_a_known_action_it_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    assert helper.main(["saltern-haproxy", "destroy"]) == 2
    assert "saltern-haproxy save" in capsys.readouterr().err


def test_a_socket_that_nobody_serves_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    monkeypatch.setattr(helper, "ADMIN", str(tmp_path / "none"))
    assert run("save") == 1
