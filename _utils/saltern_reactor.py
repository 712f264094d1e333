"""The loop of the reactor: from reports in the journal to decisions, and from those to operations.

One thread decides. It writes every decision down before anything of it begins, so that a kill at
any point leaves either nothing done, or an action in the journal that began and has not ended. What
it starts runs in threads of its own (:mod:`saltern_reactor_actions`) and comes back as a result.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, NamedTuple

from saltern.cloud import Cloud
from saltern.health import OK
from saltern.reactor import decide as deciding
from saltern.reactor.guards import FRESH, SICK
from saltern.reactor.history import History
from saltern.reactor.rules import Rule
from saltern.reactor.terms import Decision, Fault, Observed, Report
from saltern_intake import Bell
from saltern_journal import OWN_ID, Journal
from saltern_reactor_actions import JOIN, Action, Actions, Part, Result
from saltern_reactor_world import START_TAG, World
from saltern_rulebook import Book, Rulebook

log = logging.getLogger(__name__)

#: Reports decided in one commit at most: nothing that is decided begins before it is written.
BATCH = 100
#: Seconds between two looks at the files; until what found no place is looked at again.
LOOK_EVERY = 2.0
NO_PLACE = 0.5
#: Seconds of records that are folded at a start: the longest pause lasts seven days.
REMEMBERED = 8 * 86400
FORGET_EVERY = 3600.0

CANARY = "canary"
FIGURES = re.compile(r"\d+(\.\d+)?")


class _Turn:
    """What is the same for all reports that are decided in one commit."""

    def __init__(self, book: Book, cloud: Cloud, observed: Observed, now: float) -> None:
        self.book = book
        self.cloud = cloud
        self.observed = observed
        self.now = now
        self.actions: list[Action] = []
        self.questions: dict[int, dict[str, list[str]]] = {}  # report -> whom to ask for what
        self.kept: int | None = None  # id of ``observed`` in the journal


class Soon(NamedTuple):
    """What the loop has others look at now, each in a thread of its own."""

    scan: Callable[[], None]  # the whole cloud
    newcomers: Callable[[], None]  # who has not joined


class Reactor:
    """Everything that decides. :meth:`turn` belongs to one thread."""

    def __init__(
        self,
        journal: Journal,
        rulebook: Rulebook,
        world: World,
        actions: Actions,
        epoch: int,
        soon: Soon,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._journal = journal
        self._rulebook = rulebook
        self._world = world
        self._actions = actions
        self._epoch = epoch
        self._soon = soon
        self._clock = clock
        self.history = History()
        self._own: set[int] = set()  # records that the history has already
        self._read = 0
        self._unfinished: list[dict[str, Any]] = []  # begun before a restart
        self._looked = self._forgot = -1e9
        self._book: Book | None = None  # of the last turn
        self._outline: Any = None
        self._said: dict[int, Any] = {}  # undecided report -> what was last written about it
        self._latest: dict[Fault, int] = {}  # fault -> its report that waits

    # -- the loop ----------------------------------------------------------------------------

    def begin(self) -> None:
        """Remember what was before, and what it left unfinished."""
        self._learn(after=self._clock() - REMEMBERED)
        self._unfinished = self._journal.unfinished()

    def _recover(self, book: Book, cloud: Cloud) -> None:
        for began in self._unfinished:
            rule = book.rules.get(began["rule"])
            lane = rule.lane if rule else "checks"
            self._actions.recover(lane, began, self._journal.report(began["report"]), cloud)
        self._unfinished = []

    def run(self, bell: Bell) -> None:
        """For ever: what is due, then wait for the bell or the next that will be."""
        while True:
            bell.wait(self.turn())

    def turn(self) -> float:
        """Decide what is due; seconds until the next turn is."""
        now = self._clock()
        self._look(now)
        self._learn()
        book = self._rulebook.book
        for result in self._actions.results():
            self._ended(result, now)
        if book.cloud is None:
            return LOOK_EVERY
        self._recover(book, book.cloud)
        outline = self._world.outline(book.cloud)
        if book is not self._book or outline != self._outline:
            self._left(book.cloud, now)
            self._book, self._outline = book, outline
            self._journal.stir()
        reports = self._journal.undecided(BATCH, now)
        if reports:
            self._decide(book, book.cloud, reports, now)
        if len(reports) == BATCH:
            return 0.0
        due = self._journal.next_due()
        return 1.0 if due is None else min(1.0, max(0.0, due - self._clock()))

    def _look(self, now: float) -> None:
        if now < self._looked + LOOK_EVERY:
            return
        self._looked = now
        if now >= self._forgot + FORGET_EVERY:
            self._forgot = now
            self.history.forget(now - REMEMBERED)
        before = self._rulebook.book.faults
        if self._rulebook.look() and self._rulebook.book.faults != before:
            fault = Fault("", "rules")
            if found := self._rulebook.book.faults:
                tell(self._journal, fault, (*found, "next: salt-run saltern.validate"))
            else:
                self._journal.record("resolved", fault=asdict(fault), why="the files are good")

    def _left(self, cloud: Cloud, now: float) -> None:
        """Nobody has to mend what was wrong with nodes that the model does not have any more."""
        before = self._book.cloud if self._book else None
        left = set(before.nodes if before else ()).difference(cloud.nodes)
        for known in self.history.open() if left else ():
            if known.fault.node in left:
                why = f"{known.fault.node} is not in the model any more"
                self._note("resolved", now, fault=asdict(known.fault), why=why)

    def _learn(self, after: float = 0) -> None:
        """Fold records that others have written: pauses, what was told, our own before a start."""
        for record in self._journal.records(self._read, after=after):
            self._read = record["id"]
            if record["id"] in self._own:
                self._own.discard(record["id"])
            else:
                self.history.apply(record)

    def _note(self, kind: str, now: float, **fields: Any) -> int:
        """Write a record, and know it."""
        id_ = self._journal.record(kind, at=now, **fields)
        named = {OWN_ID[kind]: id_} if kind in OWN_ID else {}
        self.history.apply({"id": id_, "at": now, "kind": kind, **named, **fields})
        if id_ == self._read + 1:  # nobody else wrote in between: nothing to read again
            self._read = id_
        else:
            self._own.add(id_)
        return id_

    # -- deciding ----------------------------------------------------------------------------

    def _decide(self, book: Book, cloud: Cloud, reports: Sequence[Report], now: float) -> None:
        for report in reports:
            self._world.reported(report)
        self._call_for_looks(reports)
        observed = self._world.observed(cloud)
        if not observed.busy and any(one.lane == "joins" for one in self._actions.lanes.running()):
            observed = replace(observed, busy="a join that is about to begin")
        turn = _Turn(book, cloud, observed, now)
        try:
            with self._journal.batch():
                for report in reports:
                    self._settle(turn, report)
                self._bring_along(turn, {report.id for report in reports})
        except BaseException:
            for action in turn.actions:
                self._actions.release(action)
            raise
        for action in turn.actions:
            self._actions.start(action, cloud)
        for id_, questions in turn.questions.items():
            self._ask(id_, questions, now)

    def _call_for_looks(self, reports: Sequence[Report]) -> None:
        """Have others look when a minion has started, or when what made too much sick at once may
        be over: nobody reports the end of that.
        """
        started = {report.node for report in reports if report.tag.startswith(START_TAG)}
        new = started - self._world.joined()
        if new:
            self._soon.newcomers()
        better = any(report.body.get("status") == OK for report in reports)
        if started - new or (
            better and any(past.fault.kind == SICK for past in self.history.open())
        ):
            self._soon.scan()

    def _bring_along(self, turn: _Turn, settled: set[int]) -> None:
        """Let whoever waits to join do so with a join that begins now: the next is minutes away."""
        begun = [a.decision for a in turn.actions if a.operation == JOIN and a.decision]
        for rule in {decision.rule for decision in begun}:
            for report in self._journal.undecided_of(rule, BATCH):
                if report.id not in settled:
                    self._settle(turn, report)

    def _settle(self, turn: _Turn, report: Report) -> None:
        if report.rule == CANARY:
            back = {"canary_back": str(report.body["number"]), "canary_back_at": str(turn.now)}
            self._journal.set_meta(**back)
            self._journal.forget_report(report.id)
            return
        rule = turn.book.rules.get(report.rule)
        if rule is None:
            why = (f"there is no rule {report.rule} any more",)
            fault = Fault(report.node, "report")
            gone = Decision(report.id, report.rule, fault, "ignore", why)
            self._write(turn, gone, report, fault)
            return
        decision, fault, missing = self._judge(turn, rule, report)
        if missing and decision.verdict != "ignore":
            turn.questions[report.id] = missing
            return
        if decision.verdict != "act":
            self._write(turn, decision, report, fault)
            return
        action = self._place(turn, rule, decision)
        if isinstance(action, str):
            reasons = (*decision.reasons, action)
            again = turn.now + NO_PLACE
            waits = replace(decision, verdict="wait", reasons=reasons, again_at=again)
            self._write(turn, waits, report, fault)
            return
        id_ = self._write(turn, decision, report, fault)
        fields = {
            "rule": rule.name,
            "fault": asdict(decision.fault),
            "operation": decision.operation,
            "rung": decision.rung,
        }
        began = self._note(
            "began", turn.now, **fields, decision=id_, report=report.id, epoch=self._epoch
        )
        action.parts.append(Part(began, fields, report))

    def _judge(
        self, turn: _Turn, rule: Rule, report: Report
    ) -> tuple[Decision, Fault, dict[str, list[str]]]:
        """What to do, about which fault, and who has to be asked first."""
        try:
            fault = deciding.fault_of(rule, report)
            decision = deciding.decide(
                rule, report, turn.cloud, turn.observed, self.history, turn.now
            )
            return decision, fault, self._missing(turn, rule, report)
        except Exception as exc:  # one report must not keep the others from being decided
            log.exception("report %d of rule %s could not be decided", report.id, rule.name)
            why = (f"it could not be decided: {exc!r}", "next: the log of the master")
            fault = Fault(report.node, rule.about["kind"])
            found = Decision(report.id, rule.name, fault, "human", why, severity=rule.severity)
            return found, fault, {}

    def _place(self, turn: _Turn, rule: Rule, decision: Decision) -> Action | str:
        """The action that ``decision`` is part of, or why it cannot begin now."""
        if decision.operation == JOIN:
            for action in turn.actions:
                if action.operation == JOIN:
                    return action
        placed = self._actions.place(decision, rule.lane, turn.cloud, turn.observed, turn.now)
        if isinstance(placed, Action):
            turn.actions.append(placed)
        return placed

    def _write(self, turn: _Turn, decision: Decision, report: Report, fault: Fault) -> int:
        """Write a decision down, and when to decide again. Returns its id; 0 where nothing is new.

        What waits is decided again and again, with other figures: that is written only once.
        ``fault`` is what the report is about, which the decision may see as part of a larger one.
        """
        waits = decision.verdict == "wait" or decision.again_at is not None
        reasons = (FIGURES.sub("", reason) for reason in decision.reasons)
        said = (decision.verdict, decision.operation, *reasons)
        id_ = 0
        if not waits or self._said.get(report.id) != said:
            if turn.kept is None:
                turn.kept = self._journal.keep_observed(turn.observed)
            # Not asdict: it copies all the way down, and a burst has thousands of decisions.
            fields = {**vars(decision), "fault": asdict(decision.fault)}
            id_ = self._note("decision", turn.now, **fields)
        if decision.resolves:
            why = "; ".join(decision.reasons)
            self._note("resolved", turn.now, fault=asdict(decision.fault), why=why)
        if waits:
            self._said[report.id] = said
            self._journal.again(report.id, decision.again_at, turn.kept)
        else:
            self._said.pop(report.id, None)
            self._journal.decided(report.id, turn.kept)
        if decision.verdict != "ignore" or decision.resolves:
            self._replaces(fault, report.id if waits else None)
        return id_

    def _replaces(self, fault: Fault, waiting: int | None) -> None:
        """The latest word on a fault holds: an older report that still waits is done with."""
        older = self._latest.pop(fault, None)
        if older is not None and older != waiting:
            self._journal.decided(older)
            self._said.pop(older, None)
        if waiting is not None:
            self._latest[fault] = waiting

    # -- asking ------------------------------------------------------------------------------

    def _missing(self, turn: _Turn, rule: Rule, report: Report) -> dict[str, list[str]]:
        """Whose health has to be asked for before this can be decided: node -> services."""
        since = turn.now - FRESH
        wanted = deciding.questions(rule, report, turn.cloud)
        missing = {
            node: [one for one in services if not self._world.asked_since(node, one, since)]
            for node, services in wanted.items()
        }
        return {node: services for node, services in missing.items() if services}

    def _ask(self, report: int, questions: Mapping[str, list[str]], now: float) -> None:
        self._journal.again(report, now + 2 * FRESH)
        if self._actions.ask(questions, then=lambda: self._journal.again(report, 0)):
            self._journal.again(report, now + NO_PLACE)

    # -- results -----------------------------------------------------------------------------

    def _ended(self, result: Result, now: float) -> None:
        """Write down what came of an action. What failed is a report again: the ladder goes on."""
        outcome, book = result.outcome, self._rulebook.book
        joined = self._world.joined()
        with self._journal.batch():
            for part in result.action.parts:
                # Of nodes that join together, those that did have joined whatever became of others.
                alone = result.action.operation == JOIN and part.fields["fault"]["node"] in joined
                ok = outcome.ok or alone
                others = "" if outcome.ok or not alone else "it joined, not all with it did: "
                self._note(
                    "ended",
                    now,
                    **part.fields,
                    action=part.action,
                    ok=ok,
                    detail=f"{others}{outcome.detail}",
                    evidence=dict(outcome.evidence),
                    seconds=result.seconds,
                )
                if not ok and result.action.operation == JOIN:
                    self._soon.newcomers()  # it may have become well while the others joined
                if not ok and part.report and part.report.rule in book.rules:
                    self._journal.add([(part.report, None, None)], book.priorities)


def tell(journal: Journal, fault: Fault, why: Sequence[str], severity: str = "critical") -> None:
    """Have a human told of a fault of the reactor itself; may be called by any thread."""
    journal.record(
        "decision",
        report=0,
        rule="",
        fault=asdict(fault),
        verdict="human",
        operation="",
        rung=0,
        reasons=list(why),
        severity=severity,
        resolves=False,
    )
