"""Who is there. A node beats every few seconds; who stops is asked, then judged.

Silence has four causes that need different answers: the node is gone, its agent is, the network
between it and the master is, or the master itself hears nobody. So a silent node is asked directly,
two of its neighbours are asked whether they reach it, and when most nodes are silent at once nobody
is judged: then the fault is here.

Times are seconds of the master's monotonic clock.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from saltern.cloud import Cloud
from saltern.reactor.scanning import Finding

#: Seconds between two beats of a node.
BEAT = 3.0
#: A node that has not been heard of for so long is asked for: two beats were lost, and a bit.
SILENT = 7.5
#: It counts as late already when it is judged how many are: not all beat in the same second.
LATE = 5.0
#: After a start of the engine nobody is missed for so long.
GRACE = 15.0
#: Share of all nodes (percent) from which on we suspect ourselves.
SICK = 55
#: So long nobody must answer before we say so of ourselves: a machine that has too much to do for
#: some seconds hears nobody either.
DOUBT = 2.0
#: Signs of life in a row that bring a node back.
SIGNS = 2
#: A node that was judged, and still does not beat, is asked for again after so long.
RECHECK = 30.0
#: Neighbours asked about one node, and rounds in which none of them answers.
NEIGHBOURS = 2
ROUNDS = 3

GONE, BACK = "saltern/scan/gone", "saltern/scan/back"

#: ``here``: it beats. ``mute``: it answers, but does not beat. ``silent``: its neighbours reach it,
#: but its agent does not answer. ``gone``: nobody reaches it.
State = Literal["here", "mute", "silent", "gone"]


@dataclass(frozen=True)
class Question:
    """``suspects`` are to be pinged, and ``neighbours`` asked which of them they reach."""

    suspects: tuple[str, ...]
    neighbours: tuple[str, ...]


@dataclass(frozen=True)
class Evidence:
    """What came of a question."""

    answered: frozenset[str]  # suspects that answered a ping
    reached: Mapping[str, Collection[str]]  # neighbour that answered -> suspects that it reaches


@dataclass
class _Node:
    since: float  # it is expected to beat
    heard: float  # when it last beat; at first, when it has to have begun
    beaten: bool = False
    state: State = "here"
    asking: bool = False
    ask_at: float = 0.0
    unanswered: bool = False  # it was asked since it was last heard of, and did not answer
    rounds: int = 0
    signs: int = 0


class Presence:
    """What is known of each node; one object for as long as the engine runs.

    :param gone: nodes that were called gone before the engine started ("" for a master that was
        cut off), so that their return is noticed.
    """

    def __init__(self, gone: Collection[str] = ()) -> None:
        self.cut = "" in gone
        self._gone_before = set(gone)
        self._nodes: dict[str, _Node] = {}
        self._well_since: float | None = None
        self._doubtful_since: float | None = None

    def look(
        self, cloud: Cloud, expected: Collection[str], beats: Mapping[str, float], now: float
    ) -> tuple[list[Finding], Question | None]:
        """What has changed by the beats alone, and whom to ask about the rest.

        :param expected: nodes that should beat: those that have joined.
        :param beats: node -> when it was last heard of.
        """
        names = [name for name in cloud.nodes if name in expected]
        found = [*self._hear(names, beats, now), *self._trust_again(now)]
        due = [name for name, node in self._nodes.items() if self._is_due(node, now)]
        if not due:
            return found, None
        helpers = self._neighbours(cloud, due, now)
        for name in due:
            self._nodes[name].asking = True
        return found, Question(tuple(due), helpers)

    def settle(
        self, question: Question, evidence: Evidence, now: float, busy: bool = False
    ) -> list[Finding]:
        """Judge the suspects of ``question``; those that beat meanwhile need no judgement.

        :param busy: somebody works on the cloud: a deploy restarts minions, and sees itself when
            one stays away. Whose machine is reached is judged afterwards.
        """
        found: list[Finding] = []
        asked = [
            (name, node)
            for name in question.suspects
            if (node := self._nodes.get(name)) is not None and node.asking
        ]
        for name, node in asked:
            node.asking = False
            node.ask_at = now + RECHECK
            node.unanswered = name not in evidence.answered
            if not node.unanswered:
                found += self._sign(name, node, "mute")
        found += () if busy else self._doubt(now)
        for name, node in asked:
            if not node.unanswered or self.cut:
                continue
            if self._share(self._late(now)) >= SICK:
                node.ask_at = now  # who else is late has to be asked first
            else:
                found += self._judge(name, node, evidence, now, busy)
        return found

    def ask_again(self, question: Question, now: float) -> None:
        """Nothing came of ``question``, through a fault of ours."""
        for name in question.suspects:
            if name in self._nodes:
                self._nodes[name].asking = False
                self._nodes[name].ask_at = now + BEAT

    def answering(self, now: float) -> dict[str, bool]:
        """Node -> whether it is heard of; a node that is still being asked for is left out."""
        return {
            name: node.state in ("here", "mute")
            for name, node in self._nodes.items()
            if node.state != "here" or (node.beaten and now - node.heard <= SILENT)
        }

    def states(self) -> dict[str, State]:
        """Node -> what it was last judged to be."""
        return {name: node.state for name, node in self._nodes.items()}

    # -- hearing -----------------------------------------------------------------------------

    def _hear(
        self, expected: Sequence[str], beats: Mapping[str, float], now: float
    ) -> Iterator[Finding]:
        for name in set(self._nodes).difference(expected):
            del self._nodes[name]
        for name in expected:
            if name not in self._nodes:
                was: State = "gone" if name in self._gone_before else "here"
                self._gone_before.discard(name)
                self._nodes[name] = _Node(since=now, heard=now + GRACE - SILENT, state=was)
            node = self._nodes[name]
            beat = beats.get(name, 0.0)
            if beat > (node.heard if node.beaten else node.since - SILENT):
                node.heard, node.beaten = beat, True
                node.asking, node.unanswered, node.rounds = False, False, 0
                yield from self._sign(name, node, "here")

    def _sign(self, name: str, node: _Node, state: State) -> Iterator[Finding]:
        """A sign of life: two in a row bring a judged node back, so that none flaps."""
        if node.state in ("here", "mute"):
            node.state = state
            return
        node.signs += 1  # whoever judges it again begins anew
        if node.signs >= SIGNS:
            node.state, node.signs = state, 0
            yield BACK, name, {}

    # -- judging -----------------------------------------------------------------------------

    def _is_due(self, node: _Node, now: float) -> bool:
        return not node.asking and now - node.heard > SILENT and now >= node.ask_at

    def _judge(
        self, name: str, node: _Node, evidence: Evidence, now: float, busy: bool
    ) -> Iterator[Finding]:
        witnesses = sorted(witness for witness in evidence.reached if witness != name)
        reaching = [witness for witness in witnesses if name in evidence.reached[witness]]
        quiet = f"no beat for {now - node.heard:.0f} s and no answer"
        verdict: State
        if reaching:
            verdict, why = "silent", f"{quiet}, but {_names(reaching)} can reach it: its minion?"
        elif witnesses:
            verdict, why = "gone", f"{quiet}, and {_names(witnesses)} cannot reach it"
        else:
            node.rounds += 1
            if node.rounds < ROUNDS:
                node.ask_at = now
                return
            verdict, why = "silent", f"{quiet}; no neighbour could be asked"
        node.rounds, node.signs = 0, 0
        # What is gone stays so until it is heard: a booting machine is reachable for a while.
        if node.state not in (verdict, "gone") and not (busy and verdict == "silent"):
            node.state = verdict
            yield GONE, name, {"reason": why, "verdict": verdict}

    def _neighbours(self, cloud: Cloud, suspects: Sequence[str], now: float) -> tuple[str, ...]:
        """For each suspect one node of its role and one of another, if they are heard of."""
        heard = [n for n, node in self._nodes.items() if now - node.heard <= LATE and node.beaten]
        chosen: dict[str, None] = {}
        for name in suspects:
            turn = self._nodes[name].rounds * NEIGHBOURS
            roles = _roles(cloud, name)
            akin = _turned([n for n in heard if not roles.isdisjoint(_roles(cloud, n))], turn)
            others = _turned([n for n in heard if roles.isdisjoint(_roles(cloud, n))], turn)
            ordered = [*akin[:1], *others[:1], *akin[1:], *others[1:]]
            chosen.update(dict.fromkeys(ordered[:NEIGHBOURS]))
        return tuple(chosen)

    # -- ourselves ---------------------------------------------------------------------------

    def _late(self, now: float) -> int:
        """How many are not heard of. Who answered when asked is, without a beat."""
        return sum(now - n.heard > LATE and n.state != "mute" for n in self._nodes.values())

    def _share(self, count: int) -> float:
        return 100 * count / len(self._nodes) if self._nodes else 0.0

    def _doubt(self, now: float) -> Iterator[Finding]:
        """Most nodes neither beat nor answer: that is said once, and nobody is judged."""
        quiet = sum(node.unanswered for node in self._nodes.values())
        if self.cut or not quiet or self._share(quiet) < SICK:
            self._doubtful_since = None
            return
        self._doubtful_since = now if self._doubtful_since is None else self._doubtful_since
        if now - self._doubtful_since >= DOUBT:  # they were asked once more meanwhile
            self.cut, self._well_since = True, None
            why = (
                f"{quiet} of {len(self._nodes)} nodes are silent at once: look at this master"
                " and its network first. No node is called gone"
            )
            yield GONE, "", {"reason": why, "verdict": "cut off"}

    def _trust_again(self, now: float) -> Iterator[Finding]:
        """Most are heard of again, and have been for a while: who is still silent is asked for."""
        if not self.cut or self._share(self._late(now)) >= SICK:
            self._well_since = None
            return
        self._well_since = now if self._well_since is None else self._well_since
        if now - self._well_since >= 2 * BEAT:
            self.cut = False
            for node in self._nodes.values():
                node.ask_at = now
            yield BACK, "", {}


def _roles(cloud: Cloud, node: str) -> set[str]:
    spec = cloud.model["nodes"].get(node, {})
    return set(spec.get("roles", ()))


def _turned(names: Sequence[str], turn: int) -> list[str]:
    at = turn % len(names) if names else 0
    return [*names[at:], *names[:at]]


def _names(nodes: Sequence[str]) -> str:
    return " and ".join(nodes)
