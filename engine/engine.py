"""The engine: composition, and the one function that reads like the system."""

from __future__ import annotations

import time
from collections.abc import Iterable
from concurrent.futures import Future, wait
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.caching.embeddings import EmbeddingCache
from engine.caching.key import result_key
from engine.caching.memory import MISS, MemoryTier, tensors_bytes
from engine.caching.single_flight import SingleFlight
from engine.config import Settings
from engine.errors import InvalidInput, ModelFailed, PyrometerError, UnknownModel
from engine.executors.pool import WorkerPool
from engine.inventory import inventory
from engine.models.loaded import LoadedModel, Run
from engine.models.opener import PlainOpener, PlanningOpener
from engine.models.plan_store import PlanStore
from engine.models.registry import Registry
from engine.models.repository import ModelEntry, read_repository
from engine.models.slots import Lease, Slot
from engine.models.trust import TrustFile
from engine.models.watcher import Watcher
from engine.telemetry.record import ProcessMemory
from engine.telemetry.recorder import Recorder
from engine.telemetry.ticker import Ticker
from engine.types import InferRequest, InferResult, InferTimings
from engine.version import VERSION

TIERS = ("models", "results", "embeddings")


@dataclass(slots=True)
class Work:
    """What is left to compute once a request is bound and no cache has its answer."""

    model: LoadedModel
    encoder: LoadedModel | None
    inputs: dict[str, np.ndarray]
    outputs: tuple[str, ...]
    use_cache: bool
    encoder_hits: int = 0
    encoder_misses: int = 0


class Engine:
    """One engine over one repository. Several may live in one process.

    Nothing is loaded until `start`.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        names = (name.strip() for name in settings.preload.split(","))
        self._preload_names = frozenset(filter(None, names))
        # It looks before the reading, so that a change between the two is not missed.
        self._watcher = Watcher(settings.models, settings.reload_interval_s, self.reload)
        repository = read_repository(settings.models)
        self.problems = repository.problems
        self.trust = TrustFile(settings.trust_file)
        self._adopted: dict[tuple[str, str], ModelEntry] = {}
        self.recorder = Recorder()
        self.memory = ProcessMemory()
        self.ticker = Ticker(self.recorder, lambda: inventory(self), VERSION)
        self.pool = WorkerPool("load", settings.load_workers, settings.load_queue)
        self.registry = Registry(
            repository.entries,
            PlanningOpener(PlanStore.of(settings, self.trust))
            if settings.optimise
            else PlainOpener(self.trust),
            self.pool.submit,
            self.ticker.event,
            max_waiting=max(1, settings.http_threads // 2),
            budget_bytes=settings.model_cache_bytes,
            preloads=self._preloads,
        )
        keeps_results = settings.optimise and settings.result_cache
        self.results = MemoryTier(settings.result_cache_bytes) if keeps_results else None
        self.embeddings = (
            EmbeddingCache(MemoryTier(settings.embedding_cache_bytes))
            if settings.optimise and settings.embedding_cache
            else None
        )
        self._flights: SingleFlight[Run] = SingleFlight()

    def start(self) -> None:
        """Begin loading what is to be preloaded, versions that serve only, and the ticker."""
        self.registry.preload()
        self.ticker.start()
        if self.settings.reload_interval_s > 0:
            self._watcher.start()
        self.ticker.event("start", f"started with {len(self.registry.slots())} models")

    def close(self) -> None:
        """Stop the ticker and loading; a child that compiles is ended."""
        self._watcher.stop()
        self.ticker.stop()
        self.registry.close()
        self.pool.close(wait_s=2)

    def reload(self) -> list[Future[LoadedModel]]:
        """Read the repository again and follow its changes; returns the loads started."""
        repository = read_repository(self.settings.models)
        self.problems = repository.problems
        found = {entry.key: entry for entry in repository.entries}
        return self.registry.sync((self._adopted | found).values())

    def adopt(self, entry: ModelEntry) -> list[Future[LoadedModel]]:
        """Serve a version from outside the repository beside those in it.

        The repository's own version of that name and number goes first. Returns the loads
        started.
        """
        self._adopted = self._adopted | {entry.key: entry}
        return self.reload()

    def _preloads(self, entry: ModelEntry) -> bool:
        named = self._preload_names
        return entry.name in named if named else entry.declared.preload

    def unready(self) -> list[str]:
        """Why the engine is not ready: models to preload that never were warm. Empty = ready.

        One that was evicted since, or found the budget full, is loaded when it is asked for.
        """
        return [
            f"{slot.entry.name} is {slot.state}"
            for slot in self.registry.slots()
            if self.registry.serves(slot)
            and self.registry.preloads(slot.entry)
            and slot.state != "warm"
            and not slot.no_room
            and not (slot.state == "cold" and slot.loads)
        ]

    def infer(self, request: InferRequest) -> InferResult:
        """Answer one request.

        Raises UnknownModel, InvalidInput, ModelFailed, ModelLoading, OverBudget or Overloaded.
        """
        entered_ns = time.perf_counter_ns()
        lease = self.registry.lease(request.model, request.version, self.settings.load_wait_s)
        with lease as model:
            if not model.entry.declared.encoder:
                return self._infer(model, None, request, lease.cold, entered_ns)
            with self.encoder_of(model) as encoder:
                return self._infer(model, encoder, request, lease.cold, entered_ns)

    def encoder_of(self, model: LoadedModel) -> Lease:
        """A lease on the model that encodes another's input.

        Raises ModelFailed when it is absent or has an encoder itself, or as `infer`.
        """
        name = model.entry.declared.encoder
        try:
            encoder = self.registry.lease(name, None, self.settings.load_wait_s)
        except UnknownModel as error:
            raise ModelFailed(f"encoder {name!r} of {model.name} is not there") from error
        if encoder.model.entry.declared.encoder:
            with encoder:
                raise ModelFailed(f"encoder {name!r} of {model.name} has an encoder itself")
        return encoder

    def _infer(
        self,
        model: LoadedModel,
        encoder: LoadedModel | None,
        request: InferRequest,
        cold: bool,
        entered_ns: int,
    ) -> InferResult:
        timings = InferTimings()
        leased_ns = time.perf_counter_ns()
        timings.load_ns = leased_ns - entered_ns if cold else 0
        inputs = (encoder or model).signature.bind(request.inputs)
        outputs = model.signature.check_outputs(request.outputs)
        tier = self.results if request.use_cache and model.entry.declared.cache_results else None
        digest = model.digest + encoder.digest if encoder else model.digest
        key = b"" if tier is None else result_key(digest, inputs, outputs)
        timings.preprocess_ns = time.perf_counter_ns() - (leased_ns if cold else entered_ns)
        work = Work(model, encoder, inputs, outputs, request.use_cache)
        run, hit = self._answer(work, tier, key, timings)
        return InferResult(
            model=model.name,
            version=model.version,
            outputs=run.outputs,
            backend=run.form,
            rows=len(next(iter(inputs.values()))),
            cache_hit=hit,
            degraded=model.degraded,
            encoder_hits=work.encoder_hits,
            encoder_misses=work.encoder_misses,
            cold_start=cold,
            timings=timings,
        )

    def _answer(
        self, work: Work, tier: MemoryTier | None, key: bytes, timings: InferTimings
    ) -> tuple[Run, bool]:
        started_ns = time.perf_counter_ns()
        if tier is None:
            run = self._run(work)
            timings.inference_ns = time.perf_counter_ns() - started_ns
            return run, False
        kept = tier.get(key)
        if kept is not MISS:
            timings.postprocess_ns = time.perf_counter_ns() - started_ns
            return kept, True
        run, led = self._flights.run(key, lambda: self._run(work))
        ran_ns = time.perf_counter_ns()
        if led:
            timings.inference_ns = ran_ns - started_ns
            tier.put(key, run, tensors_bytes(run.outputs), work.model.name)
            timings.postprocess_ns = time.perf_counter_ns() - ran_ns
        else:
            timings.queue_ns = ran_ns - started_ns
        return run, False

    def _run(self, work: Work) -> Run:
        """Run the model, on its encoder's output where it names one."""
        if work.encoder is None:
            return work.model.run(work.inputs, work.outputs)
        vectors = self._encode(work, work.encoder)
        name = work.model.signature.inputs[0].name
        return work.model.run(work.model.signature.bind({name: vectors}), work.outputs)

    def _encode(self, work: Work, encoder: LoadedModel) -> np.ndarray:
        output = encoder.signature.check_outputs(())

        def encode(places: list[int]) -> np.ndarray:
            rows = {name: array[places] for name, array in work.inputs.items()}
            return encoder.run(rows, output).outputs[output[0]]

        rows = len(next(iter(work.inputs.values())))
        if self.embeddings is None or not work.use_cache:
            work.encoder_misses = rows
            return encode(list(range(rows)))
        singles = (
            {name: array[place : place + 1] for name, array in work.inputs.items()}
            for place in range(rows)
        )
        keys = [result_key(encoder.digest, single, output) for single in singles]
        embedded = self.embeddings.rows(keys, encode, encoder.name)
        work.encoder_hits, work.encoder_misses = embedded.hits, embedded.misses
        return embedded.vectors

    def warm_up(self, names: Iterable[str] | None = None) -> list[dict[str, Any]]:
        """Load what is absent and run real rows at batch 1, 8 and 32.

        names: None means every model. Raises UnknownModel. A model that fails is reported
        with its error; it does not stop the others.
        """
        chosen = names if names is not None else [s.entry.name for s in self.registry.slots()]
        slots = [self.registry.slot(name) for name in dict.fromkeys(chosen)]
        was_warm = {slot.entry.key: slot.state == "warm" for slot in slots}
        started = time.perf_counter_ns()
        wait([self.registry.load(slot) for slot in slots], self.settings.compile_timeout_s)
        results = [self._warm_one(slot, was_warm[slot.entry.key]) for slot in slots]
        newly = sum(not result["already_warm"] and "error" not in result for result in results)
        if newly:
            seconds = (time.perf_counter_ns() - started) / 1e9
            self.ticker.event("warmup", f"{newly} models warm in {seconds:.1f} s")
        return results

    def _warm_one(self, slot: Slot, was_warm: bool) -> dict[str, Any]:
        result: dict[str, Any] = {
            "model": slot.entry.name,
            "version": slot.entry.version,
            "already_warm": was_warm,
        }
        model = slot.model
        if model is None:
            error = slot.error or "still loading"
            return result | {"error": error, "text": f"{slot.entry.name}: {error}"}
        try:
            times = model.warm_up()
        except PyrometerError as error:
            return result | {"error": str(error), "text": f"{slot.entry.name}: {error}"}
        result["runs"] = [{"rows": rows, "ms": times[rows]} for rows in times]
        least = min(times)
        result["warm_answer_ms"] = times[least]
        if was_warm:
            text = f"{model.name} was already warm; one row takes {times[least]:.3g} ms"
            return result | {"load_ms": None, "first_answer_ms": None, "text": text}
        first, load_ms = model.first_answer_ms or times[least], slot.load_ms or 0.0
        return result | {
            "load_ms": load_ms,
            "first_answer_ms": first,
            "text": f"{model.name} warm in {load_ms / 1000:.1f} s; "
            f"first answer {first:.3g} ms -> {times[least]:.3g} ms",
        }

    def clear_cache(self, tier: str | None = None, model: str | None = None) -> dict[str, Any]:
        """Flush a tier, of one model or all; returns items and bytes freed.

        Without a tier the data caches are flushed; models leave memory only when the tier
        `models` is named, since their next request is then a cold start.
        Raises InvalidInput for an unknown tier, UnknownModel for an unknown model.
        """
        if tier is not None and tier not in TIERS:
            raise InvalidInput(f"tier is {str(tier)[:80]!r}; it must be one of {', '.join(TIERS)}")
        if model is not None:
            self.registry.slot(model)
        if tier == "models":
            items, freed_bytes = self.registry.evict_idle(model)
        else:
            items, freed_bytes = self._clear_data(tier, model)
        of_model = f" of {model}" if model else ""
        text = (
            f"{items} {tier or 'cached items'}{of_model} flushed, {freed_bytes / 1e6:.2f} MB freed"
        )
        self.ticker.event("flush", text)
        return {"items": items, "bytes": freed_bytes, "text": text}

    def _clear_data(self, tier: str | None, model: str | None) -> tuple[int, int]:
        embeddings = self.embeddings.tier if self.embeddings else None
        tiers = {"results": self.results, "embeddings": embeddings}
        freed = [
            kept.clear(model)
            for name, kept in tiers.items()
            if kept is not None and tier in (None, name)
        ]
        return sum(items for items, _ in freed), sum(size for _, size in freed)
