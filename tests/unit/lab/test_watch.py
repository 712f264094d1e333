"""What the watch over the APIs makes of its questions: availability is proved by nothing else."""

from __future__ import annotations

import pytest
from labkit.watch import Sample, last_reasons, longest_gap, steady_since


def good(began: float, ended: float) -> Sample:
    return Sample(began, ended)


def bad(began: float, ended: float) -> Sample:
    return Sample(began, ended, "connection refused")


@pytest.mark.parametrize(
    ("samples", "since"),
    [
        ({"a": [good(1, 2), good(11, 12)]}, 10),
        ({"a": [good(1, 2)]}, None),  # nothing was asked since the cut
        ({"a": [bad(1, 2), good(11, 12)]}, 10),  # a failure before the cut is not the cut's
        ({"a": [bad(9, 14), good(14, 15)]}, 14),  # asked before, failed by the cut
        ({"a": [good(11, 12), bad(12, 17)]}, None),  # still away
        ({"a": [bad(11, 12), good(12, 13)], "b": [bad(11, 16)]}, None),
        ({"a": [bad(11, 12), good(12, 13)], "b": [bad(11, 16), good(16, 17)]}, None),
        ({"a": [bad(11, 12), good(16, 17)], "b": [bad(11, 16), good(16, 17)]}, 16),
    ],
)
def test_steady_since(samples: dict[str, list[Sample]], since: float | None) -> None:
    assert steady_since(samples, 10) == since


@pytest.mark.parametrize(
    ("asked", "gap"),
    [
        ([], 10),
        ([good(10, 11), good(12, 13), good(19, 19.5)], 6.5),
        ([good(10, 11), bad(12, 13), good(18, 18.5)], 7.5),
        ([good(8, 9), good(11, 12)], 8),  # silence lasts until the end
        ([good(10, 18), good(21, 22)], 8),
    ],
)
def test_the_longest_gap_is_between_good_answers(asked: list[Sample], gap: float) -> None:
    assert longest_gap(asked, 10, 20) == gap


def test_the_last_reason_of_each_api_that_failed() -> None:
    samples = {"a": [bad(1, 2), Sample(2, 3, "503"), good(3, 4)], "b": [good(1, 2)]}
    assert last_reasons(samples) == "a: 503"
