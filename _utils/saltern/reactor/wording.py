"""What people read: messages and times in words. Nothing here is ever read back by a machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from saltern.reactor.incidents import MAX_SHOWN, Message, Trouble
from saltern.reactor.terms import Fault

Clock = Callable[[float], str]  # seconds since the epoch, as a person writes the time

#: A fault of each kind as a person would say it.
FAULTS: Mapping[str, str] = {
    "service": "{subject} on {node}",
    "new": "new node {node}",
    "gone": "{node} is gone",
    "member": "{node} is missing from the cluster of {subject}",
    "backend": "{subject} of {node} gets no requests",
    "overflow": "reports of {node} were lost",
}
#: Those that are about no node: the cloud, or the reactor itself.
WHOLE: Mapping[str, str] = {
    "gone": "the master hears of too few nodes",
    "reactor": "the reactor does not do its work",
    "rules": "the model or a rule has faults",
    "sick": "too much is sick at once",
}
TITLES: Mapping[str, str] = {
    "attention": "{cloud} needs you: {what}",
    "grown": "{cloud} needs you, and it grows: {what}",
    "still": "{cloud} still needs you: {what}",
    "healed": "{cloud} healed itself: {what}",
    "resolved": "{cloud}, over: {what}",
}
#: Instead of "healed" where nothing was ill: all of it is nodes that have joined.
JOINED = "{cloud} took in: {what}"
MAX_LINE = 300


def plain(text: Any, limit: int = MAX_LINE) -> str:
    """One line of printable text: what nodes report may hold anything."""
    line = " ".join("".join(c if c.isprintable() else " " for c in str(text)[: 4 * limit]).split())
    return line if len(line) <= limit else f"{line[: limit - 3]}..."


def fault(one: Fault) -> str:
    """A fault in words."""
    words = (FAULTS if one.node else WHOLE).get(one.kind)
    named = {"subject": one.subject, "node": one.node}
    return plain(words.format_map(named) if words else str(one), 120)


def duration(seconds: float) -> str:
    """``2.3 s``, ``12 min``, ``3.5 h``, ``4 days``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172800 else f"{seconds / 86400:.0f} days"


def title(message: Message, cloud: str) -> str:
    """The message in one line."""
    first, nodes = message.troubles[0], {t.fault.node for t in message.troubles if t.fault.node}
    what = fault(first.fault)
    if message.count > 1:
        where = f" on {len(nodes)} nodes" if len(nodes) > 1 else ""
        what += f", and {message.count - 1} more{where}"
    joined = message.phase == "healed" and all(t.fault.kind == "new" for t in message.troubles)
    words = JOINED if joined else TITLES[message.phase]
    return plain(words.format(cloud=cloud, what=what), 200)


def text(message: Message, cloud: str, clock: Clock) -> str:
    """Everything known so far, and what to type first."""
    lines = [title(message, cloud), ""]
    for trouble in message.troubles[:MAX_SHOWN]:
        lines += _trouble(trouble, clock)
    if message.count > MAX_SHOWN:
        lines.append(f"and {message.count - MAX_SHOWN} more: salt-run saltern.pending")
    if message.phase == "resolved":
        lines.append(f"It took {duration(message.at - message.since)}.")
    report = message.troubles[0].report
    lines += ["", f"First: salt-run saltern.{f'explain {report}' if report else 'pending'}"]
    return "\n".join(lines)


def _trouble(trouble: Trouble, clock: Clock) -> list[str]:
    again = f", {trouble.times} times" if trouble.times > 1 else ""
    state = ", over" if trouble.over else ""
    return [
        f"- {fault(trouble.fault)}, since {clock(trouble.since)}{again}{state}",
        *(f"  because: {plain(why)}" for why in ([] if trouble.over else trouble.why)),
        *(f"  done: {plain(done)}" for done in trouble.done[-5:]),
    ]


def payload(message: Message, cloud: str, clock: Clock) -> dict[str, Any]:
    """The message as data, as it is kept until it is delivered and as webhooks get it."""
    return {
        "key": message.key,
        "cloud": cloud,
        "incident": message.incident,
        "phase": message.phase,
        "severity": message.severity,
        "title": title(message, cloud),
        "text": text(message, cloud, clock),
        "since": message.since,
        "at": message.at,
        "count": message.count,
        "nodes": sorted({t.fault.node for t in message.troubles if t.fault.node})[:100],
        "faults": [fault(t.fault) for t in message.troubles[:MAX_SHOWN]],
        "report": message.troubles[0].report,
    }
