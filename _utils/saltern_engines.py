"""How the two processes of the reactor are put together out of Salt's options."""

from __future__ import annotations

import os
import pathlib
import time
from collections.abc import Mapping
from typing import Any

import salt.client
import salt.utils.event
import saltern_store
from saltern_fleet import SaltFleet
from saltern_intake import Bell, Intake
from saltern_journal import Journal, path_of
from saltern_keys import AcceptedKeys
from saltern_notify import Notifier
from saltern_notify_targets import resolver
from saltern_operation import root_of
from saltern_reactor import Reactor, Soon
from saltern_reactor_actions import Actions
from saltern_reactor_lanes import Lanes
from saltern_reactor_threads import (
    Acks,
    Canary,
    Keys,
    Listener,
    Newcomers,
    Pruner,
    Reports,
    Scanner,
    Ticker,
)
from saltern_reactor_work import Operations
from saltern_reactor_world import World
from saltern_rulebook import Rulebook


def intake(opts: Mapping[str, Any]) -> None:
    """The process that drains the bus; does not return."""
    # First of all, because from here on the bus keeps events for us.
    bus = salt.utils.event.get_master_event(opts, opts["sock_dir"], listen=True)
    journal = Journal(path_of(opts["cachedir"]))
    journal.forget_beats()  # their clock may have been that of another boot
    journal.set_meta(intake_pid=str(os.getpid()))
    rulebook = Rulebook(saltern_store.Store(root_of(opts)))
    bell = Bell(_bell(opts))
    Intake(journal, rulebook, AcceptedKeys(opts["pki_dir"]), bell.ring).run(bus)


def reactor(opts: Mapping[str, Any]) -> None:
    """The process that decides and acts; does not return."""
    home = pathlib.Path(opts["cachedir"]) / "saltern"
    journal = Journal(path_of(opts["cachedir"]))
    journal.set_meta(reactor_pid=str(os.getpid()))
    rulebook = Rulebook(saltern_store.Store(root_of(opts)))
    rulebook.look()
    keys = AcceptedKeys(opts["pki_dir"])
    fleet = SaltFleet(opts["conf_file"])
    world = World(journal, keys, home)
    bell = Bell(_bell(opts))
    bell.listen()
    waker = Bell(bell.path)
    lanes = Lanes(waker.ring)
    epoch = journal.next_epoch()
    work = Operations(fleet, world, pathlib.Path(opts["conf_file"]), home, epoch)
    reports = Reports(journal, rulebook, keys, waker.ring)
    scan = Ticker("scan", Scanner(journal, rulebook, world, fleet, reports).tick)
    newcomers = Ticker("newcomers", Newcomers(rulebook, world, fleet, reports).tick)
    # One bus of its own for each thread that fires: a SaltEvent belongs to one thread.
    bus = salt.utils.event.get_master_event(opts, opts["sock_dir"], listen=False)
    canary = Canary(journal, lanes, bus.fire_event)
    acks = Acks(journal, lambda: salt.client.LocalClient(mopts=dict(opts)))
    notifier = Notifier(journal, resolver(opts))

    def notify() -> float:
        book = rulebook.book
        if book.cloud is not None:
            notifier.deliver(book.cloud.name, book.settings, time.time(), canary.well)
        return 1.0

    soon = Soon(scan.poke, newcomers.poke)
    loop = Reactor(journal, rulebook, world, Actions(lanes, world, work), epoch, soon)
    loop.begin()
    listener = Listener(journal, rulebook, world, fleet, reports)
    for name, tick in (
        ("acks", acks.tick),
        ("keys", Keys(keys).tick),
        ("presence", listener.tick),
        ("notify", notify),
        ("canary", canary.tick),
        ("prune", Pruner(journal, rulebook).tick),
    ):
        Ticker(name, tick).start()
    scan.start()
    newcomers.start()
    loop.run(bell)


def _bell(opts: Mapping[str, Any]) -> pathlib.Path:
    return path_of(opts["cachedir"]).with_name("wake.sock")
