"""What goes on beside the loop of the reactor, each in a thread of its own."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from saltern.cloud import Cloud
from saltern.fleet import Answer, Fleet
from saltern.reactor import report as typing_of
from saltern.reactor import scanning
from saltern.reactor.history import History
from saltern.reactor.outbox import digest
from saltern.reactor.scanning import Finding
from saltern.reactor.terms import Fault, Rejected, Report
from saltern_intake import CANARY
from saltern_journal import SECONDS_A_DAY, Journal
from saltern_keys import AcceptedKeys
from saltern_presence import Watch
from saltern_reactor import REMEMBERED, tell
from saltern_reactor_lanes import Lanes
from saltern_reactor_world import World
from saltern_rulebook import Rulebook

log = logging.getLogger(__name__)

#: Seconds between two scans where the model does not say, and at least, however often one is due.
SCAN_EVERY, SCAN_AT_MOST = 120.0, 15.0
#: Seconds between two canaries, and until one that has not come back is told.
CANARY_EVERY, CANARY_LIMIT = 10.0, 30.0
#: Seconds between two looks at who beats, and two acknowledgements.
LISTEN_EVERY, ACK_EVERY = 0.5, 1.0
PRUNE_EVERY = 3600.0
#: Seconds between two looks for keys that are accepted and pending: two folders are looked at.
KEYS_EVERY = 5.0
#: Seconds between two looks at those who have not joined while one of them answers, and otherwise:
#: whoever comes calls for a look.
NEW_EVERY, NOBODY_NEW = 30.0, 3600.0
#: Seconds that a thread waits after it broke off.
BROKEN = 10.0


class Ticker:
    """Calls ``tick`` for ever; it returns the seconds until it wants to be called again."""

    def __init__(self, name: str, tick: Callable[[], float]) -> None:
        self.name = name
        self._tick = tick
        self._poked = threading.Event()

    def start(self) -> None:
        """Begin; it ends with the process."""
        threading.Thread(target=self._run, name=self.name, daemon=True).start()

    def poke(self) -> None:
        """Call it now."""
        self._poked.set()

    def _run(self) -> None:
        while True:
            try:
                seconds = self._tick()
            except Exception:  # the others, and its own next turn, must go on
                log.exception("%s broke off", self.name)
                seconds = BROKEN
            self._poked.wait(seconds)
            self._poked.clear()


class Reports:
    """How what the reactor itself finds becomes a report like any other."""

    def __init__(
        self, journal: Journal, rulebook: Rulebook, keys: AcceptedKeys, wake: Callable[[], None]
    ) -> None:
        self._journal = journal
        self._rulebook = rulebook
        self._keys = keys
        self._wake = wake

    def put(self, findings: list[Finding]) -> None:
        """Into the journal with all of ``findings``."""
        book = self._rulebook.book
        known = self._keys.ids()
        found = [
            typing_of.read(tag, {"id": node, "data": body}, book.rules, known, source="scan")
            for tag, node, body in findings
        ]
        reports = [one for one in found if isinstance(one, Report)]
        self._journal.reject(*(one for one in found if isinstance(one, Rejected)))
        if reports:
            self._journal.add([(report, None, None) for report in reports], book.priorities)
            self._wake()


class Publisher(Protocol):
    """The little of ``salt.client.LocalClient`` that is needed."""

    def run_job(self, tgt: Any, fun: str, **how: Any) -> Any:
        """Publish a job."""


class Acks:
    """Tells nodes which of their reports are in the journal: one job at a time, for all of them."""

    def __init__(self, journal: Journal, connect: Callable[[], Publisher]) -> None:
        self._journal = journal
        self._connect = connect
        self._client: Publisher | None = None

    def tick(self) -> float:
        told = self._journal.acks()
        if told:
            data = {
                node: {digest(epoch): number for epoch, number in boxes.items()}
                for node, boxes in told.items()
            }
            self._client = self._client or self._connect()
            try:
                # Nobody waits for returns: who did not hear it sends again, and is told again.
                self._client.run_job(
                    sorted(told),
                    "event.fire",
                    arg=[data, "saltern/acked"],
                    tgt_type="list",
                    listen=False,
                )
            except BaseException:
                self._client = None
                raise
            self._journal.acked(told)
        return ACK_EVERY


class Scanner:
    """Asks everybody now and then, and reports what is not as the model wants it."""

    def __init__(
        self, journal: Journal, rulebook: Rulebook, world: World, fleet: Fleet, reports: Reports
    ) -> None:
        self._journal = journal
        self._rulebook = rulebook
        self._world = world
        self._fleet = fleet
        self._reports = reports
        self._past = Past(journal)
        self._last = -1e9

    def tick(self) -> float:
        book = self._rulebook.book
        if book.cloud is None:
            return BROKEN
        every = float(book.settings.get("scan", SCAN_EVERY))
        early = self._last + SCAN_AT_MOST - time.monotonic()
        if early > 0:
            return early
        self._last = time.monotonic()
        self.scan(book.cloud)
        return every

    def scan(self, cloud: Cloud) -> None:
        """Ask once, and report."""
        seen = self._world.observed(cloud)
        if seen.busy:
            return
        asked = self._world.clock()
        answers: dict[str, Mapping[str, Answer]] = {}
        for question in scanning.QUESTIONS:
            nodes = question.nodes(cloud, seen.accepted, seen.joined)
            if nodes:
                found = self._fleet.call(
                    nodes, question.function, timeout=question.timeout, kwargs={}
                )
                # A question may be asked of several groups of nodes.
                answers[question.function] = {**answers.get(question.function, {}), **found}
        self._world.answered(answers.get("openstack.health", {}), asked)
        for node, answer in answers.get("test.ping", {}).items():
            if answer.ok:
                self._world.heard(node)
        history = self._past.now()
        busy = self._world.observed(cloud).busy  # it may have begun meanwhile
        faults = [past.fault for past in history.open()]
        newer = self._world.learnt_since(asked) | _done_since(history, asked)
        self._reports.put(
            scanning.findings(
                cloud,
                answers,
                seen.joined,
                busy=busy,
                out=_out(history),
                faults=faults,
                newer=newer,
            )
        )
        if not busy:
            for fault, why in scanning.over(cloud, answers, seen.joined, faults, newer).items():
                self._journal.record("resolved", fault=_plain(fault), why=why)


class Newcomers:
    """Asks who has not joined whether it answers, so that what failed to join is tried again soon.

    A whole scan costs every node of the cloud seconds; this costs only those that do no work yet.
    """

    def __init__(self, rulebook: Rulebook, world: World, fleet: Fleet, reports: Reports) -> None:
        self._rulebook = rulebook
        self._world = world
        self._fleet = fleet
        self._reports = reports

    def tick(self) -> float:
        cloud = self._rulebook.book.cloud
        if cloud is None:
            return BROKEN
        seen = self._world.observed(cloud)
        question = scanning.NEWCOMERS
        nodes = question.nodes(cloud, seen.accepted, seen.joined)
        if not nodes:
            return NOBODY_NEW
        if seen.busy:
            return NEW_EVERY
        answers = self._fleet.call(nodes, question.function, timeout=question.timeout, kwargs={})
        here = [node for node, answer in answers.items() if answer.ok]
        for node in here:
            self._world.heard(node)
        said = {question.function: answers}
        busy = self._world.observed(cloud).busy  # it may have begun meanwhile
        self._reports.put(scanning.findings(cloud, said, seen.joined, busy=busy))
        return NEW_EVERY if here else NOBODY_NEW


class Keys:
    """Lets in whose acceptance Salt lost; the node asks again within seconds, by itself."""

    def __init__(self, keys: AcceptedKeys) -> None:
        self._keys = keys

    def tick(self) -> float:
        for node in self._keys.mend():
            log.warning("Salt lost the acceptance of the key of %s: it is accepted again", node)
        return KEYS_EVERY


class Past:
    """A history of one's own, for threads other than the one that decides."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._history = History()
        self._read = 0

    def now(self) -> History:
        """Everything that was recorded until now."""
        after = 0.0 if self._read else self._journal.clock() - REMEMBERED
        for record in self._journal.records(self._read, after=after):
            self._history.apply(record)
            self._read = record["id"]
        return self._history


def _out(history: History) -> set[tuple[str, str]]:
    """``(service, node)`` that the reactor itself has taken out of the balancer."""
    return {
        (past.fault.subject, past.fault.node)
        for past in history.open()
        if any(action.operation == "isolate" and action.ok for action in past.actions)
    }


def _done_since(history: History, since: float) -> set[tuple[str, str]]:
    """``(node, service)`` that something was done about which ended after ``since``."""
    return {
        (past.fault.node, past.fault.subject)
        for past in history.open()
        if past.last is not None and (past.last.ended or 0.0) > since
    }


class Listener:
    """Reports nodes that fall silent, and those that are back."""

    def __init__(
        self, journal: Journal, rulebook: Rulebook, world: World, fleet: Fleet, reports: Reports
    ) -> None:
        gone = [p.fault.node for p in Past(journal).now().open() if p.fault.kind == "gone"]
        self._journal = journal
        self._rulebook = rulebook
        self._world = world
        self._reports = reports
        self._watch = Watch(fleet, journal.prove, gone)

    def tick(self) -> float:
        cloud = self._rulebook.book.cloud
        if cloud is not None:
            now = time.monotonic()
            self._world.forget_strangers()
            beats = {node: beat.clock for node, beat in self._journal.beats().items()}
            expected = self._world.joined() & set(cloud.nodes)
            unproven = expected - self._journal.proven().keys()
            busy = bool(self._world.busy(cloud))
            found = self._watch.turn(cloud, expected, beats, now, unproven, busy=busy)
            self._reports.put(found)
            self._world.present(self._watch.answering(now))
        return LISTEN_EVERY


class Canary:
    """An event that has to come back through intake and decision, or somebody is told."""

    def __init__(self, journal: Journal, lanes: Lanes, fire: Callable[[Any, str], Any]) -> None:
        self._journal = journal
        self._lanes = lanes
        self._fire = fire
        self._number = int(journal.meta("canary_fired") or 0)
        self._began = time.monotonic()
        self._back_at = time.monotonic()
        self._told = False
        self.why: str = ""  # why the reactor is not well

    @property
    def well(self) -> bool:
        return not self.why

    def tick(self) -> float:
        now = time.monotonic()
        if self._journal.meta("canary_back") == str(self._number):
            self._back_at = now
        late = now - self._back_at
        lines = self._lanes.stuck()
        if late > CANARY_LIMIT:
            lines = [f"a canary has not come through intake and decision for {late:.0f} s", *lines]
        self._tell(lines)
        self._number += 1
        fired = {"canary_fired": str(self._number), "canary_fired_at": str(time.time())}
        self._journal.set_meta(**fired)
        self._fire({"number": self._number}, CANARY)
        return CANARY_EVERY

    def _tell(self, lines: list[str]) -> None:
        fault = Fault("", "reactor")
        self.why = "; ".join(lines)
        if lines and not self._told:
            log.critical("the reactor is not well: %s", self.why)
            tell(self._journal, fault, [*lines, "next: journalctl -u salt-master"])
        elif self._told and not lines:
            self._journal.record("resolved", fault=_plain(fault), why="the canary came back")
        self._told = bool(lines)


def _plain(fault: Fault) -> dict[str, str]:
    return {"node": fault.node, "kind": fault.kind, "subject": fault.subject}


class Pruner:
    """Forgets what is older than the model wants it kept."""

    def __init__(self, journal: Journal, rulebook: Rulebook) -> None:
        self._journal = journal
        self._rulebook = rulebook

    def tick(self) -> float:
        days = float(self._rulebook.book.settings.get("keep_days", 30))
        gone = self._journal.prune(time.time() - days * SECONDS_A_DAY)
        log.info("%d rows of the journal were older than %g days", gone, days)
        return PRUNE_EVERY
