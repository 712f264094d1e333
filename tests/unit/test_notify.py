"""Messages reach mail and web servers, once, and one that hangs delays nobody else."""

from __future__ import annotations

import json
import logging
import pathlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fake_receivers import MailServer, WebServer, certificate, serving
from saltern_journal import Journal
from saltern_notify import Notifier

FAULT = {"node": "ctl1", "kind": "service", "subject": "keystone"}
NOW = 1_800_000_000.0


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def journal(tmp_path: pathlib.Path, clock: Clock) -> Iterator[Journal]:
    made = Journal(tmp_path / "journal.db", clock)
    yield made
    made.close()


@pytest.fixture
def web() -> Iterator[WebServer]:
    with serving(WebServer()) as server:
        yield server
        server.go.set()


@pytest.fixture
def mail() -> Iterator[MailServer]:
    with serving(MailServer()) as server:
        yield server


class Turns:
    """A notifier, and the clock that it lives by."""

    def __init__(self, journal: Journal, clock: Clock, *notify: dict[str, Any]) -> None:
        self.journal, self.clock = journal, clock
        self.settings: dict[str, Any] = {"notify": list(notify)}
        self.secrets = {"secret://smtp": "hunter2"}
        self.healthy = True
        self.start()

    def start(self) -> None:
        """Anew, as after a restart of the reactor."""
        self.notifier = Notifier(self.journal, lambda value: self.secrets.get(value, value))

    def turn(self, seconds: float = 0.0) -> None:
        self.clock.now += seconds
        self.notifier.deliver("lab", self.settings, self.clock.now, self.healthy)

    def until(self, true: Callable[[], Any]) -> None:
        """Turns in which no time passes, until something has happened."""
        deadline = time.monotonic() + 10
        while not true():
            assert time.monotonic() < deadline, "it did not happen"
            self.turn()
            time.sleep(0.005)

    def settled(self) -> None:
        self.until(lambda: not self.journal.notices_due(self.clock.now))


def trouble(journal: Journal, verdict: str = "human", subject: str = "keystone") -> None:
    journal.record(
        "decision", report=7, rule="r", fault={**FAULT, "subject": subject}, verdict=verdict,
        operation="", rung=0, reasons=["the breaker is open <!channel>"], severity="critical",
    )  # fmt: skip


def over(journal: Journal) -> None:
    journal.record("resolved", fault=FAULT, why="it says ok")


def smtp(server: MailServer, **more: Any) -> dict[str, Any]:
    return {
        "smtp": {
            "host": "127.0.0.1", "port": server.port, "from": "cloud@example.org",
            "to": ["ops@example.org", "boss@example.org"], **more,
        }
    }  # fmt: skip


def test_mail(journal: Journal, clock: Clock, mail: MailServer) -> None:
    turns = Turns(journal, clock, smtp(mail))
    trouble(journal)
    turns.turn(6)
    turns.settled()
    [text] = mail.mails
    assert "Subject: [saltern] lab needs you: keystone on ctl1" in text
    assert "From: cloud@example.org" in text
    assert "To: ops@example.org, boss@example.org" in text
    assert "Message-ID: <1.attention.lab@saltern>" in text
    assert "X-Priority: 1" in text
    assert "First: salt-run saltern.explain 7" in text
    over(journal)
    turns.turn(60)
    turns.settled()
    assert "Subject: [saltern] lab, over: keystone on ctl1" in mail.mails[1]
    assert "X-Priority" not in mail.mails[1]
    assert [line for line in mail.heard if line.startswith("rcpt")][:2] == [
        "rcpt TO:<ops@example.org>",
        "rcpt TO:<boss@example.org>",
    ]


def test_a_receiver_that_is_refused_is_told(
    journal: Journal, clock: Clock, mail: MailServer
) -> None:
    mail.refused.add("boss@example.org")
    turns = Turns(journal, clock, smtp(mail))
    trouble(journal)
    turns.turn(6)
    turns.settled()
    [notice] = journal.notices_open()
    assert (notice["why"], notice["tries"]) == ("refused for boss@example.org", 1)


def test_mail_with_starttls_and_a_login(
    journal: Journal, clock: Clock, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = certificate(tmp_path)
    with serving(MailServer(held)) as mail:
        mail.password = "hunter2"
        login = {"starttls": True, "user": "cloud", "password": "secret://smtp"}
        turns = Turns(journal, clock, smtp(mail, **login))
        trouble(journal)
        turns.turn(6)
        turns.settled()  # nobody vouches for the server: it is not told the password
        assert not mail.mails
        assert not any(line.startswith("AUTH") for line in mail.heard)
        assert journal.notices_open()[0]["why"] == "SSLCertVerificationError"
        monkeypatch.setenv("SSL_CERT_FILE", held[0])
        turns.turn(10)
        turns.until(lambda: mail.mails)
        turns.settled()
        assert not journal.notices_open()


def test_a_wrong_password_is_not_repeated_to_anybody(
    journal: Journal,
    clock: Clock,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    held = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", held[0])
    with serving(MailServer(held)) as mail:
        mail.password = "another"
        login = {"starttls": True, "user": "cloud", "password": "secret://smtp"}
        turns = Turns(journal, clock, smtp(mail, **login))
        trouble(journal)
        turns.turn(6)
        turns.settled()
        assert journal.notices_open()[0]["why"] == "SMTPAuthenticationError 535"
        assert "hunter2" not in caplog.text
        assert "hunter2" not in str(journal.notices_open())


@pytest.mark.parametrize("style", ["json", "slack", "alertmanager"])
def test_webhooks(journal: Journal, clock: Clock, web: WebServer, style: str) -> None:
    turns = Turns(journal, clock, {"webhook": {"url": web.url(), "format": style}})
    trouble(journal)
    turns.turn(6)
    turns.settled()
    over(journal)
    turns.turn(60)
    turns.settled()
    [(method, path, first), (_, _, last)] = web.got
    assert (method, path) == ("POST", "/hook")
    if style == "json":
        assert first["phase"] == "attention"
        assert first["faults"] == ["keystone on ctl1"]
        assert last["key"] == "1/resolved"
    elif style == "slack":
        assert first.keys() == {"text"}
        assert "&lt;!channel&gt;" in first["text"]
    else:
        assert first[0]["labels"] == last[0]["labels"]
        assert first[0]["labels"]["severity"] == "critical"
        assert first[0]["startsAt"] == last[0]["startsAt"] == "2027-01-15T08:00:00+00:00"
        assert first[0]["endsAt"] == "2027-02-14T08:00:06+00:00"
        assert last[0]["endsAt"] == "2027-01-15T08:01:06+00:00"


def heal(journal: Journal, clock: Clock) -> None:
    trouble(journal, "act")
    action = journal.record("began", fault=FAULT, operation="restart", rung=0, epoch=1)
    journal.record(
        "ended", action=action, fault=FAULT, operation="restart", rung=0, ok=True, detail=""
    )
    clock.now += 60


def test_who_wants_to_hear_what(journal: Journal, clock: Clock, web: WebServer) -> None:
    turns = Turns(
        journal,
        clock,
        {"webhook": {"url": web.url("/all")}},
        {"webhook": {"url": web.url("/pager"), "tell": "escalations"}},
        {"webhook": {"url": web.url("/alerts"), "format": "alertmanager"}},
    )
    heal(journal, clock)
    turns.turn()
    turns.settled()
    assert [path for _, path, _ in web.got] == ["/all"]


def test_the_log(
    journal: Journal, clock: Clock, tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "reactor.log"
    turns = Turns(journal, clock, {"log": {"file": str(path)}})
    trouble(journal)
    turns.turn(6)
    turns.settled()
    path.rename(tmp_path / "reactor.log.1")
    over(journal)
    turns.turn(60)
    turns.settled()
    assert json.loads(path.read_text())["phase"] == "resolved"
    assert (logging.CRITICAL, "lab needs you: keystone on ctl1") in [
        (record.levelno, record.getMessage()) for record in caplog.records
    ]


def test_a_server_that_hangs_delays_nobody_else(
    journal: Journal, clock: Clock, web: WebServer, mail: MailServer
) -> None:
    web.go.clear()
    turns = Turns(journal, clock, {"webhook": {"url": web.url()}}, smtp(mail))
    trouble(journal)
    turns.clock.now += 6
    began = time.monotonic()
    turns.turn()
    assert time.monotonic() - began < 1, "deliver() waited for a target"
    turns.until(lambda: mail.mails and web.asked.is_set())
    trouble(journal, subject="other")
    turns.turn(40)
    over(journal)
    turns.turn(40)
    turns.until(lambda: len(mail.mails) == 2)
    assert web.got == []
    web.go.set()
    turns.settled()
    assert len(web.got) == 2, "what waited behind it was lost"
    assert len(mail.mails) == 2


def test_it_is_tried_again_ever_later_and_given_up_after_a_day(
    journal: Journal, clock: Clock, web: WebServer, caplog: pytest.LogCaptureFixture
) -> None:
    web.status = 503
    turns = Turns(journal, clock, {"webhook": {"url": web.url("/token-1234")}})
    trouble(journal)
    turns.turn(6)
    turns.settled()
    pauses = []
    while notices := journal.notices_open():
        pauses.append(round(notices[0]["due"] - clock.now))
        assert len(pauses) < 200, "it is tried too often, or for ever"
        clock.now = notices[0]["due"]
        turns.settled()
    assert pauses[:8] == [10, 20, 40, 80, 160, 320, 640, 900]
    assert set(pauses[8:]) == {900}
    assert 86000 < sum(pauses) <= 86400 + 900
    assert "given up after 24.0 h: HTTP 503" in caplog.text
    assert "token-1234" not in caplog.text


@pytest.mark.parametrize("status", [302, 404])
def test_only_a_2xx_is_delivered(
    journal: Journal, clock: Clock, web: WebServer, status: int
) -> None:
    web.status = status
    turns = Turns(journal, clock, {"webhook": {"url": web.url()}})
    trouble(journal)
    turns.turn(6)
    turns.settled()
    assert journal.notices_open()[0]["why"] == f"HTTP {status}"
    assert len(web.got) == 1


def test_nobody_listens(journal: Journal, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    turns = Turns(journal, clock, {"webhook": {"url": "http://127.0.0.1:9/token-1234"}})
    trouble(journal)
    turns.turn(6)
    turns.settled()
    assert "not delivered: ConnectionError" in caplog.text
    assert "token-1234" not in caplog.text


def test_a_restart_delivers_what_was_left_and_nothing_twice(
    journal: Journal, clock: Clock, web: WebServer
) -> None:
    web.status = 500
    turns = Turns(journal, clock, {"webhook": {"url": web.url()}})
    trouble(journal)
    turns.turn(6)
    turns.settled()
    web.status, web.got = 200, []
    turns.start()
    turns.turn(20)
    turns.settled()
    assert len(web.got) == 1
    turns.start()
    turns.turn(100)
    turns.settled()
    assert len(web.got) == 1


def test_a_new_target_is_not_told_of_the_past(
    journal: Journal, clock: Clock, web: WebServer
) -> None:
    turns = Turns(journal, clock)
    trouble(journal)
    turns.turn(6)
    turns.settings = {"notify": [{"webhook": {"url": web.url()}}]}
    turns.start()
    turns.turn(60)
    turns.settled()
    assert web.got == []


def test_a_target_that_is_taken_out_of_the_model(
    journal: Journal, clock: Clock, web: WebServer
) -> None:
    web.status = 500
    turns = Turns(journal, clock, {"webhook": {"url": web.url()}})
    trouble(journal)
    turns.turn(6)
    turns.settled()
    turns.settings = {"notify": []}
    turns.turn(100)
    assert not journal.notices_open()


def test_the_heart_beats_only_while_all_is_well(
    journal: Journal, clock: Clock, web: WebServer
) -> None:
    turns = Turns(journal, clock)
    turns.settings = {"heartbeat": {"url": web.url("/beat"), "every": 30}, "notify": []}
    turns.until(lambda: len(web.got) == 1)
    turns.turn(29)
    turns.turn(1)
    turns.until(lambda: len(web.got) == 2)
    turns.healthy = False
    for _ in range(20):
        turns.turn(30)
        time.sleep(0.005)  # a beat that were sent would arrive
    turns.healthy = True
    turns.settings = {"heartbeat": {"url": web.url("/well"), "every": 30}, "notify": []}
    turns.until(lambda: "/well" in [path for _, path, _ in web.got])
    assert [path for _, path, _ in web.got] == ["/beat", "/beat", "/well"]
    assert [method for method, _, _ in web.got] == ["GET"] * 3


def test_a_heartbeat_that_nobody_takes_is_said_once(
    journal: Journal, clock: Clock, web: WebServer, caplog: pytest.LogCaptureFixture
) -> None:
    web.status = 500
    turns = Turns(journal, clock)
    turns.settings = {"heartbeat": {"url": web.url("/token-1234")}, "notify": []}
    for _ in range(3):
        web.got.clear()
        turns.turn(60)
        turns.until(lambda: web.got)
    assert caplog.text.count("heartbeat: not taken: HTTP 500") == 1
    assert "token-1234" not in caplog.text
