"""How decisions reach nodes: the little that an operation needs of Salt, as a protocol."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

NO_ANSWER = "did not answer"


@dataclass(frozen=True)
class Answer:
    """What one node said: its return value, or why there is none."""

    ok: bool
    value: Any


class Fleet(Protocol):
    """Every node by its id."""

    def call(
        self, nodes: Sequence[str], function: str, *, timeout: int, kwargs: Mapping[str, Any]
    ) -> dict[str, Answer]:
        """Run ``function`` on all ``nodes`` at the same time; one answer per node, never fewer."""


class Reporter(Protocol):
    """Tells a person what is going on, and remembers how long it took."""

    def step(self, name: str, nodes: Sequence[str]) -> AbstractContextManager[None]:
        """Around one piece of work."""

    def note(self, text: str) -> None:
        """Something worth a line."""


class Failed(RuntimeError):
    """An operation that could not go on; one reason per entry of ``reasons``."""

    def __init__(self, reasons: Sequence[str]) -> None:
        super().__init__("; ".join(reasons))
        self.reasons = list(reasons)


def failing(answers: Mapping[str, Answer], what: str) -> dict[str, list[str]]:
    """Node -> a readable line, for every node whose answer is not good."""
    return {node: [f"{what}: {a.value}"] for node, a in answers.items() if not a.ok}


def lines(failed: Mapping[str, Sequence[str]]) -> list[str]:
    """The reasons of every node as lines that name it."""
    return [f"{node}: {reason}" for node in sorted(failed) for reason in failed[node]]


def failures(answers: Mapping[str, Answer], what: str) -> list[str]:
    """A readable line for every node whose answer is not good."""
    return lines(failing(answers, what))


def in_batches(nodes: Sequence[str], size: str | int) -> Iterator[list[str]]:
    """``nodes`` in groups of ``size``: a number, or a percentage of all of them; at least one."""
    count = len(nodes) * int(size[:-1]) // 100 if isinstance(size, str) else size
    step = max(1, count)
    for start in range(0, len(nodes), step):
        yield list(nodes[start : start + step])
