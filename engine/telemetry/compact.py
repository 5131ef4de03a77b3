"""Short rows for those who answer many requests at once; the ticker makes whole rows of them.

    TURN  one run's answers       who, first ordinal, how many, the run; then when it began,
                                  had its rows in place, had run
    EACH  one request of a turn   rows, bytes; then when it started, was looked up, parsed,
                                  encoded, packed, kept, ended
    HIT   one kept answer         who, rows, bytes; then when it started, was found, ended

Times are perf_counter's, seconds, as they were read: differences are taken here, of a second's
requests at once, in whole nanoseconds. A whole row costs a request four times as much, and a
float is packed in a third of the time of an integer of its size.
"""

from __future__ import annotations

from struct import Struct

import numpy as np

from engine.telemetry.rows import COLUMN, WIDTH
from engine.types import RESPONSE_HIT

TURN = np.dtype(
    [(name, "i8") for name in ("label", "form", "ordinal", "count", "batch_rows", "cache")]
    + [(name, "f8") for name in ("began", "built", "ran")]
)
EACH = np.dtype(
    [(name, "i8") for name in ("rows", "bytes_in", "bytes_out")]
    + [
        (name, "f8")
        for name in ("started", "looked_up", "parsed", "encoded", "packed", "kept", "ended")
    ]
)
HIT = np.dtype(
    [(name, "i8") for name in ("label", "form", "ordinal", "rows", "bytes_in", "bytes_out")]
    + [(name, "f8") for name in ("started", "found", "ended")]
)
pack_turn, pack_each, pack_hit = (Struct(layout).pack for layout in ("6q3d", "3q7d", "6q3d"))
EMPTY = np.empty((0, WIDTH), dtype=np.int64)


def rows_of_turns(turns: bytearray, each: bytearray) -> np.ndarray:
    """Whole rows, int64 (n, WIDTH), of packed turns and their requests."""
    if not turns:
        return EMPTY
    shared, own = np.frombuffer(turns, dtype=TURN), np.frombuffer(each, dtype=EACH)
    counts = shared["count"]
    firsts = np.cumsum(counts) - counts
    began, built, ran = (np.repeat(_ns(shared[at]), counts) for at in ("began", "built", "ran"))
    started, looked_up, parsed = (_ns(own[at]) for at in ("started", "looked_up", "parsed"))
    encoded, packed, kept = (_ns(own[at]) for at in ("encoded", "packed", "kept"))
    ended = _ns(own["ended"])
    # Each one's own turn comes after those of the requests before it: until then it waits.
    turn = np.empty_like(ended)
    turn[1:] = ended[:-1]
    turn[firsts] = ran[firsts]
    places = np.arange(len(own)) - np.repeat(firsts, counts)
    return _rows(
        **{name: np.repeat(shared[name], counts) for name in ("label", "form", "cache")},
        **{name: own[name] for name in ("rows", "bytes_in", "bytes_out")},
        ordinal=np.repeat(shared["ordinal"], counts) + places,
        batch_rows=np.repeat(shared["batch_rows"], counts),
        ended_ns=ended,
        duration_ns=ended - started,
        decode_ns=parsed - looked_up + built - began,
        queue_ns=began - parsed + turn - ran,
        cache_ns=looked_up - started + kept - packed,
        inference_ns=ran - built,
        encode_ns=encoded - turn,
        compress_ns=packed - encoded,
        write_ns=ended - kept,
    )


def rows_of_hits(hits: bytearray) -> np.ndarray:
    """Whole rows, int64 (n, WIDTH), of packed hits."""
    if not hits:
        return EMPTY
    given = np.frombuffer(hits, dtype=HIT)
    started, found, ended = (_ns(given[name]) for name in ("started", "found", "ended"))
    names = ("label", "form", "ordinal", "rows", "bytes_in", "bytes_out")
    return _rows(
        **{name: given[name] for name in names},
        cache=np.full(len(given), RESPONSE_HIT),
        ended_ns=ended,
        duration_ns=ended - started,
        cache_ns=found - started,
        write_ns=ended - found,
    )


def _ns(seconds: np.ndarray) -> np.ndarray:
    return np.rint(seconds * 1e9).astype(np.int64)


def _rows(**columns: np.ndarray) -> np.ndarray:
    """Rows of answered requests; columns not given are 0, or -1 where that is no reading."""
    table = np.zeros((WIDTH, len(columns["label"])), dtype=np.int64)
    table[COLUMN["status"]] = 200
    table[COLUMN["memory_before_kb"]] = table[COLUMN["memory_after_kb"]] = -1
    for name, values in columns.items():
        table[COLUMN[name]] = values
    return table.T
