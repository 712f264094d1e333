"""The outbox: whatever the way loses, doubles or shuffles, nothing is forgotten before its ack."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from saltern.reactor import outbox
from saltern.reactor.outbox import AGAIN, OVERFLOW, SERVICE, UNDERWAY, WINDOW, Item, Outbox


def report(service: str = "keystone") -> dict[str, Any]:
    return {"service": service, "at": 7.0}


def test_a_digest_tells_outboxes_apart_and_not_their_epochs() -> None:
    assert outbox.digest("ab12") == "59d937723564937cd1441370c7c7cd9f"
    assert outbox.digest("ab12") != outbox.digest("ab13")


def test_numbers_count_from_one_and_are_due_at_once() -> None:
    box = Outbox()
    assert box.deadline(0.0) is None
    assert box.oldest == 1
    written = box.put(SERVICE, report())
    assert [item.number for item in written.items] == [1]
    assert written.dropped == ()
    assert box.deadline(0.0) == 0.0
    [sent] = box.due(100.0)
    assert (sent.number, sent.body, sent.first, sent.sent) == (1, report(), 100.0, 100.0)


def test_what_nobody_acknowledges_is_sent_again_with_growing_pauses() -> None:
    box = Outbox()
    box.put(SERVICE, report())
    now, pauses = 50.0, []
    for _ in range(7):
        assert box.due(now)
        deadline = box.deadline(now)
        assert deadline is not None
        assert box.due(deadline - 0.01) == []
        pauses.append(deadline - now)
        now = deadline
    assert pauses == [*AGAIN, 60.0, 60.0]
    [item] = box.items.values()
    assert (item.first, item.tries) == (50.0, 7)
    assert item.sent > item.first


def test_a_report_takes_the_newer_ones_about_its_service_along() -> None:
    box = Outbox()
    box.put(SERVICE, {"service": "keystone", "status": "down"})
    assert [item.number for item in box.due(0.0)] == [1]
    box.put(SERVICE, {"service": "keystone", "status": "ok"})
    box.put(SERVICE, {"service": "glance", "status": "down"})
    assert [item.number for item in box.due(3.0)] == [2, 3]
    assert [item.number for item in box.due(6.0)] == [1, 2], "2 alone is due two seconds later"
    assert [item.number for item in box.due(8.0)] == [3]


def test_an_ack_is_for_all_before_it() -> None:
    box = Outbox()
    for _ in range(4):
        box.put(SERVICE, report())
    assert box.acked(3) == [1, 2, 3]
    assert box.acked(3) == []
    assert list(box.items) == [4]
    assert box.put(SERVICE, report()).items[0].number == 5
    assert box.oldest == 4
    box.acked(5)
    assert box.oldest == 6


def test_after_a_restart_everything_is_due_and_no_number_is_given_twice() -> None:
    items = [Item(9, SERVICE, report("glance")), Item(8, SERVICE, report())]
    box = Outbox.of(11, items)
    assert [item.number for item in box.due(0.0)] == [8, 9]
    assert box.put(SERVICE, report()).items[0].number == 12
    assert Outbox.of(3, items).number == 9


def full() -> Outbox:
    """With everything under way that may be, since 1.0, and as much again in waiting."""
    box = Outbox()
    for _ in range(2 * WINDOW):
        box.put(SERVICE, report())
    assert len(box.due(1.0)) == WINDOW
    return box


def test_no_more_is_under_way_than_a_beat_can_wait_for() -> None:
    box = full()
    assert box.due(1.5) == []
    assert box.deadline(1.5) == 1.0 + UNDERWAY


def test_an_ack_makes_room_for_as_many() -> None:
    box = full()
    box.acked(3)
    assert box.deadline(1.5) == 0.0
    assert [item.number for item in box.due(1.5)] == [WINDOW + 1, WINDOW + 2, WINDOW + 3]


def test_what_was_never_sent_has_its_turn_while_the_master_is_away() -> None:
    box, now = full(), 1.0
    for _ in range(2):  # at first the same ones again, which then pause for longer
        now += UNDERWAY
        box.due(now)
    assert all(item.tries for item in box.items.values())


def test_the_newest_report_in_waiting_of_a_service() -> None:
    box = Outbox(bound=2)
    for service in ("keystone", "glance", "keystone"):
        box.put(SERVICE, report(service))
    found = box.waiting("keystone")
    assert found is not None and found.number == 3
    assert box.waiting("nova") is None


def test_the_oldest_are_dropped_and_counted() -> None:
    box = Outbox(bound=3)
    for _ in range(3):
        box.put(SERVICE, report())
    written = box.put(SERVICE, report())
    assert written.dropped == (1,)
    assert [(i.number, i.kind) for i in written.items] == [(4, SERVICE), (5, OVERFLOW)]
    assert box.items[5].body == {"at": 7.0, "dropped": 1}
    written = box.put(SERVICE, report())
    assert written.dropped == (2, 3)
    assert box.items[5].body["dropped"] == 3  # nobody has seen it: it may still count
    assert [i.number for i in written.items] == [6, 5]


def test_a_count_that_was_sent_is_not_changed_under_its_number() -> None:
    box = Outbox(bound=2)
    for _ in range(3):
        box.put(SERVICE, report())
    box.due(1.0)
    assert box.items[4].body["dropped"] == 1
    box.put(SERVICE, report())
    assert box.items[4].body["dropped"] == 1
    assert box.items[6].body == {"at": 7.0, "dropped": 2}


def test_a_box_full_of_counts_drops_what_comes() -> None:
    box = Outbox(bound=1, number=1, items={1: Item(1, OVERFLOW, {"dropped": 1}, tries=1)})
    written = box.put(SERVICE, report())
    assert written.dropped == (2,)
    assert [(i.number, i.kind) for i in written.items] == [(3, OVERFLOW)]


def test_several_reports_go_in_one_event() -> None:
    box = Outbox(bound=2)
    for _ in range(3):
        box.put(SERVICE, report())
    [(kind, body)] = outbox.events(box.due(1.0), "ab12")
    assert (kind, body["epoch"]) == (outbox.REPORTS, "ab12")
    assert [(one["number"], one["kind"]) for one in body["reports"]] == [
        (2, SERVICE), (3, SERVICE), (4, OVERFLOW),
    ]  # fmt: skip
    assert body["reports"][0]["service"] == "keystone"
    counts = [len(body.get("reports", [1])) for _, body in outbox.events(full().due(9.0), "ab12")]
    assert counts == [outbox.BATCH] * (WINDOW // outbox.BATCH)


def test_one_report_goes_alone() -> None:
    box = Outbox()
    box.put(SERVICE, report())
    alone = {**report(), "epoch": "ab12", "number": 1}
    assert list(outbox.events(box.due(1.0), "ab12")) == [(SERVICE, alone)]
    assert list(outbox.events([], "ab12")) == []


class Way:
    """Sends and acks that arrive late, twice, in another order, or never."""

    def __init__(self) -> None:
        self.up: list[tuple[int, str, dict[str, Any]]] = []
        self.down: list[int] = []
        self.held: dict[int, dict[str, Any]] = {}
        self.counted = 0
        self.beats: list[int] = []
        self.oldest = 1

    def arrive(self, which: int) -> None:
        number, kind, body = self.up[which % len(self.up)]
        if number not in self.held and kind == OVERFLOW:
            self.counted += body["dropped"]
        self.held.setdefault(number, dict(body))

    def beaten(self, which: int) -> None:
        self.oldest = max(self.oldest, self.beats[which % len(self.beats)])

    def acknowledge(self) -> None:
        """Everything that is known without a gap, or below what a beat said is the oldest."""
        upto = self.oldest - 1
        while upto + 1 in self.held:
            upto += 1
        self.down.append(upto)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["put", "send", "lose", "arrive", "beat", "beaten", "ack", "acked", "restart"]
        ),
        st.integers(0, 50),
    ),
    max_size=120,
)


@settings(max_examples=300, deadline=None)
@given(STEPS, st.integers(2, 12))
def test_every_report_arrives_or_is_counted(steps: list[tuple[str, int]], bound: int) -> None:
    box, way, now = Outbox(bound=bound), Way(), 0.0
    given_out: set[int] = set()
    dropped: set[int] = set()

    def send() -> None:
        for item in box.due(now):
            way.up.append((item.number, item.kind, dict(item.body)))

    for what, which in steps:
        if what == "put":
            written = box.put(SERVICE, {"at": now, "n": which})
            dropped |= set(written.dropped)
            given_out = set(range(1, box.number + 1))
            assert len([i for i in box.items.values() if i.kind != OVERFLOW]) <= bound
        elif what == "send":
            now += which
            send()
        elif what == "lose":
            del way.up[: which % 5]
        elif what == "arrive" and way.up:
            way.arrive(which)
        elif what == "beat":
            way.beats.append(box.oldest)
        elif what == "beaten" and way.beats:
            way.beaten(which)
        elif what == "ack":
            way.acknowledge()
        elif what == "acked" and way.down:
            box.acked(way.down[which % len(way.down)])
        elif what == "restart":
            box = Outbox.of(box.number, list(box.items.values()), bound)
        known = way.held.keys() | dropped | box.items.keys()
        assert given_out <= known, "forgotten before it was acknowledged"
        assert not [number for number in box.items if number < box.oldest]
        below = set(range(1, way.oldest))
        assert below <= way.held.keys() | dropped, "a beat gave up what the outbox still had"
    for _ in range(len(box.items) // WINDOW + 2):  # from now on everything gets through
        now += 1000
        send()
    while way.up:
        way.arrive(0)
        way.up.pop(0)
    way.beats.append(box.oldest)
    way.beaten(-1)
    way.acknowledge()
    box.acked(way.down[-1])
    assert given_out <= way.held.keys() | dropped
    assert not box.items
    assert way.counted == len(dropped)
