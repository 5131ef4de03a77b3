"""The ring: one row a second for an hour, in fixed memory that is taken at the start.

    gauges      float64 (SECONDS, len(GAUGES))    process and machine; NaN = no data
    totals      int64 (SECONDS, len(TOTALS))      all service traffic
    histograms  uint32 (SECONDS, BUCKETS)         its durations
    detail      rows and cells by series          the newest DETAIL_ROWS and DETAIL_CELLS

Rows are numbered by a sequence that only grows; row `seq` lies at `seq % SECONDS`. Times are
monotonic; a wall time is told from now backwards, so that a set clock leaves no fold.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.telemetry.histogram import BUCKETS
from engine.telemetry.labels import OUTCOMES
from engine.telemetry.system import GAUGES
from engine.telemetry.tally import SUMS, TOTAL_AT, TOTALS, Tally, total_of

SECONDS = 3600
BLOCK = 120
"""An hour is read in parts: a copy of it whole is 14 MB."""
DETAIL_ROWS = 40_000
DETAIL_CELLS = 1_000_000
_ROW = np.dtype([("seq", "<u4"), ("series", "<u2"), ("sums", "<i8", (len(SUMS),))])
_CELL = np.dtype([("seq", "<u4"), ("series", "<u2"), ("bucket", "<u2"), ("count", "<u4")])


def filled(shape: int | tuple[int, int], kind: Any, value: float = 0) -> np.ndarray:
    """An array whose every page is written to, so that the process does not grow into it.

    The system hands out what numpy.zeros asks for page by page, as it is used.
    """
    array: np.ndarray = np.empty(shape, dtype=kind)
    array[...] = value
    return array


class RowRing:
    """Rows in the order of their `seq`; the newest `capacity` of them are kept."""

    def __init__(self, capacity: int, kind: np.dtype[np.void]) -> None:
        self._rows = filled(capacity, kind)
        self._end = 0

    def append(self, block: np.ndarray) -> None:
        """Add rows; over the capacity, the oldest go."""
        capacity = len(self._rows)
        block = block[-capacity:]
        place = self._end % capacity
        head = min(len(block), capacity - place)
        self._rows[place : place + head] = block[:head]
        self._rows[: len(block) - head] = block[head:]
        self._end += len(block)

    def between(self, first: int, last: int) -> np.ndarray:
        """A copy of the rows with first <= seq <= last."""
        capacity = len(self._rows)
        place = self._end % capacity
        older = self._rows[place:] if self._end > capacity else self._rows[:0]
        parts = []
        for half in (older, self._rows[:place] if self._end != capacity else self._rows):
            begin = np.searchsorted(half["seq"], first, "left")
            end = np.searchsorted(half["seq"], last, "right")
            parts.append(half[begin:end])
        return np.concatenate(parts)

    @property
    def oldest(self) -> int:
        """The seq from which on rows are complete."""
        if self._end <= len(self._rows):
            return 0
        return int(self._rows["seq"][self._end % len(self._rows)]) + 1


@dataclass(slots=True)
class Stretch:
    """Consecutive seconds of the ring, oldest first. monotonic_s: when each ended."""

    first_seq: int
    monotonic_s: np.ndarray
    elapsed_s: np.ndarray
    gauges: np.ndarray
    totals: np.ndarray
    histograms: np.ndarray


class Ring:
    """Written by the ticker alone; readers take copies."""

    def __init__(self) -> None:
        self.seq = 0
        self._monotonic_s = filled(SECONDS, np.float64)
        self._elapsed_s = filled(SECONDS, np.float64, 1.0)
        self._gauges = filled((SECONDS, len(GAUGES)), np.float64, np.nan)
        self._totals = filled((SECONDS, len(TOTALS)), np.int64)
        self._histograms = filled((SECONDS, BUCKETS), np.uint32)
        self._detail = RowRing(DETAIL_ROWS, _ROW)
        self._cells = RowRing(DETAIL_CELLS, _CELL)

    def append(
        self,
        monotonic_s: float,
        elapsed_s: float,
        gauges: Mapping[str, float | None],
        tally: Tally,
        is_service: np.ndarray,
    ) -> int:
        """Store the next second; returns its sequence number, the first being 1.

        is_service: of each label, bool.
        """
        seq = self.seq + 1
        place = seq % SECONDS
        totals, histogram = total_of(tally, is_service[tally.series // len(OUTCOMES)])
        values = (gauges.get(name) for name in GAUGES)
        self._gauges[place] = [np.nan if value is None else value for value in values]
        self._monotonic_s[place], self._elapsed_s[place] = monotonic_s, elapsed_s
        self._totals[place], self._histograms[place] = totals, histogram
        self._keep_detail(seq, tally)
        self.seq = seq
        return seq

    def _keep_detail(self, seq: int, tally: Tally) -> None:
        rows = np.empty(len(tally.series), dtype=_ROW)
        rows["seq"], rows["series"], rows["sums"] = seq, tally.series, tally.sums
        self._detail.append(rows)
        cells = np.empty(len(tally.cells), dtype=_CELL)
        cells["seq"], cells["series"] = seq, tally.series[tally.cells[:, 0]]
        cells["bucket"], cells["count"] = tally.cells[:, 1], tally.cells[:, 2]
        self._cells.append(cells)

    def places(self, seconds: int, ending_before: int = 0) -> np.ndarray:
        """Where the last seconds lie, oldest first; never more than the ring holds."""
        last = self.seq - ending_before
        first = max(1, last - seconds + 1, self.seq - SECONDS + 1)
        return np.arange(first, last + 1) % SECONDS

    def window(self, seconds: int, ending_before: int = 0) -> tuple[dict[str, int], np.ndarray]:
        """Summed totals and merged histogram of `seconds` rows, `ending_before` rows ago."""
        places = self.places(seconds, ending_before)
        totals = self._totals[places].sum(axis=0).tolist()
        merged = self._histograms[places].sum(axis=0, dtype=np.int64)
        return dict(zip(TOTALS, totals, strict=True)), merged

    def requests(self, seconds: int) -> int:
        """Requests of service traffic in the last seconds."""
        return int(self._totals[self.places(seconds), TOTAL_AT["requests"]].sum())

    def gauge(self, name: str, seconds: int, ending_before: int = 0) -> np.ndarray:
        """A gauge's values over a window, oldest first, NaN where there are none."""
        values: np.ndarray = self._gauges[self.places(seconds, ending_before), GAUGES.index(name)]
        return values

    def ends(self) -> tuple[int, np.ndarray, np.ndarray]:
        """Of every second held: the first seq, when each ended (monotonic), how long each was."""
        places = self.places(SECONDS)
        first = self.seq - len(places) + 1
        return first, self._monotonic_s[places], self._elapsed_s[places]

    def blocks(self, first: int, last: int) -> Iterator[Stretch]:
        """The seconds first to last, by sequence number, as stretches of at most BLOCK."""
        for at in range(first, last + 1, BLOCK):
            end = min(last, at + BLOCK - 1)
            begin = max(at, self.seq - SECONDS + 1)  # the ticker may have gone on meanwhile
            yield self._at(begin, np.arange(begin, end + 1) % SECONDS)

    def stretch(self, seconds: int) -> Stretch:
        """The last seconds, as they lie."""
        places = self.places(seconds)
        return self._at(self.seq - len(places) + 1, places)

    def _at(self, first_seq: int, places: np.ndarray) -> Stretch:
        return Stretch(
            first_seq,
            self._monotonic_s[places],
            self._elapsed_s[places],
            self._gauges[places],
            self._totals[places],
            self._histograms[places],
        )

    def series(self, seconds: int, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Detail rows and cells of the last seconds whose series is wanted, bool by number.

        Fields: seq, series, sums; seq, series, bucket, count.
        """
        return self.series_between(max(1, self.seq - seconds + 1), self.seq, wanted)

    def series_between(
        self, first: int, last: int, wanted: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """The same of the seconds first to last, by sequence number."""
        rows, cells = (ring.between(first, last) for ring in (self._detail, self._cells))
        return rows[wanted[rows["series"]]], cells[wanted[cells["series"]]]

    @property
    def detail_since(self) -> int:
        """The seq from which on detail by series is complete."""
        return max(self._detail.oldest, self._cells.oldest)
