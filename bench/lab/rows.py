"""Rows of a model's inputs, and V2 bodies of them.

A Column is one input tensor: `rows` holds, for each row, its values as a flat list. A row is
sent with a batch of one, except where the model's first dimension is fixed: then a "row" is
the whole tensor.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from engine.errors import InvalidInput

JITTER = 0.05
"""How far a made value is from the held one it comes from, at most, as a share of it."""


@dataclass(frozen=True, slots=True)
class Column:
    """One input. shape: of one row as it is sent, first dimension included."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    rows: list[list[Any]]

    @property
    def is_float(self) -> bool:
        return self.datatype.startswith("FP")


def body_of(columns: Sequence[Column], row: int) -> bytes:
    """A V2 request of one row; NaN is sent as null."""
    tensors = [
        {"name": c.name, "datatype": c.datatype, "shape": c.shape, "data": c.rows[row]}
        for c in columns
    ]
    return orjson.dumps({"inputs": tensors})


def held(columns: Sequence[Column]) -> int:
    """How many rows there are."""
    return min((len(column.rows) for column in columns), default=0)


def widened(columns: Sequence[Column], count: int, seed: int) -> list[Column]:
    """The same columns with `count` rows, all different where there are floats.

    The first ones are those held. Of a further row each value is that of a held row drawn at
    random, and a float is moved by up to JITTER of itself (by up to JITTER where it is 0).
    """
    random = np.random.default_rng(seed)
    have = held(columns)
    return [
        Column(
            column.name,
            column.datatype,
            column.shape,
            column.rows[: min(have, count)]
            + [_made(column, have, random) for _ in range(count - have)],
        )
        for column in columns
    ]


def _made(column: Column, have: int, random: np.random.Generator) -> list[Any]:
    width = len(column.rows[0])
    drawn = random.integers(0, have, width).tolist()
    values = [column.rows[row][place] for place, row in enumerate(drawn)]
    if not column.is_float:
        return values
    moves = random.uniform(-JITTER, JITTER, width).tolist()
    return [
        value if value is None else value * (1 + move) if value else move
        for value, move in zip(values, moves, strict=True)
    ]


def from_tensors(tensors: Sequence[Mapping[str, Any]], fixed: bool) -> list[Column]:
    """Columns of V2 tensors that hold n rows each. fixed: the tensors are one row as they are."""
    columns = []
    for tensor in tensors:
        shape, data = [int(size) for size in tensor["shape"]], list(tensor["data"])
        count = 1 if fixed else shape[0]
        width = len(data) // max(1, count)
        rows = [data[at * width : (at + 1) * width] for at in range(count)]
        sent = tuple(shape) if fixed else (1, *shape[1:])
        columns.append(Column(str(tensor["name"]), str(tensor["datatype"]), sent, rows))
    return columns


def at_random(inputs: Sequence[Mapping[str, Any]], count: int, seed: int) -> list[Column]:
    """Rows for declared inputs that nobody has samples of; a free dimension is 1."""
    random = np.random.default_rng(seed)
    columns = []
    for spec in inputs:
        shape = tuple(size if size > 0 else 1 for size in (int(s) for s in spec["shape"])) or (1,)
        datatype = str(spec["datatype"])
        rows = [_random_values(datatype, math.prod(shape), random) for _ in range(count)]
        columns.append(Column(str(spec["name"]), datatype, shape, rows))
    return columns


def _random_values(datatype: str, width: int, random: np.random.Generator) -> list[Any]:
    if datatype.startswith("FP"):
        return [round(value, 4) for value in random.normal(size=width).tolist()]
    if datatype == "BOOL":
        return [bool(value) for value in random.integers(0, 2, width)]
    if datatype == "BYTES":
        return [f"text {value}" for value in random.integers(0, 1000, width)]
    return [int(value) for value in random.integers(0, 10, width)]


def from_arrays(arrays: Mapping[str, np.ndarray], datatypes: Mapping[str, str]) -> list[Column]:
    """Columns of arrays (n, ...). datatypes: what the model declares, by input.

    Raises InvalidInput for an array of another kind than numbers, booleans and text.
    """
    columns = []
    for name, array in arrays.items():
        if array.dtype.kind not in "fiubUS" or array.ndim == 0:
            raise InvalidInput(f"payload.path: array {name!r} has dtype {array.dtype}, no rows of")
        flat = array.reshape(len(array), -1)
        if array.dtype.kind == "f":
            rows = [[None if v != v else v for v in row] for row in flat.astype(float).tolist()]
        elif array.dtype.kind == "S":
            rows = [[v.decode("utf-8", "replace") for v in row] for row in flat.tolist()]
        else:
            rows = flat.tolist()
        datatype = datatypes.get(name) or _datatype(array)
        columns.append(Column(name, datatype, (1, *array.shape[1:]), rows))
    return columns


def _datatype(array: np.ndarray) -> str:
    kind, bits = array.dtype.kind, array.dtype.itemsize * 8
    if kind in "US":
        return "BYTES"
    if kind == "b":
        return "BOOL"
    return {"f": "FP", "i": "INT", "u": "UINT"}[kind] + str(bits)
