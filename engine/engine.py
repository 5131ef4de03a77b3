"""The engine: composition, and the one function that reads like the system."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, wait
from typing import Any

import numpy as np

from engine.caching.key import result_key
from engine.caching.memory import MISS, MemoryTier, tensors_bytes
from engine.caching.single_flight import SingleFlight
from engine.config import Settings
from engine.errors import InvalidInput, PyrometerError
from engine.executors.pool import WorkerPool
from engine.inventory import inventory
from engine.models.loaded import WARM_UP_ROWS, LoadedModel
from engine.models.opener import PlainOpener, PlanningOpener
from engine.models.plan_store import PlanStore
from engine.models.registry import Registry
from engine.models.repository import read_repository
from engine.models.slots import Slot
from engine.models.watcher import Watcher
from engine.telemetry.record import ProcessMemory
from engine.telemetry.recorder import Recorder
from engine.telemetry.ticker import Ticker
from engine.types import InferRequest, InferResult, InferTimings
from engine.version import VERSION

TIERS = ("models", "results")


class Engine:
    """One engine over one repository. Several may live in one process.

    Nothing is loaded until `start`.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        # It looks before the reading, so that a change between the two is not missed.
        self._watcher = Watcher(settings.models, settings.reload_interval_s, self.reload)
        repository = read_repository(settings.models)
        self.problems = repository.problems
        self.recorder = Recorder()
        self.memory = ProcessMemory()
        self.ticker = Ticker(self.recorder, lambda: inventory(self), VERSION)
        self.pool = WorkerPool("load", settings.load_workers, settings.load_queue)
        self.registry = Registry(
            repository.entries,
            PlanningOpener(PlanStore.of(settings)) if settings.optimise else PlainOpener(),
            self.pool.submit,
            self.ticker.event,
            max_waiting=max(1, settings.http_threads // 2),
            budget_bytes=settings.model_cache_bytes,
        )
        keeps_results = settings.optimise and settings.result_cache
        self.results = MemoryTier(settings.result_cache_bytes) if keeps_results else None
        self._flights: SingleFlight[dict[str, np.ndarray]] = SingleFlight()

    def start(self) -> None:
        """Begin loading every model with `preload`, newest versions only, and the ticker."""
        for slot in self.registry.slots():
            if slot.entry.preload and self.registry.serves(slot):
                self.registry.load(slot)
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
        return self.registry.sync(repository.entries)

    def unready(self) -> list[str]:
        """Why the engine is not ready: preloaded models that are not warm. Empty = ready."""
        return [
            f"{slot.entry.name} is {slot.state}"
            for slot in self.registry.slots()
            if slot.entry.preload and slot.state != "warm" and self.registry.serves(slot)
        ]

    def infer(self, request: InferRequest) -> InferResult:
        """Answer one request.

        Raises UnknownModel, InvalidInput, ModelFailed, ModelLoading, OverBudget or Overloaded.
        """
        entered_ns = time.perf_counter_ns()
        lease = self.registry.lease(request.model, request.version, self.settings.load_wait_s)
        with lease as model:
            return self._infer(model, request, lease.cold, entered_ns)

    def _infer(
        self, model: LoadedModel, request: InferRequest, cold: bool, entered_ns: int
    ) -> InferResult:
        timings = InferTimings()
        leased_ns = time.perf_counter_ns()
        timings.load_ns = leased_ns - entered_ns if cold else 0
        inputs = model.signature.bind(request.inputs)
        outputs = model.signature.check_outputs(request.outputs)
        tier = self.results if request.use_cache and model.entry.cache_results else None
        key = b"" if tier is None else result_key(model.digest, inputs, outputs)
        timings.preprocess_ns = time.perf_counter_ns() - (leased_ns if cold else entered_ns)
        rows = len(next(iter(inputs.values())))
        answers, hit = self._answer(model, inputs, outputs, tier, key, timings)
        return InferResult(
            model=model.name,
            version=model.version,
            outputs=answers,
            backend=model.form_for(rows, outputs),
            rows=rows,
            cache_hit=hit,
            cold_start=cold,
            timings=timings,
        )

    def _answer(
        self,
        model: LoadedModel,
        inputs: dict[str, np.ndarray],
        outputs: tuple[str, ...],
        tier: MemoryTier | None,
        key: bytes,
        timings: InferTimings,
    ) -> tuple[Mapping[str, np.ndarray], bool]:
        started_ns = time.perf_counter_ns()
        if tier is None:
            answers = model.run(inputs, outputs)
            timings.inference_ns = time.perf_counter_ns() - started_ns
            return answers, False
        kept = tier.get(key)
        if kept is not MISS:
            timings.postprocess_ns = time.perf_counter_ns() - started_ns
            return kept, True
        answers, led = self._flights.run(key, lambda: model.run(inputs, outputs))
        ran_ns = time.perf_counter_ns()
        if led:
            timings.inference_ns = ran_ns - started_ns
            tier.put(key, answers, tensors_bytes(answers), model.name)
            timings.postprocess_ns = time.perf_counter_ns() - ran_ns
        else:
            timings.queue_ns = ran_ns - started_ns
        return answers, False

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
        result["runs"] = [{"rows": rows, "ms": times[rows]} for rows in WARM_UP_ROWS]
        result["warm_answer_ms"] = times[1]
        if was_warm:
            text = f"{model.name} was already warm; one row takes {times[1]:.3g} ms"
            return result | {"load_ms": None, "first_answer_ms": None, "text": text}
        first, load_ms = model.first_answer_ms or times[1], slot.load_ms or 0.0
        return result | {
            "load_ms": load_ms,
            "first_answer_ms": first,
            "text": f"{model.name} warm in {load_ms / 1000:.1f} s; "
            f"first answer {first:.3g} ms -> {times[1]:.3g} ms",
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
            items, freed_bytes = (0, 0) if self.results is None else self.results.clear(model)
        of_model = f" of {model}" if model else ""
        text = f"{items} {tier or 'results'}{of_model} flushed, {freed_bytes / 1e6:.2f} MB freed"
        self.ticker.event("flush", text)
        return {"items": items, "bytes": freed_bytes, "text": text}
