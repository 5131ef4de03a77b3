"""A finished request as a row of integers.

rows  int64 (requests, WIDTH)

    label, form          numbers of the request's label and of the form that answered
    ordinal              names the request
    status, rows, batch_rows, cache, flags, bytes_in, bytes_out
    ended_ns             perf_counter at its end
    duration_ns, the phases in order (ns), cpu_ns
    memory_before_kb, memory_after_kb   -1 where they were not read
"""

from __future__ import annotations

from struct import Struct

import numpy as np

from engine.telemetry.record import PHASES

FIELDS = (
    *("label", "form", "ordinal", "status", "rows", "batch_rows", "cache", "flags"),
    *("bytes_in", "bytes_out", "ended_ns", "duration_ns"),
    *(f"{phase}_ns" for phase in PHASES),
    *("cpu_ns", "memory_before_kb", "memory_after_kb"),
)
COLUMN = {name: place for place, name in enumerate(FIELDS)}
WIDTH = len(FIELDS)
packed = Struct(f"{WIDTH}q").pack
"""A row's bytes; four times as fast as to put its numbers into an array."""
ROW_BYTES = 8 * WIDTH
FIRST_PHASE = COLUMN["front_ns"]
COLD, DEGRADED = 1, 2


def joined(parts: list[np.ndarray]) -> np.ndarray:
    """One array of all these rows, each column in one piece: a second's sums go by columns."""
    table = np.empty((WIDTH, sum(map(len, parts))), dtype=np.int64)
    end = 0
    for part in parts:
        begin, end = end, end + len(part)
        table[:, begin:end] = part.T
    return table.T


def places_of(mask: np.ndarray) -> np.ndarray | slice:
    """Where a mask (n,) is true: a slice where that is one stretch, so that nothing is copied."""
    found = np.flatnonzero(mask)
    if len(found) and found[-1] - found[0] + 1 == len(found):
        return slice(int(found[0]), int(found[-1]) + 1)
    return found
