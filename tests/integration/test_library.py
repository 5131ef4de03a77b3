"""The engine as a library: no web, one factory call, an event loop that is never blocked."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.preprocessing import FunctionTransformer

from engine.config import Settings
from engine.errors import InvalidInput, UnknownModel
from engine.library import AsyncEngine, BlockingEngine

ROWS = np.random.default_rng(1).normal(size=(200, 3))
LABELS = (ROWS[:, 0] > 0).astype(int)


def fitted() -> LogisticRegression:
    return LogisticRegression().fit(ROWS, LABELS)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(models=tmp_path / "none", state=tmp_path / "state", reload_interval_s=0.0)


def test_a_made_model_answers_and_its_results_are_cached(settings: Settings) -> None:
    with BlockingEngine(settings) as engine:
        assert engine.load("m", fitted, "1").plan.chosen.startswith("onnxruntime")
        first = engine.infer("m", {"input": ROWS}, use_cache=True)
        again = engine.infer("m", {"input": ROWS}, use_cache=True)
        fresh = engine.infer("m", {"input": ROWS}, use_cache=False)
        with pytest.raises(InvalidInput):
            engine.infer("m", {"input": ROWS[:, :2]})
        with pytest.raises(UnknownModel):
            engine.infer("nobody", {"input": ROWS})
    np.testing.assert_array_equal(first.outputs["predict"], fitted().predict(ROWS))
    assert [r.cache_hit for r in (first, again, fresh)] == [False, True, False]


def test_concurrent_loads_call_the_factory_once(settings: Settings) -> None:
    calls: list[int] = []

    def slow() -> LogisticRegression:
        calls.append(1)
        threading.Event().wait(0.3)
        return fitted()

    async def run() -> list[Any]:
        async with AsyncEngine(settings) as engine:
            return await asyncio.gather(*(engine.load("m", slow, "1") for _ in range(6)))

    models = asyncio.run(run())
    assert len(calls) == 1
    assert len(set(map(id, models))) == 1


def test_the_loop_goes_on_while_a_model_loads_and_runs(settings: Settings) -> None:
    async def run() -> tuple[float, np.ndarray]:
        async with AsyncEngine(settings) as engine:
            gaps, done = [0.0], asyncio.Event()

            async def watch() -> None:
                last = time.perf_counter()
                while not done.is_set():
                    await asyncio.sleep(0.005)
                    gaps.append(time.perf_counter() - last)
                    last = time.perf_counter()

            watcher = asyncio.create_task(watch())
            await engine.load("m", fitted, "1")
            result = await engine.infer("m", {"input": ROWS}, outputs=("predict_proba",))
            done.set()
            await watcher
            return max(gaps), result.outputs["predict_proba"]

    longest_s, answers = asyncio.run(run())
    assert longest_s < 1.0
    np.testing.assert_allclose(answers, fitted().predict_proba(ROWS), atol=1e-5)


def test_other_content_of_a_version_is_swapped_in(settings: Settings) -> None:
    with BlockingEngine(settings) as engine:
        for slope in (1.0, 2.0):
            target = ROWS[:, 0] * slope
            engine.load("m", lambda target=target: LinearRegression().fit(ROWS, target), "1")
            answer = engine.infer("m", {"input": ROWS[:5]}).outputs["predict"]
            np.testing.assert_allclose(answer, ROWS[:5, 0] * slope, atol=1e-5)


def test_what_skops_does_not_know_is_pickled_and_trusted_in_this_process_only(
    settings: Settings,
) -> None:
    def make() -> FunctionTransformer:
        return FunctionTransformer(np.cbrt).fit(ROWS)

    with BlockingEngine(settings) as engine:
        engine.load("roots", make, "1")
        answer = engine.infer("roots", {"input": ROWS}).outputs["transform"]
    np.testing.assert_allclose(answer, np.cbrt(ROWS))
    assert not settings.trust_file.exists()


def test_the_library_imports_no_web() -> None:
    script = (
        "import sys, engine.library; "
        "print([m for m in ('flask', 'dash', 'granian', 'app', 'sklearn') if m in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert shown.stdout.strip() == "[]", shown.stderr
