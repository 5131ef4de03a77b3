"""Models in memory: loaded asynchronously, once each however many ask.

    cold ──load──> loading ──ok──> warm
                      └──error──> failed ──load again──> loading

A request leases a model: a warm one at once, another by waiting for its load. A load
reads the plan (or has it made in a child process), opens the chosen form and runs real
rows through it before anybody sees it as warm.
"""

from __future__ import annotations

import contextlib
import subprocess
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, InvalidStateError
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass

from engine.errors import ModelFailed, ModelLoading, PyrometerError, UnknownModel
from engine.models.loaded import LoadedModel, open_planned, open_unplanned
from engine.models.plan_store import PlanStore
from engine.models.repository import ModelEntry

Submit = Callable[[Callable[[], None]], None]
Clock = Callable[[], int]


@dataclass(slots=True)
class Slot:
    """One model version and what became of it."""

    entry: ModelEntry
    state: str = "cold"
    model: LoadedModel | None = None
    error: str | None = None
    loading: Future[LoadedModel] | None = None
    load_ms: float | None = None


class Registry:
    """All model versions of a repository.

    submit: runs a callable on a bounded pool; may raise Overloaded.
    max_waiting: requests that may wait for loads at once; more would leave no thread for
    the models that are warm.
    on_event: told (kind, text) of loads and failures, from the loading thread.
    """

    def __init__(
        self,
        entries: Iterable[ModelEntry],
        store: PlanStore | None,
        submit: Submit,
        on_event: Callable[[str, str], None],
        max_waiting: int,
        clock_ns: Clock = time.perf_counter_ns,
    ) -> None:
        self._slots = {entry.key: Slot(entry) for entry in entries}
        self._newest: dict[str, str] = {}
        for name, version in self._slots:
            if int(version) > int(self._newest.get(name, "0")):
                self._newest[name] = version
        self._store = store
        self._submit = submit
        self._on_event = on_event
        self._max_waiting = max_waiting
        self._waiting = threading.Semaphore(max_waiting)
        self._clock_ns = clock_ns
        self._lock = threading.Lock()
        self._children: set[subprocess.Popen[bytes]] = set()
        self._closed = False

    def slot(self, name: str, version: str | None = None) -> Slot:
        """The slot of a version, the newest by default. Raises UnknownModel."""
        newest = self._newest.get(name)
        if newest is None:
            raise UnknownModel(f"unknown model {name[:128]!r}")
        slot = self._slots.get((name, version or newest))
        if slot is None:
            raise UnknownModel(f"model {name!r} has no version {str(version)[:32]!r}")
        return slot

    def slots(self) -> list[Slot]:
        return list(self._slots.values())

    def versions(self, name: str) -> list[str]:
        return [slot.entry.version for slot in self._slots.values() if slot.entry.name == name]

    def lease(self, slot: Slot, wait_s: float) -> LoadedModel:
        """The loaded model; waits up to wait_s for its load, starting it if nobody has.

        Raises ModelFailed, ModelLoading (the wait ended first) or Overloaded.
        """
        model = slot.model
        if model is not None:
            return model
        if slot.state == "failed":
            raise ModelFailed(slot.error or f"{slot.entry.name} has failed")
        loading = self.load(slot)
        if not self._waiting.acquire(blocking=False):
            raise ModelLoading(
                f"model {slot.entry.name!r} is loading; {self._max_waiting} requests already wait"
            )
        try:
            return loading.result(timeout=wait_s)
        except FutureTimeout:
            raise ModelLoading(
                f"model {slot.entry.name!r} is still loading after {wait_s:g} s"
            ) from None
        finally:
            self._waiting.release()

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
        try:
            self._submit(lambda: self._load(slot, future))
        except PyrometerError as error:
            self._finish(slot, future, None, error)
        return future

    def _load(self, slot: Slot, future: Future[LoadedModel]) -> None:
        started_ns = self._clock_ns()
        try:
            model = self._open(slot.entry)
            model.warm_up()
        except PyrometerError as error:
            self._finish(slot, future, None, error)
        except Exception as error:
            # Whatever a model's own code raises must not end the loading thread.
            name = f"{slot.entry.name}/{slot.entry.version}"
            failure = ModelFailed(f"{name} cannot be loaded: {type(error).__name__}: {error}")
            self._finish(slot, future, None, failure)
        else:
            slot.load_ms = (self._clock_ns() - started_ns) / 1e6
            self._finish(slot, future, model, None)

    def _open(self, entry: ModelEntry) -> LoadedModel:
        if self._store is None:
            return open_unplanned(entry)
        plan = self._store.read(entry) or self._store.make(entry, self._watch)
        return open_planned(entry, plan, self._store.folder(entry))

    def _watch(self, child: subprocess.Popen[bytes]) -> None:
        with self._lock:
            self._children = {other for other in self._children if other.poll() is None}
            self._children.add(child)
            closed = self._closed
        if closed:
            child.kill()

    def _finish(
        self,
        slot: Slot,
        future: Future[LoadedModel],
        model: LoadedModel | None,
        error: PyrometerError | None,
    ) -> None:
        with self._lock:
            slot.model, slot.loading = model, None
            slot.state = "failed" if model is None else "warm"
            slot.error = None if error is None else str(error)
        if model is not None:
            self._on_event(
                "load",
                f"{model.name} {model.version} loaded as {model.form} in {slot.load_ms:.0f} ms",
            )
        else:
            self._on_event("failure", str(error))
        with contextlib.suppress(InvalidStateError):  # the engine closed meanwhile
            if model is not None:
                future.set_result(model)
            else:
                future.set_exception(error or ModelFailed(slot.entry.name))

    def close(self) -> None:
        """End children that are still compiling; loads that wait for them fail."""
        with self._lock:
            self._closed = True
            children = list(self._children)
            waiting = [slot.loading for slot in self._slots.values() if slot.loading]
        for child in children:
            if child.poll() is None:
                child.kill()
        for future in waiting:
            if not future.done():
                with contextlib.suppress(InvalidStateError):
                    future.set_exception(ModelFailed("the engine is closing"))
