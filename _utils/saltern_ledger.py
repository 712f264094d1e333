"""The reactor's journal, asked and told by people: what runner ``saltern`` shows of it.

It reads what the reactor wrote. The only things it writes are pauses; it never acts on the cloud.
"""

from __future__ import annotations

import json
import os
import pathlib
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any

import saltern_store
from saltern import lock
from saltern.cloud import Cloud
from saltern.reactor import decide, incidents, ledger, report, rules, wording
from saltern.reactor.history import History, fault_of
from saltern.reactor.terms import Decision, Rejected, Report
from saltern_journal import Journal, path_of
from saltern_keys import AcceptedKeys
from saltern_notify import local_time
from saltern_reactor_world import World

#: Seconds after which a reactor that saw no canary come back counts as dead.
ALIVE = 30
#: Seconds since its last beat for which a node counts as answering.
HEARD = 15
HEALTH_TIMEOUT = 20
NO_COPY = "name a copy of journal.db"
NO_JOURNAL = (
    "the reactor has never run on this master; "
    "see engines: in master.d/saltern.conf and journalctl -u salt-master"
)
#: What ``explain NODE`` shows: its last events.
LAST = 5


class NoAnswer(RuntimeError):
    """What was asked cannot be answered; the message says why and what to do."""


class Ledger:
    """One master's journal."""

    def __init__(
        self,
        opts: Mapping[str, Any],
        store: saltern_store.Store,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._opts = opts
        self._store = store
        self._clock = clock

    @contextmanager
    def _open(self, file: str | None = None) -> Iterator[Journal]:
        path = pathlib.Path(file) if file else path_of(self._opts["cachedir"])
        if not path.is_file():
            raise NoAnswer(f"{path} is not there: {NO_COPY if file else NO_JOURNAL}")
        journal = Journal(path)
        try:
            yield journal
        finally:
            journal.close()

    # -- what happened ------------------------------------------------------------------------

    def history(
        self, node: str | None, rule: str | None, since: str, limit: int, quiet: bool
    ) -> list[ledger.Entry]:
        """Decisions, the newest last."""
        after = self._clock() - self._seconds(since)
        with self._open() as journal:
            found = [
                entry
                for entry in ledger.entries(journal.records(after=after))
                if node in (None, entry.fault.node)
                and rule in (None, entry.rule)
                and (quiet or entry.verdict not in ledger.QUIET)
            ]
        return found[-limit:]

    def explain(self, what: int | str) -> tuple[list[str], list[Report], list[ledger.Entry]]:
        """Everything about one event, or about the last events of a node."""
        with self._open() as journal:
            if str(what).lstrip("#").isdigit():
                number = int(str(what).lstrip("#"))
                held = journal.report(number)
                if held is None:
                    raise NoAnswer(f"there is no event #{number}, or it is not kept any more")
                chosen = [held]
            else:
                chosen = list(journal.reports(node=str(what)))[-LAST:]
                if not chosen:
                    raise NoAnswer(f"no event of {what!r} is kept; see salt-run saltern.pending")
            lines: list[str] = []
            found: list[ledger.Entry] = []
            records = list(journal.records(after=chosen[0].at - 1))
            for one in chosen:
                lines += ledger.story(one, records, local_time)
                found += [e for e in ledger.entries(records) if e.report == one.id]
            if not str(what).lstrip("#").isdigit():
                lines += ["", *self._standing(journal, str(what))]
        return lines, chosen, found

    def _standing(self, journal: Journal, node: str) -> list[str]:
        """How a node stands with the reactor now."""
        cloud, _ = self._store.examine()
        in_model = cloud is not None and node in cloud.nodes
        world = self._world(journal)
        beat = journal.beats().get(node)
        heard = f"{wording.duration(self._clock() - beat.at)} ago" if beat else "never"
        services = beat.bad if beat else {}
        bad = ", ".join(f"{name} {status}" for name, status in services.items())
        yes = {True: "yes", False: "NO"}
        return [
            f"{node} now: in the model: {yes[in_model]}, "
            f"key accepted: {yes[node in self._keys().ids()]}, "
            f"joined: {yes[node in world.joined()]}, heard of: {heard}"
            + (f", not ok: {wording.plain(bad)}" if bad else "")
        ]

    # -- what waits ---------------------------------------------------------------------------

    def pending(self) -> dict[str, Any]:
        """All that is not over, by what it waits for; what is empty is left out."""
        now = self._clock()
        cloud, faults = self._store.examine()
        with self._open() as journal:
            records = list(journal.records())
            last = {entry.report: entry for entry in ledger.entries(records)}
            unknown, unaccepted = self._strangers(cloud)
            found = {
                "reactor": self._alive(journal, now),
                "the model has faults": faults,
                "held by": self._holder(cloud),
                "running": [
                    f"{r['operation']}: {wording.fault(fault_of(r['fault']))}, "
                    f"for {wording.duration(now - r['at'])}"
                    for r in journal.unfinished()
                ],
                "needs a human": self._open_troubles(records),
                "waiting": [
                    self._wait(one, last.get(one.id))
                    for one in journal.undecided(1000, float("inf"))
                ],
                "accepted, and not in the model": unknown,
                "in the model, and not accepted": unaccepted,
                "paused": [
                    f"{p['scope']} until {local_time(p['until'])} by {p['by']}: {p['why']} "
                    f"(id {p['pause']})"
                    for p in ledger.pauses(records, now)
                ],
                "not delivered": [
                    f"{n['target']}: {n['payload']['title']} ({n['tries']} tries"
                    + (f", {n['why']})" if n["why"] else ")")
                    for n in journal.notices_open()
                ],
                "rejected events": [
                    f"{local_time(r['at'])} {r['tag']} {r['node']}: {r['reason']}"
                    for r in journal.rejections()[:LAST]
                    if r["at"] > now - 86400
                ],
            }
        return {name: value for name, value in found.items() if value}

    def _alive(self, journal: Journal, now: float) -> str:
        back = float(journal.meta("canary_back_at") or 0)
        if not back:
            return "NOT seen at work yet; see journalctl -u salt-master"
        ago = wording.duration(now - back)
        if now - back > ALIVE:
            return f"NOT at work: last seen {ago} ago; see journalctl -u salt-master"
        return f"at work, last seen {ago} ago"

    def _open_troubles(self, records: list[dict[str, Any]]) -> list[str]:
        known = incidents.Incidents()
        for record in records:
            known.apply(record)
        return [
            wording.plain(
                f"{wording.fault(trouble.fault)}, since {local_time(trouble.since)}"
                f" (#{trouble.report}): {'; '.join(trouble.why)}"
            )
            for incident in known.ongoing()
            for trouble in incident.needing
            if not trouble.over
        ]

    def _wait(self, one: Report, entry: ledger.Entry | None) -> str:
        if entry is None:
            return f"#{one.id} {wording.plain(one.tag)}: not decided yet"
        until = "until something changes"
        if entry.again_at is not None:
            until = f"until {local_time(entry.again_at)}"
        why = entry.reasons[0] if entry.reasons else entry.verdict
        return wording.plain(f"#{one.id} {wording.fault(entry.fault)}, {until}: {why}")

    def _strangers(self, cloud: Cloud | None) -> tuple[list[str], list[str]]:
        if cloud is None:
            return [], []
        accepted = self._keys().ids()
        unknown = sorted(accepted - set(cloud.nodes))
        return unknown, [node for node in cloud.nodes if node not in accepted]

    def _holder(self, cloud: Cloud | None) -> str:
        return lock.holder(self._home / f"{cloud.name}.lock") if cloud else ""

    # -- pauses -------------------------------------------------------------------------------

    def pause(
        self, scope: str, minutes: float, until: str | None, why: str, by: str
    ) -> Mapping[str, Any]:
        """Write a pause down; the reactor obeys it from its next decision on."""
        now = self._clock()
        cloud = self._cloud()
        where = ledger.scope(scope, cloud)
        ends = self._moment(until) if until else now + minutes * 60
        if not now < ends <= now + ledger.LONGEST_PAUSE:
            raise ValueError("a pause ends within 7 days from now; pause again if it takes longer")
        if not why.strip():
            raise ValueError("say why: whoever is paged while it holds will want to know")
        fields = {"scope": where, "until": ends, "by": by, "why": wording.plain(why)}
        with self._open() as journal:
            return {"pause": journal.record("paused", **fields), **fields}

    def resume(self, which: str, by: str) -> list[Mapping[str, Any]]:
        """End the pause with this id, or all of this scope. Returns those that were ended."""
        with self._open() as journal:
            held = ledger.pauses(journal.records(), self._clock())
            try:
                scope = ledger.scope(which, self._cloud())
            except ValueError:
                scope = ""
            ended = [p for p in held if which == str(p["pause"]) or scope == p["scope"]]
            if not ended:
                known = ", ".join(f"{p['pause']} ({p['scope']})" for p in held) or "none"
                raise NoAnswer(f"no pause {which!r} holds; those that do: {known}")
            for pause in ended:
                journal.record("resumed", pause=pause["pause"], by=by)
        return ended

    # -- what would be ------------------------------------------------------------------------

    def simulate(self, file: str | None) -> dict[str, Any]:
        """Decide what is recorded again, by today's rules and model."""
        cloud, known = self._cloud(), self._rules()
        different: list[str] = []
        again = skipped = 0
        history = History()
        with self._open(file) as journal:
            records = list(journal.records())
            last = {entry.id: entry for entry in ledger.last_of_each(ledger.entries(records))}
            for record in records:
                entry = last.get(record["id"]) if record["kind"] == "decision" else None
                if entry:
                    held, observed = journal.report(entry.report), journal.observed(entry.report)
                    if held is None or observed is None:
                        skipped += 1
                    else:
                        again += 1
                        rule, at = known.get(held.rule), record["at"]
                        now = (
                            decide.decide(rule, held, cloud, observed, history, at)
                            if rule
                            else None
                        )
                        if line := ledger.difference(entry, now):
                            different.append(line)
                history.apply(record)
        return {"decided again": again, "not kept whole": skipped, "different": different}

    def react(self, event: Mapping[str, Any], fleet: Any) -> Decision | Rejected | None:
        """What the reactor would do about ``event`` now. Looks, and does nothing."""
        cloud, known = self._cloud(), self._rules()
        tag = event.get("tag")
        source = "scan" if str(tag).startswith(rules.SCAN_PREFIX) else "bus"
        read = report.read(tag, event, known, self._keys().ids(), source=source)
        if not isinstance(read, Report):
            return read
        now = self._clock()
        rule, read = known[read.rule], replace(read, at=now)
        history = History()
        with self._open() as journal:
            for record in journal.records():
                history.apply(record)
            world = self._world(journal)
            beats = journal.beats()
            world.present({node: beat.at > now - HEARD for node, beat in beats.items()})
            for node, services in decide.questions(rule, read, cloud).items():
                answers = fleet.call(
                    [node],
                    "openstack.health",
                    timeout=HEALTH_TIMEOUT,
                    kwargs={"services": services},
                )
                world.answered(answers, now, services)
            observed = world.observed(cloud)
        made: Decision = decide.decide(rule, read, cloud, observed, history, now)
        return made

    # -- small parts --------------------------------------------------------------------------

    @property
    def _home(self) -> pathlib.Path:
        return pathlib.Path(self._opts["cachedir"]) / "saltern"

    def _keys(self) -> AcceptedKeys:
        return AcceptedKeys(self._opts["pki_dir"])

    def _world(self, journal: Journal) -> World:
        return World(journal, self._keys(), self._home, self._clock)

    def _cloud(self) -> Cloud:
        cloud, found = self._store.examine()
        if cloud is None:
            raise NoAnswer("the model has faults:\n" + "\n".join(f"- {line}" for line in found))
        return cloud

    def _rules(self) -> dict[str, rules.Rule]:
        return rules.read(self._store.rules(), rules.modes(self._cloud().model))[0]

    def _seconds(self, since: str) -> float:
        length = ledger.seconds(str(since))
        return self._clock() - self._moment(str(since)) if length is None else length

    @staticmethod
    def _moment(text: str) -> float:
        try:
            return datetime.fromisoformat(str(text)).timestamp()
        except ValueError as exc:
            raise ValueError(
                f"{text!r} is no time: write 30m, 24h or 7d, or 2030-12-31T18:00"
            ) from exc


def operator() -> str:
    """Who types: the person behind sudo, where there is one."""
    return os.environ.get("SUDO_USER") or os.environ.get("USER") or "root"


def event_of(event: Any, data: Any, node: str | None) -> dict[str, Any]:
    """The event that is meant: JSON (or what Salt made of it), or a tag with its data.

    :raises ValueError: when it is neither.
    """
    if isinstance(event, str) and event.lstrip().startswith("{"):
        event = json.loads(event)
    if isinstance(event, Mapping):
        return dict(event)
    data = json.loads(data) if isinstance(data, str) else data or {}
    if not isinstance(event, str) or not isinstance(data, Mapping):
        raise ValueError("give an event as JSON, or its tag and its data")
    parts = event.split("/")
    if node is None:
        # saltern/node/<id>/..., salt/minion/<id>/start
        node = parts[2] if len(parts) > 3 else str(data.get("id", ""))
    return {**data, "tag": event, "id": node, "data": dict(data)}
