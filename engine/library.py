"""The engine as a library, without any web: an async face and its blocking twin.

    async with AsyncEngine(Settings(models=Path("models"))) as engine:
        await engine.load("churn", train_churn, "1")
        result = await engine.infer("churn", {"input": rows}, use_cache=True)

    with BlockingEngine(Settings(models=Path("models"))) as engine:
        engine.load("churn", train_churn, "1")
        result = engine.infer("churn", {"input": rows})

Models of the repository are there from the start; `load` with a factory adds one that the
caller's own code makes. It is planned, budgeted and swapped like any other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import wait
from types import TracebackType
from typing import Any

from engine.caching.single_flight import SingleFlight
from engine.config import Settings
from engine.engine import Engine
from engine.errors import ModelFailed, ModelLoading
from engine.models.loaded import LoadedModel
from engine.models.made import write_made
from engine.models.plan import BATCH_ROWS
from engine.types import InferRequest, InferResult, Tensors

Factory = Callable[[], Any]
INLINE_US = 500.0
"""A run that the plan measured below this is not worth a thread: a hop takes about 100 us."""


class BlockingEngine:
    """An engine for callers that wait. Safe to call from several threads."""

    def __init__(self, settings: Settings) -> None:
        self.engine = Engine(settings)
        self._loads: SingleFlight[LoadedModel] = SingleFlight()

    def __enter__(self) -> BlockingEngine:
        self.engine.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.engine.close()

    def load(
        self, name: str, factory: Factory | None = None, version: str | None = None
    ) -> LoadedModel:
        """A warm model: from the repository, or of what `factory` returns.

        factory: gives a fitted estimator with scikit-learn's interface; called once however
        many load the same version at the same time, and not at all when it is there. Other
        content of a version that serves is loaded beside it, then swapped.
        Raises UnknownModel, ModelFailed, ModelLoading, OverBudget, Overloaded, and what the
        factory raises.
        """
        if factory is None:
            return self._wait_for(name, version)
        number = version or "1"
        key = f"{name}/{number}".encode()
        model, _ = self._loads.run(key, lambda: self._make(name, factory, number))
        return model

    def _make(self, name: str, factory: Factory, version: str) -> LoadedModel:
        folder = self.engine.settings.state / "library"
        entry = write_made(folder, name, version, factory(), self.engine.trust)
        wait(self.engine.adopt(entry), self.engine.settings.compile_timeout_s)
        model = self._wait_for(name, version)
        if model.entry.digest != entry.digest:
            slot = self.engine.registry.slot(name, version)
            raise ModelFailed(slot.problem or f"{name}/{version} is still being replaced")
        return model

    def _wait_for(self, name: str, version: str | None) -> LoadedModel:
        slot = self.engine.registry.slot(name, version)
        try:
            limit_s = self.engine.settings.compile_timeout_s
            return self.engine.registry.load(slot).result(limit_s)
        except TimeoutError:
            raise ModelLoading(f"model {name!r} is still loading") from None

    def infer(
        self,
        model: str,
        inputs: Tensors,
        *,
        version: str | None = None,
        outputs: tuple[str, ...] = (),
        use_cache: bool = True,
    ) -> InferResult:
        """Answer one request; see `InferRequest`. Raises as `Engine.infer`."""
        return self.engine.infer(InferRequest(model, inputs, version, outputs, use_cache))


class AsyncEngine:
    """An engine for an event loop, which no load and no long run ever blocks."""

    def __init__(self, settings: Settings) -> None:
        self._blocking = BlockingEngine(settings)
        self.engine = self._blocking.engine

    async def __aenter__(self) -> AsyncEngine:
        await asyncio.to_thread(self._blocking.__enter__)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await asyncio.to_thread(self.engine.close)

    async def load(
        self, name: str, factory: Factory | None = None, version: str | None = None
    ) -> LoadedModel:
        """As `BlockingEngine.load`; the factory runs in a thread."""
        return await asyncio.to_thread(self._blocking.load, name, factory, version)

    async def infer(
        self,
        model: str,
        inputs: Tensors,
        *,
        version: str | None = None,
        outputs: tuple[str, ...] = (),
        use_cache: bool = True,
    ) -> InferResult:
        """As `BlockingEngine.infer`.

        A warm model whose plan measured less than INLINE_US runs at once, in the loop;
        whatever takes longer, and every cold start, runs in a thread.
        """
        request = InferRequest(model, inputs, version, outputs, use_cache)
        if self._is_quick(request):
            return self.engine.infer(request)
        return await asyncio.to_thread(self.engine.infer, request)

    def _is_quick(self, request: InferRequest) -> bool:
        slot = self.engine.registry.slot(request.model, request.version)
        model = slot.model
        if model is None or model.degraded or model.entry.declared.encoder:
            return False
        if request.model in self.engine.led.running:
            return False
        if request.outputs and request.outputs != (model.signature.outputs[0].name,):
            return False
        rows = max((len(array) for array in request.inputs.values()), default=0)
        size = next((size for size in BATCH_ROWS if rows <= size), None)
        measured = model.plan.candidate(model.plan.form_for(rows)).run_us
        return size is not None and measured.get(size, INLINE_US) < INLINE_US
