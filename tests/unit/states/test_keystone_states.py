"""States of Keystone over a fake identity API, a fake database and real key files."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import pwd
from types import SimpleNamespace
from typing import Any

import pytest
import support
from keystoneauth1 import exceptions
from salt.exceptions import CommandExecutionError

identity = support.load_module("_modules", "keystone")
bootstrap = support.load_module("_modules", "keystone_bootstrap")
keys = support.load_module("_modules", "keystone_keys")
one_state = support.load_module("_states", "keystone")
catalogue_state = support.load_module("_states", "keystone_catalogue")
bootstrap_state = support.load_module("_states", "keystone_bootstrap")
keys_state = support.load_module("_states", "keystone_keys")

CATALOGUE = {
    "region": "R",
    "roles": ["admin"],
    "projects": {"service": "Services"},
    "services": [{"type": "image", "name": "glance", "endpoints": {"public": "http://new"}}],
    "users": {"glance": {"password": "new", "project": "service", "roles": ["admin"]}},
}
PILLAR: dict[str, Any] = {
    "catalogue": CATALOGUE,
    "keys": ["staged", "primary"],
    "password": "new",
    "cloud:region": "R",
    identity.ADMIN: {
        "auth_url": "http://127.0.0.1:1/v3",
        "username": "admin",
        "password": "s3cret",
        "project_name": "admin",
        "user_domain_name": "Default",
        "project_domain_name": "Default",
    },
}


class FakeIdentity:
    """The identity API's collections, in memory."""

    def __init__(self) -> None:
        self.ids = itertools.count(1)
        self.kept: dict[str, dict[str, dict[str, Any]]] = {
            kind: {} for kind in ("roles", "projects", "services", "endpoints", "users")
        }
        self.grants: set[tuple[str, str, str]] = set()
        self.writes = 0

    def get(self, url: str, params: dict[str, str]) -> Any:
        kind = url.strip("/")
        if kind == "role_assignments":
            found = [
                {"user": {"id": u}, "role": {"id": r}, "scope": {"project": {"id": p}}}
                for p, u, r in self.grants
                if p == params["scope.project.id"]
            ]
        else:
            found = [
                record
                for record in self.kept[kind].values()
                if all(record.get(key) == value for key, value in params.items())
            ]
        return SimpleNamespace(json=lambda: {kind: found})

    def post(self, url: str, json: dict[str, Any]) -> None:
        self.writes += 1
        identifier = f"id{next(self.ids)}"
        self.kept[url.strip("/")][identifier] = {**next(iter(json.values())), "id": identifier}

    def patch(self, url: str, json: dict[str, Any]) -> None:
        self.writes += 1
        _, kind, identifier = url.split("/")
        self.kept[kind][identifier].update(next(iter(json.values())))

    def delete(self, url: str) -> None:
        self.writes += 1
        _, kind, identifier = url.split("/")
        del self.kept[kind][identifier]

    def put(self, url: str) -> None:
        self.writes += 1
        _, _, project, _, user, _, role = url.split("/")
        self.grants.add((project, user, role))

    def logs_in(self, admin: Any, username: str, password: str) -> bool:
        users = self.kept["users"].values()
        return any(u["name"] == username and u["password"] == password for u in users)


@pytest.fixture(autouse=True)
def salted(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """``__salt__`` of all modules and states, and ``__opts__`` to switch ``test`` on."""
    salt: dict[str, Any] = {"pillar.get": lambda path, unmask: PILLAR.get(path)}
    opts = {"test": False}
    for module in (identity, bootstrap, keys):
        public = (n for n in vars(module) if not n.startswith("_") and callable(vars(module)[n]))
        salt.update({f"{module.__virtualname__}.{n}": vars(module)[n] for n in public})
        monkeypatch.setattr(module, "__salt__", salt, raising=False)
    for module in (one_state, catalogue_state, bootstrap_state, keys_state):
        monkeypatch.setattr(module, "__salt__", salt, raising=False)
        monkeypatch.setattr(module, "__opts__", opts, raising=False)
    return {"salt": salt, "opts": opts}


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> FakeIdentity:
    fake = FakeIdentity()
    monkeypatch.setattr(identity, "_identity", lambda: contextlib.nullcontext(fake))
    monkeypatch.setattr(identity, "_logs_in", fake.logs_in)
    return fake


def test_an_empty_keystone_gets_the_whole_catalogue_and_then_nothing(api: Any, salted: Any) -> None:
    salted["opts"]["test"] = True
    assert catalogue_state.present("catalogue", "catalogue")["result"] is None
    assert api.writes == 0
    salted["opts"]["test"] = False
    first = catalogue_state.present("catalogue", "catalogue")
    assert first["result"] is True, first["comment"]
    assert "new" not in json.dumps(first["changes"]["user:glance"]["new"])
    writes = api.writes
    assert catalogue_state.present("catalogue", "catalogue")["changes"] == {}
    assert api.writes == writes


def test_drift_is_repaired_and_surplus_endpoints_go(api: Any) -> None:
    catalogue_state.present("catalogue", "catalogue")
    service = next(iter(api.kept["services"].values()))
    service["name"] = "other"
    endpoint = next(iter(api.kept["endpoints"].values()))
    api.post("/endpoints", json={"endpoint": {**endpoint, "url": "http://old"}})
    next(iter(api.kept["users"].values()))["password"] = "rotated away"
    repaired = catalogue_state.present("catalogue", "catalogue")
    assert repaired["result"] is True
    assert set(repaired["changes"]) == {"service:image", "endpoint:image:public", "user:glance"}
    assert len(api.kept["endpoints"]) == 1


def test_only_the_leader_has_a_catalogue() -> None:
    assert "only the leader" in catalogue_state.present("catalogue", "nowhere")["comment"]


def test_operators_add_single_things(api: Any) -> None:
    for made in (
        one_state.role_present("reader"),
        one_state.project_present("monitoring", "for people"),
        one_state.service_present("barbican", "key-manager"),
        one_state.endpoint_present("http://b", "key-manager", "barbican"),
        one_state.user_present("monitor", "password", "monitoring", ["reader"]),
    ):
        assert made["result"] is True, made["comment"]
        assert made["changes"]
    assert one_state.user_present("monitor", "password", "monitoring", ["reader"])["changes"] == {}
    assert "has no password" in one_state.user_present("monitor", "nowhere")["comment"]
    assert (
        "no role auditor"
        in one_state.user_present("other", "password", "monitoring", ["auditor"])["comment"]
    )


def test_lists_are_what_keystone_says(api: Any) -> None:
    catalogue_state.present("catalogue", "catalogue")
    assert [s["name"] for s in identity.service_list()] == ["glance"]
    assert [e["url"] for e in identity.endpoint_list()] == ["http://new"]
    assert [p["name"] for p in identity.project_list()] == ["service"]
    assert [u["name"] for u in identity.user_list()] == ["glance"]
    assert [r["name"] for r in identity.role_list()] == ["admin"]


def test_a_keystone_that_does_not_answer_is_named(monkeypatch: Any) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    with pytest.raises(CommandExecutionError, match=r"127\.0\.0\.1:1.*openstack\.health"):
        identity.role_list()


def test_a_refused_administrator_is_told_what_to_do(monkeypatch: Any) -> None:
    def refuse(self: Any, *args: Any, **kwargs: Any) -> None:
        raise exceptions.Unauthorized("no")

    monkeypatch.setattr("keystoneauth1.adapter.Adapter.get", refuse)
    monkeypatch.setattr("keystoneauth1.identity.v3.Password.get_access", refuse)
    with pytest.raises(CommandExecutionError, match=r"apply keystone\.schema"):
        identity.role_list()
    assert identity._logs_in(PILLAR[identity.ADMIN], "glance", "x") is False
    monkeypatch.setattr("keystoneauth1.identity.v3.Password.get_access", lambda *a: object())
    assert identity._logs_in(PILLAR[identity.ADMIN], "glance", "x") is True


def test_a_node_without_credentials_says_where_to_ask(monkeypatch: Any) -> None:
    monkeypatch.setitem(PILLAR, identity.ADMIN, None)
    with pytest.raises(CommandExecutionError, match="ask a node that runs Keystone"):
        identity.role_list()


class FakeDatabase:
    """What the administrator's rows say, and ``keystone-manage bootstrap``."""

    def __init__(self) -> None:
        self.hash: str | None = None
        self.rows = 0
        self.retcode: int | None = None
        self.env: dict[str, str] = {}

    def query(self, config: str, section: str, sql: str, parameters: list[str]) -> list[list[Any]]:
        if "password_hash" in sql:
            return [[self.hash, 1]] if self.hash else []
        return [[self.rows]]

    def run_all(self, argv: list[str], stdin: str, **kwargs: Any) -> dict[str, Any]:
        assert "new" not in argv
        asked = json.loads(stdin)
        code = 0 if asked["hash"] == f"hash of {asked['password']}" else 3
        return {"retcode": code if self.retcode is None else self.retcode, "stderr": "a\nbroken"}

    def sync(self, user: str, argv: list[str], env: dict[str, str], **kwargs: Any) -> str:
        assert "new" not in argv
        self.hash, self.rows = f"hash of {env['OS_BOOTSTRAP_PASSWORD']}", 1
        return ""


@pytest.fixture
def database(salted: Any) -> FakeDatabase:
    fake = FakeDatabase()
    salted["salt"]["openstack_schema.query"] = fake.query
    salted["salt"]["openstack_schema.sync"] = fake.sync
    salted["salt"]["cmd.run_all"] = fake.run_all
    return fake


ADMINISTRATOR = {"name": "admin", "region": "R", "urls": {"public": "http://p"}}


def test_the_administrator_is_made_once_and_again_for_a_new_password(
    database: Any, salted: Any
) -> None:
    salted["opts"]["test"] = True
    dry = bootstrap_state.present(**ADMINISTRATOR, pillar="password")
    assert (dry["result"], database.hash) == (None, None)
    salted["opts"]["test"] = False
    first = bootstrap_state.present(**ADMINISTRATOR, pillar="password")
    assert first["changes"]["password"] == {"old": "missing", "new": "valid"}
    assert bootstrap_state.present(**ADMINISTRATOR, pillar="password")["changes"] == {}
    database.hash = "hash of another"
    again = bootstrap_state.present(**ADMINISTRATOR, pillar="password")
    assert again["changes"] == {"password": {"old": "other", "new": "valid"}}


def test_a_password_that_cannot_be_checked_is_no_wrong_password(database: Any) -> None:
    database.hash, database.retcode = "x", 1
    failed = bootstrap_state.present(**ADMINISTRATOR, pillar="password")
    assert (failed["result"], failed["comment"][-6:]) == (False, "broken")


@pytest.fixture
def repository(tmp_path: Any, monkeypatch: Any) -> str:
    me = SimpleNamespace(pw_uid=os.getuid(), pw_gid=os.getgid())
    monkeypatch.setattr(pwd, "getpwnam", lambda name: me)
    return str(tmp_path / "fernet-keys")


def test_keys_are_written_once_and_repaired(repository: Any, salted: Any, tmp_path: Any) -> None:
    salted["opts"]["test"] = True
    assert keys_state.present(repository, "keys")["result"] is None
    salted["opts"]["test"] = False
    first = keys_state.present(repository, "keys")
    assert first["result"] is True
    assert "primary" not in json.dumps(first["changes"])
    folder = tmp_path / "fernet-keys"
    assert {p.name: p.read_text() for p in folder.iterdir()} == {"0": "staged", "1": "primary"}
    assert keys_state.present(repository, "keys")["changes"] == {}
    (folder / "1").chmod(0o644)
    (folder / "7").write_text("surplus")
    (folder / "note").write_text("not a key")
    again = keys_state.present(repository, "keys")
    assert again["result"] is True
    assert set(again["changes"]) == {"keys", "private"}
    assert sorted(p.name for p in folder.iterdir()) == ["0", "1", "note"]


def test_keys_need_a_pillar_and_the_package(repository: Any, monkeypatch: Any) -> None:
    assert "has no keys" in keys_state.present(repository, "nowhere")["comment"]

    def unknown(name: Any) -> None:
        raise KeyError(name)

    monkeypatch.setattr(pwd, "getpwnam", unknown)
    assert "install the package" in keys_state.present(repository, "keys")["comment"]


def test_everything_loads_only_beside_its_module(database: Any, monkeypatch: Any) -> None:
    for module in (identity, bootstrap, keys):
        assert module.__virtual__() == module.__virtualname__
    for module in (one_state, catalogue_state, bootstrap_state, keys_state):
        assert module.__virtual__() == module.__virtualname__
        monkeypatch.setattr(module, "__salt__", {})
        assert module.__virtual__()[0] is False
    monkeypatch.setattr(bootstrap, "__salt__", {})
    assert bootstrap.__virtual__()[0] is False
    monkeypatch.setitem(__import__("sys").modules, "keystoneauth1", None)
    assert identity.__virtual__()[0] is False
