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
