"""Models in memory: loaded asynchronously, once each however many ask, within a budget.

    cold ──load──> loading ──ok──> warm ──evicted, unloaded──> cold
                      └──error──> failed ──load again──> loading

A request leases a model: a warm one at once, another by waiting for its load. Loading
makes room first: the least recently used models that are neither leased nor pinned leave
until the new one fits. The version that serves by default moves to a newer one only when
that one is warm, so a broken version never replaces a working one.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, InvalidStateError
from concurrent.futures import TimeoutError as FutureTimeout
from functools import partial
from types import MappingProxyType

from engine.errors import (
    ModelFailed,
    ModelLoading,
    OverBudget,
    Overloaded,
    PyrometerError,
    UnknownModel,
    Untrusted,
    without_folders,
)
from engine.models.loaded import LoadedModel
from engine.models.model_toml import NEWEST
from engine.models.opener import Opener
from engine.models.repository import ModelEntry
from engine.models.slots import Lease, Slot

Submit = Callable[[Callable[[], None]], None]
Clock = Callable[[], int]
ROOM_WAIT_S = 30.0


class Registry:
    """All model versions of a repository.

    submit: runs a callable on a bounded pool; may raise Overloaded.
    on_event: told (kind, text) of loads, evictions and failures.
    preloads: whether a model is loaded before anybody asks for it.
    promoted: the version of a model that serves whatever model.toml says, by its name.
    max_waiting: requests that may wait for loads at once; more would leave no thread for
    the models that are warm.
    """

    def __init__(
        self,
        entries: Iterable[ModelEntry],
        opener: Opener,
        submit: Submit,
        on_event: Callable[[str, str], None],
        *,
        max_waiting: int,
        budget_bytes: int,
        preloads: Callable[[ModelEntry], bool] = lambda entry: entry.declared.preload,
        promoted: Mapping[str, str] = MappingProxyType({}),
        clock_ns: Clock = time.perf_counter_ns,
    ) -> None:
        self.budget_bytes = budget_bytes
        self.resident_bytes = 0
        self.evictions = 0
        self.leased = 0
        entries = tuple(entries)
        there = {entry.key for entry in entries}
        self._promoted = {name: v for name, v in promoted.items() if (name, v) in there}
        self._slots: dict[tuple[str, str], Slot] = {}
        self._serving: dict[str, str] = {}
        self._opener = opener
        self._submit = submit
        self._on_event = on_event
        self._max_waiting = max_waiting
        self._waiting = threading.Semaphore(max_waiting)
        self._clock_ns = clock_ns
        self.preloads = preloads
        self._ordinals = itertools.count(1)
        self._lock = threading.Lock()
        self._room = threading.Condition(self._lock)
        self._room_wanted = 0
        self.problems: Mapping[str, str] = {}
        for entry in entries:
            self._slots[entry.key] = Slot(entry)
            self._serving[entry.name] = self._newer_serving(entry)

    def slot(self, name: str, version: str | None = None) -> Slot:
        """The slot of a version, by default the one that serves. Raises UnknownModel."""
        serving = self._serving.get(name)
        if serving is None:
            why = self.problems.get(name) or next(
                (text for place, text in self.problems.items() if place.startswith(f"{name}/")), ""
            )
            raise UnknownModel(f"unknown model {name[:128]!r}{why and f': {why}'}")
        slot = self._slots.get((name, version or serving))
        if slot is None:
            raise UnknownModel(f"model {name!r} has no version {str(version)[:32]!r}")
        return slot

    def serving(self, name: str, version: str | None) -> LoadedModel | None:
        """The loaded model that answers now; None while there is none."""
        slot = self._slots.get((name, version or self._serving.get(name, "")))
        return slot.model if slot is not None else None

    def has(self, name: str) -> bool:
        """Whether there is a model of this name, loaded or not."""
        return name in self._serving

    def _newer_serving(self, entry: ModelEntry) -> str:
        """Under the lock: the version that serves now that this one is there, or is warm."""
        serving, pinned = self._serving.get(entry.name), self._pinned_version(entry)
        if serving is None or entry.version == pinned:
            return entry.version
        return max(serving, entry.version, key=int) if pinned == NEWEST else serving

    def _pinned_version(self, entry: ModelEntry) -> str:
        """The version that is to serve: promoted, or else as model.toml says."""
        promoted = self._promoted.get(entry.name)
        return entry.declared.serve if promoted is None else promoted

    def promote(self, name: str, version: str | None) -> None:
        """Let a version serve from now on, whatever else is there; None: as model.toml says again.

        A version that is not warm is loaded by the next request. Raises UnknownModel.
        """
        slot = self.slot(name, version)
        with self._lock:
            if version is not None:
                self._promoted[name] = self._serving[name] = version
                return
            self._promoted.pop(name, None)
            pinned = slot.entry.declared.serve
            others = [s for s in self._slots.values() if s.entry.name == name]
            warm = [s.entry.version for s in others if s.model is not None]
            if pinned in warm:
                self._serving[name] = pinned
            elif pinned == NEWEST and warm:
                self._serving[name] = max(warm, key=int)

    def declared_version(self, name: str) -> str:
        """The version that serves where nothing is promoted: pinned, or the newest that can."""
        slot = self.slot(name)
        pinned = slot.entry.declared.serve
        if pinned != NEWEST:
            return pinned
        others = [s for s in self.slots() if s.entry.name == name and s.state != "failed"]
        return max((s.entry.version for s in others), key=int, default=slot.entry.version)

    def put_in_place(self, slot: Slot, model: LoadedModel) -> None:
        """Let another way to serve a loaded version take its place; runs under way finish."""
        with self._lock:
            if slot.model is None:
                raise ModelFailed(f"{model.name}/{model.version} is not loaded")
            model.on_opened = partial(self._charge, slot)
            slot.model = model

    def slots(self) -> list[Slot]:
        with self._lock:
            return list(self._slots.values())

    def serves(self, slot: Slot) -> bool:
        """True for the version that answers when none is named."""
        return self._serving.get(slot.entry.name) == slot.entry.version

    def versions(self, name: str) -> list[str]:
        return [slot.entry.version for slot in self.slots() if slot.entry.name == name]

    def lease(self, name: str, version: str | None, wait_s: float) -> Lease:
        """A lease on a loaded model; waits up to wait_s for its load, starting it if needed.

        Raises UnknownModel, ModelFailed, ModelLoading (the wait ended first), OverBudget or
        Overloaded.
        """
        cold = False
        while True:
            slot = self.slot(name, version)
            with self._lock:
                model = slot.model
                if model is not None:
                    slot.leases += 1
                    self.leased += 1
                    slot.last_used = next(self._ordinals)
                    return Lease(slot, model, cold, self._give_back)
            cold = True
            self._wait_for_load(slot, wait_s)

    def _wait_for_load(self, slot: Slot, wait_s: float) -> None:
        name = slot.entry.name
        if slot.unloaded:
            raise ModelFailed(f"model {name!r} was unloaded; load it before asking it")
        if slot.state == "failed":
            raise ModelFailed(slot.error or f"{name} has failed")
        slot.preloading = False  # somebody has asked for it: it may evict others
        loading = self.load(slot)
        if not self._waiting.acquire(blocking=False):
            raise ModelLoading(
                f"model {name!r} is loading; {self._max_waiting} requests already wait"
            )
        try:
            loading.result(timeout=wait_s)
        except FutureTimeout:
            raise ModelLoading(f"model {name!r} is still loading after {wait_s:g} s") from None
        finally:
            self._waiting.release()

    def _give_back(self, slot: Slot) -> None:
        with self._lock:
            slot.leases -= 1
            if self._room_wanted and slot.leases == 0:
                self._room.notify_all()

    def preload(self) -> None:
        """Begin loading what is to be loaded at start; what finds no room stays cold."""
        for slot in self.slots():
            if self.serves(slot) and self.preloads(slot.entry):
                slot.preloading = True
                self.load(slot)

    def load(self, slot: Slot) -> Future[LoadedModel]:
        """Start loading, or join the load under way; a failed model is tried again."""
        with self._lock:
            if slot.loading is not None:
                return slot.loading
            future: Future[LoadedModel] = Future()
            if slot.model is not None:
                future.set_result(slot.model)
                return future
            slot.loading, slot.state, slot.error = future, "loading", None
            slot.unloaded = False
            entry = slot.entry
        self._start(slot, entry, future)
        return future

    def replace(self, slot: Slot, entry: ModelEntry) -> Future[LoadedModel]:
        """Load other content of the same version beside the one that serves, then swap.

        The old one serves until the new one is warm, and goes on when the new one fails.
        """
        with self._lock:
            if slot.replacing is not None and slot.replacing[0] == entry.digest:
                return slot.replacing[1]
            future: Future[LoadedModel] = Future()
            slot.replacing = (entry.digest, future)
        self._start(slot, entry, future)
        return future

    def _start(self, slot: Slot, entry: ModelEntry, future: Future[LoadedModel]) -> None:
        try:
            self._submit(lambda: self._load(slot, entry, future))
        except PyrometerError as error:
            self._failed(slot, entry, future, error)

    def _load(self, slot: Slot, entry: ModelEntry, future: Future[LoadedModel]) -> None:
        started_ns = self._clock_ns()
        try:
            plan, size_bytes = self._opener.plan(entry)
            self._make_room(slot, entry, size_bytes)
            try:
                model = self._opener.open(entry, plan)
            except BaseException:
                self._free(size_bytes)
                raise
        except PyrometerError as error:
            self._failed(slot, entry, future, error)
        except Exception as error:
            # Whatever a model's own code raises must not end the loading thread.
            name = f"{entry.name}/{entry.version}"
            words = f"{name} cannot be loaded: {type(error).__name__}: {error}"
            self._failed(slot, entry, future, ModelFailed(words))
        else:
            load_ms = (self._clock_ns() - started_ns) / 1e6
            self._loaded(slot, model, future, size_bytes, load_ms)

    def _make_room(self, slot: Slot, entry: ModelEntry, size_bytes: int) -> None:
        """Evict until size_bytes fit, and book them; waits for leases to end if it must.

        A model that nobody has asked for yet evicts no other.
        """
        name = f"{entry.name}/{entry.version}"
        if size_bytes > self.budget_bytes:
            raise OverBudget(f"{name} takes {size_bytes} bytes; the budget is {self.budget_bytes}")
        end = time.monotonic() + ROOM_WAIT_S
        with self._lock:
            self._room_wanted += 1
            try:
                while self.resident_bytes + size_bytes > self.budget_bytes:
                    if slot.preloading:
                        raise OverBudget(f"{name} was not preloaded: the model budget is full")
                    if self._evict_oldest():
                        continue
                    if not self._room.wait(max(0.0, end - time.monotonic())):
                        raise OverBudget(
                            f"{name} takes {size_bytes} bytes; all of the budget of "
                            f"{self.budget_bytes} is in use or pinned"
                        )
                self.resident_bytes += size_bytes
            finally:
                self._room_wanted -= 1

    def _evict_oldest(self) -> bool:
        """Under the lock: drop the least recently used idle model; False when there is none."""
        idle = [
            s for s in self._slots.values() if s.model is not None and not s.leases and not s.pinned
        ]
        if idle:
            self._evict(min(idle, key=lambda s: s.last_used))
        return bool(idle)

    def _charge(self, slot: Slot, model: LoadedModel, size_bytes: int) -> None:
        """Book what a loaded model opened later; others leave for it, it never waits."""
        with self._lock:
            if slot.model is not model:
                return  # swapped meanwhile: it leaves memory with its last lease
            slot.bytes += size_bytes
            self.resident_bytes += size_bytes
            while self.resident_bytes > self.budget_bytes and self._evict_oldest():
                pass

    def _evict(self, slot: Slot) -> None:
        """Under the lock: drop a model that nobody uses."""
        self.resident_bytes -= slot.bytes
        self.evictions += 1
        slot.model, slot.state, slot.bytes = None, "cold", 0

    def _free(self, size_bytes: int) -> None:
        with self._lock:
            self.resident_bytes -= size_bytes
            self._room.notify_all()

    def _loaded(
        self,
        slot: Slot,
        model: LoadedModel,
        future: Future[LoadedModel],
        size_bytes: int,
        load_ms: float,
    ) -> None:
        # Neither may hold the model: in a cycle it would outlive its eviction.
        model.on_opened = partial(self._charge, slot)
        model.notice = partial(self._on_event, "degraded")
        with self._lock:
            self.resident_bytes -= slot.bytes
            self._ended(slot, future)
            if self._slots.get(model.entry.key) is slot:
                slot.entry, slot.model, slot.bytes = model.entry, model, size_bytes
                slot.state, slot.error, slot.problem = "warm", None, None
                slot.load_ms, slot.last_used = load_ms, next(self._ordinals)
                slot.loads += 1
                slot.no_room = slot.preloading = False
                self._serving[model.name] = self._newer_serving(model.entry)
            else:
                # The version left the repository while it was loading.
                self.resident_bytes -= size_bytes
                slot.bytes = 0
        self._on_event(
            "load", f"{model.name} {model.version} loaded as {model.form} in {load_ms:.0f} ms"
        )
        with contextlib.suppress(InvalidStateError):  # the engine closed meanwhile
            future.set_result(model)

    def _failed(
        self, slot: Slot, entry: ModelEntry, future: Future[LoadedModel], error: PyrometerError
    ) -> None:
        fallback: Slot | None = None
        words = without_folders(str(error))
        with self._lock:
            self._ended(slot, future)
            if slot.model is not None or slot.loading is not None:
                slot.problem = words
            elif isinstance(error, OverBudget | Overloaded):
                # Not the model's fault: the next request tries again.
                slot.state, slot.problem = "cold", words
                slot.no_room = slot.preloading
            else:
                slot.entry, slot.state, slot.error = entry, "failed", words
                slot.untrusted = isinstance(error, Untrusted)
                fallback = self._fall_back(slot) if self.serves(slot) else None
        goes_on = slot.model is not None or not self.serves(slot)
        self._on_event("failure", f"{error}{'; the version before goes on' if goes_on else ''}")
        with contextlib.suppress(InvalidStateError):
            future.set_exception(error)
        if fallback is not None and fallback.model is None:
            self.load(fallback)

    @staticmethod
    def _ended(slot: Slot, future: Future[LoadedModel]) -> None:
        """Under the lock: a load or a replacement is no longer under way."""
        if slot.loading is future:
            slot.loading = None
        if slot.replacing is not None and slot.replacing[1] is future:
            slot.replacing = None

    def _fall_back(self, slot: Slot) -> Slot | None:
        """Under the lock: let the newest version that has not failed serve instead.

        A version that its owner pinned has no stand-in.
        """
        name = slot.entry.name
        if self._pinned_version(slot.entry) != NEWEST:
            return None
        others = [s for s in self._slots.values() if s.entry.name == name and s.state != "failed"]
        if not others:
            return None
        newest = max(others, key=lambda s: int(s.entry.version))
        self._serving[name] = newest.entry.version
        return newest

    def evict_idle(self, name: str | None = None) -> tuple[int, int]:
        """Drop models that are neither leased nor pinned; returns (models, bytes) freed."""
        with self._lock:
            idle = [
                slot
                for slot in self._slots.values()
                if slot.model is not None
                and not slot.leases
                and not slot.pinned
                and name in (None, slot.entry.name)
            ]
            freed_bytes = sum(slot.bytes for slot in idle)
            for slot in idle:
                self._evict(slot)
            self._room.notify_all()
        return len(idle), freed_bytes

    def unload(self, slot: Slot) -> bool:
        """Drop a model until it is loaded again by name; False while it is in use."""
        with self._lock:
            if slot.leases:
                return False
            slot.unloaded = True
            if slot.model is not None:
                self._evict(slot)
                self._room.notify_all()
        self._on_event("unload", f"{slot.entry.name} {slot.entry.version} unloaded")
        return True

    def pin(self, slot: Slot, pinned: bool) -> None:
        """Keep a model in memory whatever the budget wants, or no longer."""
        with self._lock:
            slot.pinned = pinned
            self._room.notify_all()

    def sync(self, entries: Iterable[ModelEntry]) -> list[Future[LoadedModel]]:
        """Follow the repository: load what is new or changed, drop what is gone.

        A version older than the one that serves, and a model without preload, wait until
        somebody asks. Returns the loads that were started.
        """
        found = {entry.key: entry for entry in entries}
        to_load: list[Slot] = []
        to_replace: list[tuple[Slot, ModelEntry]] = []
        with self._lock:
            for key in [key for key in self._slots if key not in found]:
                self._drop(self._slots.pop(key))
            for key, entry in found.items():
                slot = self._slots.get(key)
                if slot is None:
                    slot = self._slots[key] = Slot(entry)
                    if self._is_wanted(entry):
                        to_load.append(slot)
                    self._serving.setdefault(entry.name, entry.version)
                elif slot.model is not None and slot.entry.artefact != entry.artefact:
                    to_replace.append((slot, entry))
                elif slot.entry.digest == entry.digest:
                    let_go = slot.entry.declared.serve != NEWEST and self._is_newest(entry, found)
                    slot.entry = entry
                    is_pinned = self._pinned_version(entry) == entry.version
                    if (is_pinned or let_go) and not self.serves(slot):
                        if slot.model is None:
                            to_load.append(slot)
                        else:
                            self._serving[entry.name] = entry.version
                else:
                    if slot.model is not None or slot.loading is not None:
                        to_replace.append((slot, entry))
                    else:
                        slot.entry, slot.state, slot.error = entry, "cold", None
                        if self.preloads(entry):
                            to_load.append(slot)
        loads = [self.load(slot) for slot in to_load]
        return loads + [self.replace(slot, entry) for slot, entry in to_replace]

    def retry_untrusted(self, allows: Callable[[ModelEntry], bool]) -> list[Future[LoadedModel]]:
        """Load those that were refused for a digest which is trusted by now; returns the loads."""
        return [
            self.load(slot)
            for slot in self.slots()
            if slot.state == "failed" and slot.untrusted and allows(slot.entry)
        ]

    def _is_newest(self, entry: ModelEntry, found: Iterable[tuple[str, str]]) -> bool:
        """Under the lock: whether nothing pins a version, and this one is the newest there is."""
        newest = max((v for name, v in found if name == entry.name), key=int)
        return self._pinned_version(entry) == NEWEST and entry.version == newest

    def _is_wanted(self, entry: ModelEntry) -> bool:
        """Under the lock: should a version that has just appeared be loaded at once?"""
        serving = self._serving.get(entry.name)
        if serving is None:
            return self.preloads(entry)
        current = self._slots.get((entry.name, serving))
        is_used = self.preloads(entry) or (current is not None and current.model is not None)
        pinned = self._pinned_version(entry)
        if pinned != NEWEST:
            return is_used and entry.version == pinned
        return is_used and int(entry.version) > int(serving)

    def _drop(self, slot: Slot) -> None:
        """Under the lock: forget a version; requests that run on it finish."""
        name = slot.entry.name
        if self._promoted.get(name) == slot.entry.version:
            del self._promoted[name]
        if slot.model is not None:
            self.resident_bytes -= slot.bytes
            slot.model, slot.state, slot.bytes = None, "cold", 0
            self._room.notify_all()
        if self._serving.get(name) == slot.entry.version:
            left = [s.entry.version for s in self._slots.values() if s.entry.name == name]
            if left:
                self._serving[name] = max(left, key=int)
            else:
                del self._serving[name]

    def close(self) -> None:
        """End children that are still compiling; loads that wait for them fail."""
        with self._lock:
            waiting = [slot.loading for slot in self._slots.values() if slot.loading]
        self._opener.close()
        for future in waiting:
            with contextlib.suppress(InvalidStateError):
                future.set_exception(ModelFailed("the engine is closing"))
