"""Answers as bytes and back, without pickle: a JSON head, then the arrays one after another.

uint32 LE   length of the head
head        {"form": ..., "arrays": [[name, dtype, shape], ...]}
arrays      C order; text as JSON lists
"""

from __future__ import annotations

import math

import numpy as np
import orjson

TEXT = "text"


def dump_run(outputs: dict[str, np.ndarray], form: str) -> bytes:
    """Bytes of named arrays and the form that computed them.

    Raises TypeError for text that is none: it would come back as another answer.
    """
    arrays, parts = [], []
    for name, array in outputs.items():
        if array.dtype.kind in "OUS":
            part = orjson.dumps([_text(text) for text in array.reshape(-1)])
            arrays.append([name, TEXT, list(array.shape), len(part)])
        else:
            part = np.ascontiguousarray(array).tobytes()
            arrays.append([name, array.dtype.str, list(array.shape), len(part)])
        parts.append(part)
    head = orjson.dumps({"form": form, "arrays": arrays})
    return b"".join((len(head).to_bytes(4, "little"), head, *parts))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{type(value).__name__} is no text")
    return str(value)


def load_run(payload: bytes) -> tuple[dict[str, np.ndarray], str]:
    """The inverse of `dump_run`, arrays read-only. Raises ValueError for other bytes."""
    try:
        end = 4 + int.from_bytes(payload[:4], "little")
        head = orjson.loads(payload[4:end])
        outputs = {}
        for name, dtype, shape, size in head["arrays"]:
            part, end = payload[end : end + size], end + size
            outputs[name] = _array(part, dtype, shape)
        return outputs, str(head["form"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"not an answer: {error}") from None


def _array(part: bytes, dtype: str, shape: list[int]) -> np.ndarray:
    if dtype != TEXT:
        # Read-only already: it lies on immutable bytes.
        return np.frombuffer(part, dtype=np.dtype(dtype)).reshape(shape)
    texts = orjson.loads(part)
    if len(texts) != math.prod(shape):
        raise ValueError("as many texts as the shape says")
    array = np.empty(len(texts), dtype=object)
    array[:] = texts
    array = array.reshape(shape)
    array.flags.writeable = False
    return array
