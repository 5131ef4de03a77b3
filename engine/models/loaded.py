"""A model ready to run: its signature and the form that serves it."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from engine.errors import ModelFailed
from engine.models.backends import Backend, sklearn_backend
from engine.models.forms import open_form
from engine.models.plan import NO_LIMIT, Plan
from engine.models.repository import ModelEntry
from engine.models.signature import Signature

WARM_UP_ROWS = (1, 8, 32)


class LoadedModel:
    """One loaded version. Immutable but for the form that is opened on first need.

    An output that the chosen form does not cover (decision_function of a compiled
    classifier, say) is answered by scikit-learn, loaded when first asked for.
    """

    def __init__(
        self,
        entry: ModelEntry,
        signature: Signature,
        ranges: Sequence[tuple[int, Backend]],
        plan: Plan | None,
    ) -> None:
        self.entry = entry
        self.name = entry.name
        self.version = entry.version
        self.digest = bytes.fromhex(entry.digest)
        self.signature = signature
        self.plan = plan
        self.form = ranges[0][1].name
        self.first_answer_ms: float | None = None
        self._ranges = tuple(ranges)
        self._oracle = next((b for _, b in ranges if b.name == sklearn_backend.NAME), None)
        self._oracle_lock = threading.Lock()
        samples = entry.samples()
        names = [spec.name for spec in signature.inputs]
        self._samples = (
            {name: samples[name] for name in names}
            if all(name in samples for name in names)
            else _made_up_rows(signature)
        )

    def run(
        self, inputs: Mapping[str, np.ndarray], outputs: tuple[str, ...]
    ) -> dict[str, np.ndarray]:
        """Read-only outputs for bound inputs. Raises ModelFailed when the backend raises."""
        backend = self._backend_for(_rows(inputs), outputs) or self._scikit_learn()
        try:
            answers = backend.run(inputs, outputs)
        except Exception as error:
            # A model's own code may raise anything; the caller gets one kind.
            raise ModelFailed(
                f"model {self.name!r} failed: {type(error).__name__}: {str(error)[:300]}"
            ) from error
        for array in answers.values():
            array.flags.writeable = False
        return answers

    def form_for(self, rows: int, outputs: tuple[str, ...]) -> str:
        """Name of the form that answers this many rows and these outputs."""
        backend = self._backend_for(rows, outputs)
        return sklearn_backend.NAME if backend is None else backend.name

    def _backend_for(self, rows: int, outputs: tuple[str, ...]) -> Backend | None:
        for most_rows, backend in self._ranges:
            if rows <= most_rows:
                return backend if backend.covers.issuperset(outputs) else None
        return None

    def sample_rows(self, rows: int) -> dict[str, np.ndarray]:
        """The first `rows` sample rows, repeated when there are fewer."""
        total = len(next(iter(self._samples.values())))
        pick = np.arange(rows) % total
        return {name: array[pick] for name, array in self._samples.items()}

    def warm_up(self) -> dict[int, float]:
        """Run real rows at each warm-up batch size; returns milliseconds by rows.

        The very first run of this load is kept as `first_answer_ms`.
        """
        output = (self.signature.outputs[0].name,)
        times = {}
        for rows in WARM_UP_ROWS:
            inputs = self.signature.bind(self.sample_rows(rows))
            started_ns = time.perf_counter_ns()
            self.run(inputs, output)
            times[rows] = (time.perf_counter_ns() - started_ns) / 1e6
            if self.first_answer_ms is None:
                self.first_answer_ms = times[rows]
        for most_rows, _ in self._ranges[:-1]:
            # The form that serves above this size has not run yet.
            self.run(self.signature.bind(self.sample_rows(most_rows + 1)), output)
        return times

    def _scikit_learn(self) -> Backend:
        with self._oracle_lock:
            if self._oracle is None:
                self._oracle = sklearn_backend.open_sklearn(self.entry.artefact)
            return self._oracle


def _rows(inputs: Mapping[str, np.ndarray]) -> int:
    return len(next(iter(inputs.values())))


def _made_up_rows(signature: Signature) -> dict[str, np.ndarray]:
    """One row of zeros or of a letter, for a model that ships no samples."""
    return {
        spec.name: np.array(["a"], dtype=object)
        if spec.datatype == "BYTES"
        else np.zeros((1, *(max(size, 1) for size in spec.shape[1:])))
        for spec in signature.inputs
    }


def open_planned(entry: ModelEntry, plan: Plan, folder: Path) -> LoadedModel:
    """Open the forms of a plan, each once; their files lie in `folder`."""
    opened: dict[str, Backend] = {}
    for form in dict.fromkeys(form for _, form in plan.ranges):
        if form == sklearn_backend.NAME:
            opened[form] = sklearn_backend.open_sklearn(entry.artefact)
        else:
            chosen = plan.candidate(form)
            (file,) = chosen.files
            opened[form] = open_form(form, folder / file, chosen.outputs)
    ranges = [(most_rows, opened[form]) for most_rows, form in plan.ranges]
    return LoadedModel(entry, plan.signature, ranges, plan)


def open_unplanned(entry: ModelEntry) -> LoadedModel:
    """Plain scikit-learn, no plan: what `optimise = off` serves and the tests compare with."""
    from engine.models.tournament import describe

    backend = sklearn_backend.open_sklearn(entry.artefact)
    signature, _ = describe(entry, backend)
    return LoadedModel(entry, signature, [(NO_LIMIT, backend)], None)
