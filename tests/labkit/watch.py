"""Ask every API over and over, side by side, and tell how long each was away."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise

import requests

from labkit import apis

PAUSE = 0.4  # seconds between two questions to one API


@dataclass(frozen=True)
class Sample:
    """One question; times on the monotonic clock. Without a ``reason`` it was answered."""

    began: float
    ended: float
    reason: str = ""


Samples = Mapping[str, Sequence[Sample]]


def steady_since(samples: Samples, start: float) -> float | None:
    """From when on every question after ``start`` was answered; None while one API is still away.

    A question that failed counts until its end. An API is back once a question that began after
    its last failure was answered.
    """
    since = start
    for asked in samples.values():
        bad = [one.ended for one in asked if one.reason and one.ended > start]
        since = max([since, *bad])
    back = all(
        any(not one.reason and one.began >= since for one in asked) for asked in samples.values()
    )
    return since if back else None


def longest_gap(asked: Sequence[Sample], start: float, end: float) -> float:
    """Seconds between two good answers one after the other, between ``start`` and ``end``."""
    good = [one.ended for one in asked if not one.reason and start < one.ended < end]
    return max(after - before for before, after in pairwise([start, *good, end]))


def last_reasons(samples: Samples) -> str:
    """API by API, why the last question that failed did."""
    bad = {name: [one for one in asked if one.reason] for name, asked in samples.items()}
    return "\n".join(f"{name}: {asked[-1].reason}" for name, asked in bad.items() if asked)


@dataclass
class Watch:
    """Questions to all APIs that go on until the end of :func:`watching`."""

    samples: dict[str, list[Sample]] = field(default_factory=dict)
    token: str = ""
    over: threading.Event = field(default_factory=threading.Event)

    def ask_on(self, name: str, question: Callable[[], None]) -> None:
        """Ask one API until the watch is over."""
        while not self.over.is_set():
            began, reason = time.monotonic(), ""
            try:
                question()
            except requests.RequestException as exc:
                reason = str(exc)
            self.samples[name].append(Sample(began, time.monotonic(), reason))
            self.over.wait(PAUSE)

    def new_token(self) -> None:
        """A question to Keystone; what it answers is used for the others."""
        self.token = apis.token()

    def read(self, url: str) -> None:
        """A question to the API at ``url``."""
        headers = {"X-Auth-Token": self.token}
        requests.get(url, headers=headers, timeout=apis.PATIENCE).raise_for_status()


@contextmanager
def watching() -> Iterator[Watch]:
    """Ask for a token, for something of each API and for the login page, all the time."""
    watch = Watch()
    watch.new_token()
    questions: dict[str, Callable[[], None]] = {"token": watch.new_token}
    for name, url in {**apis.reads(), "horizon": apis.login_page()}.items():
        questions[name] = lambda url=url: watch.read(url)  # type: ignore[misc]
    watch.samples.update({name: [] for name in questions})
    threads = [
        threading.Thread(target=watch.ask_on, args=item, name=f"watch-{item[0]}")
        for item in questions.items()
    ]
    for thread in threads:
        thread.start()
    try:
        yield watch
    finally:
        watch.over.set()
        for thread in threads:
            thread.join()
