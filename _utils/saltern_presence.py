"""Asks about silent nodes, beside the thread that looks at the beats: it never waits for an answer.

What is asked and what follows is decided in ``saltern.reactor.presence``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future, ThreadPoolExecutor

from saltern.cloud import Cloud
from saltern.fleet import Fleet
from saltern.reactor.presence import Evidence, Presence, Question, State
from saltern.reactor.scanning import Finding

log = logging.getLogger(__name__)

#: Seconds for a node to answer a ping; and for neighbours to try it, and to say so.
PING = 2
REACH, REACHED = 1.5, 4
#: Seconds until a node that did not name its outbox is asked for it again: at first, and at most.
#: Each time it is twice as long: jobs that a busy node has not come to yet must not pile up.
PROVE_AGAIN, PROVE_SELDOM = 10.0, 300.0
#: What a node says that has not got today's code: it answers.
UNKNOWN = "is not available"
#: Calls side by side: two for each question, and all that fell silent together are one question.
CALLS = 4


class Watch:
    """Turns beats into findings; :meth:`turn` is called again and again, by one thread.

    :param prove: is told the digest of its outbox's epoch that a node names when it is asked. Only
        what carries that epoch is a beat of the node.
    :param gone: nodes that the history calls gone ("": a master that was cut off).
    """

    def __init__(
        self,
        fleet: Fleet,
        prove: Callable[[Mapping[str, str]], None],
        gone: Collection[str] = (),
    ) -> None:
        self._fleet = fleet
        self._prove = prove
        self._proving: dict[str, tuple[float, float]] = {}  # node -> asked when, again after
        self._presence = Presence(gone)
        self._pool = ThreadPoolExecutor(CALLS, thread_name_prefix="presence")
        self._asked: list[tuple[Question, Future[frozenset[str]], Future[dict[str, set[str]]]]] = []

    def turn(
        self,
        cloud: Cloud,
        expected: Collection[str],
        beats: Mapping[str, float],
        now: float,
        unproven: Collection[str] = (),
        *,
        busy: bool = False,
    ) -> list[Finding]:
        """What is known now and was not before.

        :param expected: nodes that have joined.
        :param beats: node -> when it was last heard of, by ``time.monotonic()`` of this machine.
        :param now: by the same clock.
        :param unproven: of those expected, who has never named its outbox.
        :param busy: somebody works on the cloud.
        """
        if nameless := self._nameless(unproven, now):
            self._pool.submit(self._ping, nameless)
        found, question = self._presence.look(cloud, expected, beats, now)
        for asked in [asked for asked in self._asked if asked[1].done() and asked[2].done()]:
            self._asked.remove(asked)
            found += self._settle(*asked, now, busy)
        if question:
            where = {node: cloud.address(node) for node in question.suspects}
            self._asked.append(
                (
                    question,
                    self._pool.submit(self._ping, question.suspects),
                    self._pool.submit(self._reach, question.neighbours, where),
                )
            )
        return found

    def _nameless(self, unproven: Collection[str], now: float) -> list[str]:
        """Who of ``unproven`` is to be asked now."""
        known = {node: self._proving[node] for node in unproven if node in self._proving}
        due = [n for n in unproven if n not in known or now >= sum(known[n])]
        again = {n: min(2 * known[n][1], PROVE_SELDOM) if n in known else PROVE_AGAIN for n in due}
        self._proving = {**known, **{node: (now, pause) for node, pause in again.items()}}
        return due

    def answering(self, now: float) -> dict[str, bool]:
        """Node -> whether it is heard of; who is still being asked for is left out."""
        return self._presence.answering(now)

    def states(self) -> dict[str, State]:
        """Node -> here, mute, silent or gone."""
        return self._presence.states()

    def close(self) -> None:
        """Begin nothing more."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _settle(
        self,
        question: Question,
        answered: Future[frozenset[str]],
        reached: Future[dict[str, set[str]]],
        now: float,
        busy: bool,
    ) -> list[Finding]:
        broken = answered.exception() or reached.exception()
        if broken:  # ours, and no evidence against anybody
            log.error("asking about %s: %s", ", ".join(question.suspects), broken, exc_info=broken)
            self._presence.ask_again(question, now)
            return []
        evidence = Evidence(answered.result(), reached.result())
        return self._presence.settle(question, evidence, now, busy)

    def _ping(self, nodes: Collection[str]) -> frozenset[str]:
        """Which of ``nodes`` answer; what they name is kept."""
        answers = self._fleet.call(list(nodes), "healing.outbox", timeout=PING, kwargs={})
        named = {n: a.value for n, a in answers.items() if a.ok and isinstance(a.value, str)}
        if named:
            self._prove(named)
        return frozenset(n for n, a in answers.items() if a.ok or UNKNOWN in str(a.value))

    def _reach(self, neighbours: Collection[str], where: Mapping[str, str]) -> dict[str, set[str]]:
        """Neighbour that answered -> nodes of ``where`` that it reaches."""
        if not neighbours:
            return {}
        answers = self._fleet.call(
            list(neighbours),
            "neighbours.reach",
            timeout=REACHED,
            kwargs={"addresses": sorted(where.values()), "timeout": REACH},
        )
        return {
            neighbour: {node for node, address in where.items() if answer.value.get(address)}
            for neighbour, answer in answers.items()
            if answer.ok and isinstance(answer.value, Mapping)
        }
