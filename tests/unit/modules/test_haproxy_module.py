"""haproxy execution module, against a HAProxy small enough to reason about."""

import http.server
import pathlib
import threading
from collections.abc import Callable
from typing import Any

import pytest
import saltern_haproxy_link
import saltern_haproxy_traffic
import support
from salt.exceptions import CommandExecutionError
from saltern.cloud import Cloud
from saltern.fleet import Answer
from saltern.reactor import scanning
from saltern.values import endpoint

haproxy = support.load_module("_modules", "haproxy")


class FakeHAProxy:
    """Servers by backend, what was asked of them, and how often the state was saved."""

    def __init__(self, proxies: list[dict[str, Any]]) -> None:
        self.bits = {(p["service"], m["name"]): 5 for p in proxies for m in p["members"]}
        self.down: set[tuple[str, str]] = set()
        self.sessions: dict[tuple[str, str], int] = {}
        self.cut: list[str] = []
        self.saves, self.answering = 0, True

    def ask(self, command: str) -> str:
        if not self.answering:
            raise saltern_haproxy_link.NoAnswer("HAProxy does not answer")
        words = command.split()
        if words[:2] == ["set", "server"]:
            backend, server = words[2].split("/")
            if words[3:] == ["health", "down"]:
                self.down.add((backend, server))
                return "\n"
            return self.set((backend, server), words[4])
        if words[:3] == ["shutdown", "sessions", "server"]:
            self.cut.append(words[3])
            return "\n"
        if words == ["show", "servers", "state"]:
            rows = [f"1 {b} 1 {s} - 2 {bits}" for (b, s), bits in self.bits.items()]
            head = "# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state"
            return "\n".join(["1", head, *rows]) + "\n\n"
        if words[:2] == ["show", "stat"]:
            rows = [
                f"{b},{s},-,{self.status((b, s))},{self.sessions.get((b, s), 0)},0,0,L7OK,"
                for b, s in self.bits
            ]
            head = "# pxname,svname,addr,status,scur,bck,lastchg,check_status,last_chk,"
            return "\n".join([head, *rows]) + "\n"
        assert words == ["show", "info"], command
        return "Name: HAProxy\n"

    def set(self, key: tuple[str, str], state: str) -> str:
        if key not in self.bits:
            return "No such server.\n"
        self.bits[key] = {"ready": 4, "drain": 12, "maint": 5}[state]
        return "\n"

    def status(self, key: tuple[str, str]) -> str:
        if self.bits[key] == 4:
            return "DOWN" if key in self.down else "UP"
        return {12: "DRAIN", 5: "MAINT"}[self.bits[key]]

    def save(self, argv: list[str], **_: Any) -> dict[str, Any]:
        assert argv == [haproxy.HELPER, "save"]
        self.saves += 1
        return {"retcode": 0, "stdout": "", "stderr": ""}


@pytest.fixture
def values(lab: Cloud) -> dict[str, Any]:
    return endpoint.haproxy(lab, "lb1")


@pytest.fixture
def proxy(values: dict[str, Any]) -> FakeHAProxy:
    return FakeHAProxy(values["proxies"])


@pytest.fixture
def sick() -> dict[tuple[str, str], str]:
    """Servers that do not answer our own check: (service, node) -> reason."""
    return {}


@pytest.fixture
def configure_loader_modules(
    values: dict[str, Any],
    proxy: FakeHAProxy,
    sick: dict[tuple[str, str], str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: pathlib.Path,
) -> dict[Any, Any]:
    monkeypatch.setattr(saltern_haproxy_link, "ask", proxy.ask)
    monkeypatch.setattr(
        saltern_haproxy_link, "probe", lambda p, server, timeout: sick.get((p["service"], server))
    )
    monkeypatch.setattr(saltern_haproxy_traffic, "HOLDS", tmp_path / "deep" / "holds.json")
    monkeypatch.setattr(saltern_haproxy_traffic, "POLL", 0.001)
    return {
        haproxy: {
            "__pillar__": {"cloud": {"values": {"haproxy": values}}},
            "__salt__": {"cmd.run_all": proxy.save},
        }
    }


def test_healthy_servers_are_admitted_once_and_saved(proxy: FakeHAProxy) -> None:
    ret = haproxy.admit_services(["keystone", "memcached"], timeout=1)
    assert ret["admitted"] == ["keystone/ctl1", "keystone/ctl2", "keystone/ctl3"]
    assert proxy.saves == 1
    again = haproxy.admit_services("keystone", timeout=1)
    assert (again["admitted"], again["already"], proxy.saves) == ([], ret["admitted"], 1)


def test_a_sick_server_is_named_and_stays_out_the_others_come_in(
    proxy: FakeHAProxy, sick: dict[tuple[str, str], str]
) -> None:
    sick["keystone", "ctl2"] = "http://10.77.0.12:5000/healthcheck: 503 DISABLED BY FILE"
    with pytest.raises(CommandExecutionError, match=r"keystone/ctl2: .*503 DISABLED"):
        haproxy.admit_services(["keystone"], timeout=0.01)
    assert [proxy.status(("keystone", n)) for n in ("ctl1", "ctl2", "ctl3")] == [
        "UP",
        "MAINT",
        "UP",
    ]
    assert proxy.saves == 1


def test_an_admitted_server_that_haproxy_finds_down_is_named(proxy: FakeHAProxy) -> None:
    haproxy.admit_services(["keystone"], timeout=1)
    proxy.down.add(("keystone", "ctl3"))
    with pytest.raises(CommandExecutionError, match="keystone/ctl3: HAProxy says DOWN"):
        haproxy.admit_services(["keystone"], timeout=0.01)


def test_a_configuration_that_is_not_loaded_yet_is_said(proxy: FakeHAProxy) -> None:
    del proxy.bits["keystone", "ctl1"]
    with pytest.raises(CommandExecutionError, match="apply the state haproxy"):
        haproxy.admit_services(timeout=1)


def test_what_an_operator_took_out_stays_out(proxy: FakeHAProxy) -> None:
    haproxy.admit_services(timeout=1)
    haproxy.drain("keystone", "ctl1", timeout=1)
    haproxy.maint("glance", "ctl2")
    ret = haproxy.admit_services(timeout=1)
    assert (ret["admitted"], ret["held"]) == ([], ["glance/ctl2", "keystone/ctl1"])
    assert haproxy.drain_node("ctl1", ["keystone"]) == {"drained": [], "sessions": {}}
    assert haproxy.admit("keystone", "ctl1", timeout=1)["admitted"] == ["keystone/ctl1"]
    assert haproxy.ready("glance", "ctl2") is True
    assert haproxy.admit_services(timeout=1)["held"] == []


def held(backend: str) -> dict[str, str]:
    return {s["server"]: s["hold"] for s in haproxy.servers(backend)}


def test_servers_say_who_keeps_them_out(proxy: FakeHAProxy) -> None:
    assert held("keystone") == {"ctl1": "", "ctl2": "", "ctl3": ""}, "they were never let in"
    haproxy.admit_services(timeout=1)
    haproxy.maint("keystone", "ctl1")
    haproxy.drain_node("ctl2", ["keystone"], timeout=0.01)
    assert held("keystone") == {"ctl1": "operator", "ctl2": "rolling", "ctl3": ""}
    haproxy.admit_node("ctl2", timeout=1)
    proxy.set(("keystone", "ctl1"), "ready")  # by hand, on the socket
    proxy.set(("keystone", "ctl3"), "drain")
    assert held("keystone") == {"ctl1": "", "ctl2": "", "ctl3": "operator"}


@pytest.mark.parametrize("text", ["", '{"keystone/ctl1": "ope', "null", "[]"])
def test_lost_holds_let_nothing_in_and_make_nothing_look_down(
    proxy: FakeHAProxy, text: str
) -> None:
    haproxy.admit_services(["keystone"], timeout=1)
    haproxy.maint("keystone", "ctl1")
    saltern_haproxy_traffic.HOLDS.write_text(text)
    assert held("keystone") == {"ctl1": "operator", "ctl2": "", "ctl3": ""}
    assert held("glance") == dict.fromkeys(("ctl1", "ctl2", "ctl3"), "operator")
    for function, args in (
        (haproxy.admit_services, ()),
        (haproxy.admit_node, ("ctl1",)),
        (haproxy.drain, ("keystone", "ctl2")),
        (haproxy.ready, ("keystone", "ctl1")),
    ):
        with pytest.raises(CommandExecutionError, match="is damaged.* Delete it"):
            function(*args)


def test_a_scan_reports_what_nobody_keeps_out(proxy: FakeHAProxy, lab: Cloud) -> None:
    haproxy.admit_services(timeout=1)
    haproxy.maint("keystone", "ctl1")
    haproxy.drain("glance", "ctl1", timeout=1)
    haproxy.drain_node("ctl2", ["keystone"], timeout=0.01)
    proxy.set(("glance", "ctl3"), "maint")  # as after a start that has lost it
    well = {n: {s: {"status": "ok"} for s in lab.services_on(n)} for n in lab.nodes}
    answers = {
        "openstack.health": {node: Answer(True, said) for node, said in well.items()},
        "haproxy.servers": {"lb1": Answer(True, haproxy.servers())},
    }
    found = scanning.findings(lab, answers, lab.nodes)
    assert [(node, body["service"]) for _, node, body in found] == [("ctl3", "glance")]


def test_a_rolling_restart_takes_a_node_out_and_back(proxy: FakeHAProxy) -> None:
    haproxy.admit_services(timeout=1)
    ret = haproxy.drain_node("ctl1", timeout=0.01)
    assert "keystone/ctl1" in ret["drained"]
    assert proxy.cut[-1] == "galera/ctl1"  # never two writers
    assert haproxy.admit_node("ctl1", timeout=1)["admitted"] == sorted(ret["drained"])
    assert proxy.cut[-2:] == ["galera/ctl2", "galera/ctl3"]  # they were writers meanwhile


def test_an_interrupted_rolling_restart_is_finished_by_the_next_deploy(proxy: FakeHAProxy) -> None:
    haproxy.admit_services(timeout=1)
    haproxy.drain_node("ctl2", ["keystone"], timeout=0.01)
    assert haproxy.admit_services(timeout=1)["admitted"] == ["keystone/ctl2"]


def test_sessions_that_outlast_the_drain_are_told(proxy: FakeHAProxy) -> None:
    haproxy.admit_services(timeout=1)
    proxy.sessions["glance", "ctl1"] = 2
    assert haproxy.drain_node("ctl1", timeout=0.01)["sessions"] == {"glance/ctl1": 2}
    with pytest.raises(CommandExecutionError, match="still has 2 sessions"):
        haproxy.drain("glance", "ctl1", timeout=0.01)


@pytest.mark.parametrize(
    "take_out",
    [
        lambda: haproxy.drain("keystone", "ctl1", timeout=0.01),
        lambda: haproxy.maint("keystone", "ctl1"),
        lambda: haproxy.drain_node("ctl1", ["keystone"], timeout=0.01),
    ],
)
def test_the_last_usable_server_is_kept(proxy: FakeHAProxy, take_out: Callable[[], Any]) -> None:
    haproxy.admit_services(timeout=1)
    proxy.down |= {("keystone", "ctl2"), ("keystone", "ctl3")}
    with pytest.raises(CommandExecutionError, match=r"only usable|no other server"):
        take_out()
    assert proxy.status(("keystone", "ctl1")) == "UP"
    assert haproxy.maint("keystone", "ctl1", force=True) is True


def test_what_fails_a_check_made_now_gets_no_more_requests_and_is_not_held(
    proxy: FakeHAProxy, sick: dict[tuple[str, str], str]
) -> None:
    haproxy.admit_services(timeout=1)
    assert haproxy.recheck("ctl1") == {} and proxy.down == set()
    sick.update({(service, "ctl1"): "timed out" for service in ("keystone", "galera", "glance")})
    proxy.set(("glance", "ctl1"), "drain")  # gets nothing anyway
    assert haproxy.recheck("ctl1", "keystone") == {"keystone/ctl1": "timed out"}
    assert haproxy.recheck("ctl1") == {}, "one that is down already, one with one writer"
    assert proxy.down == {("keystone", "ctl1")}
    assert held("keystone") == {"ctl1": "", "ctl2": "", "ctl3": ""}


def test_the_last_usable_server_is_not_held_for_down(
    proxy: FakeHAProxy, sick: dict[tuple[str, str], str]
) -> None:
    haproxy.admit_services(timeout=1)
    sick.update({("keystone", node): "timed out" for node in ("ctl1", "ctl2", "ctl3")})
    found = [haproxy.recheck(node, ["keystone"]) for node in ("ctl1", "ctl2", "ctl3")]
    assert [bool(one) for one in found] == [True, True, False]


def test_any_answer_to_a_set_command_is_an_error(proxy: FakeHAProxy) -> None:
    with pytest.raises(CommandExecutionError, match="No such server"):
        haproxy._linked(saltern_haproxy_traffic.set_state, ("nope", "ctl1"), "drain")


@pytest.mark.parametrize("function", [haproxy.drain, haproxy.maint, haproxy.ready])
def test_a_server_that_does_not_exist(function: Callable[..., Any]) -> None:
    with pytest.raises(CommandExecutionError, match="no server nope/ctl1"):
        function("nope", "ctl1")
    with pytest.raises(CommandExecutionError, match="the model has no server"):
        haproxy.admit("nope")


def test_a_node_without_a_balancer_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(haproxy, "__pillar__", {})
    with pytest.raises(CommandExecutionError, match="no haproxy in the model"):
        haproxy.admit_services()


def test_reading(proxy: FakeHAProxy) -> None:
    assert haproxy.info() == {"Name": "HAProxy"}
    assert {s["backend"] for s in haproxy.servers("glance")} == {"glance"}
    assert len(haproxy.stat()) == len(haproxy.servers()) == len(proxy.bits)


def test_a_socket_that_nobody_serves(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(saltern_haproxy_link, "SOCKET", str(tmp_path / "none.sock"))
    with pytest.raises(CommandExecutionError, match="journalctl -u haproxy"):
        haproxy.info()


@pytest.mark.parametrize(("status", "reason"), [(200, None), (503, "503 OUT")])
def test_our_own_check_is_the_one_haproxy_makes(
    monkeypatch: pytest.MonkeyPatch, status: int, reason: str | None
) -> None:
    monkeypatch.undo()
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append((self.path, self.headers["Host"]))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(b"OUT")

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        proxy = {
            "check": {"port": server.server_port, "path": "/healthcheck", "status": 200},
            "vips": ["192.0.2.1"],
            "members": [{"name": "ctl1", "address": "127.0.0.1"}],
        }
        said = saltern_haproxy_link.probe(proxy, "ctl1")
        server.shutdown()
    assert (said and said.rpartition("/healthcheck: ")[2]) == reason
    assert asked == [("/healthcheck", "192.0.2.1")]
    assert "refused" in str(saltern_haproxy_link.probe(proxy, "ctl1"))


def test_configuration_compares_what_was_loaded_with_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    file = tmp_path / "haproxy.cfg"
    monkeypatch.setattr(haproxy, "LOADED", tmp_path / "loaded")
    assert haproxy.configuration(str(file)) == {"loaded": None, "on_disk": None}
    file.write_text("x")
    haproxy.LOADED.write_text("2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881\n")
    seen = haproxy.configuration(str(file))
    assert seen["loaded"] == seen["on_disk"] == "2d711642b726"


def test_commands_that_fail_say_what_haproxy_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(argv: list[str], **_: Any) -> dict[str, Any]:
        return {"retcode": 1, "stdout": "", "stderr": "unknown keyword 'bogus'"}

    monkeypatch.setitem(haproxy.__salt__, "cmd.run_all", fails)
    for function in (haproxy.check_config, haproxy.reload_, haproxy.save_state):
        with pytest.raises(CommandExecutionError, match="bogus"):
            function()


def test_commands_that_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(haproxy.__salt__, "cmd.run_all", lambda argv, **_: {"retcode": 0})
    assert haproxy.check_config() and haproxy.reload_() and haproxy.save_state()
