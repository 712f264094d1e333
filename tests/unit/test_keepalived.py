import json

import pytest
from saltern import keepalived


def dump(state: int) -> str:
    vips = ["10.0.0.10/24 dev eth0 scope global set", "10.0.0.9/24 dev eth0 scope global set"]
    return json.dumps([{"data": {"iname": "saltern", "state": state, "vips": vips}}])


@pytest.mark.parametrize(
    ("state", "present", "said"),
    [
        (2, ["10.0.0.10", "10.0.0.9"], "MASTER"),
        (2, ["10.0.0.10"], "MASTER without 10.0.0.9"),
        (1, [], "BACKUP"),
        (1, ["10.0.0.10"], "BACKUP but holds 10.0.0.10"),
        (3, [], "FAULT"),
        (0, [], "INIT"),
        (97, [], "97"),
    ],
)
def test_a_state_is_believed_when_the_addresses_agree(
    state: int, present: list[str], said: str
) -> None:
    assert keepalived.states(dump(state), present) == {"saltern": said}


def test_half_a_dump_is_refused() -> None:
    with pytest.raises(ValueError, match="."):
        keepalived.states(dump(2)[:20], [])


def test_held_addresses_are_those_of_the_kernel() -> None:
    shown = json.dumps(
        [{"addr_info": [{"local": "10.0.0.5"}, {"local": "10.0.0.10"}]}, {"ifname": "dummy"}]
    )
    assert keepalived.held(shown, ["10.0.0.10", "10.0.0.9"]) == ["10.0.0.10"]
