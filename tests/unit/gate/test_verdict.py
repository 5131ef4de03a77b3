from __future__ import annotations

import pytest

from bench.gate.statistics import LEAST_BLOCKS, Interval
from bench.gate.verdict import (
    FASTER,
    IN_BOUNDS,
    NOT_DECIDED,
    SAME,
    SLOWER,
    TOO_FEW,
    Verdict,
    verdict_of,
)


@pytest.mark.parametrize(
    ("low", "high", "word"),
    [
        (3.01, 9.0, SLOWER),
        (3.0, 9.0, NOT_DECIDED),
        (-1.0, 3.5, NOT_DECIDED),
        (0.5, 2.5, IN_BOUNDS),
        (-1.0, 1.0, SAME),
        (-4.0, -0.5, FASTER),
    ],
)
def test_the_near_end_decides(low: float, high: float, word: str) -> None:
    assert verdict_of(Interval((low + high) / 2, low, high), 3.0, 40).word == word


def test_only_slower_fails() -> None:
    words = [
        verdict_of(Interval((low + high) / 2, low, high), 3.0, 40)
        for low, high in ((4, 9), (2, 9), (1, 2), (-1, 1), (-2, -1))
    ]
    assert [verdict.word for verdict in words if verdict.fails] == [SLOWER]


def test_too_few_blocks_make_no_verdict() -> None:
    assert verdict_of(Interval(50, 40, 60), 3.0, LEAST_BLOCKS - 1) == Verdict(TOO_FEW, False)
