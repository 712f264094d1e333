"""Messages in words."""

from __future__ import annotations

import pytest
from saltern.reactor import wording
from saltern.reactor.incidents import Message, Phase, Trouble
from saltern.reactor.terms import Fault

NEW = (Fault("cmp3", "new"), Fault("cmp4", "new"))
SICK = Fault("ctl1", "service", "keystone")


@pytest.mark.parametrize(
    ("phase", "faults", "title"),
    [
        ("healed", NEW[:1], "lab took in: new node cmp3"),
        ("healed", NEW, "lab took in: new node cmp3, and 1 more on 2 nodes"),
        ("healed", (NEW[0], SICK), "lab healed itself: new node cmp3, and 1 more on 2 nodes"),
        ("attention", NEW[:1], "lab needs you: new node cmp3"),
    ],
)
def test_a_node_that_joined_was_not_ill(
    phase: Phase, faults: tuple[Fault, ...], title: str
) -> None:
    troubles = tuple(Trouble(fault, report=1, since=0.0) for fault in faults)
    assert wording.title(Message(1, phase, 9.0, 0.0, "notice", troubles), "lab") == title
