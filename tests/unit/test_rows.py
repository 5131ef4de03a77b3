"""Rows put together, and where those of one kind lie."""

from __future__ import annotations

import numpy as np
import pytest

from engine.telemetry.rows import WIDTH, joined, places_of


def test_joined_rows_keep_their_order_and_each_column_lies_in_one_piece() -> None:
    parts = [
        np.arange(first, first + count * WIDTH, dtype=np.int64).reshape(count, WIDTH)
        for first, count in ((0, 3), (1000, 1), (5000, 4))
    ]
    rows = joined(parts)
    assert np.array_equal(rows, np.concatenate(parts))
    assert rows.T.flags.c_contiguous


@pytest.mark.parametrize(
    ("mask", "expected"),
    [
        ([0, 1, 1, 1, 0], slice(1, 4)),
        ([1, 1], slice(0, 2)),
        ([0, 0, 1], slice(2, 3)),
    ],
)
def test_one_stretch_is_a_slice(mask: list[int], expected: slice) -> None:
    assert places_of(np.array(mask, dtype=bool)) == expected


@pytest.mark.parametrize("mask", [[1, 0, 1], [0, 0], []])
def test_what_is_no_stretch_is_named_one_by_one(mask: list[int]) -> None:
    found = places_of(np.array(mask, dtype=bool))
    assert isinstance(found, np.ndarray)
    assert found.tolist() == [place for place, is_true in enumerate(mask) if is_true]
