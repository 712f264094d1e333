"""Whom the reactor can tell: a log, mail, web servers. One target sends one message or raises.

What is raised may hold passwords and secret addresses: only :func:`reason` makes words of it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import pathlib
import smtplib
import socket
import ssl
import urllib.parse
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Any, Protocol

import requests
import salt.utils.sdb
import saltern_operation
import saltern_store
import yaml

log = logging.getLogger(__name__)
# It would write the path of every webhook, which is often its password, at level debug.
logging.getLogger("urllib3.connectionpool").setLevel(logging.INFO)

Payload = Mapping[str, Any]  # of saltern.reactor.wording
Resolver = Callable[[str], str]

LOG_FILE = "/var/log/salt/saltern-reactor.log"
#: Seconds for a connection, and for each answer.
CONNECT, ANSWER = 5, 10
#: How long an alert counts when nobody says that it is over.
ALERT_LASTS = timedelta(days=30)
#: What has to be told to those who only hear of what needs a human.
ESCALATIONS = ("attention", "grown", "still", "resolved")
LEVELS = {"notice": logging.WARNING, "warning": logging.ERROR, "critical": logging.CRITICAL}


class Undelivered(RuntimeError):
    """The message was not taken; the text says why and holds no secret."""


class Target(Protocol):
    """One that is told."""

    name: str  # of the target in the journal; holds no secret
    phases: tuple[str, ...]  # what it wants to hear of

    def send(self, payload: Payload) -> None:
        """Deliver one message, or raise."""


def targets(settings: Mapping[str, Any], resolve: Resolver) -> dict[str, Target]:
    """Name -> target, as ``reactor:`` of the model says; the log where it says nothing."""
    made: dict[str, Target] = {}
    for entry in settings.get("notify", [{"log": {}}]):
        for kind, spec in entry.items():
            target = KINDS[kind](spec, resolve)
            made[target.name] = target
    return made


def resolver(opts: Mapping[str, Any]) -> Resolver:
    """What turns ``sdb://...`` and ``secret://NAME`` into what they stand for."""

    def resolve(value: str) -> str:
        if value.startswith("sdb://"):
            return str(salt.utils.sdb.sdb_get(value, opts, strict=True))
        if not value.startswith("secret://"):
            return value
        store = saltern_store.Store(saltern_operation.root_of(opts))
        path = store.secrets_path / "reactor.yaml"
        name = value.removeprefix("secret://")
        held = yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else None
        if not isinstance(held, dict) or not isinstance(held.get(name), str):
            raise Undelivered(f"there is no {name!r} in pillar/secrets/reactor.yaml")
        return str(held[name])

    return resolve


def reason(exc: Exception) -> str:
    """Why something was not delivered, without what may be secret in the exception's text."""
    if isinstance(exc, Undelivered):
        return str(exc)
    code = getattr(exc, "smtp_code", "")
    return f"{type(exc).__name__} {code}".strip()


class Log:
    """Salt's log, and a file with one JSON object to a line."""

    def __init__(self, spec: Mapping[str, Any], resolve: Resolver) -> None:
        self.path = pathlib.Path(spec.get("file", LOG_FILE))
        self.name = f"log {self.path}"
        self.phases = _phases(spec)

    def send(self, payload: Payload) -> None:
        """The file is opened anew each time: it may have been rotated."""
        line = json.dumps(dict(payload), separators=(",", ":"), sort_keys=True)
        with self.path.open("a", encoding="utf-8") as out:
            out.write(f"{line}\n")
        log.log(LEVELS[payload["severity"]], "%s", payload["title"])


class Mail:
    """One mail for each message, in the clear or with STARTTLS."""

    def __init__(self, spec: Mapping[str, Any], resolve: Resolver) -> None:
        self.spec, self.resolve = spec, resolve
        self.name = f"smtp {spec['host']} to {', '.join(spec['to'])}"
        self.phases = _phases(spec)

    def send(self, payload: Payload) -> None:
        """Every receiver is taken by the server, or the mail is sent to all of them again."""
        spec = self.spec
        with smtplib.SMTP(
            spec["host"], spec.get("port", 25), socket.gethostname(), timeout=ANSWER
        ) as server:
            if spec.get("starttls"):
                server.starttls(context=ssl.create_default_context())
            if "user" in spec:
                server.login(spec["user"], self.resolve(spec["password"]))
            refused = server.send_message(self._mail(payload))
        if refused:
            raise Undelivered(f"refused for {', '.join(sorted(refused))}")

    def _mail(self, payload: Payload) -> EmailMessage:
        mail = EmailMessage()
        mail["From"], mail["To"] = self.spec["from"], ", ".join(self.spec["to"])
        mail["Subject"] = f"[saltern] {payload['title']}"
        mail["Date"] = format_datetime(_time(payload["at"]))
        thread = f"{payload['incident']}.{payload['cloud']}"
        # The same message has the same id, so that a copy can be told; an incident is one thread.
        mail["Message-ID"] = f"<{payload['key'].replace('/', '.')}.{payload['cloud']}@saltern>"
        mail["References"] = f"<{thread}@saltern>"
        if payload["phase"] in ESCALATIONS[:-1]:
            mail["X-Priority"] = "1"
        mail.set_content(payload["text"])
        return mail


class Webhook:
    """A POST of JSON."""

    def __init__(self, spec: Mapping[str, Any], resolve: Resolver) -> None:
        self.url, self.resolve = spec["url"], resolve
        self.format = spec.get("format", "json")
        self.phases = ESCALATIONS if self.format == "alertmanager" else _phases(spec)
        where = urllib.parse.urlsplit(self.url).hostname if "://" in self.url else ""
        # The path of a webhook is often its password.
        mark = hashlib.sha256(self.url.encode()).hexdigest()[:8]
        self.name = f"webhook {where} {self.format} {mark}"

    def send(self, payload: Payload) -> None:
        """Anything but a 2xx counts as not taken, a redirect too."""
        with requests.post(
            self.resolve(self.url),
            json=FORMATS[self.format](payload),
            timeout=(CONNECT, ANSWER),
            allow_redirects=False,
            stream=True,  # what the server says beyond its status is not read
        ) as answer:
            if not 200 <= answer.status_code < 300:
                raise Undelivered(f"HTTP {answer.status_code}")


def _phases(spec: Mapping[str, Any]) -> tuple[str, ...]:
    return ESCALATIONS if spec.get("tell") == "escalations" else (*ESCALATIONS, "healed")


def _slack(payload: Payload) -> dict[str, Any]:
    text = payload["text"]
    for sign, code in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(sign, code)  # or a reason could call the whole channel
    return {"text": text}


def _alerts(payload: Payload) -> list[dict[str, Any]]:
    """Alerts end under the labels they began with: nothing that changes may be one."""
    ends = _time(payload["at"])
    if payload["phase"] != "resolved":
        ends += ALERT_LASTS
    return [
        {
            "labels": {
                "alertname": "SalternIncident",
                "cloud": payload["cloud"],
                "incident": str(payload["incident"]),
                "severity": payload["severity"],
            },
            "annotations": {"summary": payload["title"], "description": payload["text"]},
            "startsAt": _time(payload["since"]).isoformat(),
            "endsAt": ends.isoformat(),
        }
    ]


def _time(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)


FORMATS: Mapping[str, Callable[[Payload], Any]] = {
    "json": dict,
    "slack": _slack,
    "alertmanager": _alerts,
}
KINDS: Mapping[str, Callable[[Mapping[str, Any], Resolver], Target]] = {
    "log": Log,
    "smtp": Mail,
    "webhook": Webhook,
}
