"""The engine: composition, and the one function that reads like the system."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, wait
from dataclasses import asdict
from typing import Any

import numpy as np

from engine.batching.policy import Lanes
from engine.caching.budget import MemoryBudget
from engine.caching.disk import DiskTier
from engine.caching.embeddings import EmbeddingCache
from engine.caching.key import is_sampled, result_key
from engine.caching.memory import MISS, MemoryTier, tensors_bytes
from engine.caching.payload import dump_run, load_run
from engine.caching.single_flight import SingleFlight
from engine.call import Call, Flight, Flights
from engine.config import Settings
from engine.errors import InvalidInput, ModelFailed, PyrometerError, UnknownModel
from engine.executors.pool import WorkerPool, pool_figures
from engine.executors.scheduler import Job, Scheduler
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
from engine.types import InferRequest, InferResult, Tensors
from engine.version import VERSION

TIERS = ("models", "results", "embeddings", "responses")
STALL_NS = 20_000_000
"""A run in a thread that must not wait, this much longer than its plan said, is counted."""


class Engine:
    """One engine over one repository. Several may live in one process.

    Nothing is loaded until `start`.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.draining = False
        self.figures: dict[str, Callable[[], dict[str, Any]]] = {"engine": self._figures}
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
        self.ticker = Ticker(self.recorder, self._take_stock, VERSION)
        self.pool = WorkerPool("load", settings.load_workers, settings.load_queue)
        lanes = Lanes(
            settings.inline_us,
            settings.batch_max_rows if settings.batching and settings.optimise else 1,
            settings.batch_max_wait_us,
        )
        self.registry = Registry(
            repository.entries,
            PlanningOpener(PlanStore.of(settings, self.trust), lanes)
            if settings.optimise
            else PlainOpener(self.trust, lanes),
            self.pool.submit,
            self.ticker.event,
            max_waiting=max(1, settings.http_threads // 2),
            budget_bytes=settings.model_cache_bytes,
            preloads=self._preloads,
        )
        keeps_results = settings.optimise and settings.result_cache
        self.results = MemoryTier(settings.result_cache_bytes) if keeps_results else None
        keeps_responses = settings.optimise and settings.response_cache
        self.responses = MemoryTier(settings.response_cache_bytes) if keeps_responses else None
        keeps_embeddings = settings.optimise and settings.embedding_cache
        spills = settings.spill and settings.optimise
        self.results_disk = self._disk("results") if spills and keeps_results else None
        self.embeddings_disk = self._disk("embeddings") if spills and keeps_embeddings else None
        self.embeddings = (
            EmbeddingCache(MemoryTier(settings.embedding_cache_bytes), self.embeddings_disk)
            if keeps_embeddings
            else None
        )
        embedded = self.embeddings.tier if self.embeddings is not None else None
        tiers = (self.results, self.responses, embedded)
        self._budget = MemoryBudget(
            settings.memory_budget_bytes,
            [tier for tier in tiers if tier is not None],
            lambda: self.registry.resident_bytes,
        )
        self._shared: SingleFlight[Run] = SingleFlight()
        slots = settings.cpu_slots or max(1, (os.cpu_count() or 1) - 1)
        self.scheduler = Scheduler(slots, settings.model_queue, self._execute)
        self.flights = Flights(self.scheduler)

    def _disk(self, name: str) -> DiskTier:
        return DiskTier(self.settings.state / "cache" / name, self.settings.spill_bytes)

    def _take_stock(self) -> dict[str, Any]:
        """Once a second: what is held, after the caches were put within the process' budget."""
        self._budget.balance(int(self.memory.resident_mb() * 1e6))
        return inventory(self)

    def start(self) -> None:
        """Begin loading what is to be preloaded, versions that serve only, and the ticker."""
        self.registry.preload()
        self.ticker.start()
        if self.settings.reload_interval_s > 0:
            self._watcher.start()
        self.ticker.event("start", f"started with {len(self.registry.slots())} models")

    def _figures(self) -> dict[str, Any]:
        """Queues and slots, as /performance/system shows them."""
        counts = asdict(self.scheduler.counts)
        slots = {"slots": self.scheduler.slots, "limit_per_model": self.scheduler.max_queued}
        disks = {"results": self.results_disk, "embeddings": self.embeddings_disk}
        return {
            "scheduler": counts | slots,
            "loads": pool_figures(self.pool),
            "disk": {name: disk.figures() for name, disk in disks.items() if disk is not None},
        }

    def drain(self) -> None:
        """Not ready from now on; requests under way go on."""
        self.draining = True
        self.ticker.event("stop", "stopping: requests under way are finished")

    def close(self) -> None:
        """Stop the ticker and loading; a child that compiles is ended."""
        self._watcher.stop()
        self.ticker.stop()
        self.registry.close()
        self.scheduler.close(wait_s=5)
        self.pool.close(wait_s=2)
        for disk in (self.results_disk, self.embeddings_disk):
            if disk is not None:
                disk.close(wait_s=2)

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
        if self.draining:
            return ["the server is stopping"]
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
        """Answer one request, waiting for whatever it needs.

        Raises UnknownModel, InvalidInput, ModelFailed, ModelLoading, OverBudget or Overloaded.
        """
        call = self.begin(
            request.model, request.version, request.inputs, request.outputs, request.use_cache
        )
        try:
            if call.run is None:
                self.compute(call)
            return call.result()
        finally:
            call.close()

    def begin(
        self,
        name: str,
        version: str | None,
        tensors: Tensors,
        outputs: tuple[str, ...],
        use_cache: bool,
    ) -> Call:
        """A call on a warm model, its tensors bound; `run` is there when a cache has it.

        Waits for a cold model. The caller closes the call. Raises as `infer`.
        """
        entered_ns = time.perf_counter_ns()
        call = Call(self.registry.lease(name, version, self.settings.load_wait_s), use_cache)
        try:
            if call.cold:
                leased_ns = time.perf_counter_ns()
                call.load_ns, entered_ns = leased_ns - entered_ns, leased_ns
            self._bind(call, tensors, outputs)
            bound_ns = time.perf_counter_ns()
            call.preprocess_ns = bound_ns - entered_ns
            if call.tier is not None:
                kept = call.tier.get(call.key)
                if kept is not MISS:
                    call.run, call.hit = kept, True
                call.postprocess_ns = time.perf_counter_ns() - bound_ns
        except BaseException:
            call.close()
            raise
        return call

    def _bind(self, call: Call, tensors: Tensors, outputs: tuple[str, ...]) -> None:
        """The model's own tensors, and the key of the answer where results are cached."""
        model, digest = call.model, call.model.digest
        source = model.signature
        if model.entry.declared.encoder:
            lease = self.encoder_of(model)
            call.leases.append(lease)
            call.encoder = lease.model
            source, digest = lease.model.signature, digest + lease.model.digest
        call.inputs = source.bind(tensors)
        call.outputs = model.signature.check_outputs(outputs)
        call.rows = len(next(iter(call.inputs.values())))
        results = self.results
        if call.use_cache and results is not None and model.entry.declared.cache_results:
            if results.awake or is_sampled(call.inputs):
                call.tier = results
                call.key = result_key(digest, call.inputs, call.outputs)
            else:
                results.counters.bypassed += 1

    def is_quick(self, call: Call) -> bool:
        """True when the plan measured the run as short enough for a thread that must not wait."""
        return call.encoder is None and call.rows <= call.model.quick_rows

    def compute(self, call: Call) -> None:
        """Run a call and wait for its end. Raises Overloaded when it finds no place."""
        if call.encoder is not None or call.rows <= call.model.quick_rows:
            self._run_shared(call)
            return
        ended = threading.Event()
        call.on_done = ended.set
        self.start_call(call)
        ended.wait()

    def run_now(self, call: Call) -> None:
        """Run a quick call in this thread."""
        began_ns = time.perf_counter_ns()
        try:
            call.run = call.model.run(call.inputs, call.outputs)
        except Exception as error:
            call.error = error
        ran_ns = time.perf_counter_ns()
        call.inference_ns, call.batch_rows = ran_ns - began_ns, call.rows
        if ran_ns - began_ns > STALL_NS:
            call.model.stalled()
        if call.tier is not None and call.run is not None:
            self._keep(call, call.run)
            call.postprocess_ns += time.perf_counter_ns() - ran_ns

    def _run_shared(self, call: Call) -> None:
        """Run here, or share the run of an equal call in another thread."""
        if call.tier is None:
            self._timed(call, self._run)
            return
        began_ns = time.perf_counter_ns()
        try:
            call.run, led = self._shared.run(call.key, lambda: self._run(call))
        except Exception as error:
            call.error, led = error, True
        ran_ns = time.perf_counter_ns()
        if not led:
            call.queue_ns = ran_ns - began_ns
            return
        call.inference_ns, call.batch_rows = ran_ns - began_ns, call.rows
        if call.run is not None:
            self._keep(call, call.run)
            call.postprocess_ns += time.perf_counter_ns() - ran_ns

    @staticmethod
    def _timed(call: Call, run: Callable[[Call], Run]) -> None:
        began_ns = time.perf_counter_ns()
        try:
            call.run = run(call)
        except Exception as error:
            call.error = error
        call.inference_ns, call.batch_rows = time.perf_counter_ns() - began_ns, call.rows

    @staticmethod
    def _keep(call: Call, run: Run) -> None:
        assert call.tier is not None
        model = call.model
        size_bytes, ttl_s = tensors_bytes(run.outputs), model.entry.declared.cache_ttl_s
        call.tier.put(call.key, run, size_bytes, model.name, ttl_s)

    def start_call(self, call: Call) -> None:
        """Run a call on a CPU slot; its `on_done` is called once, from any thread.

        Raises Overloaded at once when too many wait for its model.
        """
        policy = call.model.batching
        kind = (call.model, call.outputs, _layout(call.inputs)) if policy.batches else None
        self.flights.start(call, Flight(call, kind, policy))

    def _execute(self, jobs: list[Job]) -> None:
        """On a slot: run flights of one kind, together where there are several."""
        flights = [job for job in jobs if isinstance(job, Flight) and self.flights.board(job)]
        began_ns = time.perf_counter_ns()
        if len(flights) > 1 and self._execute_batch(flights, began_ns):
            return
        for flight in flights:
            began_ns = time.perf_counter_ns()
            call, error = flight.members[0], None
            run = self._read_back(call)
            hit = run is not None
            try:
                if run is None:
                    run = self._run(call)
                    self._keep_both(call, run)
            except Exception as raised:
                error = raised
            self.flights.land(flight, run, error, began_ns, 0 if hit else call.rows, hit)

    def _execute_batch(self, flights: list[Flight], began_ns: int) -> bool:
        """Run flights as one batch; False when it failed, so that each is to run alone."""
        calls = [flight.members[0] for flight in flights]
        first = calls[0]
        rows = sum(call.rows for call in calls)
        try:
            joined = {
                name: np.concatenate([call.inputs[name] for call in calls]) for name in first.inputs
            }
            answer = first.model.run(joined, first.outputs)
            place, parts = 0, []
            for call in calls:
                parts.append(_rows_of(answer, rows, place, place + call.rows))
                place += call.rows
        except Exception:
            # One of them is to blame; alone, only that one fails.
            return False
        for flight, call, part in zip(flights, calls, parts, strict=True):
            self._keep_both(call, part)
            self.flights.land(flight, part, None, began_ns, rows)
        return True

    def _read_back(self, call: Call) -> Run | None:
        """A slow model's answer from disk, into memory too."""
        if call.tier is None or self.results_disk is None or call.model.entry.declared.cache_ttl_s:
            return None
        payload = self.results_disk.read(call.key)
        if payload is None:
            return None
        try:
            outputs, form = load_run(payload)
        except ValueError:
            return None
        run = Run(outputs, form)
        self._keep(call, run)
        return run

    def _keep_both(self, call: Call, run: Run) -> None:
        """Keep a slow model's answer in memory and, unless it is to expire, on disk."""
        if call.tier is None:
            return
        self._keep(call, run)
        if self.results_disk is not None and not call.model.entry.declared.cache_ttl_s:
            self.results_disk.offer(
                call.key, lambda: dump_run(run.outputs, run.form), call.model.name
            )

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

    def _run(self, call: Call) -> Run:
        """Run the model, on its encoder's output where it names one."""
        if call.encoder is None:
            return call.model.run(call.inputs, call.outputs)
        vectors = self._encode(call, call.encoder)
        name = call.model.signature.inputs[0].name
        return call.model.run(call.model.signature.bind({name: vectors}), call.outputs)

    def _encode(self, call: Call, encoder: LoadedModel) -> np.ndarray:
        output = encoder.signature.check_outputs(())

        def encode(places: list[int]) -> np.ndarray:
            rows = {name: array[places] for name, array in call.inputs.items()}
            return encoder.run(rows, output).outputs[output[0]]

        if self.embeddings is None or not call.use_cache:
            call.encoder_misses = call.rows
            return encode(list(range(call.rows)))
        singles = (
            {name: array[place : place + 1] for name, array in call.inputs.items()}
            for place in range(call.rows)
        )
        keys = [result_key(encoder.digest, single, output) for single in singles]
        embedded = self.embeddings.rows(keys, encode, encoder.name)
        call.encoder_hits, call.encoder_misses = embedded.hits, embedded.misses
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
        tiers = {
            "results": self.results,
            "embeddings": embeddings,
            "responses": self.responses,
        }
        freed = [
            kept.clear(model)
            for name, kept in tiers.items()
            if kept is not None and tier in (None, name)
        ]
        disks = {"results": self.results_disk, "embeddings": self.embeddings_disk}
        for name, disk in disks.items():
            if disk is not None and tier in (None, name):
                disk.clear(model)
        return sum(items for items, _ in freed), sum(size for _, size in freed)


def _layout(inputs: Mapping[str, np.ndarray]) -> tuple[Any, ...]:
    """What two requests must have in common for their rows to be joined."""
    return tuple((name, array.dtype, array.shape[1:]) for name, array in inputs.items())


def _rows_of(run: Run, rows: int, begin: int, end: int) -> Run:
    """Some rows of a batch's answer, as arrays of their own. Raises when it has other rows."""
    outputs = {}
    for name, array in run.outputs.items():
        if len(array) != rows:
            raise ModelFailed(f"output {name!r} has {len(array)} rows for {rows}")
        outputs[name] = part = array[begin:end].copy()
        part.flags.writeable = False
    return Run(outputs, run.form)
