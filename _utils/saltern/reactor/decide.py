"""What to do about a report: the ladder, and the guard rails around it.

``decide`` is a function of what it is given, and of nothing else: decided again from the journal,
a report gets the same answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from saltern.cloud import Cloud
from saltern.reactor.guards import Case, Objection, objections, span, voters
from saltern.reactor.history import FaultHistory, History
from saltern.reactor.rules import OPERATIONS, TAG, Rule
from saltern.reactor.terms import Decision, Fault, Observed, Report, Verdict

#: The kind of trouble that is over when its service is ok.
SERVICE = "service"
#: Seconds for which a waiting report stands for its copies: it has been looked at by then.
STANDS_IN = 60
#: Who says so, for people.
SAID_BY: Mapping[str, str] = {
    "node": "the node",
    "master": "the master",
    "scan": "the scan",
    "operator": "an operator",
}


def fault_of(rule: Rule, report: Report) -> Fault:
    """Which trouble ``report`` is about."""
    subject = rule.about.get("subject")
    return Fault(report.node, rule.about["kind"], str(report.body[subject]) if subject else "")


def questions(rule: Rule, report: Report, cloud: Cloud) -> dict[str, list[str]]:
    """Node -> services whose health must be asked before this can be decided; mostly nothing."""
    fault = fault_of(rule, report)
    if not _bad(rule, report) or fault.node not in cloud.model["nodes"]:
        return {}
    if not any(OPERATIONS[name].quorate for name in rule.ladder):
        return {}
    case = Case(rule, report, fault, cloud, Observed(), History(), 0.0)
    return {node: [fault.subject] for node in voters(case)}


def decide(
    rule: Rule, report: Report, cloud: Cloud, observed: Observed, history: History, now: float
) -> Decision:
    """What to do about ``report``, with every reason for it."""
    fault = fault_of(rule, report)
    known = history.fault(fault)
    pointless = _pointless(rule, report, fault, cloud, observed, known, now)
    if pointless is not None:
        reason, resolves = pointless
        return _decision(rule, report, fault, "ignore", [reason], resolves=resolves)
    late = _late_copy(rule, report, known)
    tries = known.tries(report.at, rule.guards.stable)
    rung = _rung(rule, report, known, tries)
    case = Case(rule, report, fault, cloud, observed, history, now, tries, rung)
    found = [*([late] if late and now < (late.again_at or 0) else []), *objections(case)]
    said = _said(rule, report, fault, now)
    if not found:
        return _act(case, said)
    first = found[0]
    reasons = [first.reason, said, *(o.reason for o in found[1:])]
    if first.verdict in ("human", "refuse"):
        return _tell(case, first, reasons)
    return _decision(rule, report, fault, first.verdict, reasons, case=case, again=first.again_at)


# -- nothing to do --------------------------------------------------------------------------------


def _pointless(
    rule: Rule,
    report: Report,
    fault: Fault,
    cloud: Cloud,
    observed: Observed,
    known: FaultHistory,
    now: float,
) -> tuple[str, bool] | None:
    """Why there is nothing to do, and whether that is because the trouble is over."""
    if rule.mode == "off":
        return f"the rule {rule.name} is off", False
    if rule.good and _matches(rule.good, report):
        if known.seen and (known.good is None or not known.said_good):
            return f"{fault} is over: {_who(report)} says so", True
        return "all is well, and nothing else was known", False
    if not _bad(rule, report):
        return "this is no trouble", False
    if fault.node and fault.node not in cloud.model["nodes"] and "join" not in rule.ladder:
        return f"{fault.node} is not in the model", False
    if "subject" in rule.about and fault.node not in cloud.nodes_running(fault.subject):
        return f"{fault.node} does not run {fault.subject} by the model", False
    return _copy(rule, report, observed, known, now)


def _copy(
    rule: Rule, report: Report, observed: Observed, known: FaultHistory, now: float
) -> tuple[str, bool] | None:
    """G4: why this report says nothing that is not known, and whether the trouble is over."""
    fault, running, last = known.fault, known.running, known.last
    if running:
        return f"{running.operation} is at work on it for {span(now - running.began)}", False
    if last and last.ended is not None and report.at < last.ended:
        how = "with success" if last.ok else "without"
        return f"it is older than the end of {last.operation}, which ended {how}", False
    if known.good is not None and known.said_good and report.at <= known.good:
        return f"it is over for {span(now - known.good)}", False
    if known.waiting not in (0, report.id) and now - known.waited <= STANDS_IN:
        return f"report {known.waiting} of the same trouble waits already", False
    status = observed.services.get(fault.node, {}).get(fault.subject)
    if fault.kind == SERVICE and status and status.status == "ok" and status.at >= report.at:
        return f"{fault.subject} is ok again since it was reported", known.good is None
    return None


def _late_copy(rule: Rule, report: Report, known: FaultHistory) -> Objection | None:
    """G4: what comes right after a verified action, and was never well in between, may be a copy
    that took its time: it is looked at again a little later.
    """
    last = known.last
    if last is None or last.ended is None or not last.mended or known.said_good:
        return None
    until = last.ended + rule.guards.window
    return Objection("wait", f"{last.operation} has just mended it: this may be a late copy", until)


# -- something to do ------------------------------------------------------------------------------


def _rung(rule: Rule, report: Report, known: FaultHistory, tries: int) -> int:
    """Where on the ladder this goes on."""
    first = max(
        (
            rungs[str(value)]
            for name, rungs in rule.skip.items()
            if str(value := _value(name, report)) in rungs
        ),
        default=0,
    )
    last = known.last
    if not tries or last is None:
        return first
    return max(first, last.rung if last.mended else last.rung + 1)


def _act(case: Case, said: str) -> Decision:
    rungs = case.rule.ladder
    reasons = [said]
    last = case.known.last
    if case.tries and last is not None:
        how = "did not last" if last.mended else "did not mend it"
        reasons.append(f"{last.operation} {how} {span(case.now - (last.ended or 0.0))} ago")
    reasons.append(
        f"{case.operation} is rung {case.rung + 1} of {len(rungs)} ({', '.join(rungs)}), and no "
        "guard rail objects"
    )
    if case.rule.mode == "shadow":
        return _shadow(case, f"in shadow: an armed rule would do {case.operation} now", reasons)
    return _decision(case.rule, case.report, case.fault, "act", reasons, case=case)


def _tell(case: Case, objection: Objection, reasons: list[str]) -> Decision:
    """A human is told once of a trouble that stays, and again of one that ended and is back."""
    rule, report, fault, known = case.rule, case.report, case.fault, case.known
    if rule.mode == "shadow":
        return _shadow(case, "in shadow: an armed rule would tell a human", reasons)
    if objection.fault is not None:  # of the larger trouble, which nobody has been told of
        return _decision(rule, report, objection.fault, objection.verdict, reasons)
    if known.told is not None and known.stays(report.at, rule.guards.stable):
        told = f"a human was told {span(case.now - known.told)} ago"
        if not known.said_good:
            return _decision(rule, report, fault, "ignore", [told, *reasons], case=case)
        # It was well in between, and people were told so.
        again = known.room_to_call(rule.guards.target, case.now)
        if again is not None:
            reasons = [f"{told}: the next time in {span(again - case.now)}", *reasons]
            return _decision(rule, report, fault, "wait", reasons, case=case, again=again)
    return _decision(rule, report, fault, objection.verdict, reasons, case=case)


def _shadow(case: Case, what: str, reasons: list[str]) -> Decision:
    known = case.known
    stays = known.good is None and known.stays(case.report.at, case.rule.guards.stable)
    if known.shadowed is not None and stays:
        said = f"in shadow: this was said {span(case.now - known.shadowed)} ago"
        return _decision(case.rule, case.report, case.fault, "ignore", [said], case=case)
    return _decision(case.rule, case.report, case.fault, "shadow", [what, *reasons], case=case)


# -- small things ---------------------------------------------------------------------------------


def _decision(
    rule: Rule,
    report: Report,
    fault: Fault,
    verdict: Verdict,
    reasons: list[str],
    *,
    case: Case | None = None,
    again: float | None = None,
    resolves: bool = False,
) -> Decision:
    return Decision(
        report=report.id,
        rule=rule.name,
        fault=fault,
        verdict=verdict,
        reasons=tuple(reasons),
        operation=case.operation if case and verdict in ("act", "shadow", "wait") else "",
        rung=case.rung if case else 0,
        again_at=again,
        severity=rule.severity,
        resolves=resolves,
    )


def _value(name: str, report: Report) -> Any:
    return report.tag if name == TAG else report.body.get(name)


def _matches(wanted: Mapping[str, tuple[Any, ...]], report: Report) -> bool:
    return all(_value(name, report) in values for name, values in wanted.items())


def _bad(rule: Rule, report: Report) -> bool:
    return _matches(rule.bad, report)


def _said(rule: Rule, report: Report, fault: Fault, now: float) -> str:
    """What was reported, by whom and when."""
    values = [_value(name, report) for name in rule.bad if name != TAG]
    values += [report.body["reason"]] if report.body.get("reason") else []
    what = ", ".join(map(str, values)) or rule.summary
    return f"{fault}: {what} ({_who(report)}, {span(now - report.at)} ago)"


def _who(report: Report) -> str:
    return SAID_BY[report.source]
