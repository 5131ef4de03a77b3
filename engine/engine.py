"""The engine: composition, and the one function that reads like the system."""

from __future__ import annotations

import sqlite3
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, wait
from dataclasses import asdict
from functools import cached_property
from typing import TYPE_CHECKING, Any

from engine.batching.policy import Lanes
from engine.caching.budget import MemoryBudget
from engine.caching.disk import DiskTier
from engine.caching.embeddings import EmbeddingCache
from engine.caching.key import is_sampled, result_key
from engine.caching.memory import MISS, MemoryTier
from engine.call import Call
from engine.config import Settings
from engine.errors import InvalidInput, ModelFailed, PyrometerError, UnknownModel
from engine.executors.pool import WorkerPool, pool_figures
from engine.inventory import inventory, queues, state_families
from engine.led import Led
from engine.models.files import give_back_memory
from engine.models.loaded import LoadedModel
from engine.models.opener import PlainOpener, PlanningOpener
from engine.models.plan_store import PlanStore
from engine.models.registry import Registry
from engine.models.repository import ModelEntry, read_repository
from engine.models.slots import Lease, Slot
from engine.models.trust import TrustFile
from engine.models.watcher import Watcher
from engine.monitoring import Monitoring
from engine.parsing import parse_in_turn
from engine.profiling.profiler import Profiler
from engine.runs import Runs
from engine.supervised import Supervised
from engine.telemetry.profile import profile_request
from engine.telemetry.record import ProcessMemory
from engine.telemetry.recorder import Recorder
from engine.types import MISSED, RESULT_HIT, Caller, InferRequest, InferResult, Tensors
from engine.words import many, size_in_words
from engine.worth import Worth

if TYPE_CHECKING:
    from engine.caching.shared import SharedTier
    from engine.fleet.fleet import Fleet
    from engine.remote_models import RemoteModels
    from engine.trials import Trials

TRIM_SHARE = 0.5
TIERS = ("models", "results", "embeddings", "responses")


class Engine:
    """One engine over one repository. Several may live in one process.

    Nothing is loaded until `start`. sources: where its settings came from, as far as that is
    known; see engine.config.sources_of.
    """

    def __init__(self, settings: Settings) -> None:
        parse_in_turn()
        self.settings = settings
        self.sources: Mapping[str, str] = {}
        self.draining = False
        self.listening = (settings.host, settings.port)
        self.fleet: Fleet | None = None
        self.outgoing: list[Callable[[], list[dict[str, Any]]]] = []
        self.before_stop: list[Callable[[], None]] = []
        self.figures: dict[str, Callable[[], dict[str, Any]]] = {"engine": self._figures}
        names = (name.strip() for name in settings.preload.split(","))
        self._preload_names = frozenset(filter(None, names))
        # It looks before the reading, so that a change between the two is not missed.
        self._watcher = Watcher(
            settings.models, settings.reload_interval_s, self.reload, (settings.trust_file,)
        )
        repository = read_repository(settings.models)
        self.trust = TrustFile(settings.trust_file)
        self._adopted: dict[tuple[str, str], ModelEntry] = {}
        self.recorder = Recorder(uuid.uuid4().hex[:16], settings.telemetry)
        self.memory = ProcessMemory()
        self.pool = WorkerPool("load", settings.load_workers, settings.load_queue)
        self.monitoring = Monitoring(
            settings, self.recorder, self._take_stock, self.pool, self.clean_up
        )
        self.monitoring.gauges.append(self._gauges)
        self.ticker = self.monitoring.ticker
        self.profiler = Profiler(
            settings.profile_hz,
            settings.state / "profile" if settings.history else None,
            settings.profile_bytes,
            self.ticker.event,
        )
        self._watch_profiler()
        lanes = Lanes(
            settings.inline_us,
            settings.batch_max_rows if settings.batching and settings.optimise else 1,
            settings.batch_max_wait_us,
        )
        self.led, self._lanes = Led(), lanes
        self._trials: Trials | None = None
        self._trials_made = threading.Lock()
        if (settings.state / "experiments").is_dir():
            _ = self.trials  # what was promoted, and what is to go on
        treatments = self.led.treatments
        self.registry = Registry(
            repository.entries,
            PlanningOpener(PlanStore.of(settings, self.trust), lanes, treatments)
            if settings.optimise
            else PlainOpener(self.trust, lanes, treatments),
            self.pool.submit,
            self.ticker.event,
            max_waiting=max(1, settings.http_threads // 2),
            budget_bytes=settings.model_cache_bytes,
            preloads=self._preloads,
            promoted=self.led.promoted,
        )
        self.registry.problems = repository.problems
        self._was_ready = False
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
        self.runs = Runs(settings, self.embeddings, self.results_disk, self.profiler.in_flight)
        self.shared: SharedTier | None = None
        if settings.redis_url and keeps_results:
            from engine.sharing import share_results

            self.shared = share_results(self)
        self.worth = Worth(self)
        self.remote: RemoteModels | None = None
        if settings.executor != "local":
            from engine.remote_models import remote_of

            self.remote = remote_of(self)
        self.monitoring.watched.append(self._threads)
        self.monitoring.watched.append(self.led.threads)

    def _watch_profiler(self) -> None:
        profiler, monitoring = self.profiler, self.monitoring
        monitoring.gauges.append(profiler.gauges)
        monitoring.watched.append(lambda: profiler.threads)
        self.ticker.exemplars.stacks_in = profiler.stacks_in
        profiler.samples_of = self.ticker.exemplars.samples_of
        self.figures["profiler"] = profiler.status

    def _threads(self) -> list[Supervised]:
        """Those of the engine itself that are to go on."""
        disks = [disk for disk in (self.results_disk, self.embeddings_disk) if disk is not None]
        own = [self._watcher.thread, *(disk.thread for disk in disks)]
        return own + self.pool.threads + self.runs.scheduler.threads

    def _disk(self, name: str) -> DiskTier | None:
        """A cache on disk, or None where the disk has none to give: caches are no promise."""
        try:
            return DiskTier(self.settings.state / "cache" / name, self.settings.spill_bytes)
        except (OSError, sqlite3.Error) as error:
            self.ticker.event("failure", f"no cache of {name} on disk: {error}")
            return None

    def _take_stock(self) -> dict[str, Any]:
        """Once a second: what is held, after the caches were put within the process' budget."""
        self._budget.balance(int(self.memory.resident_mb() * 1e6))
        return inventory(self)

    def start(self) -> None:
        """Begin loading what is to be preloaded, versions that serve only, and the ticker."""
        self.registry.preload()
        self.monitoring.start()
        self.profiler.start()
        if self._trials is not None:
            self._trials.start()
        if self.shared is not None:
            self.shared.start()
        self.worth.start()
        if self.remote is not None:
            self.remote.start()
        if self.settings.reload_interval_s > 0:
            self._watcher.start()
        self.ticker.event("start", f"started with {many(len(self.registry.slots()), 'model')}")

    def _figures(self) -> dict[str, Any]:
        """Queues and slots, as /performance/system shows them."""
        counts = asdict(self.runs.scheduler.counts)
        slots = {
            "slots": self.runs.scheduler.slots,
            "limit_per_model": self.runs.scheduler.max_queued,
        }
        disks = {"results": self.results_disk, "embeddings": self.embeddings_disk}
        return {
            "scheduler": counts | slots,
            "loads": pool_figures(self.pool),
            "disk": {name: disk.figures() for name, disk in disks.items() if disk is not None},
        }

    def _gauges(self) -> dict[str, float | None]:
        """What the ring keeps of the queues."""
        waiting = [row for row in queues(self) if row["unit"] in ("waiting", "open")]
        fullest = max((100 * row["used"] / max(1, row["limit"]) for row in waiting), default=0.0)
        return {
            "queued": float(self.runs.scheduler.counts.queued),
            "queue_used_percent": fullest,
        }

    def clean_up(self) -> str:
        """Free memory: the longest unused half of every cache, garbage, free pages; says what."""
        before_mb = self.memory.resident_mb()
        embedded = self.embeddings.tier if self.embeddings else None
        tiers = [tier for tier in (self.results, self.responses, embedded) if tier is not None]
        freed = [tier.trim(TRIM_SHARE) for tier in tiers]
        give_back_memory()
        items, cached_mb = sum(n for n, _ in freed), sum(size for _, size in freed) / 1e6
        after_mb = self.memory.resident_mb()
        text = (
            f"{items} cached items, {cached_mb:.2f} MB, evicted; "
            f"resident memory {before_mb:.0f} -> {after_mb:.0f} MB"
        )
        self.ticker.event("clean-up", text)
        return text

    def drain(self) -> None:
        """Not ready from now on; requests under way go on, what is in before_stop is ended."""
        self.draining = True
        self.ticker.event("stop", "stopping: requests under way are finished")
        for stop in self.before_stop:
            stop()

    def close(self) -> None:
        """Stop the ticker and loading; a child that compiles is ended."""
        self._watcher.stop()
        if self._trials is not None:
            self._trials.close()
        self.worth.close()
        self.profiler.stop()
        self.monitoring.stop()
        if self.remote is not None:
            self.remote.close()
        self.registry.close()
        self.runs.scheduler.close(wait_s=5)
        self.pool.close(wait_s=2)
        for kept in (self.results_disk, self.embeddings_disk, self.shared):
            if kept is not None:
                kept.close(wait_s=2)

    def reload(self) -> list[Future[LoadedModel]]:
        """Read the repository again and follow its changes; returns the loads started."""
        repository = read_repository(self.settings.models)
        for place in repository.problems.keys() - self.problems.keys():
            self.ticker.event("failure", f"not served: {place}: {repository.problems[place]}")
        self.registry.problems = repository.problems
        found = {entry.key: entry for entry in repository.entries}
        loads = self.registry.sync((self._adopted | found).values())
        return loads + self.registry.retry_untrusted(self.trust.allows)

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

    @property
    def trials(self) -> Trials:
        """Experiments, made when the first is asked for or was kept: most servers have none."""
        with self._trials_made:
            if self._trials is None:
                from engine.trials import Trials

                self._trials = Trials(self, self._lanes)
            return self._trials

    @cached_property
    def scraped(self) -> Any:
        """The registry for scrapers, made when the first one comes."""
        return self.monitoring.registry(lambda: state_families(self))

    def profile_request(
        self, endpoint: str, method: str = "POST", cold_start: bool = False
    ) -> profile_request:
        """Time a request of a route of one's own; see engine.telemetry.profile."""
        doing = self.profiler.in_flight.here()
        return profile_request(self.recorder, endpoint, method, cold_start, doing=doing)

    @property
    def problems(self) -> Mapping[str, str]:
        """Folders of the repository that cannot be used, with the reason."""
        return self.registry.problems

    def unready(self) -> list[str]:
        """Why the engine is not ready: models to preload that never were warm. Empty = ready.

        One that was evicted since, or found the budget full, is loaded when it is asked for. Once
        ready, it stays so until it drains: a model that is added later, good or bad, is no reason
        to send the requests for the others elsewhere.
        """
        if self.draining:
            return ["the server is stopping"]
        if self._was_ready:
            return []
        slots = self.registry.slots()
        unready = [
            f"{slot.entry.name} is {slot.state}"
            for slot in slots
            if self.registry.serves(slot)
            and self.registry.preloads(slot.entry)
            and slot.state != "warm"
            and not slot.no_room
            and not (slot.state == "cold" and slot.loads)
        ]
        # Nothing there yet is ready too, but not for good.
        there = {slot.entry.name for slot in slots}
        self._was_ready = bool(slots) and not unready and self._preload_names <= there
        return unready

    def infer(self, request: InferRequest) -> InferResult:
        """Answer one request, waiting for whatever it needs.

        Raises UnknownModel, InvalidInput, ModelFailed, ModelLoading, OverBudget or Overloaded.
        """
        call = self.begin(
            request.model, request.version, request.inputs, request.outputs, request.use_cache
        )
        try:
            if call.run is None:
                self.runs.compute(call)
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
        waits: bool = True,
        caller: Caller | None = None,
    ) -> Call:
        """A call on a warm model, its tensors bound; `run` is there when a cache has it.

        waits: for a cold model; otherwise ModelLoading is raised at once. The caller closes the
        call. Raises as `infer`. While an experiment runs, `Trials.begin` stands in for this.
        """
        entered_ns = time.perf_counter_ns()
        wait_s = self.settings.load_wait_s if waits else 0.0
        call = Call(self.registry.lease(name, version, wait_s), use_cache)
        return self.prepare(call, tensors, outputs, entered_ns)

    def prepare(
        self, call: Call, tensors: Tensors, outputs: tuple[str, ...], entered_ns: int
    ) -> Call:
        """Bind a call's tensors and look for its answer; it is closed where that raises."""
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
                    call.run, call.cache = kept, RESULT_HIT
                call.cache_ns = time.perf_counter_ns() - bound_ns
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
            call.cache = MISSED
            if results.awake or is_sampled(call.inputs):
                call.tier = results
                call.key = result_key(digest, call.inputs, call.outputs)
            else:
                results.counters.bypassed += 1

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
            self.ticker.event("warmup", f"{many(newly, 'model')} warm in {seconds:.1f} s")
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
        owed = ""
        if tier == "models":
            items, freed_bytes = self.registry.evict_idle(model)
        else:
            shared = self.shared if tier in (None, "results") else None
            if shared is not None and not shared.flush(model):
                owed = "; other servers are told when Redis answers again"
            items, freed_bytes = self.clear_data(tier, model)
        of_model = f" of {model}" if model else ""
        size = size_in_words(freed_bytes)
        text = f"{items} {tier or 'cached items'}{of_model} flushed, {size} freed{owed}"
        self.ticker.event("flush", text)
        return {"items": items, "bytes": freed_bytes, "text": text}

    def clear_data(self, tier: str | None, model: str | None) -> tuple[int, int]:
        """Flush data caches of this server alone; returns items and bytes freed."""
        embeddings = self.embeddings.tier if self.embeddings else None
        tiers = {
            "results": self.results,
            "embeddings": embeddings,
            "responses": self.responses,
        }
        disks = {"results": self.results_disk, "embeddings": self.embeddings_disk}
        for name, disk in disks.items():
            # Before memory, which is filled from them.
            if disk is not None and tier in (None, name):
                disk.clear(model)
        freed = [
            kept.clear(model)
            for name, kept in tiers.items()
            if kept is not None and tier in (None, name)
        ]
        return sum(items for items, _ in freed), sum(size for _, size in freed)
