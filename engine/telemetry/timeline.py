"""One call that answers any window, from the ring and the right tiers of history.

    window  -------------------------------------------------------------> now
            | coarse tier, what is added up | finer tiers | the ring's hour |

The coarsest tier whose step is not longer than the window's is read; what it has not yet
comes from finer ones, and the newest from the ring.
"""

from __future__ import annotations

import math
import sqlite3
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.errors import InvalidInput
from engine.telemetry.figures import figures_of
from engine.telemetry.frames import Frames, joined, no_frames, regrouped
from engine.telemetry.history import History
from engine.telemetry.history_file import HistoryFile
from engine.telemetry.labels import OUTCOMES, Labels
from engine.telemetry.ring import SECONDS, Ring
from engine.telemetry.rollup import TIERS
from engine.telemetry.system import GAUGES
from engine.telemetry.tally import SUMS, TOTAL_AT

POINTS = 600
MAX_POINTS = 5000
MAX_WINDOW_S = TIERS[-1].keep_s


@dataclass(slots=True)
class Stretched:
    """Frames on a regular grid. problem: why history is missing, where it could not be read."""

    frames: Frames
    step_s: float
    problem: str | None = None


class Timeline:
    """Reads the ring and the history file; for any thread."""

    def __init__(self, ring: Ring, labels: Labels, history: History | None) -> None:
        self._ring, self._labels, self._history = ring, labels, history

    def frames(
        self,
        window_s: float,
        now_s: float,
        monotonic_now_s: float,
        step_s: float | None = None,
        model: str | None = None,
    ) -> Stretched:
        """Frames of the window that ends at now_s, UTC; model: None is all service traffic.

        Raises InvalidInput for a window or step out of range.
        """
        if not 1 <= window_s <= MAX_WINDOW_S:
            raise InvalidInput(f"window is {window_s:g} s; it must be 1 to {MAX_WINDOW_S} s")
        step_s = float(math.ceil(window_s / POINTS)) if step_s is None else step_s
        if not 1 <= step_s <= window_s or window_s / step_s > MAX_POINTS:
            least = max(1.0, window_s / MAX_POINTS)
            raise InvalidInput(f"step is {step_s:g} s; it must be {least:g} s to the window")
        count = math.ceil(window_s / step_s)
        # Steps begin at multiples of themselves, so that a chart asked for again does not
        # flicker; a single one ends now.
        grid_s = step_s if count > 1 else 1.0
        first_s = math.ceil(now_s / grid_s) * grid_s - count * step_s
        ring = self._of_ring(now_s - monotonic_now_s, model)
        ring_since_s = float(ring.start_s[0]) if len(ring) else now_s
        parts, problem = [ring], None
        if first_s < ring_since_s and self._history is not None:
            try:
                parts = [self._of_file(first_s, ring_since_s, step_s, model), ring]
            except sqlite3.Error as error:
                problem = f"history could not be read: {error}"
        return Stretched(regrouped(joined(parts), first_s, step_s, count), step_s, problem)

    def _of_ring(self, wall_offset_s: float, model: str | None) -> Frames:
        stretch = self._ring.stretch(SECONDS)
        frames = no_frames(len(stretch.elapsed_s))
        frames.start_s = stretch.monotonic_s - stretch.elapsed_s + wall_offset_s
        frames.seconds = stretch.elapsed_s
        frames.means = frames.maxima = stretch.gauges
        if model is None:
            frames.totals, frames.histograms = stretch.totals, stretch.histograms.astype(np.int64)
            return frames
        wanted = np.array([label.model == model and label.is_service for label in self._labels])
        rows, cells = self._ring.series(SECONDS, np.repeat(wanted, len(OUTCOMES)))
        # The ring may have gone on meanwhile: only seconds of this stretch.
        at, cell_at = (part["seq"].astype(np.int64) - stretch.first_seq for part in (rows, cells))
        rows, at = rows[at < len(frames)], at[at < len(frames)]
        cells, cell_at = cells[cell_at < len(frames)], cell_at[cell_at < len(frames)]
        np.add.at(frames.totals[:, : len(SUMS)], at, rows["sums"])
        columns = len(SUMS) + rows["series"] % len(OUTCOMES)
        np.add.at(frames.totals, (at, columns), rows["sums"][:, TOTAL_AT["requests"]])
        np.add.at(frames.histograms, (cell_at, cells["bucket"]), cells["count"])
        return frames.kept(np.arange(len(frames)) >= self._ring.detail_since - stretch.first_seq)

    def _of_file(self, since_s: float, until_s: float, step_s: float, model: str | None) -> Frames:
        assert self._history is not None
        if not self._history.path.exists():
            return no_frames()
        file = HistoryFile(self._history.path, reads_only=True)
        try:
            parts = []
            tiers = [tier for tier in TIERS if tier.step_s <= max(step_s, TIERS[0].step_s)]
            for tier in reversed(tiers):
                # A bucket that reaches into what the ring has would count it twice.
                found = file.frames(tier, since_s, until_s - tier.step_s + 1, model)
                parts.append(found)
                if len(found):
                    since_s = float(found.start_s[-1]) + tier.step_s
            return joined(parts)
        finally:
            file.close()


def as_dict(stretched: Stretched, names: tuple[str, ...] | None = None) -> dict[str, Any]:
    """Columns and points: t, then figures and gauges; None where nothing was recorded."""
    frames = stretched.frames
    with np.errstate(divide="ignore", invalid="ignore"):
        seconds = np.where(frames.seconds > 0, frames.seconds, np.nan)
        known = figures_of(seconds, frames.totals, frames.histograms)
    known |= dict(zip(GAUGES, frames.means.T, strict=True))
    chosen = names or tuple(known)
    table = np.stack([frames.start_s, *(known[name] for name in chosen)], axis=1)
    rows = [[None if value != value else value for value in row] for row in table.tolist()]
    return {
        "step_s": stretched.step_s,
        "problem": stretched.problem,
        "columns": ["t", *chosen],
        "points": rows,
        "covered_percent": 100
        * float(np.minimum(frames.seconds, stretched.step_s).sum())
        / (len(frames) * stretched.step_s),
    }
