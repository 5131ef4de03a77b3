r"""Experiments on a live engine: variants opened, calls led to them, one of them put in place.

    Engine.begin  <-- while none runs: nothing of an experiment is asked, not even whether
    Trials.begin  <-- while one runs: a call that names no version goes to its caller's variant

A start replaces the engine's `begin` and tells the front, which ends the model's lanes; the end
of the last one puts it back. What a promotion put in place is served like any other version.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from engine.batching.policy import Lanes
from engine.call import Call
from engine.errors import (
    Busy,
    InvalidInput,
    ModelFailed,
    Overloaded,
    PyrometerError,
    without_folders,
)
from engine.experiments.book import Book
from engine.experiments.definition import Variant, definition_of
from engine.experiments.experiment import Ending, Experiment
from engine.experiments.figures import figures_of
from engine.experiments.results import about, answer_of
from engine.models.slots import Lease
from engine.offers import offers_of, refuse_models, refuse_variants, treatment_of
from engine.promotions import Promotions
from engine.telemetry.labels import MAX_LABELS
from engine.trial import Trial
from engine.types import Caller, Tensors

if TYPE_CHECKING:
    from engine.engine import Engine
    from engine.telemetry.ticker import Second

log = logging.getLogger(__name__)
SAVE_EVERY_S = 10.0
SAVE_ARRAYS_EVERY = 3
FIGURES_EVERY_S = 5.0
SPARE_LABELS = 20


class Trials:
    """An engine's experiments. promotions: what was put in place."""

    def __init__(self, engine: Engine, lanes: Lanes) -> None:
        self._engine, self._lanes = engine, lanes
        self.book = Book(engine.settings.state)
        self._led = engine.led
        self.promotions = Promotions(engine, lanes, self.book)
        # One change at a time, which may wait for loads; the table of those that run is behind
        # another lock, because the ticker must never wait for a load.
        self._changing, self._leading = threading.RLock(), threading.Lock()
        # Only these: by the time the engine starts, its server may have begun others.
        self._to_resume = [one for one in self.book.all() if one.state == "running"]
        self._computing: set[str] = set()
        self._saves, self._saved_s = 0, time.monotonic()
        engine.ticker.after.append(self.follow)

    @property
    def running(self) -> Mapping[str, Trial]:
        """By model."""
        return self._led.running

    def start(self) -> None:
        """Experiments that ran when the engine stopped go on."""
        if self._to_resume:
            threading.Thread(target=self._resume_all, name="pyrometer-resume", daemon=True).start()

    def close(self) -> None:
        """Write what is known of those that run; they go on at the next start."""
        for trial in self.running.values():
            trial.note_shadow()
            trial.shadow.stop()
            self.book.save(trial.experiment, arrays=True)

    # on the callers' side

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
        """`Engine.begin` while an experiment runs, on this or another model."""
        engine = self._engine
        trial = self.running.get(name) if version is None else None
        if trial is None:
            return type(engine).begin(engine, name, version, tensors, outputs, use_cache, waits)
        entered_ns = time.perf_counter_ns()
        call = trial.call(caller, tensors, use_cache)
        if call is None:
            return type(engine).begin(engine, name, version, tensors, outputs, use_cache, waits)
        return engine.prepare(call, tensors, outputs, entered_ns)

    # on the ticker's side

    def follow(self, second: Second) -> None:
        """A second's records: who is over its limits stops now."""
        if not self.running:
            return
        for trial in list(self.running.values()):
            trial.take(second.rows, self._engine.recorder.labels)
            trial.note_shadow()
            changed = trial.has_changed()
            if changed is not None:
                text = f"{changed}: its version's content has changed or gone"
                self._finish(trial, Ending("changed", text))
                continue
            ending = trial.experiment.judge()
            if ending is None:
                continue
            if trial.experiment.take_out(ending, second.time):
                self._event(trial.experiment, f"{ending.reason}; its callers go back to control")
                self._later(partial(self.book.save, trial.experiment))
            else:
                self._finish(trial, ending)
        if second.monotonic_s - self._saved_s >= SAVE_EVERY_S:
            self._saved_s = second.monotonic_s
            self._later(self._save_running)

    def _save_running(self) -> None:
        self._saves += 1
        for trial in list(self.running.values()):
            self.book.save(trial.experiment, arrays=self._saves % SAVE_ARRAYS_EVERY == 0)

    def _later(self, job: Callable[[], None]) -> bool:
        """Have it done off this thread; False where there is no room now."""
        try:
            self._engine.pool.submit(job)
        except Overloaded as error:
            log.warning("an experiment's work was put off: %s", error)
            return False
        return True

    def _finish(self, trial: Trial, ending: Ending) -> None:
        """Everybody is answered by control from this moment."""
        experiment = trial.experiment
        with self._leading:
            if self.running.get(experiment.definition.model) is not trial:
                return
            self._lead({m: t for m, t in self.running.items() if t is not trial})
        trial.close()
        experiment.end(ending, time.time())
        self._event(experiment, f"{experiment.state}: {ending.reason}; control answers everybody")
        self._later(lambda: self._conclude(experiment))

    def _conclude(self, experiment: Experiment) -> None:
        self._compute(experiment)
        experiment.final = {"figures": experiment.computed, "computed_s": experiment.computed_s}
        self.book.save(experiment, arrays=True)

    def _lead(self, running: Mapping[str, Trial]) -> None:
        """Lead calls to these, under `_leading`. With none, the engine's own `begin` is back."""
        self._led.running = running
        own = vars(self._engine)
        if running:
            own["begin"] = self.begin
        else:
            own.pop("begin", None)

    def _event(self, experiment: Experiment, text: str) -> None:
        self._engine.ticker.event("experiment", f"{experiment.definition.name}: {text}")

    # what may be done

    def create(self, body: Mapping[str, Any]) -> Experiment:
        """A new experiment, a draft. Raises InvalidInput naming the field, UnknownModel or Busy."""
        model = body.get("model")
        if not isinstance(model, str) or not model:
            raise InvalidInput("model must name a model")
        serving = self._engine.registry.slot(model).entry.version
        definition = definition_of({k: v for k, v in body.items() if k != "start"}, serving)
        given = body.get("control") or {}
        if all(given.get(key) is None for key in ("version", "backend", "batching", "caches")):
            control = replace(self.promotions.in_place(model), **_own(definition.variants[0]))
            definition = replace(definition, variants=(control, *definition.variants[1:]))
        refuse_variants(self._engine, definition)
        experiment = self.book.add(definition, time.time())
        odd = f"; {definition.warning}" if definition.warning else ""
        self._event(experiment, f"created, {definition.mode} of {model}{odd}")
        return experiment

    def begin_trial(self, experiment: Experiment) -> None:
        """Start it: control is put in place, then callers are led to the variants.

        Raises Busy, InvalidInput naming the field, ModelLoading, ModelFailed or OverBudget.
        """
        self._require(experiment, "start")
        with self._changing:
            problem = self.problem(experiment.definition.model)
            if problem is not None:
                raise Busy(problem)
            refuse_variants(self._engine, experiment.definition)
            trial = self._open(experiment, self._engine.settings.load_wait_s)
            try:
                self.promotions.put(experiment, experiment.definition.variants[0])
            except BaseException:
                trial.close()
                raise
            self._run(trial)
        names = ", ".join(f"{v.name} ({v.text})" for v in experiment.definition.variants)
        self._event(experiment, f"started: {names}")
        self.book.save(experiment)

    def _run(self, trial: Trial) -> None:
        experiment = trial.experiment
        model = experiment.definition.model
        experiment.run(time.time())
        with self._leading:
            self._lead({**self.running, model: trial})
        for tell in self._led.on_start:
            tell(model)

    def problem(self, model: str) -> str | None:
        """Why no experiment may start on a model now; None: one may."""
        settings, labels = self._engine.settings, self._engine.recorder.labels
        if not settings.telemetry:
            return "telemetry is off: an experiment cannot measure"
        if len(labels) > MAX_LABELS - SPARE_LABELS:
            return f"the {MAX_LABELS} labels of metrics are used up; restart the server"
        for one in self.book.all():
            if one.definition.model == model and one.state == "running":
                return f"{one.definition.name!r} runs on {model} already"
        return None

    def _open(self, experiment: Experiment, wait_s: float) -> Trial:
        """Its variants, warm; wait_s: for the load of each. Raises as `begin_trial`."""
        definition, registry = experiment.definition, self._engine.registry
        leases: list[Lease] = []
        try:
            models = []
            for variant in definition.variants:
                lease = registry.lease(definition.model, variant.version, wait_s)
                leases.append(lease)
                treatment = treatment_of(variant, self._engine.settings)
                salt = f"{experiment.id}/{variant.name}"
                models.append(lease.model.beside(treatment, self._lanes, salt))
            refuse_models(definition, models)
            experiment.digests = [lease.model.entry.digest for lease in leases]
        except BaseException as error:
            for lease in leases:
                lease.give_back()
            if isinstance(error, PyrometerError) or not isinstance(error, Exception):
                raise
            raise ModelFailed(f"a variant cannot be opened: {error}") from error
        most = self._engine.settings.shadow_queue
        return Trial(experiment, models, leases, most, self._engine.profiler.in_flight)

    def _resume_all(self) -> None:
        for experiment in self._to_resume:
            digests = list(experiment.digests)
            try:
                trial = self._open(experiment, self._engine.settings.compile_timeout_s)
                if digests != experiment.digests:
                    trial.close()
                    raise ModelFailed("a version's content has changed")
                with self._changing:
                    if experiment.state != "running":
                        trial.close()  # it was stopped meanwhile
                        continue
                    self._run(trial)
                self._event(experiment, "goes on after a restart")
            except Exception as error:
                # A model that cannot be opened ends its experiment and nothing else.
                words = f"not resumed: {without_folders(str(error))}"
                experiment.end(Ending("changed", words), time.time())
                self._event(experiment, f"stopped: {words}")
                self.book.save(experiment)

    def stop(self, experiment: Experiment, reason: str) -> None:
        """End it by hand; control answers everybody. Raises Busy."""
        self._require(experiment, "stop")
        self._end_by_hand(experiment, reason or "stopped by hand")

    def _end_by_hand(self, experiment: Experiment, reason: str) -> None:
        """End it if it runs, or was to be resumed and is not yet."""
        trial = self.running.get(experiment.definition.model)
        if trial is not None and trial.experiment is experiment:
            self._finish(trial, Ending("hand", reason))
        elif experiment.state == "running":
            experiment.end(Ending("hand", reason), time.time())
            self.book.save(experiment)

    def promote(self, experiment: Experiment, name: str | None, force: bool) -> None:
        """Let a candidate answer whoever names no version, from now on and after a restart.

        Raises Busy, InvalidInput naming the field, and as `begin_trial`.
        """
        variant = _candidate(experiment, name)
        if not force:
            if variant.name in experiment.out:
                raise Busy(f"a guard rail stopped {variant.name}; send force to promote it anyway")
            done, needed = experiment.progress()
            if needed is not None and done < needed:
                raise Busy(f"{done} of {needed} planned requests; send force to promote it anyway")
        with self._changing:
            self._require(experiment, "promote")
            other = self.running.get(experiment.definition.model)
            if other is not None and other.experiment is not experiment:
                raise Busy(f"{other.experiment.definition.name!r} runs on this model")
            self.promotions.put(experiment, variant)
            self._end_by_hand(experiment, f"{variant.name} was promoted")
            experiment.state, experiment.promoted = "promoted", variant.name
        self._event(experiment, f"{variant.name} is promoted: {variant.text}")
        self.book.save(experiment)

    def roll_back(self, experiment: Experiment) -> None:
        """End it with control. Raises Busy, and as `begin_trial`."""
        model = experiment.definition.model
        with self._changing:
            self._require(experiment, "rollback")
            self._end_by_hand(experiment, "rolled back")
            promotion = self.book.promotions.get(model)
            mine = promotion is not None and promotion.experiment == experiment.id
            if experiment.state == "promoted" and mine:
                self.undo(model)
            experiment.state, experiment.promoted = "rolled_back", None
        self._event(experiment, "rolled back to control")
        self.book.save(experiment)

    def delete(self, experiment: Experiment) -> None:
        """Forget one that does not run; a promotion of its stays. Raises Busy."""
        self._require(experiment, "delete")
        self.book.delete(experiment)
        self._event(experiment, "deleted")

    def undo(self, model: str) -> str:
        """Let what served before the promotion serve again; returns it in words.

        Raises Busy without a promotion or while an experiment runs, and as `begin_trial`.
        """
        with self._changing:
            promotion = self.book.promotions.get(model)
            if promotion is None:
                raise Busy(f"nothing is promoted of model {model[:128]!r}")
            if model in self.running:
                raise Busy(f"an experiment runs on {model}; stop it first")
            text = self.promotions.restore(promotion)
            for experiment in self.book.all():
                if experiment.id == promotion.experiment and experiment.state == "promoted":
                    experiment.state, experiment.promoted = "rolled_back", None
                    self.book.save(experiment)
        self._engine.ticker.event("experiment", f"{model}: promotion undone; {text} serves")
        return text

    def _require(self, experiment: Experiment, action: str) -> None:
        if action not in experiment.actions:
            raise Busy(f"{action}: the experiment is {experiment.state.replace('_', ' ')}")

    # what is known

    def overview(self) -> dict[str, Any]:
        """Every experiment without results, and promotions."""
        kept = self.book.all()
        promotions = [one.as_dict() for one in self.book.promotions.values()]
        off = None if self._engine.settings.telemetry else self.problem("")
        return {
            "experiments": [about(one) for one in kept],
            "promotions": promotions,
            "limits": {"kept": 20, "used": len(kept), "candidates": 4, "running_per_model": 1},
            "problem": off,
            "problems": self.book.problems,
        }

    def answer(self, experiment: Experiment) -> dict[str, Any]:
        """One with its results; heavy figures are computed elsewhere, at most every 5 s."""
        if self._is_stale(experiment):
            self._computing.add(experiment.id)
            if not self._later(lambda: self._compute(experiment)):
                self._computing.discard(experiment.id)
        return answer_of(experiment, experiment.id in self._computing)

    def _is_stale(self, experiment: Experiment) -> bool:
        if not experiment.visible or experiment.id in self._computing:
            return False
        if experiment.state != "running":
            return not experiment.computed
        last_s = experiment.computed_s
        return last_s is None or time.time() - last_s >= FIGURES_EVERY_S

    def _compute(self, experiment: Experiment) -> None:
        try:
            experiment.computed = figures_of(experiment)
            experiment.computed_s = time.time()
        finally:
            self._computing.discard(experiment.id)

    def options(self, model: str) -> dict[str, Any]:
        """What may be chosen for a model. Raises UnknownModel."""
        offered = offers_of(self._engine, model, self.promotions.in_place(model))
        return offered | {"problem": self.problem(model)}


def _own(variant: Variant) -> dict[str, Any]:
    return {"name": variant.name, "weight": variant.weight}


def _candidate(experiment: Experiment, name: str | None) -> Variant:
    candidates = experiment.definition.variants[1:]
    if name is None and len(candidates) == 1:
        return candidates[0]
    for variant in candidates:
        if variant.name == name:
            return variant
    names = ", ".join(variant.name for variant in candidates)
    raise InvalidInput(f"variant is {str(name)[:40]!r}; it must be one of {names}")
