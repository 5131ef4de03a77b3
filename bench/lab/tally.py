"""What came back: counts, log-bucket histograms, and a series of at most 600 points.

Three durations of each answer, nanoseconds:

    latency   from the intended send (open loop) or the send (closed loop)
    service   from the send
    server    what the server says itself (x-processing-time, ms); not every server does

Latency and service hold answers and timeouts, a timeout at the time waited: leaving it out
would flatter the percentiles. Refusals and other errors are counted, not timed: a fast 503
would flatter them too. Points keep their histograms, so that two of them merge exactly.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from engine.telemetry.histogram import (
    BUCKETS,
    GROWTH,
    LOW_NS,
    buckets_of,
    histogram_of,
    percentiles_ms,
)

MOST_POINTS = 600
LEAST_POINT_S = 0.25
"""What is shorter, as the end of a run may be, is joined to the point before."""
MOST_TEXTS = 20
COLUMNS = ("t", "requested_per_s", "achieved_per_s", "errors", "p50_ms", "p95_ms", "p99_ms")
SHARES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p999": 0.999}


class Durations:
    """A histogram with exact mean and maximum, fed from an array of nanoseconds."""

    def __init__(self) -> None:
        self.waiting = array("q")
        self.counts = np.zeros(BUCKETS, dtype=np.int64)
        self.last = np.zeros(BUCKETS, dtype=np.int64)
        self.sum_ns, self.max_ns = 0, 0

    def take(self) -> np.ndarray:
        """Count what waits; its own histogram, which `last` holds until the next time."""
        fresh = np.frombuffer(self.waiting, dtype=np.int64)
        counts = self.last = histogram_of(fresh)
        self.counts += counts
        if len(fresh):
            self.sum_ns += int(fresh.sum())
            self.max_ns = max(self.max_ns, int(fresh.max()))
        self.waiting = array("q")
        return counts

    def add(self, values_ns: np.ndarray, times: np.ndarray) -> None:
        """Count values (n,), each so many times (n,)."""
        np.add.at(self.counts, buckets_of(values_ns), times)
        self.sum_ns += int((values_ns * times).sum())
        self.max_ns = max(self.max_ns, int(values_ns.max(initial=0)))

    def merge(self, other: Durations) -> None:
        """Add another's counted durations."""
        self.counts += other.counts
        self.sum_ns += other.sum_ns
        self.max_ns = max(self.max_ns, other.max_ns)

    def figures(self) -> dict[str, float | None]:
        """mean, percentiles (p50, ..., p999) and max, ms; None where nothing was counted."""
        total = int(self.counts.sum())
        if not total:
            return dict.fromkeys(("mean", *SHARES, "max"))
        found = percentiles_ms(self.counts[np.newaxis], tuple(SHARES.values()))[0]
        # A bucket's middle may lie above the largest value in it.
        rounded = (min(float(value), self.max_ns / 1e6) for value in found)
        shares = dict(zip(SHARES, (round(value, 4) for value in rounded), strict=True))
        return {
            "mean": round(self.sum_ns / total / 1e6, 4),
            **shares,
            "max": round(self.max_ns / 1e6, 4),
        }


class Point:
    """Some seconds of a run."""

    __slots__ = ("begin_s", "counts", "due", "end_s", "errors", "finished")

    def __init__(
        self, begin_s: float, end_s: float, due: int, finished: int, errors: int, counts: np.ndarray
    ) -> None:
        self.begin_s, self.end_s, self.counts = begin_s, end_s, counts
        self.due, self.finished, self.errors = due, finished, errors

    def joined(self, later: Point) -> Point:
        """This one and the next as one."""
        return Point(
            self.begin_s,
            later.end_s,
            self.due + later.due,
            self.finished + later.finished,
            self.errors + later.errors,
            self.counts + later.counts,
        )

    def row(self, open_loop: bool) -> list[float | None]:
        """Values in the order of COLUMNS; rates are of this point's own seconds."""
        width_s = max(self.end_s - self.begin_s, 1e-9)
        requested = round(self.due / width_s, 2) if open_loop else None
        return [
            round(self.begin_s, 3),
            requested,
            round(self.finished / width_s, 2),
            self.errors,
            *percentiles_of(self.counts, (0.5, 0.95, 0.99)),
        ]


def percentiles_of(counts: np.ndarray, shares: Sequence[float]) -> list[float | None]:
    """Percentiles, ms, of one histogram; None where it is empty."""
    found = percentiles_ms(counts[np.newaxis], shares)[0]
    return [None if np.isnan(value) else round(float(value), 4) for value in found]


class Tally:
    """All that one phase of a run has seen; the sender feeds `latency.waiting` and the like."""

    def __init__(self) -> None:
        self.latency, self.service, self.server = Durations(), Durations(), Durations()
        self.late = Durations()
        self.requests = self.errors = self.expected_errors = self.due = 0
        self.statuses: Counter[int] = Counter()
        self.error_texts: Counter[str] = Counter()
        self.points: list[Point] = []
        self._width = 1
        self._seen = (0, 0, 0)
        self._seen_s = 0.0

    def failed(self, text: str) -> None:
        """Count a request that had no good answer."""
        self.requests += 1
        self.errors += 1
        known = text in self.error_texts or len(self.error_texts) < MOST_TEXTS - 1
        self.error_texts[text if known else "other errors"] += 1

    def tick(self, until_s: float) -> Point:
        """Close the seconds since the last tick; `until_s` from the phase's start."""
        counts = self.latency.take()
        self.service.take(), self.server.take(), self.late.take()
        seen = (self.due, self.requests, self.errors)
        due, finished, errors = (now - before for now, before in zip(seen, self._seen, strict=True))
        point = Point(self._seen_s, until_s, due, finished, errors, counts)
        self._seen, self._seen_s = seen, until_s
        self._keep(point)
        return point

    def _keep(self, point: Point) -> None:
        """Append; past the bound, neighbours are joined and points become twice as wide."""
        last = self.points[-1] if self.points else None
        short = point.end_s - point.begin_s < LEAST_POINT_S
        if last is not None and (short or last.end_s - last.begin_s < self._width - 0.5):
            self.points[-1] = last.joined(point)
            return
        self.points.append(point)
        if len(self.points) > MOST_POINTS:
            pairs = zip(self.points[::2], self.points[1::2], strict=False)
            odd = self.points[-1:] if len(self.points) % 2 else []
            self.points = [first.joined(second) for first, second in pairs] + odd
            self._width *= 2

    def append_points(self, points: Sequence[Point], after_s: float) -> None:
        """Add another tally's points, as if they had begun at `after_s` of this one."""
        for point in points:
            begin_s, end_s = after_s + point.begin_s, after_s + point.end_s
            self._keep(Point(begin_s, end_s, point.due, point.finished, point.errors, point.counts))

    def record(self, open_loop: bool) -> dict[str, Any]:
        """This tally's part of a stored run."""
        return {
            "requests": self.requests,
            "errors": self.errors,
            "statuses": {str(status): n for status, n in sorted(self.statuses.items())},
            "error_texts": dict(self.error_texts),
            "latency_ms": self.latency.figures(),
            "service_ms": self.service.figures(),
            "server_ms": _server_figures(self.server),
            "series": {
                "columns": list(COLUMNS),
                "points": [point.row(open_loop) for point in self.points],
            },
            "histogram": histogram_record(self.latency.counts),
        }


def _server_figures(server: Durations) -> dict[str, float | None] | None:
    if not server.counts.any():
        return None
    figures = server.figures()
    return {name: figures[name] for name in ("p50", "p95", "p99")}


def histogram_record(counts: np.ndarray) -> dict[str, list[float]]:
    """edges_ms (n + 1) and counts (n) from the first filled bucket to the last."""
    filled = np.flatnonzero(counts)
    if not len(filled):
        return {"edges_ms": [], "counts": []}
    first, last = int(filled[0]), int(filled[-1])
    edges = LOW_NS * GROWTH ** np.arange(first, last + 2) / 1e6
    return {
        "edges_ms": [float(f"{edge:.5g}") for edge in edges],
        "counts": counts[first : last + 1].tolist(),
    }
