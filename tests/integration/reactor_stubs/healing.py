"""Stands in for the module of this name: it restarts nothing, and notes that it was asked."""

# mypy: ignore-errors

import json
import pathlib
import time


def _notes():
    return pathlib.Path(__opts__["cachedir"]) / "effects.jsonl"


def restart(service, wait=30, epoch=None):
    with _notes().open("a") as out:
        out.write(json.dumps({"service": service, "at": time.time(), "epoch": epoch}) + "\n")
    after = {"status": "ok", "reason": ""}
    return {"before": "down", "did": "restarted", "after": after, "seconds": 0.0}


def outbox():
    from saltern.reactor.outbox import digest

    return digest("ab12")  # of the epoch that the test beats with


def effects():
    try:
        return [json.loads(line) for line in _notes().read_text().splitlines()]
    except FileNotFoundError:
        return []


def forget():
    _notes().unlink(missing_ok=True)
    return True
