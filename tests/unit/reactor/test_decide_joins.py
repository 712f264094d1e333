"""New nodes: one join for each, and how often one that fails is tried again."""

from __future__ import annotations

import pytest
from fake_decider import FakeDecider
from saltern.cloud import Cloud
from saltern.reactor.terms import Decision, Fault

SCAN = 120  # seconds between two scans


@pytest.fixture
def reactor(lab: Cloud) -> FakeDecider:
    return FakeDecider(lab)


def newcomer(reactor: FakeDecider) -> FakeDecider:
    reactor.know(joined=frozenset(reactor.cloud.nodes) - {"cmp2"})
    return reactor


def test_ten_copies_of_a_key_are_one_join(reactor: FakeDecider) -> None:
    newcomer(reactor)
    made = [reactor.ask(reactor.report("node-new", "cmp2")) for _ in range(10)]
    assert [d.verdict for d in made] == ["act"] + ["ignore"] * 9
    assert made[0].operation == "join" and made[0].fault == Fault("cmp2", "new")
    assert reactor.ask(reactor.report("node-new", "cmp2", "saltern/scan/new")).verdict == "ignore"


def test_ten_copies_of_a_key_that_waits_are_one_join_too(reactor: FakeDecider) -> None:
    newcomer(reactor).silence("cmp2")
    reports = [reactor.report("node-new", "cmp2") for _ in range(10)]
    made = [reactor.ask(report) for report in reports]
    assert [d.verdict for d in made] == ["wait"] + ["ignore"] * 9
    assert made[0].again_at is None and made[0].reasons[0] == "cmp2 does not answer yet"
    reactor.know(answering={**reactor.observed.answering, "cmp2": True})
    reactor.now += 400
    assert [reactor.ask(report).verdict for report in reports] == ["act"] + ["ignore"] * 9


def test_who_is_not_ours_or_not_ready_is_not_joined(reactor: FakeDecider) -> None:
    accepted = reactor.observed.accepted
    made = reactor.ask(reactor.report("node-new", "cmp2"))
    assert (made.verdict, made.reasons[0]) == ("ignore", "cmp2 has joined already")
    newcomer(reactor)
    reactor.know(accepted=accepted - {"cmp2"})
    made = reactor.ask(reactor.report("node-new", "cmp2"))
    assert (made.verdict, made.reasons[0]) == ("ignore", "the key of cmp2 is not accepted")
    reactor.know(accepted=accepted | {"stranger"})
    made = reactor.ask(reactor.report("node-new", "stranger"))
    assert (made.verdict, made.again_at) == ("wait", None)
    assert "the model does not name it: add it to pillar/cloud.yaml" in made.reasons[0]
    assert reactor.ask(reactor.report("node-new", "stranger", act="delete")).resolves


def test_nobody_joins_a_cloud_that_is_not_deployed(reactor: FakeDecider) -> None:
    reactor.know(joined=frozenset())
    made = reactor.ask(reactor.report("node-new", "ctl1"))
    assert made.verdict == "wait" and "not deployed yet" in made.reasons[0]


def test_a_join_that_fails_is_a_humans(reactor: FakeDecider) -> None:
    newcomer(reactor)
    reactor.ask(reactor.report("node-new", "cmp2"))
    reactor.now += 60
    again = reactor.end(ok=False)
    assert again
    made = reactor.ask(again)
    assert (made.verdict, made.reasons[0]) == ("human", "all of join has been tried")


def failed(reactor: FakeDecider) -> Decision:
    """A join has failed; what is done about that."""
    reactor.now += 100
    again = reactor.end(ok=False)
    assert again
    return reactor.ask(again)


def test_a_node_that_starts_anew_after_its_join_failed_is_joined_at_once(
    reactor: FakeDecider,
) -> None:
    newcomer(reactor)
    reactor.ask(reactor.report("node-new", "cmp2"))
    assert failed(reactor).verdict == "human"
    reactor.now += 5
    found = reactor.report("node-new", "cmp2", "saltern/scan/new")
    assert reactor.ask(found).verdict == "ignore", "it cannot have changed so soon"
    reactor.now += 20  # its power was back, its minion started, and that called for a scan
    found = reactor.report("node-new", "cmp2", "saltern/scan/new")
    assert reactor.ask(found).operation == "join"


def test_a_node_that_is_bad_for_good_does_not_keep_the_cloud_locked(reactor: FakeDecider) -> None:
    """A join holds the lock: nobody else is helped meanwhile, and no deploy can begin."""
    newcomer(reactor)
    verdicts, began = [], reactor.now
    while reactor.now < began + 3 * 3600:
        made = reactor.ask(reactor.report("node-new", "cmp2", "saltern/scan/new"))
        verdicts.append(made.verdict)
        if made.verdict == "act":
            failed(reactor)
        reactor.now += SCAN
    assert verdicts[0] == "act"
    assert verdicts.count("act") == 3 * 4
    assert "human" not in verdicts, "the scan has nothing new to tell"
