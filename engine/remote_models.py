"""Which models run elsewhere: placed, deployed, looked after, and taken back when Ray is away.

    every LOOK_EVERY_S: the versions that serve, loaded  ->  place  ->  pack, deploy  ->  model.sent
                        deployments of what serves no more  ->  removed, after the new one is there
                        those whose replicas were lost      ->  asked with a sample row

What is decided is decided here, off the request path: a request sees `model.sent`, or nothing.
"""

from __future__ import annotations

import importlib.util
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from engine.deploying import Deployer, config_of, most_rows_of, timeout_s
from engine.errors import ConfigurationError, ModelFailed, PyrometerError, UnknownModel
from engine.executors.placement import WORTH, Placement, write_words
from engine.executors.ray_link import UP, Link, nothing_at
from engine.executors.remote import LOCAL, RAY, RemoteLost
from engine.models.files import private_folder
from engine.models.loaded import LoadedModel
from engine.periodic import Periodic
from engine.placed import LEAST_PAUSE_S, Placed
from engine.sent import Figures, Sent

if TYPE_CHECKING:
    from engine.engine import Engine

log = logging.getLogger(__name__)
LOOK_EVERY_S, PROBE_EVERY_S = 0.5, 0.25
DEPLOYS_AT_ONCE = 4
GONE_S = 30.0
"""Replicas that answer no sample for so long are deployed anew: their deployment may be gone."""
STACKS = "ray replica"
RACE_S = 0.05
"""A request that was found quick a moment ago has begun by then."""


class RemoteModels:
    """An `engine.executors.remote.Remote` over Ray Serve."""

    def __init__(self, engine: Engine, link: Link | None = None) -> None:
        settings = self._settings = engine.settings
        self._registry, self._event = engine.registry, engine.ticker.event
        self._profiler = engine.profiler
        self.ray_figures = Figures()
        self.folder = private_folder(settings.state / "ray")
        self.link = link or Link(
            self.folder,
            config_of(settings, self.folder),
            self._changed,
            self._reported,
            away=lambda: nothing_at(settings.ray_address),
        )
        self.scheduler = engine.runs.send_elsewhere(settings.ray_in_flight)
        self._here = threading.Semaphore(engine.runs.scheduler.slots)
        self._deployer = Deployer(settings, self.link)
        self._placed: dict[tuple[str, str], Placed] = {}
        self._unmeasured: set[tuple[str, str]] = set()
        self._lock = threading.Lock()
        self._looks = Periodic("ray-models", LOOK_EVERY_S, self.look)
        self._probes = Periodic("ray-probes", PROBE_EVERY_S, self.probe)
        engine.monitoring.watched.append(lambda: self.threads)
        engine.figures["ray"] = self.figures

    @property
    def threads(self) -> list[Any]:
        """Those that are to go on."""
        looks = [self._looks.thread, self._probes.thread]
        return [self.link.thread, *looks, *self.scheduler.threads]

    def start(self) -> None:
        self.link.start()
        self._looks.start()
        self._probes.start()

    def close(self) -> None:
        """Everything runs here again; deployments are taken down."""
        self._looks.stop()
        self._probes.stop()
        self._rest_all()
        self.link.close()
        self.scheduler.close(wait_s=2)

    def _changed(self, state: str) -> None:
        """The link's: Ray is there, or away."""
        if state != UP:
            self._rest_all()
        words = f": {self.link.problem}; models answer here" if self.link.problem else ""
        self._event("ray", f"Ray is {state}{words}")

    def _reported(self, report: dict[str, Any]) -> None:
        """Stacks of replicas join the profile, under a root of their own."""
        keys = {placed.app: key for key, placed in list(self._placed.items())}
        for app, stack, run_ns in report.pop("stacks", []):
            if app in keys:
                self._profiler.sampler.add_elsewhere(STACKS, keys[app], stack, int(run_ns))

    def _rest_all(self) -> None:
        for placed in list(self._placed.values()):
            if placed.sent is not None:
                placed.sent.resting = True

    def look(self) -> None:
        """Bring what is deployed in line with what serves."""
        with self._lock:
            self._look()

    def _look(self) -> None:
        registry = self._registry
        serving = {
            slot.entry.key: (slot.model, slot.entry.declared.executor)
            for slot in registry.slots()
            if slot.model is not None and registry.serves(slot)
        }
        due = []
        for key, (model, choice) in serving.items():
            placed = self._placed.get(key)
            if self.link.state != UP:
                if placed is not None and placed.sent is not None:
                    self._take_home(placed, "away", self.link.problem)
            elif (
                placed is None
                or placed.model is not model
                or placed.choice != choice
                or self._is_due(placed)
            ):
                due.append((key, model, choice, placed))
        if due:
            with ThreadPoolExecutor(DEPLOYS_AT_ONCE, thread_name_prefix="ray-deploy") as pool:
                list(pool.map(lambda one: self._try_to_place(*one), due))
            self._write_words()
        self._unmeasured &= serving.keys()
        for key, placed in list(self._placed.items()):
            if key not in serving:
                del self._placed[key]
                self._take_home(placed, LOCAL, "")
                in_use = {other.app for other in self._placed.values()}
                for app in {placed.app, *placed.older} - in_use:
                    self._forget(app)

    def _write_words(self) -> None:
        placed = list(self._placed.items())
        try:
            write_words(
                self.folder, {k: f"runs {p.where}: {p.placement.reason}" for k, p in placed}
            )
        except OSError as error:
            log.warning("where models run was not written down: %s", error)

    def probe(self) -> None:
        """Ask the replicas of those that answer here meanwhile."""
        for placed in list(self._placed.values()):
            if placed.sent is not None and placed.sent.resting and self.link.state == UP:
                self._probe(placed)

    def _is_due(self, placed: Placed) -> bool:
        """Whether a version that Ray should run is to be deployed now."""
        if placed.placement.where != RAY:
            return False
        if placed.starts != self.link.starts:
            return True
        now_s = time.monotonic()
        if placed.sent is None:
            return now_s >= placed.again_s
        lost_s = placed.lost_s
        return placed.sent.resting and lost_s is not None and now_s - lost_s > GONE_S

    def _try_to_place(
        self, key: tuple[str, str], model: LoadedModel, choice: str, before: Placed | None
    ) -> None:
        """One model that cannot be placed, for whatever reason, must not hinder the others."""
        try:
            self._place(key, model, choice, before)
        except Exception as error:
            log.exception("%s %s was not placed", model.name, model.version)
            if self._placed.get(key) is not before:
                return  # it was, and what came after it failed
            placed = Placed(
                model, Placement(RAY, "it could not be placed"), choice, starts=self.link.starts
            )
            placed.quick_rows, placed.older = model.quick_rows, self._older_of(before)
            if before is not None:
                self._take_home(before, LOCAL, "")
                if before.model is model:
                    placed.pause_s, placed.quick_rows = before.pause_s, before.quick_rows
            placed.has_failed(error)
            self._placed[key] = placed

    def _place(
        self, key: tuple[str, str], model: LoadedModel, choice: str, before: Placed | None
    ) -> None:
        """Decide, and deploy; the deployment before goes once this one is healthy."""
        try:
            decided = self._deployer.decide(model, choice)
        except RemoteLost as lost:
            if key not in self._unmeasured:
                log.warning("%s %s: no trip to Ray was measured: %s", *key, lost)
            self._unmeasured.add(key)
            return  # the next look decides
        self._unmeasured.discard(key)
        placed = Placed(model, decided, choice, starts=self.link.starts)
        placed.quick_rows = model.quick_rows
        if before is not None and before.model is model:
            placed.pause_s = before.pause_s
            placed.quick_rows = before.quick_rows
        older = self._older(key, before)
        was_lost = False
        if before is not None and before.model is model and before.sent is not None:
            was_lost = before.lost_s is not None
            self._take_home(before, LOCAL, "")
        if decided.where == RAY:
            self._deploy(placed, older, was_lost)
            if placed.sent is None:
                placed.older = self._older_of(before)
        self._placed[key] = placed
        if before is None or before.model is not model:
            name = f"{model.name} {model.version}"
            self._event("ray", f"{name} runs {placed.where}: {decided.reason}")
        if placed.sent is not None or decided.where == LOCAL:
            if before is not None and before.sent is not None:
                self._take_home(before, LOCAL, "")
            for app in older - {placed.app}:
                self._forget(app)

    def _older(self, key: tuple[str, str], before: Placed | None) -> set[str]:
        """Deployments of this model that a new one is to replace."""
        others = [p for k, p in list(self._placed.items()) if k[0] == key[0]]
        return {p.app for p in others if p.app} | self._older_of(before)

    @staticmethod
    def _older_of(before: Placed | None) -> frozenset[str]:
        """What is left to remove of the same version's content before."""
        if before is None:
            return frozenset()
        return before.older | ({before.app} if before.app else set())

    def _deploy(self, placed: Placed, older: set[str], was_lost: bool = False) -> None:
        """Ship, and send its rows there once replicas are healthy; a failure waits and is told.

        was_lost: its replicas answered no sample; they are to answer one before requests go there.
        """
        model = placed.model
        try:
            placed.app = self._deployer.deploy(model, older)
        except (RemoteLost, PyrometerError, OSError) as error:
            placed.has_failed(error)
            log.warning("%s %s is not on Ray: %s", model.name, model.version, error)
            return
        placed.sent = Sent(
            model,
            placed.app,
            self.link,
            self.ray_figures,
            self._here,
            timeout_s(self._settings),
            lambda why: self._event("ray", f"{model.name} answers here: {why[:200]}"),
            most_rows_of(model.plan, self._settings),
        )
        placed.sent.resting = was_lost
        placed.state, placed.pause_s = "healthy", LEAST_PAUSE_S
        model.quick_rows = 0
        time.sleep(RACE_S)
        model.sent = placed.sent

    def _probe(self, placed: Placed) -> None:
        """Ask replicas that were lost with a sample row; what they answer again is sent again."""
        sent, model = placed.sent, placed.model
        if sent is None:
            return  # it was taken home meanwhile
        rows = model.signature.fixed_rows or 1
        try:
            sent.ask(
                model.signature.bind(model.sample_rows(rows)), (model.signature.outputs[0].name,)
            )
        except Exception as lost:
            if not isinstance(lost, RemoteLost):
                log.exception("%s was not asked", placed.app)
            if placed.sent is sent:
                placed.state, placed.problem = "away", str(lost)[:300]
            if placed.lost_s is None:
                placed.lost_s = time.monotonic()
            return
        if placed.sent is not sent:
            return
        placed.state, placed.problem, placed.lost_s = "healthy", "", None
        sent.resting = False
        self._event("ray", f"{model.name} is answered by its replicas again")

    def _take_home(self, placed: Placed, state: str, problem: str) -> None:
        """Its rows run here, as if it never had been elsewhere."""
        if placed.sent is not None:
            placed.sent.resting = True
            placed.model.sent = None
            if not placed.model.degraded:
                placed.model.quick_rows = placed.quick_rows
        placed.sent, placed.state, placed.problem = None, state, problem

    def _forget(self, app: str) -> None:
        if app:
            self.ray_figures.forget(app)
            self._deployer.remove(app)

    def placement(self, model: str, version: str) -> dict[str, Any] | None:
        """See engine.executors.remote.Remote."""
        placed = self._placed.get((model, version))
        if placed is None:
            return None
        return placed.placement.as_dict() | {
            "state": placed.shown_state,
            "problem": placed.problem or None,
            "worth": WORTH,
        }

    @property
    def address(self) -> str:
        return self._settings.ray_address or "embedded"

    def placed_keys(self) -> list[tuple[str, str]]:
        """Name and version of every model that was placed."""
        return sorted(self._placed)

    def app_of(self, key: tuple[str, str]) -> str:
        """The deployment of a version, "" where there is none."""
        placed = self._placed.get(key)
        return placed.app if placed is not None else ""

    def figures(self) -> dict[str, Any]:
        """See engine.executors.remote.Remote."""
        from engine.remote_figures import figures_of

        return figures_of(self)

    def drain(self, target: str) -> dict[str, Any]:
        """See engine.executors.remote.Remote."""
        try:
            head, _ = self.link.call({"op": "drain", "target": target}, b"", 15)
        except RemoteLost as lost:
            raise ModelFailed(f"Ray is away: {lost}") from None
        if "failed" in head:
            raise UnknownModel(str(head["failed"]))
        self._event("ray", f"{head['drained']} {target} is being drained")
        return {"drained": head["drained"], "id": target}

    def restart(self, model: str) -> dict[str, Any]:
        """See engine.executors.remote.Remote."""
        self._registry.slot(model)
        with self._lock:
            found = [
                (k, p) for k, p in self._placed.items() if k[0] == model and p.sent is not None
            ]
            if not found:
                raise ModelFailed(f"{model} has no replicas")
            key, placed = found[0]
            self._deployer.renew(model)
            again = Placed(placed.model, placed.placement, placed.choice, starts=self.link.starts)
            again.quick_rows = placed.quick_rows
            self._deploy(again, set())
            if again.sent is None:
                raise ModelFailed(f"{model}: {again.problem}")
            self._placed[key] = again
            for app in self._older_of(placed) - {again.app}:
                self._forget(app)
        self._event("ray", f"{model}'s replicas were begun anew")
        return {"model": model, "app": again.app}


def remote_of(engine: Engine) -> RemoteModels:
    """Models on Ray. Raises ConfigurationError where what that needs is not installed."""
    if importlib.util.find_spec("ray") is None:
        raise ConfigurationError(
            "executor is 'ray', and Ray is not installed: pip install 'pyrometer[ray]'"
        )
    return RemoteModels(engine)
