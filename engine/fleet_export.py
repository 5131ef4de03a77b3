"""This process' export for its peers, from the ring and what the engine holds.

Made when somebody asks; nothing is kept for it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from engine.fleet.export import (
    MOST_ALERTS,
    MOST_APART,
    MOST_MODELS,
    MOST_NAME,
    RESOURCES,
    Export,
    further,
)
from engine.fleet.steps import COUNTS, RING_S, STEP_S, WINDOW_S, ModelPart, Step
from engine.telemetry.histogram import BUCKETS, pack
from engine.telemetry.labels import OK, OTHER, OUTCOMES
from engine.telemetry.ring import Stretch
from engine.telemetry.tally import AT, TOTAL_AT
from engine.version import VERSION

if TYPE_CHECKING:
    from engine.engine import Engine

_SUMMED = (
    ("requests",),
    tuple(f"requests_{outcome}" for place, outcome in enumerate(OUTCOMES) if place != OK),
    ("response_hits", "result_hits", "disk_hits"),
    ("lookups",),
)
assert len(_SUMMED) == len(COUNTS)
SHOWN_DIGEST = 12
"""Hexadecimal digits of a model's digest: enough to tell that two differ."""


def fleet_export(engine: Engine, since: int = 0, run: str = "") -> Export:
    """What is after `since` of the run `run`; of another run, all that is kept."""
    ticker = engine.ticker
    seq, own = ticker.ring.seq, engine.recorder.run_id
    since = since if run == own and 0 <= since <= seq else 0
    first = max(1, since + 1, seq - RING_S + 1)
    apart = _models_apart(engine, max(first, seq - WINDOW_S + 1), seq)
    steps = [
        step._replace(models=apart.pop(step.number, {})) for step in _steps(engine, first, seq)
    ]
    latest = ticker.latest
    models = _models(engine)
    host, port = engine.listening
    return Export(
        run=own,
        version=VERSION,
        address=f"{host}:{port}",
        time=time.time(),
        started=latest.get("started", 0.0),
        since=since,
        seq=seq,
        ready=not engine.unready(),
        draining=engine.draining,
        resources={name: ticker.gauges.get(name) for name in RESOURCES},
        alerts=_alerts(latest),
        models=models[:MOST_MODELS],
        models_left_out=max(0, len(models) - MOST_MODELS),
        remote=further(figures_of(engine.remote)),
        shared=further(figures_of(engine.shared)),
        steps=steps,
    )


class Telling(Protocol):
    """A part of an engine that may be absent: its executor, its shared tier."""

    def figures(self) -> dict[str, Any]:
        """What it tells of itself; plain data."""
        ...


def figures_of(part: Telling | None) -> dict[str, Any] | None:
    """What a part tells, where it is there."""
    return None if part is None else part.figures()


def _alerts(latest: dict[str, Any]) -> list[dict[str, str]]:
    firing = [alert for alert in latest.get("alerts", ()) if alert["state"] == "firing"]
    return [
        {"name": str(alert["name"])[:MOST_NAME], "severity": str(alert["severity"])}
        for alert in firing[:MOST_ALERTS]
    ]


def _models(engine: Engine) -> list[dict[str, Any]]:
    registry = engine.registry
    return [
        {
            "name": slot.entry.name[:MOST_NAME],
            "version": slot.entry.version[:MOST_NAME],
            "state": slot.state,
            "digest": slot.entry.digest[:SHOWN_DIGEST],
            "form": slot.model.form if slot.model else None,
            "serving": registry.serves(slot),
        }
        for slot in registry.slots()
    ]


def _steps(engine: Engine, first: int, last: int) -> Iterator[Step]:
    """The ring's seconds summed by step, oldest first; a step may come in parts."""
    offset_s = engine.ticker.wall_offset_s
    for stretch in engine.ticker.ring.blocks(first, last):
        if len(stretch.monotonic_s):
            yield from _summed(stretch, offset_s)


def _summed(stretch: Stretch, offset_s: float) -> Iterator[Step]:
    numbers = ((stretch.monotonic_s + offset_s) // STEP_S).astype(np.int64)
    starts = np.flatnonzero(np.diff(numbers, prepend=numbers[0] - 1))
    seconds = np.add.reduceat(stretch.elapsed_s, starts)
    totals = np.add.reduceat(stretch.totals, starts)
    histograms = np.add.reduceat(stretch.histograms.astype(np.int64), starts)
    for place, start in enumerate(starts.tolist()):
        counts = tuple(
            int(sum(totals[place, TOTAL_AT[name]] for name in names)) for names in _SUMMED
        )
        packed = pack(histograms[place])
        yield Step(int(numbers[start]), float(seconds[place]), counts, packed, {})


def _models_apart(engine: Engine, first: int, last: int) -> dict[int, dict[str, ModelPart]]:
    """By step and model, the seconds first to last; models past MOST_APART are one."""
    ticker, labels = engine.ticker, engine.recorder.labels
    known = list(labels)
    is_service = np.repeat([label.is_service for label in known], len(OUTCOMES))
    rows, cells = ticker.ring.series_between(first, last, is_service)
    if not len(rows):
        return {}
    requests = rows["sums"][:, AT["requests"]]
    of_label = np.bincount(rows["series"] // len(OUTCOMES), requests, len(known))
    names, place_of = _places(known, of_label)
    step_of = ((_ends(engine, first, last) + ticker.wall_offset_s) // STEP_S).astype(np.int64)
    found: dict[int, dict[str, ModelPart]] = {}
    row_step, cell_step = (step_of[part["seq"].astype(np.int64) - first] for part in (rows, cells))
    row_model, cell_model = (place_of[part["series"] // len(OUTCOMES)] for part in (rows, cells))
    failed = np.where(rows["series"] % len(OUTCOMES) == OK, 0, requests)
    for step in np.unique(row_step).tolist():
        in_rows, in_cells = row_step == step, cell_step == step
        for model in np.unique(row_model[in_rows]).tolist():
            mine, durations = in_rows & (row_model == model), in_cells & (cell_model == model)
            dense = np.bincount(
                cells["bucket"][durations], cells["count"][durations], minlength=BUCKETS
            )
            part = ModelPart(
                int(requests[mine].sum()), int(failed[mine].sum()), pack(dense.astype(np.int64))
            )
            found.setdefault(step, {})[names[model]] = part
    return found


def _places(known: list[Any], of_label: np.ndarray) -> tuple[list[str], np.ndarray]:
    """Names of models told apart, the last for all others, and each label's place among them."""
    by_name: dict[str, float] = {}
    for label, requests in zip(known, of_label.tolist(), strict=True):
        by_name[label.model] = by_name.get(label.model, 0.0) + requests
    by_name.pop(OTHER, None)
    busiest = sorted(by_name, key=lambda name: -by_name[name])[:MOST_APART]
    names = [*(name[:MOST_NAME] for name in busiest), OTHER]
    place = {name: at for at, name in enumerate(busiest)}
    return names, np.array([place.get(label.model, len(busiest)) for label in known])


def _ends(engine: Engine, first: int, last: int) -> np.ndarray:
    """When the seconds first to last ended, monotonic."""
    oldest, ends_s, _ = engine.ticker.ring.ends()
    return ends_s[max(0, first - oldest) : last - oldest + 1]
