"""One call that answers any window, from the ring and the right tiers of history.

    window  ----------------------------------------------------------> now
            | coarse tier, what is added up | finer tiers | the ring |

The coarsest tier whose step is not longer than the window's is read; what it has not yet
comes from finer ones, and what no file has yet, or a short window, from the ring.
"""

from __future__ import annotations

import math
import sqlite3
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.errors import InvalidInput, without_folders
from engine.telemetry.figures import figures_of
from engine.telemetry.frames import Frames, Grid
from engine.telemetry.histogram import BUCKETS
from engine.telemetry.history import History
from engine.telemetry.history_file import HistoryFile
from engine.telemetry.labels import OUTCOMES, Labels
from engine.telemetry.ring import SECONDS, Ring
from engine.telemetry.rollup import TIERS, Tier
from engine.telemetry.system import GAUGES
from engine.telemetry.tally import SUMS, TOTAL_AT

POINTS = 600
MAX_POINTS = 5000
MAX_WINDOW_S = TIERS[-1].keep_s


Held = tuple[int, np.ndarray, np.ndarray]
"""Of Ring.ends."""


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
        step_s = usual_step_s(window_s) if step_s is None else step_s
        if not 1 <= step_s <= window_s or window_s / step_s > MAX_POINTS:
            least = max(1.0, window_s / MAX_POINTS)
            raise InvalidInput(f"step is {step_s:g} s; it must be {least:g} s to the window")
        count = math.ceil(window_s / step_s)
        # Steps begin at multiples of themselves, so that a chart asked for again does not
        # flicker; a single one ends now.
        grid_s = step_s if count > 1 else 1.0
        first_s = math.ceil(now_s / grid_s) * grid_s - count * step_s
        frames = Frames(Grid(first_s, step_s, count))
        offset_s, problem, since_s = now_s - monotonic_now_s, None, first_s
        held = self._ring.ends()
        _, ended_s, elapsed_s = held
        begins_s = float(ended_s[0] - elapsed_s[0]) + offset_s if len(ended_s) else now_s
        # Where the ring has every second, a short step is better off with it.
        short = window_s <= SECONDS or step_s < TIERS[1].step_s
        until_s = min(begins_s, frames.grid.until_s) if short else frames.grid.until_s
        if self._history is not None and first_s < until_s:
            try:
                since_s = self._read_file(frames, self._history, until_s, model, begins_s)
            except sqlite3.Error as error:
                problem = f"history could not be read: {without_folders(str(error))}"
        ring_since_s = max(since_s, begins_s) if short else since_s
        self._read_ring(frames, held, offset_s, ring_since_s, model)
        return Stretched(frames, step_s, problem)

    @staticmethod
    def _read_file(
        frames: Frames, history: History, until_s: float, model: str | None, begins_s: float
    ) -> float:
        """Add what the file has up to until_s; returns the time from which on it has nothing.

        begins_s: from then on the ring has what buckets lack that are not whole yet.
        """
        if not history.path.exists():
            return frames.grid.first_s
        file = HistoryFile(history.path, reads_only=True)

        def cover(since_s: float, until_s: float, tiers: tuple[Tier, ...]) -> float:
            """The coarsest buckets that fit; what is before and after them from finer ones."""
            if not tiers or since_s >= until_s:
                return since_s
            coarsest, finer = tiers[0], tiers[1:]
            first_s = math.ceil(since_s / coarsest.step_s) * coarsest.step_s
            ends_s = file.read(frames, coarsest, first_s, until_s, model, begins_s)
            if ends_s == first_s:
                return cover(since_s, until_s, finer)
            cover(since_s, first_s, finer)
            return cover(ends_s, until_s, finer)

        step_s = max(frames.grid.step_s, TIERS[0].step_s)
        try:
            # A bucket must not lie across two steps.
            fitting = (tier for tier in reversed(TIERS[1:]) if step_s % tier.step_s == 0)
            usable = (*fitting, TIERS[0])
            return cover(frames.grid.first_s, until_s, usable)
        finally:
            file.close()

    def _read_ring(
        self, frames: Frames, held: Held, offset_s: float, since_s: float, model: str | None
    ) -> None:
        """Add the ring's seconds from since_s on."""
        first_seq, ended_s, elapsed_s = held
        middles_s = ended_s - elapsed_s / 2 + offset_s
        places = frames.grid.places(middles_s)
        first = int(np.searchsorted(middles_s, max(since_s, frames.grid.first_s)))
        last = int(np.searchsorted(places, len(frames)))
        if model is not None and first < last:
            first = max(first, self._ring.detail_since - first_seq)
            self._add_model(frames, places, slice(first, last), first_seq, model)
        for block in self._ring.blocks(first_seq + first, first_seq + last - 1):
            begin = block.first_seq - first_seq
            into = places[begin : begin + len(block.elapsed_s)]
            if model is None:
                frames.add_rows(into, block.totals, block.histograms)
            frames.add_time(into, block.elapsed_s)
            frames.add_gauges(into, block.elapsed_s, block.gauges, block.gauges)

    def _add_model(
        self, frames: Frames, places: np.ndarray, chosen: slice, first_seq: int, model: str
    ) -> None:
        wanted = np.array([label.model == model and label.is_service for label in self._labels])
        rows, cells = self._ring.series(SECONDS, np.repeat(wanted, len(OUTCOMES)))
        # The ring may have gone on meanwhile: only the seconds chosen.
        at, cell_at = (part["seq"].astype(np.int64) - first_seq for part in (rows, cells))
        mine = (at >= chosen.start) & (at < chosen.stop)
        cells_mine = (cell_at >= chosen.start) & (cell_at < chosen.stop)
        rows, into = rows[mine], places[at[mine]]
        np.add.at(frames.totals[:, : len(SUMS)], into, rows["sums"])
        columns = len(SUMS) + rows["series"] % len(OUTCOMES)
        np.add.at(frames.totals, (into, columns), rows["sums"][:, TOTAL_AT["requests"]])
        cells, into = cells[cells_mine], places[cell_at[cells_mine]]
        flat = np.bincount(into * BUCKETS + cells["bucket"], cells["count"], len(frames) * BUCKETS)
        frames.histograms += flat.astype(np.int64).reshape(len(frames), BUCKETS)


def usual_step_s(window_s: float) -> float:
    """At most POINTS steps, each of whole buckets of the coarsest tier that it can hold."""
    least_s = math.ceil(window_s / POINTS)
    whole_s = next((tier.step_s for tier in reversed(TIERS) if tier.step_s <= least_s), 1)
    return float(math.ceil(least_s / whole_s) * whole_s)


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
