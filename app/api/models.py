"""One model: what it is, how long its answers took, and rows to try it with.

None of these loads a model: what only a loaded one knows is null until somebody loads it.
"""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np

from app.api.performance import placement_of
from app.api.telemetry import stretch_of
from app.exchange import Exchange, Response, json_response
from engine.engine import Engine
from engine.errors import UnknownModel
from engine.models.signature import Signature
from engine.models.slots import Slot
from engine.telemetry.histogram import GROWTH, LOW_NS, percentile_ms
from engine.telemetry.labels import OUTCOMES
from engine.telemetry.tally import BATCH_LIMITS, BATCHES, TOTAL_AT
from engine.types import NUMPY_DTYPES, TensorSpec

DEFAULT_WINDOW = "10m"
MOST_BARS = 60
MOST_ROWS = 5
MOST_ELEMENTS = 60_000
"""A sample has fewer rows rather than more values than this."""
PERCENTILES = {"p50_ms": 0.5, "p95_ms": 0.95, "p99_ms": 0.99}
HITS = ("response_hits", "result_hits", "disk_hits", "redis_hits")


def about(exchange: Exchange) -> Response:
    """GET ?version=: schema, versions, held-out quality, and how its requests are run."""
    engine, slot = exchange.engine, _slot(exchange)
    declared, metadata = slot.entry.declared, slot.entry.metadata
    named = [s for s in engine.registry.slots() if s.entry.name == slot.entry.name]
    return json_response(
        {
            "model": slot.entry.name,
            "version": slot.entry.version,
            "state": slot.state,
            "error": slot.error or slot.problem,
            "unloaded": slot.unloaded,
            "description": declared.description,
            "task": declared.task,
            "format": slot.entry.format,
            "digest": slot.entry.digest,
            "encoder": declared.encoder or None,
            "cache": {"results": declared.cache_results, "ttl_s": declared.cache_ttl_s},
            "schema": _schema(engine, slot),
            "labels": _texts(metadata.get("classes")),
            "quality": _quality(metadata),
            "trained_rows": metadata.get("trained_rows"),
            "data": metadata.get("data"),
            "runs": _runs(engine, slot),
            "versions": [_version(engine, one) for one in named],
        }
    )


def _slot(exchange: Exchange) -> Slot:
    return exchange.engine.registry.slot(exchange.path_args["model"], exchange.query("version"))


def _source(engine: Engine, slot: Slot) -> Slot:
    """The slot whose inputs a caller sends: the encoder's, where there is one."""
    encoder = slot.entry.declared.encoder
    if not encoder:
        return slot
    try:
        return engine.registry.slot(encoder)
    except UnknownModel:
        return slot


def _schema(engine: Engine, slot: Slot) -> dict[str, Any] | None:
    """Inputs and outputs, as far as they are known; None where nothing is."""
    source = _source(engine, slot)
    known = source.model.signature if source.model else None
    own = slot.model.signature if slot.model else None
    declared = source.entry.declared.inputs
    if known is None and not declared:
        return None
    inputs = known.inputs if known else tuple(item.spec for item in declared)
    columns = known.columns if known else next((i.columns for i in declared if i.columns), ())
    return {
        "read_from": "the model" if known else "model.toml",
        "inputs": [spec.as_dict() for spec in inputs],
        "columns": list(columns),
        "nan_inputs": sorted(known.nan_inputs) if known else None,
        "finite_float32": known.finite_float32 if known else False,
        "categories": _categories(known),
        "outputs": [spec.as_dict() for spec in own.outputs] if own else None,
        "classes": list(own.classes) if own else [],
    }


def _categories(signature: Signature | None) -> dict[str, list[str]]:
    known = signature.categories if signature else {}
    return {name: sorted(texts) for name, texts in known.items()}


def _texts(value: object) -> list[str]:
    if not isinstance(value, list):
        return []
    return [str(item) for item in value]


def _quality(metadata: dict[str, Any]) -> list[dict[str, Any]]:
    measures = metadata.get("quality")
    kept = [m for m in measures if isinstance(m, dict)] if isinstance(measures, list) else []
    return [{key: item.get(key) for key in ("name", "value", "rows", "split")} for item in kept]


def _runs(engine: Engine, slot: Slot) -> dict[str, Any]:
    scheduler = engine.runs.scheduler
    batching = slot.model.batching if slot.model else None
    return {
        "placement": placement_of(engine, slot),
        "quick_rows": slot.model.quick_rows if slot.model else None,
        "batch_max_rows": batching.max_rows if batching else None,
        "batch_max_wait_us": batching.max_wait_ns / 1000 if batching else None,
        "queue_limit": scheduler.max_queued,
        "slots": scheduler.slots,
    }


def _version(engine: Engine, slot: Slot) -> dict[str, Any]:
    return {
        "version": slot.entry.version,
        "state": slot.state,
        "serving": engine.registry.serves(slot),
        "pinned": slot.pinned,
        "format": slot.entry.format,
        "backend": slot.model.form if slot.model else None,
        "memory_mb": slot.bytes / 1e6 if slot.model else None,
        "load_ms": slot.load_ms,
        "loads": slot.loads,
        "unloaded": slot.unloaded,
        "error": slot.error or slot.problem or (slot.model.degraded if slot.model else None),
    }


def latency(exchange: Exchange) -> Response:
    """GET ?window= or ?from=&to=: durations, batch sizes and outcomes of a stretch of time."""
    name = _slot(exchange).entry.name
    from_s, to_s = stretch_of(exchange, DEFAULT_WINDOW)
    found = exchange.engine.monitoring.look_at(from_s, min(to_s, time.time()), model=name)
    frames = found.frames
    counts = frames.histograms.sum(axis=0)
    totals = dict(zip(TOTAL_AT, frames.totals.sum(axis=0).tolist(), strict=True))
    bounds_ms, bars = bars_of(counts)
    lookups = totals["lookups"]
    return json_response(
        {
            "model": name,
            "window": {"from": from_s, "to": to_s, "covered_s": float(frames.seconds.sum())},
            "problem": found.problem,
            "requests": totals["requests"],
            "bounds_ms": bounds_ms,
            "counts": bars,
            **{key: percentile_ms(counts, share) for key, share in PERCENTILES.items()},
            "outcomes": {name: totals[f"requests_{name}"] for name in OUTCOMES},
            "hit_percent": 100 * sum(totals[h] for h in HITS) / lookups if lookups else None,
            "cold_starts": totals["cold_starts"],
            "batches": {
                "limits": [*BATCH_LIMITS, None],
                "counts": [totals[batch] for batch in BATCHES],
            },
        }
    )


def bars_of(counts: np.ndarray, most: int = MOST_BARS) -> tuple[list[float], list[int]]:
    """A histogram's filled range as at most `most` bars of equal width on a log scale.

    Returns (bounds, ms, one more than bars; counts). Bars begin at multiples of their width,
    so that they keep their places as requests come in.
    """
    filled = np.flatnonzero(counts)
    if not len(filled):
        return [], []
    low, high = int(filled[0]), int(filled[-1])
    width = max(1, math.ceil((high - low + 1) / most))
    while high // width - low // width >= most:
        width += 1
    first, last = low // width, high // width + 1
    padded = np.zeros((last - first) * width, dtype=np.int64)
    own = counts[first * width : last * width]
    padded[: len(own)] = own
    bounds = LOW_NS * GROWTH ** (np.arange(first, last + 1) * width) / 1e6
    return bounds.tolist(), padded.reshape(-1, width).sum(axis=1).tolist()


def samples(exchange: Exchange) -> Response:
    """GET ?version=: up to 5 real rows as V2 tensors, one with NaN as null; none is no error."""
    engine, slot = exchange.engine, _slot(exchange)
    source = _source(engine, slot)
    specs, rows, read_from = _sample_rows(source)
    held = min((len(rows[spec.name]) for spec in specs), default=0)
    picked = _picked(specs, rows, held)
    return json_response(
        {
            "model": slot.entry.name,
            "version": slot.entry.version,
            "read_from": read_from,
            "held": held,
            "rows": len(picked),
            "inputs": [_tensor(spec, rows[spec.name][picked]) for spec in specs],
        }
    )


def _sample_rows(
    slot: Slot,
) -> tuple[tuple[TensorSpec, ...], dict[str, np.ndarray], str | None]:
    """Inputs, their rows by name, and where those are from; empty where there are none."""
    entry, plan = slot.entry, slot.model.plan if slot.model else None
    specs = plan.signature.inputs if plan else tuple(item.spec for item in entry.declared.inputs)
    shipped = entry.samples()
    if specs and all(shipped[s.name].size if s.name in shipped else 0 for s in specs):
        return specs, shipped, "samples.npz"
    if plan is None or not all(spec.name in plan.example for spec in specs):
        return (), {}, None
    return (
        specs,
        {s.name: np.array(plan.example[s.name], dtype=NUMPY_DTYPES[s.datatype]) for s in specs},
        "the row its plan was checked with",
    )


def _picked(specs: tuple[TensorSpec, ...], rows: dict[str, np.ndarray], held: int) -> np.ndarray:
    """Places of rows spread over all that there are: the first ones are often alike."""
    if not held:
        return np.zeros(0, dtype=np.int64)
    fixed = max(spec.shape[0] for spec in specs)
    if fixed > 0:
        return np.arange(fixed) % held
    elements = sum(max(1, rows[spec.name][:1].size) for spec in specs)
    most = max(1, min(MOST_ROWS, held, MOST_ELEMENTS // elements))
    places: np.ndarray = np.linspace(0, held - 1, most).astype(np.int64)
    return places


def _tensor(spec: TensorSpec, array: np.ndarray) -> dict[str, Any]:
    flat = np.ascontiguousarray(array).reshape(-1)
    shape = list(array.shape)
    if len(spec.shape) == 1 and len(shape) == 2 and shape[1] == 1:
        shape = shape[:1]
    return {
        "name": spec.name,
        "datatype": spec.datatype,
        "shape": shape,
        "data": [str(text) for text in flat] if flat.dtype.kind in "OUS" else flat,
    }
