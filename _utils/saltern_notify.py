"""Telling people: messages of the journal's incidents, to every target on its own.

A message is in the journal before anybody is told, and is tried until its target took it or a day
has passed. Every target has its own thread: one that hangs delays nobody else. Only the thread that
calls :meth:`Notifier.deliver` touches the journal.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import requests
from saltern.reactor import incidents, wording
from saltern_notify_targets import ANSWER, CONNECT, Resolver, Target, Undelivered, reason, targets

log = logging.getLogger(__name__)

Job = Callable[[], None]
Result = tuple[int, str | None]  # a notice, and why it was not delivered

#: Seconds until a notice is tried again: doubled each time, up to the most.
FIRST, MOST = 10, 900
#: Seconds after which a notice is given up.
KEEP = 86400
#: Seconds between two heartbeats, where the model does not say.
HEARTBEAT = 60


class Lane:
    """A thread that does jobs for one target, one after the other."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.results: queue.SimpleQueue[Result] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    @property
    def busy(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def start(self, jobs: Iterable[tuple[int, Job]]) -> None:
        """Do ``jobs`` until one fails: the next would most likely fail as well."""
        # A daemon: a server that hangs must not keep the reactor from ending.
        self._thread = threading.Thread(
            target=self._run, args=(list(jobs),), name=f"tell {self.name}", daemon=True
        )
        self._thread.start()

    def _run(self, jobs: list[tuple[int, Job]]) -> None:
        for number, job in jobs:
            try:
                job()
            except Exception as exc:  # noqa: BLE001 - sdb drivers raise anything; it is the result
                self.results.put((number, reason(exc)))
                return
            self.results.put((number, None))


class Notifier:
    """Incidents, their messages, and what has become of each."""

    def __init__(self, journal: Any, resolve: Resolver) -> None:
        self._journal = journal
        self._resolve = resolve
        self._incidents = incidents.Incidents()
        self._read = 0  # the last record that the incidents know
        self._settings: Mapping[str, Any] | None = None
        self._targets: dict[str, Target] = {}
        self._lanes: dict[str, Lane] = {}
        self._tries: dict[int, int] = {}  # of the notices that are handed out
        self._heart = Lane("heartbeat")
        self._beat_at = 0.0
        self._heard = True  # the last heartbeat was taken

    def deliver(
        self, cloud: str, settings: Mapping[str, Any], now: float, healthy: bool = True
    ) -> None:
        """One turn, which never waits for a target. To be called about once a second.

        cloud
            Its name.
        settings
            ``reactor:`` of the model, as it is now.
        now
            Seconds since the epoch.
        healthy
            Whether the reactor is well: there is no heartbeat while it is not.
        """
        if settings != self._settings:
            self._targets = targets(settings, self._resolve)
            self._settings = settings
        self._collect(now)
        self._learn()
        for message in self._incidents.due(now):
            self._put(message, cloud, now)
        self._hand_out(now)
        self._heartbeat(settings.get("heartbeat"), now, healthy)

    # -- messages ---------------------------------------------------------------------------------

    def _learn(self) -> None:
        for record in self._journal.records(self._read):
            self._incidents.apply(record)
            self._read = record["id"]

    def _put(self, message: incidents.Message, cloud: str, now: float) -> None:
        """Into the journal: for each target, and then that it was told."""
        payload = wording.payload(message, cloud, local_time)
        for target in self._targets.values():
            if message.phase in target.phases:
                self._journal.notice_add(message.key, target.name, payload, now)
        self._journal.record(
            "told",
            incident=message.incident,
            phase=message.phase,
            count=message.count,
            severity=message.severity,
            as_of=message.at,
        )
        self._learn()

    # -- delivery ---------------------------------------------------------------------------------

    def _hand_out(self, now: float) -> None:
        waiting: dict[str, list[tuple[int, Job]]] = {}
        for notice in self._journal.notices_due(now):
            number, name = notice["id"], notice["target"]
            target = self._targets.get(name)
            if target is None:
                self._journal.notice_failed(number, "the model does not name it any more", None)
            elif now - notice["at"] > KEEP:
                why = f"given up after {wording.duration(KEEP)}: {notice['why']}"
                log.error("%s: %s: %s", name, notice["payload"]["title"], why)
                self._journal.notice_failed(number, why, None)
            else:
                self._tries[number] = notice["tries"]
                job = _sending(target, notice["payload"])
                waiting.setdefault(name, []).append((number, job))
        for name, jobs in waiting.items():
            lane = self._lanes.setdefault(name, Lane(name))
            if not lane.busy and lane.results.empty():
                lane.start(jobs)

    def _collect(self, now: float) -> None:
        """Note what has become of the notices that were handed out."""
        for lane in self._lanes.values():
            while not lane.results.empty():
                number, why = lane.results.get()
                tries = self._tries.pop(number, 0)
                if why is None:
                    self._journal.notice_done(number)
                    continue
                log.warning("%s: not delivered: %s", lane.name, why)
                pause = min(FIRST * 2**tries, MOST)
                self._journal.notice_failed(number, why, now + pause)

    # -- heartbeat --------------------------------------------------------------------------------

    def _heartbeat(self, spec: Mapping[str, Any] | None, now: float, healthy: bool) -> None:
        while not self._heart.results.empty():
            _, why = self._heart.results.get()
            if why is not None and self._heard:
                log.warning("heartbeat: not taken: %s", why)
            self._heard = why is None
        if spec is None or not healthy or self._heart.busy:
            return
        if now - self._beat_at >= spec.get("every", HEARTBEAT):
            self._beat_at = now
            url = spec["url"]
            self._heart.start([(0, lambda: _fetch(self._resolve(url)))])


def local_time(at: float) -> str:
    """``at`` as the master's clock on the wall shows it, with its zone."""
    return time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(at))


def _sending(target: Target, payload: Mapping[str, Any]) -> Job:
    return lambda: target.send(payload)


def _fetch(url: str) -> None:
    with requests.get(url, timeout=(CONNECT, ANSWER), allow_redirects=False, stream=True) as answer:
        if not 200 <= answer.status_code < 300:
            raise Undelivered(f"HTTP {answer.status_code}")
