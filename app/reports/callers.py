"""A window's traffic without that of benchmarks: what recommendations are made of.

Events tell when benchmarks of the console ran. Whatever was answered in steps of the window that
one of them touches is left out, whoever asked for it: a request does not say where it is from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from engine.telemetry.frames import Frames

STEPS = 300
LOOK_BACK_S = 8 * 3600.0
"""A benchmark takes no longer: a ramp of an hour, halved six times more."""
Span = tuple[float, float]


class Kept(NamedTuple):
    """totals: summed over the steps that are left. covered_s: how long those are."""

    totals: np.ndarray
    covered_s: float


def benchmark_spans(events: Iterable[Mapping[str, Any]], from_s: float, to_s: float) -> list[Span]:
    """When benchmarks ran within a window, from events, oldest first; one at a time runs.

    The events are to reach back before the window by as long as a benchmark takes, so that one
    that spans it is among them. One whose start is not ran from the window's start; one whose
    end is not ran to the server's next start, as after a crash, or else to the window's end.
    """
    spans: list[Span] = []
    begun: float | None = None
    for event in events:
        if event["kind"] == "start" and begun is not None:
            spans.append((begun, event["t"]))
            begun = None
        if event["kind"] != "benchmark":
            continue
        if str(event["text"]).startswith("started "):
            begun = event["t"]
        else:
            spans.append((from_s if begun is None else begun, event["t"]))
            begun = None
    if begun is not None:
        spans.append((begun, to_s))
    cut = ((max(begins_s, from_s), min(until_s, to_s)) for begins_s, until_s in spans)
    return [(begins_s, until_s) for begins_s, until_s in cut if begins_s < until_s]


def step_of(from_s: float, to_s: float) -> float:
    """The step, s, of frames that spans can be left out of."""
    return max(1.0, (to_s - from_s) / STEPS)


def without(frames: Frames, spans: Iterable[Span]) -> Kept:
    """The frames' sums without the steps that a span touches."""
    ends_s = frames.start_s + frames.grid.step_s
    kept = np.ones(len(frames), dtype=bool)
    for begins_s, until_s in spans:
        kept &= (ends_s <= begins_s) | (frames.start_s >= until_s)
    seconds = np.minimum(frames.seconds, frames.grid.step_s)[kept]
    return Kept(frames.totals[kept].sum(axis=0), float(seconds.sum()))


def callers_of(
    models: Iterable[Mapping[str, Any]],
    spans: list[Span],
    look: Callable[[str | None], Frames],
    told: Callable[[Mapping[str, Any], np.ndarray], dict[str, Any]],
) -> dict[str, Any]:
    """Models' rows and the covered time, without benchmarks; {} where none ran.

    look: the frames of a model, None for all. told: a row with the sums of those totals.
    """
    if not spans:
        return {}
    rows = [told(model, without(look(model["name"]), spans).totals) for model in models]
    return {"models": rows, "judged_s": without(look(None), spans).covered_s}
