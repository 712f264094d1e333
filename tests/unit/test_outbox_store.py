"""The outbox on disk: nothing is lost or numbered twice, whenever the process or the power ends."""

from __future__ import annotations

import os
import pathlib
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable

import pytest
import support
from saltern.reactor.outbox import OVERFLOW, digest
from saltern_outbox import Store

DOWN = {"service": "keystone", "status": "down", "at": 5.0}

WRITER = """
import sys, pathlib
from saltern_outbox import Store
store = Store(pathlib.Path(sys.argv[1]))
while True:
    store.tell({"keystone": "down"}, [{"service": "keystone", "at": 1.0}])
    print(store.box.number, flush=True)
"""


def test_what_was_told_is_there_after_a_restart(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "home/outbox.db"
    store = Store(path)
    assert (store.box.number, store.told(), len(store.epoch)) == (0, {}, 32)
    store.tell({"keystone": "down"}, [DOWN, {**DOWN, "status": "hung"}])
    epoch = store.epoch
    store.close()
    again = Store(path)
    assert again.epoch == epoch
    assert again.told() == {"keystone": "down"}
    assert [(i.number, i.body["status"]) for i in again.box.due(0.0)] == [(1, "down"), (2, "hung")]
    assert path.parent.stat().st_mode & 0o077 == 0


def test_an_ack_is_remembered_and_so_is_the_number(tmp_path: pathlib.Path) -> None:
    store = Store(tmp_path / "outbox.db")
    store.tell({}, [DOWN, DOWN])
    assert store.acked({digest("another"): 7, digest(store.epoch): 2})
    store.close()
    again = Store(tmp_path / "outbox.db")
    assert again.box.items == {}
    again.tell({}, [DOWN])
    assert list(again.box.items) == [3]


@pytest.mark.parametrize(
    "word",
    [
        lambda own: None,
        lambda own: [own, 1],
        lambda own: {own: 1},  # whoever says this knows what it must not
        lambda own: {digest("another"): 1},
        lambda own: {digest(own): "1"},
        lambda own: {digest(own): None},
    ],
)
def test_an_ack_for_another_outbox_is_none(
    tmp_path: pathlib.Path, word: Callable[[str], object]
) -> None:
    store = Store(tmp_path / "outbox.db")
    store.tell({}, [DOWN])
    assert not store.acked(word(store.epoch))
    assert list(store.box.items) == [1]


def test_an_epoch_that_others_were_told_is_replaced(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "outbox.db"
    store = Store(path)
    store.tell({"keystone": "down"}, [DOWN, DOWN])
    store.close()
    with sqlite3.connect(path) as db:
        db.execute("UPDATE facts SET value = 'ab12' WHERE name = 'epoch'")
        db.execute("PRAGMA user_version=1")
    again = Store(path)
    epoch = again.epoch
    assert len(epoch) == 32
    assert (again.told(), list(again.box.items)) == ({"keystone": "down"}, [1, 2])
    again.close()
    assert Store(path).epoch == epoch


def test_what_was_dropped_is_dropped_on_disk_and_counted(tmp_path: pathlib.Path) -> None:
    store = Store(tmp_path / "outbox.db", bound=2)
    store.tell({}, [DOWN] * 4)
    store.tell({}, [DOWN])
    held = [(i.number, i.kind, i.body.get("dropped")) for i in store.box.items.values()]
    store.close()
    again = Store(tmp_path / "outbox.db", bound=2)
    assert held == [(i.number, i.kind, i.body.get("dropped")) for i in again.box.items.values()]
    assert [(kind, dropped) for _, kind, dropped in held if kind == OVERFLOW] == [(OVERFLOW, 4)]


@pytest.mark.parametrize("damage", ["bytes", "version", "page"])
def test_a_damaged_file_is_set_aside_and_begun_under_another_epoch(
    tmp_path: pathlib.Path, damage: str
) -> None:
    path = tmp_path / "outbox.db"
    store = Store(path)
    store.tell({}, [DOWN] * 50)
    epoch = store.epoch
    store.close()
    if damage == "bytes":
        path.write_bytes(b"no database at all" * 300)
    elif damage == "version":
        with sqlite3.connect(path) as db:
            db.execute("PRAGMA user_version=99")
    else:
        text = bytearray(path.read_bytes())
        text[4096:8192] = b"\xff" * 4096
        path.write_bytes(bytes(text))
    again = Store(path)
    assert again.epoch != epoch
    assert again.box.number == 0
    assert path.with_suffix(".damaged").exists()


def test_kill_9_loses_nothing_that_was_told(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "outbox.db"
    environment = {**os.environ, "PYTHONPATH": str(support.ROOT / "_utils")}
    said = 0
    for _ in range(3):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)],
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
        )
        assert writer.stdout
        writer.stdout.readline()
        time.sleep(0.1)
        writer.send_signal(signal.SIGKILL)
        lines = writer.stdout.read().split()
        writer.wait()
        said = int(lines[-1]) if lines else said + 1
        store = Store(path)
        assert store.box.number >= said
        assert max(store.box.items) == store.box.number
        store.close()
