"""Rows and the bodies made of them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from bench.lab import rows
from bench.lab.rows import Column
from engine.errors import InvalidInput

HELD = [
    Column("x", "FP64", (1, 2), [[1.0, 10.0], [2.0, 20.0]]),
    Column("kind", "BYTES", (1,), [["a"], ["b"]]),
]


def test_rows_that_are_held_come_first_and_further_ones_are_near_them() -> None:
    made = rows.widened(HELD, 200, seed=1)
    assert made[0].rows[:2] == HELD[0].rows
    assert rows.held(made) == 200
    for first, second in made[0].rows[2:]:
        assert min(abs(first / 1.0 - 1), abs(first / 2.0 - 1)) <= rows.JITTER
        assert min(abs(second / 10.0 - 1), abs(second / 20.0 - 1)) <= rows.JITTER
    assert {row[0] for row in made[1].rows} == {"a", "b"}
    assert len({tuple(row) for row in made[0].rows}) == 200


def test_fewer_rows_than_are_held_are_the_first_ones() -> None:
    assert rows.held(rows.widened(HELD, 1, seed=1)) == 1


def test_a_body_is_one_row_of_every_input() -> None:
    assert json.loads(rows.body_of(HELD, 1)) == {
        "inputs": [
            {"name": "x", "datatype": "FP64", "shape": [1, 2], "data": [2.0, 20.0]},
            {"name": "kind", "datatype": "BYTES", "shape": [1], "data": ["b"]},
        ]
    }


def test_sample_tensors_are_split_into_rows_unless_their_size_is_fixed() -> None:
    tensor = {"name": "x", "datatype": "FP32", "shape": [2, 3], "data": [1, 2, 3, 4, 5, 6]}
    (split,) = rows.from_tensors([tensor], fixed=False)
    assert (split.shape, split.rows) == ((1, 3), [[1, 2, 3], [4, 5, 6]])
    (whole,) = rows.from_tensors([tensor], fixed=True)
    assert (whole.shape, whole.rows) == ((2, 3), [[1, 2, 3, 4, 5, 6]])


def test_random_rows_fit_the_declared_shape_and_type() -> None:
    inputs = [
        {"name": "x", "datatype": "FP32", "shape": [-1, 3]},
        {"name": "n", "datatype": "INT32", "shape": [-1, 1]},
        {"name": "t", "datatype": "BYTES", "shape": [-1]},
        {"name": "b", "datatype": "BOOL", "shape": [-1, 2]},
    ]
    columns = rows.at_random(inputs, 5, seed=0)
    assert [column.shape for column in columns] == [(1, 3), (1, 1), (1,), (1, 2)]
    assert all(isinstance(value, float) for value in columns[0].rows[0])
    assert isinstance(columns[1].rows[0][0], int)
    assert isinstance(columns[2].rows[0][0], str)
    assert isinstance(columns[3].rows[0][0], bool)
    assert columns == rows.at_random(inputs, 5, seed=0)


def test_arrays_become_rows_with_holes_as_none() -> None:
    columns = rows.from_arrays({"x": np.array([[1.0, np.nan]], dtype=np.float32)}, {})
    assert columns == [Column("x", "FP32", (1, 2), [[1.0, None]])]


def test_objects_are_no_rows() -> None:
    with pytest.raises(InvalidInput, match="'x'"):
        rows.from_arrays({"x": np.array([{}], dtype=object)}, {})
