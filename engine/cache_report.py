"""What the caches hold, for whom, how old it is, and about how much time it has saved.

    tiers   one row each, as the snapshot has it, and: why it sleeps, ages, time saved, the
            tier's part on disk
    models  one row each that has anything in a tier or was looked up in one
    off     tiers that are not kept, and which setting says so

Time saved is hits x the mean time that a run took: of the model's requests that ran it, or of
the encoder's rows. It is None where nothing hit or no run was measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.caching.disk import DiskTier
from engine.caching.embeddings import EncoderUse
from engine.caching.memory import Held, MemoryTier
from engine.inventory import caches
from engine.telemetry.tally import AT

if TYPE_CHECKING:
    from engine.engine import Engine

AGES_AT_ONCE = 20_000
"""Ages and the models' part on disk are read unasked in a tier of at most so many items."""
MOST_MODELS = 200
HITS = {
    **{"responses": "response_hits", "results": "result_hits"},
    **{"disk": "disk_hits", "redis": "redis_hits"},
}
"""Names among a request's sums of what each tier has answered."""


@dataclass(slots=True)
class ModelUse:
    """A model's requests since start, and what tiers hold of it. runs: answered by a run."""

    requests: int = 0
    lookups: int = 0
    runs: int = 0
    run_ns: int = 0
    hits: dict[str, int] = field(default_factory=dict)
    held: dict[str, Held] = field(default_factory=dict)

    @property
    def run_ms(self) -> float | None:
        return self.run_ns / self.runs / 1e6 if self.runs > 0 else None

    def saved_ms(self, tier: str) -> float | None:
        """About what this tier's hits saved."""
        return _product(self.hits.get(tier, 0), self.run_ms)


@dataclass(frozen=True, slots=True)
class Kept:
    """The tiers there are, by name."""

    memory: Mapping[str, MemoryTier]
    disk: Mapping[str, DiskTier]


def cache_report(engine: Engine, measures: bool) -> dict[str, Any]:
    """All of it. measures: read ages and what models have on disk however much there is."""
    kept = _kept(engine)
    encoders = dict(engine.embeddings.use) if engine.embeddings is not None else {}
    uses = _uses(engine)
    _add_held(uses, engine, kept, measures)
    rows = [row | _more(row["tier"], kept, uses, encoders, measures) for row in caches(engine)]
    models = [_model(name, use, encoders.get(name)) for name, use in uses.items()]
    models = [model for model in models if model["lookups"] or any(_data_bytes(model))]
    models.sort(key=lambda model: (-sum(_data_bytes(model)), -model["lookups"], model["model"]))
    known = {slot.entry.name for slot in engine.registry.slots()}
    for model in models[:MOST_MODELS]:
        model["known"] = model["model"] in known
    return {
        "tiers": rows,
        "models": models[:MOST_MODELS],
        "models_left_out": max(0, len(models) - MOST_MODELS),
        "off": _off(engine),
        "shared": _shared(engine, uses),
    }


def _shared(engine: Engine, uses: Mapping[str, ModelUse]) -> dict[str, Any] | None:
    """The tier that servers share; None where there is none."""
    if engine.shared is None:
        return None
    figures = engine.shared.figures()
    lookups = figures["hits"] + figures["misses"]
    figures["hit_percent"] = 100 * figures["hits"] / lookups if lookups else None
    return figures | {"saved_ms": _sum([use.saved_ms("redis") for use in uses.values()])}


def _kept(engine: Engine) -> Kept:
    memory = {
        "results": engine.results,
        "embeddings": engine.embeddings.tier if engine.embeddings is not None else None,
        "responses": engine.responses,
    }
    disk = {"results": engine.results_disk, "embeddings": engine.embeddings_disk}
    return Kept(
        {name: tier for name, tier in memory.items() if tier is not None},
        {name: tier for name, tier in disk.items() if tier is not None},
    )


def _uses(engine: Engine) -> dict[str, ModelUse]:
    """Of every model that was asked: what its requests looked up, found and ran."""
    totals, sums = engine.ticker.totals, dict[str, np.ndarray]()
    answered = dict[str, np.ndarray]()
    for number, total in tuple(totals.by_series.items()):
        label, outcome = totals.labels.series(number)
        if not label.is_service or not label.model:
            continue
        for into in (sums, answered) if outcome == "ok" else (sums,):
            before = into.get(label.model)
            into[label.model] = total.sums.copy() if before is None else before + total.sums
    return {name: _use(found, answered.get(name)) for name, found in sums.items()}


def _use(sums: np.ndarray, answered: np.ndarray | None) -> ModelUse:
    hits = {tier: int(sums[AT[name]]) for tier, name in HITS.items()}
    use = ModelUse(int(sums[AT["requests"]]), int(sums[AT["lookups"]]), hits=hits)
    if answered is not None:
        found = sum(answered[AT[name]] for name in HITS.values())
        use.runs = int(answered[AT["requests"]] - found)
        use.run_ns = int(answered[AT["inference_ns"]])
    return use


def _add_held(uses: dict[str, ModelUse], engine: Engine, kept: Kept, measures: bool) -> None:
    """Write into each use what the tiers hold of that model."""
    groups: dict[str, Mapping[Any, Held]] = {
        name: tier.groups() for name, tier in kept.memory.items()
    }
    for name, disk in kept.disk.items():
        if measures or disk.items <= AGES_AT_ONCE:
            groups[f"{name}_disk"] = disk.groups()
    loaded: dict[str, Held] = {}
    for slot in engine.registry.slots():
        if slot.model is not None:
            held = loaded.setdefault(slot.entry.name, Held())
            held.items += 1
            held.bytes += slot.bytes
    for tier, found in (groups | {"models": loaded}).items():
        for model, held in found.items():
            uses.setdefault(str(model), ModelUse()).held[tier] = held


def _more(
    name: str,
    kept: Kept,
    uses: Mapping[str, ModelUse],
    encoders: Mapping[str, EncoderUse],
    measures: bool,
) -> dict[str, Any]:
    """What a tier's row has beside what the snapshot says of it."""
    tier, disk = kept.memory.get(name), kept.disk.get(name)
    if tier is None:
        return {"why": None, "saved_ms": None, "disk": None} | _ages(None, measures)
    of_encoders = name == "embeddings"
    if of_encoders:
        saved = [_product(use.hits, _row_ms(use)) for use in encoders.values()]
        on_disk = [_product(use.disk_hits, _row_ms(use)) for use in encoders.values()]
    else:
        saved = [use.saved_ms(name) for use in uses.values()]
        on_disk = [use.saved_ms("disk") for use in uses.values()]
    more = {"why": _why(tier, of_encoders), "judged": tier.judged, "saved_ms": _sum(saved)}
    more |= _ages(tier, measures)
    return more | {"disk": None if disk is None else _disk(disk, _sum(on_disk), measures)}


def _why(tier: MemoryTier, always_asked: bool) -> str | None:
    """Why a tier sleeps; None while it is awake."""
    if tier.awake:
        return None
    hits, lookups = tier.judged
    words = f"{hits} of {lookups} lookups hit, fewer than 1 in 100"
    return words if always_asked else f"{words}; 1 key in 128 is still tried"


def _disk(disk: DiskTier, saved_ms: float | None, measures: bool) -> dict[str, Any]:
    figures: dict[str, Any] = {**disk.figures(), "items": disk.items, "saved_ms": saved_ms}
    lookups = disk.hits + disk.misses
    figures["hit_percent"] = 100 * disk.hits / lookups if lookups else None
    return figures | _ages(disk, measures)


def _ages(tier: MemoryTier | DiskTier | None, measures: bool) -> dict[str, Any]:
    """aged: whether ages were read, so that none of an empty tier is told from not read."""
    if tier is None or (tier.items > AGES_AT_ONCE and not measures):
        return {"aged": tier is None, "oldest_s": None, "median_s": None}
    oldest_s, median_s = tier.ages_s() or (None, None)
    return {"aged": True, "oldest_s": oldest_s, "median_s": median_s}


def _model(name: str, use: ModelUse, encoder: EncoderUse | None) -> dict[str, Any]:
    hits = sum(use.hits.values())
    saved = [use.saved_ms(tier) for tier in HITS]
    told: dict[str, Any] = {
        "model": name,
        "held": {tier: asdict(held) for tier, held in use.held.items()},
        "requests": use.requests,
        "lookups": use.lookups,
        "hits": use.hits,
        "hit_percent": 100 * hits / use.lookups if use.lookups else None,
        "runs": use.runs,
        "run_ms": use.run_ms,
        "encoder": None,
    }
    if encoder is not None:
        told["encoder"] = asdict(encoder) | {"row_ms": _row_ms(encoder)}
        saved.append(_product(encoder.hits + encoder.disk_hits, _row_ms(encoder)))
    return told | {"saved_ms": _sum(saved)}


def _data_bytes(model: Mapping[str, Any]) -> list[int]:
    """What a model has in each tier of data, bytes."""
    return [held["bytes"] for tier, held in model["held"].items() if tier != "models"]


def _row_ms(use: EncoderUse) -> float | None:
    return use.encode_ns / use.encoded / 1e6 if use.encoded else None


def _product(hits: int, each_ms: float | None) -> float | None:
    return hits * each_ms if hits and each_ms is not None else None


def _sum(parts: list[float | None]) -> float | None:
    known = [part for part in parts if part is not None]
    return sum(known) if known else None


def _off(engine: Engine) -> list[dict[str, str]]:
    """Tiers that settings have turned off, each with the setting."""
    settings, found = engine.settings, []
    for tier, switch in (
        ("results", "result_cache"),
        ("embeddings", "embedding_cache"),
        ("responses", "response_cache"),
        ("disk", "spill"),
    ):
        off = next((name for name in ("optimise", switch) if not getattr(settings, name)), None)
        if off is not None:
            found.append({"tier": tier, "setting": off})
    return found
