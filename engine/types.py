"""What travels through the engine: specs, requests, results.

A tensor is a C-contiguous numpy array; text tensors have dtype object and hold str.
Times are integer nanoseconds of a monotonic clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

Tensors = Mapping[str, np.ndarray]

NO_LOOKUP, MISSED, RESPONSE_HIT, RESULT_HIT, DISK_HIT, SHARED_HIT = range(6)
CACHE_WORDS = ("", "miss", "responses", "results", "disk", "redis")
"""What caches did for a request: not asked, asked in vain, or the tier that answered."""

NUMPY_DTYPES: Mapping[str, np.dtype] = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype(np.uint8),
    "UINT16": np.dtype(np.uint16),
    "UINT32": np.dtype(np.uint32),
    "UINT64": np.dtype(np.uint64),
    "INT8": np.dtype(np.int8),
    "INT16": np.dtype(np.int16),
    "INT32": np.dtype(np.int32),
    "INT64": np.dtype(np.int64),
    "FP16": np.dtype(np.float16),
    "FP32": np.dtype(np.float32),
    "FP64": np.dtype(np.float64),
    "BYTES": np.dtype(object),
}
"""Datatypes of the Open Inference Protocol V2 and the dtype that holds each."""

_DATATYPES = {dtype: name for name, dtype in NUMPY_DTYPES.items()}


def datatype_of(array: np.ndarray) -> str:
    """The V2 datatype of an array; every text dtype is BYTES."""
    return "BYTES" if array.dtype.kind in "OUS" else _DATATYPES[array.dtype]


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """Name, V2 datatype and shape of a tensor; -1 is a dimension free to vary."""

    name: str
    datatype: str
    shape: tuple[int, ...]

    def as_dict(self) -> dict[str, object]:
        return {"name": self.name, "datatype": self.datatype, "shape": list(self.shape)}


class Caller(Protocol):
    """Who asks, as far as an experiment wants to know, and is told."""

    def header(self, name: bytes) -> str:
        """What the caller sent under a name in lower case, or ""."""
        ...

    def assigned(self, variant: str) -> None:
        """The variant that answers this request."""
        ...


@dataclass(frozen=True, slots=True)
class InferRequest:
    """One call of the engine.

    inputs: tensors by name, as sent. outputs: names asked for; empty means the
    model's default. use_cache: False neither reads nor fills the result cache.
    """

    model: str
    inputs: Tensors
    version: str | None = None
    outputs: tuple[str, ...] = ()
    use_cache: bool = True


@dataclass(slots=True)
class InferTimings:
    """Where the engine's part of a request went; the parts never overlap."""

    load_ns: int = 0
    preprocess_ns: int = 0
    queue_ns: int = 0
    inference_ns: int = 0
    postprocess_ns: int = 0


@dataclass(slots=True)
class InferResult:
    """The answer to an InferRequest; its arrays are read-only.

    degraded: which form failed and who stands in; None while all is as planned.
    encoder_hits, encoder_misses: rows whose embedding was found, and those encoded now.
    batch_rows: rows of the run that answered, those of others in its batch included.
    """

    model: str
    version: str
    outputs: Tensors
    backend: str
    rows: int
    cache_hit: bool = False
    degraded: str | None = None
    encoder_hits: int = 0
    encoder_misses: int = 0
    cold_start: bool = False
    batch_rows: int = 0
    timings: InferTimings = field(default_factory=InferTimings)
