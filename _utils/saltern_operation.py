"""One operation on the cloud while it runs: the cloud, the fleet, and what a person sees of it."""

from __future__ import annotations

import json
import os
import pathlib
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TextIO

import saltern_store
from saltern import fitness, lock, preflight, share
from saltern.cloud import Cloud, ModelError
from saltern.values import functions
from saltern_fleet import SaltFleet

_current: dict[str, Operation] = {}

#: Seconds for which an operation on the whole cloud waits for the reactor's small ones to end.
SMALL_ONES = 180
POLL = 0.5

JOINED = "joined.json"


class Progress:
    """Prints each step as it begins and ends, and remembers how long it took."""

    def __init__(self, out: TextIO = sys.stderr) -> None:
        self.out = out
        self.began = time.monotonic()
        self.steps: list[dict[str, Any]] = []
        self.heading = ""
        self._writing = threading.Lock()

    @contextmanager
    def step(self, name: str, nodes: Sequence[str]) -> Iterator[None]:
        """Around one piece of work on ``nodes``."""
        record: dict[str, Any] = {"heading": self.heading, "step": name, "nodes": list(nodes)}
        began = time.monotonic()
        self.note(f"{name} on {_crowd(nodes)} ...")
        try:
            yield
            record["ok"] = True
        except BaseException:
            record["ok"] = False
            raise
        finally:
            record["seconds"] = round(time.monotonic() - began, 1)
            record["at"] = round(began - self.began, 1)
            self.steps.append(record)
            self.note(f"{name} {'done' if record['ok'] else 'FAILED'} in {record['seconds']} s")

    def note(self, text: str) -> None:
        """One line with the time since the operation began."""
        with self._writing:
            elapsed = time.monotonic() - self.began
            print(f"[{elapsed:6.1f} s] {self.heading}: {text}", file=self.out, flush=True)


class Operation:
    """What the states of one orchestration share for as long as its process lives."""

    def __init__(self, opts: Mapping[str, Any]) -> None:
        self.root = root_of(opts)
        self.home = pathlib.Path(opts["cachedir"]) / "saltern"
        self.store = saltern_store.Store(self.root)
        self.fleet = SaltFleet(opts["conf_file"])
        self.progress = Progress()
        #: Nodes that join and are left behind by the others -> why.
        self.lost: dict[str, list[str]] = {}

    def cloud(self) -> Cloud:
        """The cloud as its files describe it now, without secrets.

        :raises ModelError: naming every fault.
        """
        cloud, found = self.store.examine()
        if cloud is None:
            raise ModelError("; ".join(found))
        return cloud

    def expected(self, resolve: saltern_store.Resolver) -> fitness.Expected:
        """What nodes have to hold: today's code, and each its own share of the cloud."""
        cloud = self.store.cloud(resolve)
        told = functions()
        return fitness.Expected(
            now=time.time(),
            stamp=self.stamp(),
            digests={node: share.share(cloud, node, told)["digest"] for node in cloud.nodes},
        )

    def stamp(self) -> str:
        """Of the code that nodes get."""
        return preflight.code_stamp(
            {
                str(path.relative_to(self.root)).removeprefix("_"): path.read_bytes()
                for kind in ("_modules", "_states", "_utils")
                for path in (self.root / kind).rglob("*.py")
            }
        )

    def hold(self, name: str, owner: str) -> None:
        """Be the only operation on the cloud ``name`` until this process ends.

        Small operations on single nodes, which share the lock, are waited for.

        :raises saltern.lock.Busy: when another one runs.
        """
        path = self.home / f"{name}.lock"
        deadline = time.monotonic() + SMALL_ONES
        told = ""
        while True:
            try:
                lock.hold(path, owner=owner)
            except lock.Busy as exc:
                if lock.holder(path) or time.monotonic() > deadline:
                    raise
                if str(exc) != told:
                    self.progress.note(f"{exc}; waiting for it to end")
                told = str(exc)
                time.sleep(POLL)
            else:
                return

    def joined(self) -> dict[str, float]:
        """Node -> when a deploy or join finished it, seconds since the epoch."""
        return joined(self.home)

    def note_joined(self, nodes: Iterable[str], model: Iterable[str]) -> list[str]:
        """Keep that ``nodes`` have joined, and forget those that ``model`` does not have.

        Returns those that had not joined before.
        """
        before = self.joined()
        known = set(model)
        new = [node for node in nodes if node not in before]
        after = {node: at for node, at in before.items() if node in known}
        after.update(dict.fromkeys(new, round(time.time(), 1)))
        if after != before:
            _keep_joined(self.home, after)
        return new

    def write_record(self, name: str, extra: Mapping[str, Any]) -> pathlib.Path:
        """Keep what happened, for ``saltern.status`` and the benchmarks."""
        path = self.home / "operations" / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        seconds = round(time.monotonic() - self.progress.began, 1)
        record = {"seconds": seconds, "steps": self.progress.steps, **extra}
        path.write_text(json.dumps(record, indent=1), encoding="utf-8")
        return path


def current(opts: Mapping[str, Any], key: str) -> Operation:
    """The operation of this process under ``key``; made on first use."""
    if key not in _current:
        _current[key] = Operation(opts)
    return _current[key]


def joined(home: pathlib.Path) -> dict[str, float]:
    """Node -> when it joined, as kept in ``home`` (``<cachedir>/saltern``)."""
    try:
        text = (home / JOINED).read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    held: dict[str, float] = json.loads(text)
    return held


def left(home: pathlib.Path, node: str) -> None:
    """Keep that ``node`` has to join again."""
    held = joined(home)
    if held.pop(node, None) is not None:
        _keep_joined(home, held)


def _keep_joined(home: pathlib.Path, held: Mapping[str, float]) -> None:
    home.mkdir(parents=True, exist_ok=True)
    draft = home / f"joined.{os.getpid()}"
    draft.write_text(json.dumps(dict(held), indent=1, sort_keys=True), encoding="utf-8")
    draft.replace(home / JOINED)


def root_of(opts: Mapping[str, Any]) -> pathlib.Path:
    """Where Saltern is installed, as the master's ``ext_pillar`` says."""
    for entry in opts.get("ext_pillar", ()):
        if "saltern" in entry:
            return pathlib.Path(entry["saltern"]["root"])
    raise LookupError("the master's ext_pillar has no saltern: entry; see master.d/saltern.conf")


def _crowd(nodes: Sequence[str]) -> str:
    return ", ".join(nodes) if len(nodes) <= 8 else f"{len(nodes)} nodes"
