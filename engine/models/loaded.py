"""A model ready to run: its signature, the forms that serve it, and who stands in for them."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from engine.batching.policy import ALONE, Lanes, policy_of, quick_rows
from engine.errors import InvalidInput, ModelFailed, without_folders
from engine.models.backends import Backend
from engine.models.forms import open_any
from engine.models.oracle import Oracle, describe, open_oracle
from engine.models.plan import Plan, plan_of_oracle
from engine.models.plan_store import verify_files
from engine.models.repository import ModelEntry
from engine.models.signature import Signature, holds_nan
from engine.models.treatment import AS_IS, Treatment
from engine.models.trust import TrustFile
from engine.types import NUMPY_DTYPES

log = logging.getLogger(__name__)
WARM_UP_ROWS = (1, 8, 32)
MAX_STALLS = 3
RAISED = (Exception, SystemExit)
"""What a model may raise. One that calls `sys.exit` ends no thread of the server."""

Notice = Callable[[str], None]
Opened = Callable[["LoadedModel", int], None]
Tap = Callable[[Mapping[str, np.ndarray], "Run", int], None]


class Run(NamedTuple):
    """What a model answered, and the form that did."""

    outputs: dict[str, np.ndarray]
    form: str


class Forms:
    """The forms of one model version, each opened once, when it is first needed."""

    def __init__(
        self,
        entry: ModelEntry,
        trust: TrustFile,
        plan: Plan,
        folder: Path,
        oracle: Oracle | None = None,
    ) -> None:
        self.entry, self.plan = entry, plan
        self._trust, self.folder = trust, folder
        self._open: dict[str, Backend] = {}
        self._oracle = oracle
        self._lock = threading.RLock()

    def open(self, form: str) -> tuple[Backend, int]:
        """A form, and the bytes that opening it added now (0 when it was open).

        Raises ArtefactError for files that are not the plan's, and whatever a library raises.
        """
        with self._lock:
            if form in self._open:
                return self._open[form], 0
            candidate = self.plan.candidate(form)
            verify_files(self.folder, candidate)
            backend = open_any(
                form, candidate.files, candidate.recipe, self.folder, self._open_oracle
            )
            self._open[form] = backend
            return backend, candidate.memory_bytes

    def _open_oracle(self) -> Oracle:
        if self._oracle is None:
            recipe = self.plan.oracle.recipe
            self._oracle = open_oracle(self.entry, self._trust, self.plan.signature, recipe)
        return self._oracle


class LoadedModel:
    """One loaded version.

    The plan's form answers for its range of rows. An output that it does not cover
    (decision_function of a compiled classifier, say) is answered by the next exact form that
    does. A form that fails where another answers the same rows is taken out for good, until
    the model is loaded anew; `degraded` says so.

    quick_rows: requests of up to so many rows may run on a thread that must not wait.
    batching: how waiting requests are joined. times_us: microseconds by rows, of the plan or else
    of the warm-up.
    notice: told in words when a form is taken out. on_opened: told this model and the bytes of
    a form that was opened after the load. tap: handed the next run's inputs, answer and
    nanoseconds, once; None most of the time. sent: stands in for `run` where requests' rows are
    run elsewhere; None where they are run here.
    """

    def __init__(self, entry: ModelEntry, plan: Plan, forms: Forms) -> None:
        self.entry = entry
        self.name = entry.name
        self.version = entry.version
        self.digest = bytes.fromhex(entry.digest)
        self.plan = plan
        self.signature: Signature = plan.signature
        self.form = plan.chosen
        self.degraded: str | None = None
        self.first_answer_ms: float | None = None
        self.quick_rows = 0
        self.batching = ALONE
        self.times_us: Mapping[int, float] = {}
        self._stalls = 0
        self._warm_up_us: dict[int, float] = {}
        self.notice: Notice = log.warning
        self.on_opened: Opened = lambda model, size_bytes: None
        self.tap: Tap | None = None
        self.sent: Any = None
        self._forms = forms
        self._out: dict[str, str] = {}
        self._ranges = [(most_rows, forms.open(form)[0]) for most_rows, form in plan.ranges]
        self._samples = _samples_of(entry, plan)
        self._fallbacks, self._nan_fallbacks = plan.fallbacks(), plan.fallbacks(nan=True)
        finite_only = any(plan.candidate(form).finite_only for _, form in plan.ranges)
        self._may_hold_nan = sorted(self.signature.nan_inputs) if finite_only else []

    def place(self, lanes: Lanes) -> None:
        """Decide where its requests run, by its plan's timings or its own warm-up's."""
        self.times_us = times_us = self.plan.served_us or self._warm_up_us
        self.quick_rows = quick_rows(times_us, lanes.inline_us)
        self.batching = policy_of(times_us, lanes.batch_max_rows, lanes.batch_max_wait_us)

    def beside(self, treatment: Treatment, lanes: Lanes, salt: str) -> LoadedModel:
        """The same version served in another way, warm, with what is open already.

        salt: makes its digest, and so what is cached of it, its own. Raises as `run`, and
        whatever opening a form raises.
        """
        if treatment.form:
            _, opened_bytes = self._forms.open(treatment.form)
            if opened_bytes:
                self.on_opened(self, opened_bytes)
        entry, plan = self._forms.entry, self._forms.plan
        other = LoadedModel(treatment.entry_of(entry), treatment.plan_of(plan), self._forms)
        other.digest = treatment.digest_of(other.digest, salt)
        other.notice = self.notice
        other.on_opened = lambda _, size_bytes: self.on_opened(self, size_bytes)
        other.warm_up()
        other.place(treatment.lanes_of(lanes))
        return other

    def stalled(self) -> None:
        """A run took far longer than planned; the third such takes it off the event loop."""
        self._stalls += 1
        if self._stalls == MAX_STALLS:
            self.quick_rows = 0
            self.notice(f"{self.name} {self.version} runs slower than planned: on slots from now")

    def run(self, inputs: Mapping[str, np.ndarray], outputs: tuple[str, ...]) -> Run:
        """Read-only outputs for bound inputs.

        Raises InvalidInput when the model refuses these rows but answers its own samples,
        and ModelFailed when no form is left that answers.
        """
        if self.tap is not None:
            return self._run_tapped(inputs, outputs)
        for name in self._may_hold_nan:
            if holds_nan(inputs[name]):
                return self._run_fallback(inputs, outputs, {}, self._nan_fallbacks)
        backend = self._backend_for(_rows(inputs))
        if backend is None or not backend.covers.issuperset(outputs):
            return self._run_fallback(inputs, outputs, {}, self._fallbacks)
        try:
            return Run(_read_only(backend.run(inputs, outputs)), backend.name)
        except RAISED as error:
            # A backend may raise anything; whoever stands in tells whose fault it is.
            failed = {backend.name: _words(error)}
            return self._run_fallback(inputs, outputs, failed, self._fallbacks)

    def _run_tapped(self, inputs: Mapping[str, np.ndarray], outputs: tuple[str, ...]) -> Run:
        tap, self.tap = self.tap, None
        began_ns = time.perf_counter_ns()
        run = self.run(inputs, outputs)
        run_ns = time.perf_counter_ns() - began_ns
        if tap is not None:
            tap(inputs, run, run_ns)
        return run

    def is_plain(self, inputs: Mapping[str, np.ndarray], outputs: tuple[str, ...]) -> bool:
        """Whether the plan's own form for so many rows is to answer, none in its stead."""
        if self._out or any(holds_nan(inputs[name]) for name in self._may_hold_nan):
            return False
        backend = self._backend_for(_rows(inputs))
        return backend is not None and backend.covers.issuperset(outputs)

    @property
    def folder(self) -> Path:
        """Where the files of its forms lie."""
        return self._forms.folder

    def _backend_for(self, rows: int) -> Backend | None:
        for most_rows, backend in self._ranges:
            if rows <= most_rows:
                return backend
        return None

    def _run_fallback(
        self,
        inputs: Mapping[str, np.ndarray],
        outputs: tuple[str, ...],
        failed: dict[str, str],
        forms: tuple[str, ...],
    ) -> Run:
        """Ask the exact forms in turn; those that failed before one answered are taken out."""
        for form in forms:
            if form in failed or form in self._out:
                continue
            try:
                backend, opened_bytes = self._forms.open(form)
                if opened_bytes:
                    self.on_opened(self, opened_bytes)
                if not backend.covers.issuperset(outputs):
                    continue
                answers = backend.run(inputs, outputs)
            except RAISED as error:
                failed[form] = _words(error)
                continue
            if failed:
                self._take_out(failed, form)
            return Run(_read_only(answers), form)
        raise self._no_answer(failed)

    def _take_out(self, failed: Mapping[str, str], answers: str | None) -> None:
        self._out.update(failed)
        self._ranges = [r for r in self._ranges if r[1].name not in self._out]
        self.quick_rows, self.batching = 0, ALONE  # whoever stands in was not placed
        words = "; ".join(f"{form} failed: {why}" for form, why in self._out.items())
        self.degraded = f"{words}; {answers or 'nothing'} answers"[:500]
        if answers is not None:
            self.form = answers
        self.notice(f"{self.name} {self.version}: {self.degraded}")

    def _no_answer(self, failed: Mapping[str, str]) -> InvalidInput | ModelFailed:
        """All forms failed: these rows' fault, if the oracle answers its own samples."""
        oracle = self.plan.oracle.form
        why = failed.get(oracle) or self._out.get(oracle) or "no form has these outputs"
        if oracle in failed:
            try:
                backend, _ = self._forms.open(oracle)
                default = (self.signature.outputs[0].name,)
                backend.run(self.signature.bind(self.sample_rows(self._least_rows)), default)
            except RAISED:
                self._take_out(failed, None)
            else:
                return InvalidInput(f"model {self.name!r} refuses these rows: {why}")
        return ModelFailed(f"model {self.name!r} failed: {why}")

    @property
    def _least_rows(self) -> int:
        return self.signature.fixed_rows or 1

    def sample_rows(self, rows: int) -> dict[str, np.ndarray]:
        """The first `rows` sample rows, repeated when there are fewer."""
        total = len(next(iter(self._samples.values())))
        pick = np.arange(rows) % total
        return {name: array[pick] for name, array in self._samples.items()}

    def warm_up(self) -> dict[int, float]:
        """Run real rows at each warm-up batch size; returns milliseconds by rows.

        The very first run of this load is kept as `first_answer_ms`. Raises as `run`.
        """
        output = (self.signature.outputs[0].name,)
        fixed = self.signature.fixed_rows
        times = {}
        self.tap = None  # these rows are nobody's
        for rows in (fixed,) if fixed else WARM_UP_ROWS:
            inputs = self.signature.bind(self.sample_rows(rows))
            started_ns = time.perf_counter_ns()
            self.run(inputs, output)
            times[rows] = (time.perf_counter_ns() - started_ns) / 1e6
            if self.first_answer_ms is None:
                self.first_answer_ms = times[rows]
        for most_rows, _ in self._ranges[:-1]:
            # The form that serves above this size has not run yet.
            self.run(self.signature.bind(self.sample_rows(most_rows + 1)), output)
        self._warm_up_us = {rows: 1000 * ms for rows, ms in times.items()}
        return times


def _rows(inputs: Mapping[str, np.ndarray]) -> int:
    return len(next(iter(inputs.values())))


def _read_only(answers: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    for array in answers.values():
        array.flags.writeable = False
    return answers


def _words(error: BaseException) -> str:
    first_line = (str(error).strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: {without_folders(first_line)[:200]}"


def _samples_of(entry: ModelEntry, plan: Plan) -> dict[str, np.ndarray]:
    """The model's own sample rows, else the one row that its plan has seen it answer."""
    samples, inputs = entry.samples(), plan.signature.inputs
    if all(spec.name in samples for spec in inputs):
        return {spec.name: samples[spec.name] for spec in inputs}
    return {
        spec.name: np.array(plan.example[spec.name], dtype=NUMPY_DTYPES[spec.datatype])
        for spec in inputs
    }


def open_planned(
    entry: ModelEntry, plan: Plan, folder: Path, trust: TrustFile, treatment: Treatment = AS_IS
) -> LoadedModel:
    """A model as its plan serves it, or treated; the forms' files lie in `folder`."""
    return _treated(Forms(entry, trust, plan, folder), treatment)


def _treated(forms: Forms, treatment: Treatment) -> LoadedModel:
    entry, plan = treatment.entry_of(forms.entry), treatment.plan_of(forms.plan)
    model = LoadedModel(entry, plan, forms)
    model.digest = treatment.digest_of(model.digest)
    return model


def open_unplanned(
    entry: ModelEntry, trust: TrustFile, treatment: Treatment = AS_IS
) -> LoadedModel:
    """The model as it is: what `optimise = off` serves and the tests compare with."""
    oracle, described = describe(entry, trust)
    plan = plan_of_oracle(entry.name, entry.version, oracle.backend.name, described)
    return _treated(Forms(entry, trust, plan, entry.folder, oracle), treatment)
