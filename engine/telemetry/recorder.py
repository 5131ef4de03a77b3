"""The recorder: takes requests' rows on their side; they are taken from it once a second.

A request costs one row of numbers (rows.py), or a short one where many are answered at once
(compact.py). What is no number, a caller's own id or trace, is kept beside it by ordinal.
"""

from __future__ import annotations

import itertools
import threading
import time
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np

from engine.telemetry.compact import EACH, HIT, rows_of_hits, rows_of_turns
from engine.telemetry.labels import Label, Labels
from engine.telemetry.record import PHASES, RequestMetrics
from engine.telemetry.rows import (
    COLD,
    COLUMN,
    DEGRADED,
    FIELDS,
    FIRST_PHASE,
    ROW_BYTES,
    WIDTH,
    joined,
    packed,
)

MAX_PENDING = 100_000
MAX_FORMS = 100
MEMORY_SAMPLE = 64
RECENT = 200
_MEASURED = attrgetter("duration_ns", *(f"{phase}_ns" for phase in PHASES), "cpu_ns")


class Named(NamedTuple):
    """What of a record is no number."""

    request_id: str
    trace_id: str
    span_id: str
    error: str
    own_phases: dict[str, int]


@dataclass(slots=True)
class Drained:
    """What was recorded between two drains. rows: (n, WIDTH). names: by ordinal."""

    rows: np.ndarray
    names: dict[int, Named]
    dropped: int


class Recorder:
    """Takes records from any thread; `drain` is for the ticker.

    id_prefix: request ids of our own are this and the ordinal; run_id tells this run by it.
    enabled: off takes nothing.
    """

    def __init__(self, id_prefix: str = "", enabled: bool = True) -> None:
        self.enabled = enabled
        self.run_id = id_prefix
        self.labels = Labels()
        self.forms: list[str] = [""]
        self.dropped = 0
        self._id_prefix = id_prefix
        self._pending, self._turns = bytearray(), bytearray()
        self._each, self._hits = bytearray(), bytearray()
        self._names: dict[int, Named] = {}
        self._lock = threading.Lock()
        self._label_ids: dict[tuple[str, str, str, str], int] = {}
        self._form_ids = {"": 0}
        # Two ranges of numbers that never meet and need no lock.
        self._ordinals, self._reserved = itertools.count(1), 1 << 48
        self._samples = itertools.count()
        self._last: Drained = Drained(np.empty((0, WIDTH), dtype=np.int64), {}, 0)
        # Wall time minus perf_counter; renewed at each drain, so that a set clock is followed.
        self._wall_offset_ns = time.time_ns() - time.perf_counter_ns()

    # on the requests' side

    def new_ordinal(self) -> int:
        """The next request's number."""
        return next(self._ordinals)

    def reserve(self, count: int) -> int:
        """The first of the next `count` requests' numbers; for the event loop alone."""
        first = self._reserved
        self._reserved += count
        return first

    def id_of(self, ordinal: int) -> str:
        """A request id of our own."""
        return f"{self._id_prefix}{ordinal:016x}"

    def label_id(self, label: Label) -> int:
        """The number of a label; for those who keep it."""
        with self._lock:
            return self.labels.id_of(label)

    def form_id(self, form: str) -> int:
        """The number of a form's name."""
        known = self._form_ids.get(form)
        if known is not None:
            return known
        with self._lock:
            if form not in self._form_ids:
                if len(self.forms) >= MAX_FORMS:
                    return 0
                self._form_ids[form] = len(self.forms)
                self.forms.append(form)
            return self._form_ids[form]

    def append(self, record: RequestMetrics, is_service: bool = True) -> None:
        """Take a finished record; over MAX_PENDING before the next drain are counted only."""
        if not self.enabled:
            return
        names = (record.model, record.version, record.variant, record.endpoint)
        label = self._label_ids.get(names)
        if label is None:
            label = self._label_ids[names] = self.label_id(Label(*names, is_service))
            if len(self._label_ids) > 4096:
                self._label_ids.clear()
        ordinal, form = next(self._ordinals), self.form_id(record.backend)
        before, after = record.memory_before_mb, record.memory_after_mb
        row = packed(
            label,
            form,
            ordinal,
            record.status,
            record.rows,
            record.batch_rows,
            record.cache,
            record.cold_start | record.degraded << 1,
            record.bytes_in,
            record.bytes_out,
            time.perf_counter_ns(),
            *_MEASURED(record),
            -1 if before is None else int(before * 1000),
            -1 if after is None else int(after * 1000),
        )
        named = Named(
            record.request_id, record.trace_id, record.span_id, record.error, record.own_phases
        )
        with self._lock:
            if len(self._pending) >= MAX_PENDING * ROW_BYTES:
                self.dropped += 1
                return
            self._pending += row
            self._names[ordinal] = named

    def extend(self, rows: bytes | bytearray) -> None:
        """Take finished records as rows, `packed`, one after the other."""
        with self._lock:
            if len(self._pending) >= MAX_PENDING * ROW_BYTES:
                self.dropped += len(rows) // ROW_BYTES
                return
            self._pending += rows

    def extend_turn(self, turn: bytes, each: bytearray) -> None:
        """Take the requests that one run answered; see engine.telemetry.compact."""
        with self._lock:
            if len(self._each) >= MAX_PENDING * EACH.itemsize:
                self.dropped += len(each) // EACH.itemsize
                return
            self._turns += turn
            self._each += each

    def extend_hit(self, hit: bytes) -> None:
        """Take a request that a kept response answered; see engine.telemetry.compact."""
        with self._lock:
            if len(self._hits) >= MAX_PENDING * HIT.itemsize:
                self.dropped += 1
                return
            self._hits += hit

    def sample_memory(self) -> bool:
        """True for one request in MEMORY_SAMPLE, so that memory is read for a sample."""
        return next(self._samples) % MEMORY_SAMPLE == 0

    # on the ticker's side

    def drain(self) -> Drained:
        """Everything recorded since the last drain."""
        with self._lock:
            names, self._names = self._names, {}
            taken = self._pending, self._turns, self._each, self._hits
            self._pending, self._turns = bytearray(), bytearray()
            self._each, self._hits = bytearray(), bytearray()
            dropped = self.dropped
        self._wall_offset_ns = time.time_ns() - time.perf_counter_ns()
        rows = _whole_rows(*taken)
        drained = Drained(rows, names, dropped)
        if len(rows):
            kept = _newest(rows)
            known = {int(n): names[int(n)] for n in kept[:, 2] if int(n) in names}
            self._last = Drained(kept, known, dropped)
        return drained

    def recent(self) -> list[RequestMetrics]:
        """The newest records, oldest first: those of the last drain, and since."""
        with self._lock:
            parts = self._pending, self._turns, self._each, self._hits
            copies = [bytearray(part) for part in parts]
            names = dict(self._names)
        last = self._last
        rows = np.concatenate([last.rows, _whole_rows(*copies)])
        return self.records(_newest(rows), last.names | names)

    def records(self, rows: np.ndarray, names: dict[int, Named]) -> list[RequestMetrics]:
        """Rows as records."""
        return [self._record(row, names.get(row[2])) for row in rows.tolist()]

    def ended_ns(self, record: RequestMetrics) -> int:
        """When a record of the last drain ended, perf_counter ns."""
        return int(record.finished_at * 1e9) - self._wall_offset_ns

    def _record(self, row: list[int], named: Named | None) -> RequestMetrics:
        label = self.labels[row[0]]
        measured: dict[str, Any] = dict(
            zip(FIELDS[FIRST_PHASE - 1 : -2], row[FIRST_PHASE - 1 : -2], strict=True)
        )
        record = RequestMetrics(
            named.request_id if named else self.id_of(row[2]),
            label.route,
            row[3],
            label.model,
            label.version,
            label.variant,
            row[4],
            row[5],
            bool(row[7] & COLD),
            row[6],
            self.forms[row[1]],
            bool(row[7] & DEGRADED),
            row[8],
            row[9],
            **measured,
            memory_before_mb=None if row[-2] < 0 else row[-2] / 1000,
            memory_after_mb=None if row[-1] < 0 else row[-1] / 1000,
            finished_at=(row[10] + self._wall_offset_ns) / 1e9,
        )
        if named:
            record.trace_id, record.span_id, record.error = named[1:4]
            record.own_phases = named.own_phases
        return record


def _whole_rows(
    pending: bytearray, turns: bytearray, each: bytearray, hits: bytearray
) -> np.ndarray:
    rows = np.frombuffer(pending, dtype=np.int64).reshape(-1, WIDTH)
    parts = [part for part in (rows, rows_of_turns(turns, each), rows_of_hits(hits)) if len(part)]
    return parts[0] if len(parts) == 1 else joined(parts) if parts else rows


def _newest(rows: np.ndarray) -> np.ndarray:
    """A copy of the last RECENT rows in the order of their ends."""
    return rows[np.argsort(rows[:, COLUMN["ended_ns"]], kind="stable")[-RECENT:]].copy()
