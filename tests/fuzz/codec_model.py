"""What plain json and numpy make of an infer request: the oracle of the codec's fuzzing.

It is simple and slow, and knows nothing of the codec but the protocol. It says what an accepted
tensor must hold, not what must be refused.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from engine.types import NUMPY_DTYPES


def tensors_of(content: bytes, json_bytes: int | None = None) -> dict[str, np.ndarray]:
    """Tensors by name, shaped. json_bytes: length of the JSON part; None is all of it."""
    text = content if json_bytes is None else content[:json_bytes]
    rest = b"" if json_bytes is None else content[json_bytes:]
    tensors = {}
    for item in json.loads(text)["inputs"]:
        parameters = item.get("parameters")
        size = parameters.get("binary_data_size") if isinstance(parameters, dict) else None
        if size is None:
            tensor = _of_json(item)
        else:
            tensor, rest = _of_bytes(item["datatype"], rest[:size]), rest[size:]
        tensors[item["name"]] = tensor.reshape(item["shape"])
    assert not rest
    return tensors


def _of_json(item: dict[str, Any]) -> np.ndarray:
    dtype = NUMPY_DTYPES[item["datatype"]]
    if dtype.kind == "O":
        return np.array(_leaves(item["data"]), dtype=object)
    return np.array(item["data"], dtype=np.float64 if dtype.kind == "f" else dtype).astype(dtype)


def _leaves(data: list[Any]) -> list[Any]:
    return [leaf for part in data for leaf in (_leaves(part) if type(part) is list else [part])]


def _of_bytes(datatype: str, data: bytes) -> np.ndarray:
    if datatype != "BYTES":
        return np.frombuffer(data, dtype=NUMPY_DTYPES[datatype].newbyteorder("<"))
    texts = []
    while data:
        size = int.from_bytes(data[:4], "little")
        texts.append(data[4 : 4 + size].decode())
        data = data[4 + size :]
    return np.array(texts, dtype=object)
