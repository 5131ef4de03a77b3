"""An experiment that runs: its variants open, its calls, and what is compared beside them.

A call of an experiment is an ordinary call on a variant's own model, whose digest no other
shares: caches, batches and equal runs never mix variants. Once it is closed, its answer may be
offered to the shadow, which has other variants answer the same rows off the caller's time.
"""

from __future__ import annotations

import random
import time
from typing import NamedTuple

import numpy as np

from engine.caching.memory import tensors_bytes
from engine.call import Call
from engine.experiments.experiment import Answered, Experiment
from engine.experiments.shadow import Shadow
from engine.in_flight import InFlight, Mark
from engine.models.loaded import LoadedModel, Run
from engine.models.slots import Lease
from engine.telemetry.labels import Labels
from engine.telemetry.rows import COLUMN
from engine.types import MISSED, RESPONSE_HIT, Caller, Tensors

_LABEL, _STATUS, _CACHE = COLUMN["label"], COLUMN["status"], COLUMN["cache"]
_ENDED, _DURATION, _INFERENCE = COLUMN["ended_ns"], COLUMN["duration_ns"], COLUMN["inference_ns"]


class Answer(NamedTuple):
    """A request that was answered, for others to answer too. variant: who did."""

    variant: int
    inputs: dict[str, np.ndarray]
    outputs: tuple[str, ...]
    found: dict[str, np.ndarray]
    encoder: LoadedModel | None


class TrialCall(Call):
    """A call of an experiment; it is offered for comparison when it is closed."""

    __slots__ = ("trial", "variant")

    def __init__(self, lease: Lease, use_cache: bool, trial: Trial, variant: int) -> None:
        super().__init__(lease, use_cache)
        self.trial, self.variant = trial, variant

    def close(self) -> None:
        is_first = bool(self.leases)
        super().close()
        if is_first and self.run is not None and self.error is None:
            self.trial.offer(self)


class Trial:
    """models: one of each variant, control first. leases: what keeps them in memory."""

    def __init__(
        self,
        experiment: Experiment,
        models: list[LoadedModel],
        leases: list[Lease],
        most_waiting: int,
        in_flight: InFlight,
    ) -> None:
        self.experiment, self.models = experiment, models
        self._leases = leases
        self._in_flight = in_flight
        self.shadow: Shadow[Answer] = Shadow(self._answer_beside, most_waiting)
        # A lease of its own for each call would be counted and given back for nothing: the
        # trial's own keep the models where they are.
        pairs = zip(leases, models, strict=True)
        self._call_leases = [Lease(lease.slot, model, False, _keep) for lease, model in pairs]
        definition = experiment.definition
        self._header = (definition.header or "").encode()
        self._is_shadow, self._fraction = definition.is_shadow, definition.fraction
        by_cpu = definition.measure == "cpu"
        self._clock_ns = time.thread_time_ns if by_cpu else time.perf_counter_ns
        self._random, self._turn = random.Random(), 0
        self._began_ns = time.perf_counter_ns()
        self._places: dict[int, int] = {}
        self._labels_seen = 0
        self._before = experiment.shadow

    # on the callers' side

    def call(self, caller: Caller | None, tensors: Tensors, use_cache: bool) -> TrialCall | None:
        """A call on the variant of this caller, who is told. In shadow mode that is control.

        None where a guard rail took the variant out: the caller is no longer part of it.
        """
        variant = 0
        if not self._is_shadow:
            named = caller.header(self._header) if caller is not None and self._header else ""
            variant = self.experiment.assign(named, tensors)
            if self.experiment.out and self.experiment.names[variant] in self.experiment.out:
                return None
        if caller is not None:
            caller.assigned(self.experiment.names[variant])
        return TrialCall(self._call_leases[variant], use_cache, self, variant)

    def offer(self, call: TrialCall) -> None:
        """Take an answered call for comparison, if it is chosen and there is room."""
        if self._random.random() >= self._fraction:
            self.shadow.leave_out()
            return
        assert call.run is not None, "only answered calls are offered"
        answer = Answer(call.variant, call.inputs, call.outputs, call.run.outputs, call.encoder)
        self.shadow.offer(answer, tensors_bytes(answer.inputs) + tensors_bytes(answer.found))

    # on the ticker's side

    def take(self, rows: np.ndarray, labels: Labels) -> None:
        """A second's records; in shadow mode the variants are timed beside the callers."""
        if self._is_shadow or not len(rows):
            return
        lookup = self._lookup(labels)
        variant = lookup[rows[:, _LABEL]]
        mine = (variant >= 0) & (rows[:, _ENDED] - rows[:, _DURATION] >= self._began_ns)
        rows, variant = rows[mine], variant[mine]
        cached = rows[:, _CACHE] >= RESPONSE_HIT
        if self.experiment.definition.measure == "request":
            times_ms = rows[:, _DURATION] / 1e6
        else:
            ran = (rows[:, _CACHE] <= MISSED) & (rows[:, _INFERENCE] > 0)
            times_ms = np.where(ran, rows[:, _INFERENCE] / 1e6, np.nan)
        self.experiment.take(Answered(variant, rows[:, _STATUS], cached, times_ms))

    def _lookup(self, labels: Labels) -> np.ndarray:
        """The variant of each label, -1 where it is none of this experiment's."""
        names, model = self.experiment.names, self.experiment.definition.model
        known = list(labels)
        for number in range(self._labels_seen, len(known)):
            label = known[number]
            if label.model == model and label.variant in names:
                self._places[number] = names.index(label.variant)
        self._labels_seen = len(known)
        lookup = np.full(len(known), -1, dtype=np.int64)
        lookup[list(self._places)] = list(self._places.values())
        return lookup

    def note_shadow(self) -> None:
        """Bring the shadow's counts to the experiment, those before a restart included."""
        counts, before = self.shadow.counts, self._before
        now = {
            "offered": counts.offered,
            "compared": counts.done,
            "dropped": counts.dropped,
            "left_out": counts.left_out,
        }
        total = {name: before.get(name, 0) + value for name, value in now.items()}
        levels = {"queued": self.shadow.queued, "queue_limit": self.shadow.most_jobs}
        self.experiment.shadow = total | levels

    def has_changed(self) -> str | None:
        """The variant whose version has other content now than when it began; None: none has."""
        for name, lease, digest in zip(
            self.experiment.names, self._leases, self.experiment.digests, strict=True
        ):
            if lease.slot.entry.digest != digest or lease.slot.model is None:
                return name
        return None

    # on the shadow's thread

    def _answer_beside(self, answer: Answer) -> None:
        if self._is_shadow:
            self._answer_with_all(answer)
            return
        others = [at for at in self.experiment.places_in if at != answer.variant]
        if not others:
            return
        compared = [one.counts.requests for one in self.experiment.agreements]
        other = 0 if answer.variant else min(others, key=lambda at: compared[at - 1])
        run, _ = self._timed(other, answer)
        found = None if run is None else run.outputs
        if answer.variant and found is None:
            return  # control failed: no candidate is to blame
        pair = (found or {}, answer.found) if answer.variant else (answer.found, found)
        candidate = answer.variant or other
        self.experiment.take_comparison(candidate, *pair, answer.inputs, time.time())

    def _answer_with_all(self, answer: Answer) -> None:
        """Every variant runs, each as often first as the others; only control's caller had one."""
        places = self.experiment.places_in
        self._turn += 1
        times_ms: dict[int, float | None] = {}
        for step in range(len(places)):
            at = places[(self._turn + step) % len(places)]
            run, times_ms[at] = self._timed(at, answer)
            if at:
                found = None if run is None else run.outputs
                self.experiment.take_comparison(at, answer.found, found, answer.inputs, time.time())
        self.experiment.take_shadow(times_ms)

    def _timed(self, variant: int, answer: Answer) -> tuple[Run | None, float | None]:
        """A variant's run of these rows, no cache asked, and its ms; None where it raised."""
        model = self.models[variant]
        began_ns = self._clock_ns()
        try:
            with self._in_flight.working_for(Mark(model.name, model.version, "", "", False)):
                run = _run(model, answer)
        except Exception:
            # A model may raise anything; the experiment counts it as failed.
            return None, None
        return run, (self._clock_ns() - began_ns) / 1e6

    def close(self) -> None:
        """Nothing is compared any more, and the models may leave memory."""
        self.note_shadow()
        self.shadow.stop()
        for lease in self._leases:
            lease.give_back()
        self._leases = []


def _run(model: LoadedModel, answer: Answer) -> Run:
    if answer.encoder is None:
        return model.run(answer.inputs, answer.outputs)
    (output,) = answer.encoder.signature.check_outputs(())[:1]
    vectors = answer.encoder.run(answer.inputs, (output,)).outputs[output]
    bound = model.signature.bind({model.signature.inputs[0].name: vectors})
    return model.run(bound, answer.outputs)


def _keep(slot: object) -> None:
    """A call's lease is the trial's."""
