"""The watch of one node: systemd and probes in, numbered reports out, and first aid.

One asyncio loop in one process (``_engines/saltern_watch.py``). It waits for D-Bus, for the bus of
the minion and for its own timers; threads are used for what can block: probes and systemctl.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import saltern_healing
import saltern_outbox
import saltern_pressure
import saltern_processes
import saltern_systemd
import saltern_watch_probes
from saltern.reactor import outbox
from saltern.reactor.firstaid import Aid, FirstAid, Need
from saltern.reactor.watched import Share, Unit, share_of
from saltern.reactor.watching import OK, Watch

log = logging.getLogger(__name__)

#: What the node is to watch, written by salt/watch. It is here when the master is not.
SHARE = Path("/etc/saltern/watch.json")

# Seconds between two ...
BEAT = 3.0
PROBE = 4.0  # what is stopped by a signal is found sooner, and each costs its service 2 to 11 ms
STOPS = 0.25  # looks whether processes are stopped: what hangs so, no probe has to find out
CHECK = 2.0  # looks at the files that say what is to be watched, and by which code
AID = 1.0  # thoughts of helping out
LOOK_AGAIN = 20.0  # comparisons with what systemd says of all units
POLL = 5.0  # looks by systemctl, without D-Bus
RECONNECT = 10.0  # attempts to reach D-Bus

#: Seconds until beats begin even if not everything has been seen.
BLIND = 10.0
#: Seconds for one event to be taken by the minion.
SEND = 5.0
#: Threads: a probe that hangs keeps one for four seconds.
THREADS = 4

ACKED = "saltern/acked"


class Bus(Protocol):
    """The minion's bus: what is sent goes to the master, if it is there."""

    def send(self, tag: str, body: Mapping[str, Any]) -> Awaitable[None]: ...


class Watcher:
    """Everything that a node's watch remembers and does.

    node
        The minion's id.
    home
        Where the outbox lies.
    changed
        Asked every :data:`CHECK` seconds: a reason to end (newer code, no parent), or "".
    jobs
        When a job of the master was last seen on this node, by the monotonic clock.
    booted
        When this machine began, by the monotonic clock.
    """

    def __init__(
        self,
        node: str,
        home: Path,
        bus: Bus,
        *,
        share: Path = SHARE,
        address: str = "SYSTEM",
        changed: Callable[[], str] = lambda: "",
        jobs: Callable[[], float] = lambda: 0.0,
        booted: float = -math.inf,
    ) -> None:
        self.node = node
        self.bus = bus
        self.store = saltern_outbox.Store(home / saltern_outbox.NAME)
        self.watch = Watch(Share(), self.store.told(), saltern_watch_probes.KINDS, booted)
        self.aid = FirstAid()
        self._share_file = share
        self._share_stamp: tuple[int, int] | None = None
        self._address = address
        self._changed = changed
        self._jobs = jobs
        self._heard = 0.0  # when the master acknowledged anything last
        self._systemd: saltern_systemd.Systemd | None = None
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="saltern-watch")
        self._running: set[asyncio.Task[None]] = set()
        self._probing: set[str] = set()
        self._helping = False
        self._said = ""  # the last complaint about systemd
        self._due: dict[str, float] = {}
        self._wake = asyncio.Event()
        self._started = 0.0

    # -- the loop ----------------------------------------------------------------------------

    async def run(self) -> str:
        """Watch until there is a reason to end; returns it."""
        self._started = time.monotonic()
        try:
            while True:
                reason = await self._step()
                if reason:
                    return reason
                timeout = max(0.0, self._deadline() - time.monotonic())
                try:
                    await asyncio.wait_for(self._wake.wait(), timeout)
                except TimeoutError:
                    continue
                self._wake.clear()
        finally:
            self._drop_systemd()
            self._pool.shutdown(wait=False, cancel_futures=True)
            self.store.close()

    async def _step(self) -> str:
        if self._is_due("check", CHECK):
            reason = self._changed()
            if reason:
                return reason
            self._read_share()
            self._forgive()
        self._keep_in_touch()
        if self._is_due("stops", STOPS):
            self._look_for_stops()
        if self._is_due("probe", PROBE):
            self.watch.slower = saltern_pressure.slower()
            for service in self.watch.to_probe():
                self._begin(self._probe(service))
        now = time.monotonic()
        self._report(now)
        for kind, body in outbox.events(self.store.box.due(now), self.store.epoch):
            await self._send(kind, body)
        if self._sees_all(now) and self._is_due("beat", BEAT):
            await self._beat()
        if self.watch.bad() and self._is_due("aid", AID):
            self._help(now)
        return ""

    def _deadline(self) -> float:
        """When the next step is due should nothing happen."""
        now = time.monotonic()
        times = [
            *(self._due[name] for name in ("check", "probe", "stops") if name in self._due),
            self._due.get("beat", now + CHECK),
            self.watch.deadline(now),
            self.store.box.deadline(now),
        ]
        return min(at for at in times if at is not None)

    def _is_due(self, name: str, every: float) -> bool:
        now = time.monotonic()
        if now < self._due.get(name, 0.0):
            return False
        self._due[name] = now + every
        return True

    def _begin(self, work: Any) -> None:
        """Let it run beside the loop."""
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        task.add_done_callback(_tell_failure)

    async def _in_thread(self, function: Callable[..., Any], *words: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._pool, function, *words)

    # -- what is to be watched ---------------------------------------------------------------

    def _read_share(self) -> None:
        """Take what the file says when it is another than last time."""
        try:
            facts = self._share_file.stat()
        except OSError:
            return  # a fresh node: the first deploy writes it
        stamp = (facts.st_mtime_ns, facts.st_size)
        if stamp == self._share_stamp:
            return
        self._share_stamp = stamp
        try:
            share = share_of(json.loads(self._share_file.read_text(encoding="utf-8")))
        except (OSError, ValueError) as exc:
            log.error("%s: %s; next: salt %s state.apply watch", self._share_file, exc, self.node)
            return
        self.watch.adopt(share)
        self._drop_systemd()
        self._due.pop("connect", None)

    # -- systemd -----------------------------------------------------------------------------

    def _keep_in_touch(self) -> None:
        if not self.watch.share.units:
            return
        try:
            if self._systemd is None:
                self._connect()
            elif self._is_due("look", LOOK_AGAIN):
                self._systemd.look_again()
        except saltern_systemd.Gone as exc:
            self._lost(str(exc))
        if self._systemd is None and self._is_due("poll", POLL):
            self._begin(self._poll())

    def _connect(self) -> None:
        if not self._is_due("connect", RECONNECT):
            return
        if not saltern_systemd.is_installed():
            raise saltern_systemd.Gone(
                "jeepney is not installed in the Python of salt-minion, so systemd is asked every"
                f" {POLL:g} s instead of listened to; next: pip install -r requirements.txt there"
            )
        self._systemd = saltern_systemd.Systemd(
            self.watch.share.units, self._unit_seen, self._address
        )
        self._due["look"] = time.monotonic() + LOOK_AGAIN
        self._said = ""
        loop = asyncio.get_running_loop()
        loop.add_reader(self._systemd.fileno(), self._read_systemd)
        loop.call_soon(self._read_systemd)  # what came together with the greeting

    def _read_systemd(self) -> None:
        if self._systemd is None:
            return
        try:
            self._systemd.read()
        except saltern_systemd.Gone as exc:
            self._lost(str(exc))
        self._wake.set()

    def _lost(self, why: str) -> None:
        self._drop_systemd()
        if why != self._said:  # once, and not every ten seconds
            log.error("%s", why)
        self._said = why

    def _drop_systemd(self) -> None:
        if self._systemd is not None:
            asyncio.get_running_loop().remove_reader(self._systemd.fileno())
            self._systemd.close()
            self._systemd = None

    async def _poll(self) -> None:
        try:
            shown = await self._in_thread(saltern_systemd.show, list(self.watch.share.units))
        except saltern_systemd.Gone as exc:
            self._lost(str(exc))
            return
        for unit in shown:
            self._unit_seen(unit)
        self._wake.set()

    def _unit_seen(self, unit: Unit) -> None:
        self.watch.seen(unit, time.monotonic())

    def _forgive(self) -> None:
        calm = self.watch.forgiven(time.monotonic())
        if calm:
            self._begin(self._in_thread(saltern_healing.forgive, calm))

    # -- probes ------------------------------------------------------------------------------

    async def _probe(self, service: str) -> None:
        if service in self._probing:
            return
        self._probing.add(service)
        try:
            spec = self.watch.share.probes[service]
            while True:
                reason = await self._in_thread(saltern_watch_probes.ask, spec)
                if not self.watch.probed(service, reason, time.monotonic()):
                    break
        finally:
            self._probing.discard(service)
        if reason is not None or service in self.watch.bad():
            self._wake.set()

    def _look_for_stops(self) -> None:
        found = {
            service: why
            for service in self.watch.share.services
            if (why := saltern_processes.why_halted(self.watch.pids(service)))
        }
        if self.watch.halted(found):
            self._due.pop("probe", None)

    # -- reports -----------------------------------------------------------------------------

    def _report(self, now: float) -> None:
        told = dict(self.watch.told)
        changes = self.watch.update(now)
        for change in changes:
            log.warning("%s is %s %s", change.service, change.status, change.reason)
        if changes or told != self.watch.told:
            at = time.time()
            self.store.tell(self.watch.told, [{**c.body(), "at": at} for c in changes])

    def _sees_all(self, now: float) -> bool:
        """A beat says by its silence that the rest is well: so not before all has been seen."""
        if not self.watch.share.units:
            return False
        return self.watch.complete or now - self._started > BLIND

    async def _beat(self) -> None:
        box = self.store.box
        body = {"number": box.number, "oldest": box.oldest, "bad": self.watch.bad()}
        await self._send("beat", {**body, "epoch": self.store.epoch, "at": time.time()})

    async def _send(self, kind: str, body: Mapping[str, Any]) -> None:
        try:
            await asyncio.wait_for(self.bus.send(f"saltern/node/{self.node}/{kind}", body), SEND)
        except (OSError, TimeoutError) as exc:
            log.info("the minion does not take %s: %r", kind, exc)  # reports are sent again

    def received(self, tag: str, data: Mapping[str, Any]) -> None:
        """An event of the minion's bus."""
        if not tag.startswith(ACKED):
            return
        if self.store.acked(data.get(self.node)):
            self._heard = time.monotonic()
            self._wake.set()  # there may be room for more

    # -- first aid ---------------------------------------------------------------------------

    def _help(self, now: float) -> None:
        if self._helping:
            return
        needs = [need for service in self.watch.bad() if (need := self._need(service))]
        for aid in self.aid.due(needs, max(self._jobs(), self._heard), now)[:1]:
            self.aid.began(aid.service, now)
            self._helping = True
            self._begin(self._restart(aid))

    def _need(self, service: str) -> Need | None:
        item = self.store.box.waiting(service)
        if item is None or not item.sent or self._heard >= item.sent:
            return None
        return Need(
            service,
            self.watch.status[service],
            item.first,
            tuple(self.watch.units(service)),
            service in self.watch.share.quorum,
        )

    async def _restart(self, aid: Aid) -> None:
        log.warning("%s is %s and the master is away: %s", aid.service, aid.status, aid.act)
        patient = saltern_healing.Patient(
            aid.service,
            self.watch.share.units_of(aid.service),
            look=lambda: saltern_watch_probes.look(self.watch.share, aid.service),
            quorum=aid.service in self.watch.share.quorum,
        )
        self.watch.helped(aid.service, True)  # it may be well before this has come back
        helped = False
        try:
            done = await self._in_thread(_heal, patient)
            log.warning("%s: %s, %s", aid.service, done["did"], done["after"])
            helped = done["after"]["status"] == OK and done["did"] != "nothing"
        except (
            saltern_healing.Busy,
            saltern_healing.Refused,
            saltern_systemd.Gone,
        ) as exc:
            log.warning("%s: %s", aid.service, exc)
        finally:
            self._helping = False
            if not helped:
                self.watch.helped(aid.service, False)
            self._wake.set()


def _heal(patient: saltern_healing.Patient) -> dict[str, Any]:
    with saltern_healing.alone(patience=0):
        return saltern_healing.restart(patient)


def _tell_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        log.error("the watch stumbled", exc_info=task.exception())
