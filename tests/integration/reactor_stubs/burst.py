"""Sends reports as the watch of a node does: numbered, kept, and sent again until acknowledged."""

# mypy: ignore-errors

import pathlib
import time

import salt.utils.event
import saltern_outbox


def send(reports, seconds=60):
    """Every report of the list; returns how many the master has not acknowledged in time."""
    home = pathlib.Path(__opts__["cachedir"]) / "burst"
    store = saltern_outbox.Store(home / f"{time.time_ns()}.db")
    store.tell({}, reports)
    deadline = time.monotonic() + seconds
    with salt.utils.event.MinionEvent(__opts__, listen=True) as bus:
        while store.box.items and time.monotonic() < deadline:
            for item in store.box.due(time.monotonic()):
                body = {**item.body, "epoch": store.epoch, "number": item.number}
                tag = f"saltern/node/{__opts__['id']}/{item.kind}"
                bus.fire_event(
                    {"data": body, "tag": tag, "events": None, "pretag": None}, "fire_master"
                )
            heard = bus.get_event(wait=0.2, tag="saltern/acked", match_type="startswith")
            store.acked((heard or {}).get(__opts__["id"]))
    return len(store.box.items)
