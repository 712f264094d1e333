"""Nodes that have not joined are looked at by themselves, and no more than need be."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest
import saltern_reactor_threads as threads
from fake_fleet import FakeFleet
from fake_reactor import Bench, rules
from saltern import lock
from saltern_reactor_threads import Newcomers, Reports


@pytest.fixture
def bench(tmp_path: pathlib.Path) -> Bench:
    return Bench(tmp_path)


def test_who_has_not_joined_is_looked_at_while_it_answers(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    fields = {"act": {"type": "string", "default": "accepted"}}
    new = {"tags": ["saltern/scan/new"], "source": "scan", "fields": fields}
    bench.rulebook.book = bench.rulebook.book._replace(rules=rules(new=new))
    away = {"cmp1", "cmp2"}

    def ping(node: str, kwargs: Any) -> bool:
        if node in away:
            raise RuntimeError("did not answer")
        return True

    fleet = FakeFleet(test__ping=ping)
    woken: list[int] = []
    rulebook: Any = bench.rulebook
    reports = Reports(bench.journal, rulebook, bench.world._keys, lambda: woken.append(1))
    one = Newcomers(rulebook, bench.world, fleet, reports)
    assert one.tick() == 3600 and not fleet.asked, "all have joined"
    bench.join("ctl1", "ctl2", "ctl3")
    assert one.tick() == 3600 and not bench.journal.undecided(10), "whoever comes calls for it"
    away.remove("cmp2")
    monkeypatch.setattr(lock, "holder", lambda _: "orch.join")
    asked = len(fleet.asked)
    assert one.tick() == 30 and len(fleet.asked) == asked, "a join has the nodes"
    monkeypatch.setattr(lock, "holder", lambda _: "")
    assert one.tick() == 30
    [report] = bench.journal.undecided(10)
    assert (report.node, report.tag, woken) == ("cmp2", "saltern/scan/new", [1])
    assert {function for function, _, _ in fleet.asked} == {"test.ping"}
    assert bench.world.answering()["cmp2"]
    bench.rulebook.book = bench.rulebook.book._replace(cloud=None)
    assert one.tick() == threads.BROKEN
