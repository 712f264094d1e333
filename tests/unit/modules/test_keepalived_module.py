"""keepalived execution module, against a keepalived that writes its dump when it is asked."""

import json
import pathlib
from typing import Any

import pytest
import support
from salt.exceptions import CommandExecutionError

keepalived = support.load_module("_modules", "keepalived")


class FakeKeepalived:
    def __init__(self, path: Any) -> None:
        self.path, self.active, self.held, self.hangs = path, "active", ["10.77.0.10"], False

    def run(self, argv: list[str], **_: Any) -> Any:
        if argv[0] == "systemctl" and argv[1] == "show":
            answer = f"ActiveState={self.active}\nMainPID=42"
        elif argv[0] == "keepalived":
            answer = "36"
        elif argv[0] == "ip":
            answer = json.dumps([{"addr_info": [{"local": vip} for vip in self.held]}])
        else:
            return {"retcode": 1, "stdout": "", "stderr": "refused"}
        return {"retcode": 0, "stdout": answer, "stderr": ""}

    def kill(self, pid: int, number: int) -> None:
        assert (pid, number) == (42, 36)
        if not self.hangs:
            data = {"iname": "saltern", "state": 2, "vips": ["10.77.0.10/24 dev eth0"]}
            self.path.unlink(missing_ok=True)
            self.path.write_text(json.dumps([{"data": data}]) + "\n")


@pytest.fixture
def fake(tmp_path: pathlib.Path) -> FakeKeepalived:
    return FakeKeepalived(tmp_path / "keepalived.json")


@pytest.fixture
def configure_loader_modules(
    fake: FakeKeepalived, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> dict[Any, Any]:
    monkeypatch.setattr(keepalived, "DUMP", fake.path)
    monkeypatch.setattr(keepalived, "LOADED", tmp_path / "loaded")
    monkeypatch.setattr(keepalived, "ANSWER", 0.05)
    monkeypatch.setattr(keepalived.os, "kill", fake.kill)
    vips = {"internal": "10.77.0.10", "public": "10.77.0.9"}
    return {
        keepalived: {
            "__salt__": {"cmd.run_all": fake.run},
            "__pillar__": {"cloud": {"vips": vips}},
        }
    }


def test_the_holder_is_master_and_holds(fake: FakeKeepalived) -> None:
    assert keepalived.state() == {"saltern": "MASTER"}
    assert keepalived.vips() == ["10.77.0.10"]


def test_a_master_that_lost_its_address_is_told(fake: FakeKeepalived) -> None:
    fake.held = []
    assert keepalived.state() == {"saltern": "MASTER without 10.77.0.10"}


def test_a_dump_of_before_is_not_an_answer(fake: FakeKeepalived) -> None:
    fake.kill(42, 36)
    fake.hangs = True
    with pytest.raises(CommandExecutionError, match="does not answer"):
        keepalived.state()


def test_a_dump_that_root_did_not_write_is_not_read(
    fake: FakeKeepalived, tmp_path: pathlib.Path
) -> None:
    fake.hangs = True
    (tmp_path / "elsewhere").write_text("[]")
    fake.path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CommandExecutionError, match="does not answer"):
        keepalived.state()


def test_a_keepalived_that_does_not_run_is_never_signalled(fake: FakeKeepalived) -> None:
    fake.active = "failed"
    with pytest.raises(CommandExecutionError, match="keepalived is failed"):
        keepalived.state()


def test_an_answer_of_ip_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        keepalived.__salt__, "cmd.run_all", lambda argv, **_: {"retcode": 0, "stdout": "what?"}
    )
    with pytest.raises(CommandExecutionError, match="ip -json address"):
        keepalived.vips()


def test_a_refused_reload_is_an_error() -> None:
    with pytest.raises(CommandExecutionError, match="refused"):
        keepalived.reload_()


def test_reload(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        keepalived.__salt__, "cmd.run_all", lambda argv, **_: {"retcode": 0, "stdout": ""}
    )
    assert keepalived.reload_() is True


def test_configuration(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "keepalived.conf"
    assert keepalived.configuration(str(file)) == {"loaded": None, "on_disk": None}
    file.write_text("x")
    digest = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
    keepalived.LOADED.write_text(f"{digest}  -\n")
    seen = keepalived.configuration(str(file))
    assert seen["loaded"] == seen["on_disk"] == "2d711642b726"
