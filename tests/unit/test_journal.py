"""The journal on a real file: what survives, what falls out, what is decided first."""

from __future__ import annotations

import pathlib
import shutil
import sqlite3
import subprocess
import sys
import threading

import pytest
from saltern.reactor.terms import Observed, Rejected, Report, Status
from saltern_journal import Journal
from saltern_journal_schema import JournalError

FAULT = {"node": "ctl1", "kind": "service", "subject": "keystone"}


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "reactor/journal.db"


@pytest.fixture
def journal(path: pathlib.Path, clock: Clock) -> Journal:
    return Journal(path, clock)


def a_report(node: str = "ctl1", rule: str = "failed", **body: object) -> Report:
    return Report(0, 0.0, f"saltern/node/{node}/service", node, "node", rule, body)


def test_a_report_is_read_back_as_it_was_given(journal: Journal) -> None:
    assert journal.add([(a_report(service="keystone", restarts=3, healed=False), "e", 1)]) == 1
    [found] = journal.undecided(10)
    assert (found.id, found.at) == (1, 1000.0)
    assert found.body == {"service": "keystone", "restarts": 3, "healed": False}
    assert journal.report(1) == found
    assert journal.report(2) is None
    assert list(journal.reports(since=1000, node="ctl1")) == [found]
    assert not list(journal.reports(node="ctl2"))


def test_the_most_urgent_rule_comes_first_and_then_the_oldest(journal: Journal) -> None:
    reports = [(a_report(rule=rule), None, None) for rule in ("noise", "noise", "critical")]
    journal.add(reports, {"critical": 0, "noise": 5})
    assert [(r.rule, r.id) for r in journal.undecided(2)] == [("critical", 3), ("noise", 1)]


def test_what_waits_is_due_at_its_time_or_when_something_changes(
    journal: Journal, clock: Clock
) -> None:
    journal.add([(a_report(), None, None)] * 4)
    journal.decided(1)
    journal.again(2, 1005)
    journal.again(3, None)
    assert [r.id for r in journal.undecided(10)] == [4]
    journal.decided(4)
    assert journal.next_due() == 1005
    clock.now = 1006
    assert [r.id for r in journal.undecided(10)] == [2]
    assert journal.stir() == 1
    assert [r.id for r in journal.undecided(10)] == [2, 3]
    journal.decided(2)
    journal.forget_report(3)
    assert (journal.waiting(), journal.next_due(), journal.report(3)) == (0, None, None)


def test_a_batch_is_written_whole_or_not_at_all(journal: Journal) -> None:
    with pytest.raises(ZeroDivisionError), journal.batch():
        journal.add([(a_report(), "e", 1)])
        journal.record("paused", scope="cloud", until=1, by="me", why="")
        raise ZeroDivisionError
    assert not journal.undecided(10)
    assert not list(journal.records())
    assert journal.seen("ctl1", "e") == 0
    with pytest.raises(ZeroDivisionError), journal.batch(), journal.batch():
        raise ZeroDivisionError
    assert journal.add([(a_report(), "e", 1)]) == 1


def test_records_carry_their_own_id_where_others_refer_to_it(journal: Journal) -> None:
    decision = journal.record("decision", report=7, fault=FAULT, verdict="act")
    action = journal.record("began", decision=decision, fault=FAULT, rule="failed", report=7)
    pause = journal.record("paused", scope="cloud", until=9, by="me", why="work")
    assert (decision, action, pause) == (1, 2, 3)
    first, second, third = journal.records()
    assert (first["decision"], second["action"], second["decision"]) == (1, 2, 1)
    assert (third["pause"], third["at"]) == (3, 1000.0)
    assert [record["id"] for record in journal.records(1)] == [2, 3]
    assert [record["id"] for record in journal.records(report=7)] == [1, 2]


def test_what_began_and_has_not_ended_is_unfinished(journal: Journal) -> None:
    first = journal.record("began", fault=FAULT, operation="restart")
    second = journal.record("began", fault=FAULT, operation="join")
    journal.record("ended", action=first, ok=True)
    assert [record["action"] for record in journal.unfinished()] == [second]
    journal.record("ended", action=second, ok=False)
    assert not journal.unfinished()


def test_more_records_than_a_page_come_in_order(journal: Journal) -> None:
    with journal.batch():
        for _ in range(2500):
            journal.record("resolved", fault=FAULT, why="")
    assert [record["id"] for record in journal.records(10)] == list(range(11, 2501))


def test_what_a_report_was_decided_with_is_kept(journal: Journal) -> None:
    seen = Observed(
        accepted=frozenset({"ctl1", "ctl2"}),
        answering={"ctl1": True},
        services={"ctl1": {"keystone": Status("down", "502", 9.5)}},
        joined=frozenset({"ctl1"}),
        busy="orch.deploy",
    )
    journal.add([(a_report(), None, None)] * 2)
    kept = journal.keep_observed(seen)
    journal.decided(1, kept)
    journal.again(2, 2000, kept)
    assert journal.observed(1) == journal.observed(2) == seen
    assert journal.observed(3) is None


def test_rejections_are_counted_all_and_kept_the_last(journal: Journal) -> None:
    journal.reject()
    journal.reject(*(Rejected(f"t{i}", "ctl1", "x" * 1000) for i in range(300)))
    journal.reject(Rejected("\ud800\x00", "", "half a character"))
    found = journal.rejections()
    assert journal.counters() == {"rejected": 301}
    assert (len(found), found[0]["reason"], found[1]["tag"]) == (200, "half a character", "t299")
    assert len(found[1]["reason"]) == 300


def test_the_fence_only_rises_even_when_the_journal_is_lost(
    journal: Journal, clock: Clock, tmp_path: pathlib.Path
) -> None:
    epochs = [journal.next_epoch() for _ in range(3)]
    assert epochs == [1000, 1001, 1002]
    clock.now = 2000
    assert Journal(tmp_path / "another.db", clock).next_epoch() > max(epochs)


def test_old_things_go_unless_something_is_open(journal: Journal, clock: Clock) -> None:
    journal.add([(a_report(), "e", 1), (a_report(), "e", 2)])
    kept = journal.keep_observed(Observed())
    journal.decided(1, journal.keep_observed(Observed()))
    journal.again(2, 5000, kept)
    open_ = journal.record("began", fault=FAULT)
    done = journal.record("began", fault=FAULT)
    journal.record("ended", action=done, fault=FAULT)
    journal.record("paused", scope="node=ctl1", until=9000, by="me", why="")
    journal.record("paused", scope="cloud", until=1500, by="me", why="")
    journal.notice_add("1/attention", "log", {}, 1000)
    journal.notice_done(journal.notice_add("1/resolved", "log", {}, 1000))
    clock.now = 3000
    journal.prune(2000)
    assert [r.id for r in journal.reports()] == [2]
    assert journal.observed(2) == Observed()
    assert [(r["kind"], r.get("scope")) for r in journal.records()] == [
        ("began", None),
        ("paused", "node=ctl1"),
    ]
    assert [record["action"] for record in journal.unfinished()] == [open_]
    assert [notice["incident"] for notice in journal.notices_open()] == ["1/attention"]
    assert journal.seen("ctl1", "e") == 2, "what was pruned must not come in a second time"


def test_a_notice_stays_until_it_is_delivered_or_given_up(journal: Journal) -> None:
    first = journal.notice_add("5/attention", "smtp", {"title": "keystone"}, 1000)
    assert journal.notice_add("5/attention", "smtp", {"title": "again"}, 1001) == 0
    second = journal.notice_add("5/attention", "slack", {"title": "keystone"}, 1000)
    assert [n["id"] for n in journal.notices_due(1000)] == [first, second]
    journal.notice_failed(first, "timed out", 1010)
    assert [n["id"] for n in journal.notices_due(1005)] == [second]
    [again] = [n for n in journal.notices_due(1010) if n["id"] == first]
    assert (again["tries"], again["why"], again["payload"]) == (
        1,
        "timed out",
        {"title": "keystone"},
    )
    journal.notice_done(second)
    journal.notice_failed(first, "given up", None)
    assert not journal.notices_open()


# -- the file ----------------------------------------------------------------------------------

WRITER = """
import pathlib, sys
from saltern.reactor.terms import Report
from saltern_journal import Journal
journal = Journal(pathlib.Path(sys.argv[1]))
report = Report(0, 0.0, "t", "ctl1", "node", "failed", {})
for number in range(1, 100000):
    journal.add([(report, "e", number)])
    print(number, flush=True)
"""


def test_what_was_committed_is_there_after_a_kill(path: pathlib.Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)],
        stdout=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": ":".join(sys.path)},
    ) as writer:
        assert writer.stdout
        told = 0
        for line in writer.stdout:
            told = int(line)
            if told == 50:
                writer.kill()
        writer.wait()
    journal = Journal(path)
    reports = len(journal.undecided(100000))
    assert reports == journal.seen("ctl1", "e") >= told >= 50
    [[verdict]] = sqlite3.connect(path).execute("PRAGMA integrity_check").fetchall()
    assert verdict == "ok"


def test_two_processes_and_many_threads_write_at_once(path: pathlib.Path) -> None:
    journals = [Journal(path), Journal(path)]

    def write(journal: Journal, node: str) -> None:
        for number in range(1, 51):
            journal.add([(a_report(node), "e", number)])

    threads = [threading.Thread(target=write, args=(journals[i % 2], f"node{i}")) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(journals[0].undecided(1000)) == 300
    assert len({report.id for report in journals[1].undecided(1000)}) == 300


def test_a_copy_is_a_backup(journal: Journal, path: pathlib.Path, tmp_path: pathlib.Path) -> None:
    journal.add([(a_report(), "e", 1)])
    epoch = journal.next_epoch()
    with sqlite3.connect(path) as reader:  # as docs/howto/recover.md says, while it is in use
        reader.execute(f"VACUUM INTO '{tmp_path / 'backup'}'")
    reader.close()
    journal.add([(a_report(), "e", 2)])
    journal.close()
    shutil.copy(tmp_path / "backup", path)
    restored = Journal(path)
    assert [report.id for report in restored.undecided(10)] == [1]
    assert restored.add([(a_report(), "e", 1), (a_report(), "e", 2)]) == 1
    assert restored.next_epoch() > epoch


def test_a_damaged_file_is_refused_with_what_to_do(path: pathlib.Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"not a database" * 1000)
    with pytest.raises(JournalError, match="next: stop salt-master"):
        Journal(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(JournalError, match="unable to open"):
        Journal(path)


def test_the_file_of_a_later_saltern_is_refused(journal: Journal, path: pathlib.Path) -> None:
    journal.close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version=99")
    with pytest.raises(JournalError, match="later Saltern"):
        Journal(path)
