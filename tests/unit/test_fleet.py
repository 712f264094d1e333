"""Jobs on minions: who answered, who will never answer, and how that is told apart."""

from __future__ import annotations

import pathlib
import threading
import time
from collections.abc import Mapping
from typing import Any

import pytest
import salt.payload
import salt.utils.jid
import saltern_fleet
from salt.exceptions import SaltClientError
from saltern.fleet import NO_ANSWER, Answer


class FakeMaster:
    """A bus with the given returns on it, and a client that knows which jobs still run."""

    def __init__(self, *events: dict[str, Any] | None) -> None:
        self.events = list(events)
        self.running: dict[str, Any] = {}
        self.then: list[dict[str, Any]] = []  # what runs by the next looks
        self.looks: list[dict[str, Any] | None] = []
        self.forged: set[str] = set()  # whose returns on the bus are not theirs
        self.opts: dict[str, Any] = {}
        self.job: dict[str, Any] = {"jid": "1"}
        self.refuses = ""
        self.refuses_looks = False
        self.strangers: set[str] = set()
        self.jobs: list[tuple[Any, ...]] = []
        self.destroyed = 0

    def destroy(self) -> None:
        self.destroyed += 1

    def __enter__(self) -> FakeMaster:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def subscribe(self, tag: str) -> None:
        assert "salt/job/1/ret/".startswith(tag)

    def get_event(self, wait: float, tag: str, match_type: str) -> dict[str, Any] | None:
        assert match_type == "startswith" and wait > 0
        queue = {"salt/job/1/ret/": self.events, "salt/job/2/ret/": self.looks}[tag]
        event = queue.pop(0) if queue else None
        if event and queue is self.events and event["id"] not in self.forged:
            self.keep(event)
        return event

    def keep(self, event: Mapping[str, Any]) -> None:
        """As the returner local_cache does."""
        jobs = salt.utils.jid.jid_dir("1", self.opts["cachedir"] + "/jobs", self.opts["hash_type"])
        folder = pathlib.Path(jobs) / event["id"]
        folder.mkdir(parents=True, exist_ok=True)
        draft = folder / "draft"
        draft.write_bytes(salt.payload.dumps(event))
        draft.replace(folder / "return.p")

    def run_job(self, nodes: list[str], function: str, **how: Any) -> dict[str, Any]:
        if self.refuses:
            raise SaltClientError(self.refuses)
        if function != "saltutil.find_job":
            self.jobs.append((nodes, function, how["kwarg"]))
            return self.job
        if self.refuses_looks:
            raise SaltClientError("busy")
        if self.strangers >= set(nodes):
            return {}
        assert how["arg"] == ["1"]
        self.looks = [returned(n, said) for n, said in self.running.items() if n in nodes]
        self.running = self.then.pop(0) if self.then else self.running
        return {"jid": "2"}


@pytest.fixture
def master(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> FakeMaster:
    fake = FakeMaster()
    fake.opts = {
        "sock_dir": "/",
        "cachedir": str(tmp_path),
        "hash_type": "sha256",
        "master_job_cache": "local_cache",
        "job_cache": True,
    }
    monkeypatch.setattr(saltern_fleet.salt.config, "master_config", lambda path: fake.opts)  # type: ignore[attr-defined]
    monkeypatch.setattr(saltern_fleet.salt.client, "LocalClient", lambda mopts: fake)  # type: ignore[attr-defined]
    monkeypatch.setattr(
        saltern_fleet.salt.utils.event,  # type: ignore[attr-defined]
        "get_master_event",
        lambda opts, path, listen: fake,
    )
    monkeypatch.setattr(saltern_fleet, "FIRST_LOOK", 0)
    monkeypatch.setattr(saltern_fleet, "LOOK_EVERY", 0)
    monkeypatch.setattr(saltern_fleet, "PRESENCE_TIMEOUT", 0.02)
    return fake


def returned(node: str, value: Any, **more: Any) -> dict[str, Any]:
    return {"id": node, "return": value, **more}


def call(master: FakeMaster, *nodes: str, timeout: float = 5) -> dict[str, Answer]:
    fleet = saltern_fleet.SaltFleet("/nonexistent/master")
    return fleet.call(nodes, "unit.pending", timeout=timeout, kwargs={"a": 1})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("event", "answer"),
    [
        ({"return": {}, "retcode": 0}, Answer(True, {})),
        ({"return": {"x": {"result": 0}}, "retcode": 2}, Answer(True, {"x": {"result": 0}})),
        ({"return": ["SLS x is not there"], "retcode": 1}, Answer(True, ["SLS x is not there"])),
        ({"return": "ERROR: no", "retcode": 1}, Answer(False, "ERROR: no")),
        ({"return": "a word", "retcode": 0}, Answer(True, "a word")),
        ({"return": "a word"}, Answer(True, "a word")),
        ({"return": None, "retcode": 0}, Answer(True, None)),
    ],
)  # fmt: skip
def test_what_a_return_means(event: dict[str, Any], answer: Answer) -> None:
    assert saltern_fleet._answer(event) == answer


def test_answers_of_our_nodes_to_our_job(master: FakeMaster) -> None:
    master.running = {"a": {"jid": "1"}, "b": {"jid": "1"}}
    master.events = [returned("a", 1), returned("stranger", 9), None, returned("b", 2)]
    assert call(master, "a", "b") == {"a": Answer(True, 1), "b": Answer(True, 2)}
    assert master.jobs == [(["a", "b"], "unit.pending", {"a": 1})]


def test_a_node_that_does_not_answer_is_not_waited_for(master: FakeMaster) -> None:
    master.events = [returned("a", 1)]
    master.running = {"b": False}
    assert call(master, "a", "b", "c", timeout=600) == {
        "a": Answer(True, 1),
        "b": Answer(False, NO_ANSWER),
        "c": Answer(False, NO_ANSWER),
    }


def test_a_node_that_is_too_busy_for_one_look_is_waited_for(master: FakeMaster) -> None:
    job = {"a": {"jid": "1"}}
    master.running, master.then = job, [{}, job, {}]
    master.events = [None, None, None, None, returned("a", 1)]
    assert call(master, "a", timeout=600) == {"a": Answer(True, 1)}


def test_a_node_that_dies_at_its_work_is_given_up_by_the_second_look(master: FakeMaster) -> None:
    master.running, master.then = {"a": {"jid": "1"}}, [{}]
    assert call(master, "a", timeout=600) == {"a": Answer(False, NO_ANSWER)}


@pytest.mark.parametrize(
    ("running", "looks"), [([{"a": {"jid": "1"}}, {}, {}, {}, {}], 5), ([{}], 1)]
)
def test_on_a_starved_machine_silence_is_waited_for_longer(
    master: FakeMaster, starved: None, running: list[dict[str, Any]], looks: int
) -> None:
    """One that has answered a look, and one that never has."""
    master.running, *master.then = running
    master.events = [*[None] * looks, returned("a", 1)]
    assert call(master, "a", timeout=600) == {"a": Answer(True, 1)}
    master.running, *master.then = [*running, {}]
    master.events = [*[None] * (looks + 1), returned("a", 1)]
    assert call(master, "a", timeout=600) == {"a": Answer(False, NO_ANSWER)}


def test_a_return_that_the_bus_lost_is_found(master: FakeMaster) -> None:
    master.running = {"a": {}, "b": {"jid": "1"}}
    master.keep(returned("a", "ERROR: no", retcode=1))
    master.events = [None, returned("b", 2)]
    assert call(master, "a", "b") == {"a": Answer(False, "ERROR: no"), "b": Answer(True, 2)}


def test_what_another_says_in_its_name_is_no_answer(master: FakeMaster) -> None:
    master.forged = {"a"}
    master.running = {"a": {"jid": "1"}}
    master.events = [returned("a", "all is well"), returned("b", 2), None, None]
    found = call(master, "a", "b", timeout=0.3)
    assert found["b"] == Answer(True, 2)
    assert not found["a"].ok and "did not end" in found["a"].value


def test_an_answer_that_the_master_has_not_kept_yet_is_waited_for(
    master: FakeMaster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saltern_fleet, "FIRST_LOOK", 600)
    master.forged = {"a"}
    master.events = [returned("a", "another's word")]
    later = threading.Timer(0.1, master.keep, [returned("a", 1, retcode=0)])
    later.start()
    assert call(master, "a") == {"a": Answer(True, 1)}
    later.join()


@pytest.mark.parametrize(
    "settings",
    [{"job_cache": False}, {"ext_job_cache": "mysql"}, {"master_job_cache": "postgres"}],
)
def test_without_salts_job_cache_the_bus_is_believed(
    master: FakeMaster, settings: dict[str, Any]
) -> None:
    master.opts.update(settings)
    master.events = [returned("a", 1), None]
    master.forged = {"a"}
    master.running = {"b": {}}
    assert call(master, "a", "b") == {"a": Answer(True, 1), "b": Answer(False, saltern_fleet.LOST)}


def test_a_minion_that_was_restarted_has_lost_its_job(master: FakeMaster) -> None:
    master.running = {"a": {}, "b": {}}
    master.events = [None, returned("b", 2)]  # b's return was on its way at the first look
    assert call(master, "a", "b", timeout=600) == {
        "a": Answer(False, saltern_fleet.LOST),
        "b": Answer(True, 2),
    }


def test_a_job_that_hangs_has_an_end(master: FakeMaster) -> None:
    master.running = {"a": {"jid": "1"}}
    [answer] = call(master, "a", timeout=0.05).values()
    assert answer == Answer(False, "unit.pending did not end within 0.05 s")


def test_a_master_that_is_too_busy_to_be_asked_says_nothing_about_nodes(
    master: FakeMaster,
) -> None:
    master.events = [None, returned("a", 1)]
    master.refuses_looks = True
    assert call(master, "a") == {"a": Answer(True, 1)}


def test_nodes_whose_keys_are_not_accepted_are_not_waited_for(master: FakeMaster) -> None:
    master.events = [returned("a", 1), None]
    master.strangers = {"b", "c"}
    began = time.monotonic()
    silent = Answer(False, NO_ANSWER)
    assert call(master, "a", "b", "c") == {"a": Answer(True, 1), "b": silent, "c": silent}
    assert time.monotonic() - began < 1


@pytest.mark.parametrize(("job", "refuses"), [({}, ""), ({"jid": "1"}, "no authority")])
def test_a_job_that_the_master_does_not_take(
    master: FakeMaster, job: dict[str, Any], refuses: str
) -> None:
    master.job, master.refuses = job, refuses
    [answer] = call(master, "a").values()
    assert not answer.ok and "the master took no job" in answer.value


def test_a_client_is_kept_until_something_goes_wrong(
    master: FakeMaster, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[object] = []

    def make(mopts: object) -> FakeMaster:
        made.append(mopts)
        return master

    monkeypatch.setattr(saltern_fleet.salt.client, "LocalClient", make)  # type: ignore[attr-defined]
    fleet = saltern_fleet.SaltFleet("/nonexistent/master")

    def ask() -> Answer:
        master.events = [returned("a", 1)]
        return fleet.call(["a"], "test.ping", timeout=5, kwargs={})["a"]

    assert (ask().ok, ask().ok, len(made), master.destroyed) == (True, True, 1, 0)
    master.refuses = "no authority"
    assert (ask().ok, len(made), master.destroyed) == (False, 1, 1)
    master.refuses = ""
    assert (ask().ok, len(made)) == (True, 2)
