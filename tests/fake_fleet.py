"""A fleet with state: it records what was asked of whom, and answers as told."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from saltern.fleet import Answer

Handler = Callable[[str, Mapping[str, Any]], Any]


class FakeFleet:
    """``handlers`` maps a function to what a node answers; an exception in it is a failed node."""

    def __init__(self, **handlers: Handler) -> None:
        self.handlers: dict[str, Handler] = {
            "state.sls": lambda node, kwargs: {},
            "unit.pending": lambda node, kwargs: {},
            "test.ping": lambda node, kwargs: True,
            "openstack.health": lambda node, kwargs: {
                service: {"status": "ok", "reason": ""} for service in kwargs["services"]
            },
            "haproxy.admit_services": lambda node, kwargs: {"admitted": [], "already": []},
            **{name.replace("__", "."): handler for name, handler in handlers.items()},
        }
        self.asked: list[tuple[str, tuple[str, ...], dict[str, Any]]] = []
        self.limits: list[tuple[str, int]] = []  # what was called, and for how many seconds

    def call(
        self, nodes: Sequence[str], function: str, *, timeout: int, kwargs: Mapping[str, Any]
    ) -> dict[str, Answer]:
        self.asked.append((function, tuple(nodes), dict(kwargs)))
        self.limits.append((function, timeout))
        answers = {}
        for node in nodes:
            try:
                answers[node] = Answer(True, self.handlers[function](node, kwargs))
            except RuntimeError as exc:
                answers[node] = Answer(False, str(exc))
        return answers

    def functions(self) -> list[str]:
        """Functions that were called, in order."""
        return [function for function, _, _ in self.asked]


class Silent:
    """A reporter nobody listens to, that remembers."""

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.notes: list[str] = []

    @contextmanager
    def step(self, name: str, nodes: Sequence[str]) -> Iterator[None]:
        self.steps.append(name)
        yield

    def note(self, text: str) -> None:
        self.notes.append(text)


def fails(reason: str) -> Handler:
    """A handler of a node that answers with an error."""

    def handler(node: str, kwargs: Mapping[str, Any]) -> Any:
        raise RuntimeError(reason)

    return handler
