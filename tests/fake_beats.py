"""Machines that beat, are switched off, freeze and come back, beside a master that listens."""

from __future__ import annotations

from collections.abc import Collection

from saltern.cloud import Cloud
from saltern.reactor import presence
from saltern.reactor.presence import Evidence, Presence, Question
from saltern.reactor.scanning import Finding

TICK = 1.0
#: Seconds from a question to its evidence: a ping that nobody answers.
ASKING = 3.5


class World:
    """Nodes that beat, machines that are on, and a master that looks once a second."""

    def __init__(self, cloud: Cloud, gone: Collection[str] = ()) -> None:
        self.cloud = cloud
        self.now = 1000.0
        self.known = Presence(gone)
        self.expected = set(cloud.nodes)
        self.beats: dict[str, float] = {}
        self.off: set[str] = set()  # no power
        self.frozen: set[str] = set()  # the kernel answers, the minion does not
        self.mute: set[str] = set()  # the minion answers, its engine does not beat
        self.unreachable: set[str] = set()  # for the master
        self.deaf: set[str] = set()  # as a neighbour it has no time
        self.busy = False  # a deploy is under way
        self.questions: list[tuple[float, Question]] = []
        self.open: list[tuple[float, Question]] = []
        self.found: list[tuple[float, Finding]] = []

    def speaks(self, node: str) -> bool:
        return node not in self.off | self.frozen | self.unreachable

    def evidence(self, question: Question) -> Evidence:
        return Evidence(
            frozenset(node for node in question.suspects if self.speaks(node)),
            {
                helper: {node for node in question.suspects if node not in self.off}
                for helper in question.neighbours
                if self.speaks(helper) and helper not in self.deaf
            },
        )

    def run(self, seconds: float) -> list[Finding]:
        """What was found in so many seconds."""
        before = len(self.found)
        end = self.now + seconds
        while self.now < end:
            self.now += TICK
            for number, node in enumerate(self.cloud.nodes):
                phase = (self.now + number) % presence.BEAT
                if phase < TICK and self.speaks(node) and node not in self.mute:
                    self.beats[node] = self.now - 0.2
            told, question = self.known.look(self.cloud, self.expected, self.beats, self.now)
            for due, asked in [entry for entry in self.open if entry[0] <= self.now]:
                self.open.remove((due, asked))
                told += self.known.settle(asked, self.evidence(asked), self.now, self.busy)
            self.found += [(self.now, finding) for finding in told]
            if question:
                self.questions.append((self.now, question))
                self.open.append((self.now + ASKING, question))
        return [finding for _, finding in self.found[before:]]


def verdicts(found: list[Finding]) -> list[tuple[str, str, str]]:
    return [(tag, node, body.get("verdict", "")) for tag, node, body in found]
