"""A loaded model as the auditor sees it; see engine.effectiveness.auditor."""

from __future__ import annotations

import json
import os
import statistics
import time
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from engine.effectiveness.auditor import Sample, Take
from engine.effectiveness.child import Child
from engine.effectiveness.savings import Times
from engine.models import confined
from engine.models.loaded import LoadedModel
from engine.models.trust import TrustFile

CHILD = "engine.models.rerun"
MOST_RUNS, MOST_NS = 20, 4_000_000
SLOW_NS = 20_000_000
"""A form whose run takes longer is run here once, not again and again."""


def rerun_child(
    most_bytes: int, idle_s: float, monotonic: Callable[[], float] = time.monotonic
) -> Child:
    """The process that runs served rows again, confined. It stays in this process namespace,
    so that its memory and processor time can be read, and has no end of processor time: each
    answer has its own.
    """
    limits = confined.Limits(most_bytes, own_processes=False)
    environ = confined.passed_environment(os.environ)
    return Child(confined.command(limits, CHILD), most_bytes, idle_s, monotonic, environ)


def why_not_audited(model: LoadedModel) -> str | None:
    """Why there is nothing to compare a model with, in words; None where there is."""
    plan, oracle = model.plan, model.plan.oracle
    if model.entry.format in ("onnx", "python"):
        return f"no oracle: a given {model.entry.format} model is served as it is"
    chosen = {form for _, form in plan.ranges}
    if chosen == {oracle.form}:
        return f"{oracle.form} itself serves: there is nothing to compare"
    if not oracle.run_us or any(not plan.candidate(form).run_us for form in chosen):
        return "its plan has no times to compare with"
    return None


class AuditedModel:
    """One loaded model; it is not kept in memory by this."""

    def __init__(self, model: LoadedModel, trust: TrustFile) -> None:
        plan = model.plan
        self.name, self.version = model.name, model.version
        self.judged = all(plan.candidate(form).exact for _, form in plan.ranges)
        timed = {c.form for c in plan.candidates if c.verdict != "out" and c.run_us}
        self.forms = frozenset(timed - {plan.oracle.form})
        self._model, self._trust = weakref.ref(model), trust
        self._plan, self._entry, self._folder = plan, model.entry, model.folder

    def is_of(self, model: LoadedModel) -> bool:
        return self._model() is model

    def set_tap(self, take: Take) -> None:
        model = self._model()
        if model is not None:
            model.tap = lambda inputs, run, run_ns: take(inputs, run.outputs, run.form, run_ns)

    def job(self, sample: Sample) -> dict[str, Any]:
        entry = self._entry
        return {
            "model": str(entry.home.resolve()),
            "version": entry.version,
            "digest": entry.digest,
            "trust_file": str(self._trust.path.resolve()),
            "also_trusted": sorted(self._trust.also),
            "plan": json.dumps(self._plan.as_dict(), allow_nan=False),
            "folder": str(self._folder.resolve()),
            "form": sample.form,
            "inputs": dict(sample.inputs),
            "outputs": dict(sample.outputs),
        }

    def served_us(self, sample: Sample) -> float | None:
        """Median over a few runs, the first not counted: it meets cold caches."""
        model = self._model()
        if model is None:
            return None
        output, times = (model.signature.outputs[0].name,), list[int]()
        try:
            while len(times) < MOST_RUNS and sum(times) < MOST_NS:
                began_ns = time.thread_time_ns()
                run = model.run(sample.inputs, output)
                times.append(time.thread_time_ns() - began_ns)
                if run.form != sample.form:
                    return None
                if times[0] > SLOW_NS:
                    break
        except Exception:
            # The model says so itself where it matters: to whoever asks it next.
            return None
        return statistics.median(times[1:] or times) / 1e3

    def planned_us(self, sample: Sample) -> tuple[float, float]:
        rows = np.array([sample.rows])
        both = (self._plan.oracle, self._plan.candidate(sample.form))
        oracle_ns, form_ns = (float(Times(c.run_us).at(rows)[0]) for c in both)
        return oracle_ns / 1e3, form_ns / 1e3
