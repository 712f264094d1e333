"""Salt's side of :class:`saltern.fleet.Fleet`: jobs on minions, gathered as they return.

An event on the bus says that a node has returned; what it returned is read from the job cache. Any
minion can put such an event on the bus in the name of another. Into the cache it comes by a return,
for which a minion proves who it is (or from a syndic: that command Salt takes from every minion).

Why not ``LocalClient.cmd``: it polls a hundred times a second, has no limit of its own for a job
that hangs on a live minion, and leaves out, rather than names, the nodes that did not answer.
"""

from __future__ import annotations

import pathlib
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import salt.client
import salt.config
import salt.payload
import salt.utils.event
import salt.utils.jid
import saltern_pressure
from salt.exceptions import SaltException
from saltern.fleet import NO_ANSWER, Answer

#: Seconds of silence after which the silent nodes are asked whether the job still runs there.
FIRST_LOOK = 6
LOOK_EVERY = 15
#: Seconds that the master has to take a job.
PUBLISH_TIMEOUT = 30
#: Seconds that a node has to answer that question; busy ones need a few.
PRESENCE_TIMEOUT = 10
#: So often in a row a node that has answered it before may leave it unanswered: what it works on
#: may keep it too busy. Who has never answered is not there.
MAY_MISS = 1
#: The same while the machine of the master is starved, and for who has never answered there: the
#: master may be what is too slow, and in a lab the nodes are as starved.
STARVED_MAY_MISS, STARVED_NEVER = 4, 1
#: Seconds between a return on the bus and another look whether the master has kept it.
KEPT_SOON = 0.02
#: The file of a return in the folder of its node, see ``salt.returners.local_cache``. Not asked of
#: that module: its loader belongs to a client, and imports other returners when that is destroyed.
KEPT_AS = "return.p"
#: What is said of a node that answers, but has neither the job nor its return.
LOST = "lost the job (was its minion restarted meanwhile?)"


class SaltFleet:
    """Every minion by its id, through the master that ``conf_file`` configures.

    Calls may be made from several threads.
    """

    def __init__(self, conf_file: str) -> None:
        self._opts = salt.config.master_config(conf_file)
        self._idle: list[Any] = []  # clients that nobody uses now

    def call(
        self, nodes: Sequence[str], function: str, *, timeout: int, kwargs: Mapping[str, Any]
    ) -> dict[str, Answer]:
        """Run ``function`` on ``nodes`` side by side; one answer per node.

        timeout
            Seconds for the whole call; who has not answered by then counts as failed.
        """
        deadline = time.monotonic() + timeout
        try:
            answers = self._gather(nodes, function, deadline, dict(kwargs))
        except _NotTaken as exc:
            reason = f"the master took no job: {exc}; see journalctl -u salt-master"
            return dict.fromkeys(nodes, Answer(False, reason))
        late = Answer(False, f"{function} did not end within {timeout} s")
        return {node: answers.get(node, late) for node in nodes}

    def _gather(
        self, nodes: Sequence[str], function: str, deadline: float, kwargs: dict[str, Any]
    ) -> dict[str, Answer]:
        """Answers of those who gave one before ``deadline``, or never will."""
        answers: dict[str, Answer] = {}
        with (
            self._client() as client,
            salt.utils.event.get_master_event(
                self._opts, self._opts["sock_dir"], listen=True
            ) as bus,
        ):
            bus.subscribe("salt/job/")
            try:
                jid = _publish(client, nodes, function, kwarg=kwargs)
            except (SaltException, KeyError) as exc:
                raise _NotTaken(str(exc)) from exc
            job = _Job(client, bus, jid, self._opts)
            look = time.monotonic() + FIRST_LOOK
            pending = set(nodes)
            said: dict[str, Any] = {}  # whose returns were on the bus, and are not read yet
            idle: set[str] = set()
            while pending and (now := time.monotonic()) < deadline:
                wait = KEPT_SOON if said else max(0.1, min(look, deadline) - now)
                event = job.event(wait)
                if event and event.get("id") in pending:
                    said[event["id"]] = event
                found: dict[str, Answer] = {}
                if said and (event is None or said.keys() == pending):
                    found = job.kept(said)
                if event is None and not found and time.monotonic() >= look:
                    found, idle = job.look(pending, idle)
                    look = time.monotonic() + LOOK_EVERY
                for node, answer in found.items():
                    answers[node] = answer
                    pending.discard(node)
                    said.pop(node, None)
        return answers

    @contextmanager
    def _client(self) -> Iterator[Any]:
        """A client that nobody else uses meanwhile.

        One that was made loads every execution module of the master, which takes longer than the
        job (33 ms against 11 ms to publish it): so it is kept, unless something went wrong with it.
        """
        try:
            client = self._idle.pop()
        except IndexError:
            client = salt.client.LocalClient(mopts=dict(self._opts))
        try:
            yield client
        except BaseException:
            client.destroy()
            raise
        self._idle.append(client)


class _NotTaken(Exception):
    """The master took no job."""


def _publish(client: Any, nodes: Iterable[str], function: str, **how: Any) -> str:
    """Job id of ``function`` on ``nodes``."""
    # ``listen=False``: a bus of our own listens; the client's would only fill up.
    job = client.run_job(
        sorted(nodes), function, tgt_type="list", timeout=PUBLISH_TIMEOUT, listen=False, **how
    )
    return str(job["jid"])


class _Job:
    """A job that the master has taken, and what becomes of it."""

    def __init__(self, client: Any, bus: Any, jid: str, opts: Mapping[str, Any]) -> None:
        self._client = client
        self._bus = bus
        self._jid = jid
        jobs = str(pathlib.Path(opts["cachedir"]) / "jobs")
        self._met: set[str] = set()  # who has answered a look
        self._missed: dict[str, int] = {}  # how often in a row each has not
        self._folder = pathlib.Path(salt.utils.jid.jid_dir(jid, jobs, opts["hash_type"]))
        #: Without Salt's own job cache there is nothing but the bus to believe.
        self._keeps = (
            opts["master_job_cache"] == "local_cache"
            and opts["job_cache"]
            and not opts.get("ext_job_cache")
        )

    def event(self, wait: float) -> dict[str, Any] | None:
        """The next return on the bus, in the name of whoever sent it."""
        found: dict[str, Any] | None = self._bus.get_event(
            wait=wait, tag=f"salt/job/{self._jid}/ret/", match_type="startswith"
        )
        return found

    def kept(self, said: Mapping[str, Any]) -> dict[str, Answer]:
        """Answers of those who returned, as the bus ``said``, as far as the master has them."""
        if not self._keeps:
            return {node: _answer(event) for node, event in said.items()}
        files = {node: self._folder / node / KEPT_AS for node in said}
        return {
            node: _answer(salt.payload.loads(file.read_bytes()))
            for node, file in files.items()
            if file.exists()  # it is written as a whole, and for good
        }

    def look(self, silent: set[str], idle: set[str]) -> tuple[dict[str, Answer], set[str]]:
        """Answers for the silent nodes that will never give one themselves.

        ``idle`` are the nodes that said at the last look that no such job runs. Who says so twice,
        and has returned nothing meanwhile, has lost it. The second value is ``idle`` for the next
        look.
        """
        try:
            question = _publish(self._client, silent, "saltutil.find_job", arg=[self._jid])
        except SaltException:
            return {}, idle  # the master is too busy to be asked: that says nothing about the nodes
        except KeyError:  # no job: the master has accepted none of their keys
            return dict.fromkeys(silent, Answer(False, NO_ANSWER)), set()
        running: dict[str, Any] = {}
        deadline = time.monotonic() + PRESENCE_TIMEOUT
        while len(running) < len(silent) and (left := deadline - time.monotonic()) > 0:
            # Returns of the job itself that come in meanwhile are kept by the bus for the next look
            event = self._bus.get_event(
                wait=left, tag=f"salt/job/{question}/ret/", match_type="startswith"
            )
            if event and event.get("id") in silent:
                running[event["id"]] = event["return"]
        answering = {node for node in silent if _is_answer(running.get(node))}
        self._met |= answering
        self._missed.update({node: self._missed.get(node, 0) + 1 for node in silent - answering})
        self._missed.update(dict.fromkeys(answering, 0))
        starved = saltern_pressure.slower() > 1
        met, never = (STARVED_MAY_MISS, STARVED_NEVER) if starved else (MAY_MISS, 0)
        settled = {
            node: Answer(False, NO_ANSWER)
            for node in silent - answering
            if self._missed[node] > (met if node in self._met else never)
        }
        ended = {node for node in silent if running.get(node) == {}}
        if ended and self._keeps:  # its event was lost on the bus, its return was not
            settled.update(self.kept(dict.fromkeys(ended)))
        settled.update({node: Answer(False, LOST) for node in (ended & idle) - settled.keys()})
        return settled, ended - settled.keys()


def _is_answer(found: Any) -> bool:
    return isinstance(found, dict)


def _answer(event: Mapping[str, Any]) -> Answer:
    value = event["return"]
    # A function that raised gives its message as a string and no success; a state run or a health
    # check that found something wrong gives its usual data with a retcode, which is an answer.
    raised = isinstance(value, str) and bool(event.get("retcode", 0))
    return Answer(not raised, value)
