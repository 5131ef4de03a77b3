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
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from engine.deploying import Deployer, config_of, timeout_s
from engine.errors import ConfigurationError, ModelFailed, PyrometerError, UnknownModel
from engine.executors.placement import WORTH, Placement, write_words
from engine.executors.ray_link import UP, Link, nothing_at
from engine.executors.remote import AUTO, LOCAL, RAY, RemoteLost
from engine.models.files import private_folder
from engine.models.loaded import LoadedModel
from engine.periodic import Periodic
from engine.sent import Figures, Sent

if TYPE_CHECKING:
    from engine.engine import Engine

log = logging.getLogger(__name__)
LOOK_EVERY_S, PROBE_EVERY_S = 0.5, 0.25
DEPLOYS_AT_ONCE = 4
LEAST_PAUSE_S, LONGEST_PAUSE_S = 5.0, 60.0
STACKS = "ray replica"
RACE_S = 0.05
"""A request that was found quick a moment ago has begun by then."""


@dataclass(slots=True)
class Placed:
    """One version that serves. app: its deployment; "" where it has none.

    starts: which bridge it was deployed through. quick_rows: what the model had before.
    """

    model: LoadedModel
    placement: Placement
    choice: str = AUTO
    state: str = LOCAL
    app: str = ""
    sent: Sent | None = None
    starts: int = 0
    quick_rows: int = 0
    problem: str = ""
    pause_s: float = LEAST_PAUSE_S
    again_s: float = 0.0
    since_s: float = field(default_factory=time.time)


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
                list(pool.map(lambda one: self._place(*one), due))
            words = {k: f"runs {_where(p)}: {p.placement.reason}" for k, p in self._placed.items()}
            write_words(self.folder, words)
        for key in [key for key in self._placed if key not in serving]:
            placed = self._placed.pop(key)
            self._take_home(placed, LOCAL, "")
            self._forget(placed.app)

    def probe(self) -> None:
        """Ask the replicas of those that answer here meanwhile."""
        for placed in list(self._placed.values()):
            if placed.sent is not None and placed.sent.resting and self.link.state == UP:
                self._probe(placed)

    def _is_due(self, placed: Placed) -> bool:
        """Whether a version that Ray should run is to be deployed now."""
        if placed.placement.where != RAY or placed.sent is not None:
            return False
        return placed.starts != self.link.starts or time.monotonic() >= placed.again_s

    def _place(
        self, key: tuple[str, str], model: LoadedModel, choice: str, before: Placed | None
    ) -> None:
        """Decide, and deploy; the deployment before goes once this one is healthy."""
        try:
            decided = self._deployer.decide(model, choice)
        except RemoteLost:
            return  # the next look decides
        placed = Placed(model, decided, choice, starts=self.link.starts)
        placed.quick_rows = model.quick_rows
        if before is not None and before.model is model:
            placed.pause_s = before.pause_s
            placed.quick_rows = before.quick_rows
        older = self._older(key, before)
        if decided.where == RAY:
            self._deploy(placed, older)
        self._placed[key] = placed
        if before is None or before.model is not model:
            name = f"{model.name} {model.version}"
            self._event("ray", f"{name} runs {_where(placed)}: {decided.reason}")
        if placed.sent is not None or decided.where == LOCAL:
            if before is not None and before.sent is not None:
                is_other = before.model is not model or decided.where == LOCAL
                if is_other:
                    self._take_home(before, LOCAL, "")
            for app in older - {placed.app}:
                self._forget(app)

    def _older(self, key: tuple[str, str], before: Placed | None) -> set[str]:
        """Deployments of this model that a new one is to replace."""
        others = [p for k, p in self._placed.items() if k[0] == key[0]]
        return {p.app for p in [*others, *([before] if before else [])] if p.app}

    def _deploy(self, placed: Placed, older: set[str]) -> None:
        """Ship, and send its rows there once replicas are healthy; a failure waits and is told."""
        model = placed.model
        try:
            placed.app = self._deployer.deploy(model, older)
        except (RemoteLost, PyrometerError, OSError) as error:
            placed.state, placed.problem = "failed", str(error)[:300]
            placed.again_s = time.monotonic() + placed.pause_s
            placed.pause_s = min(LONGEST_PAUSE_S, 2 * placed.pause_s)
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
        )
        placed.state, placed.pause_s = "healthy", LEAST_PAUSE_S
        model.quick_rows = 0
        time.sleep(RACE_S)
        model.sent = placed.sent

    def _probe(self, placed: Placed) -> None:
        """Ask replicas that were lost with a sample row; what they answer again is sent again."""
        sent, model = placed.sent, placed.model
        assert sent is not None
        rows = model.signature.fixed_rows or 1
        try:
            sent.ask(
                model.signature.bind(model.sample_rows(rows)), (model.signature.outputs[0].name,)
            )
        except RemoteLost as lost:
            placed.state, placed.problem = "away", str(lost)[:300]
            return
        placed.state, placed.problem = "healthy", ""
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
            "state": _state(placed),
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
        self._event("ray", f"{head['drained']} {target} is drained")
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
            self._forget(placed.app)
        self._event("ray", f"{model}'s replicas were begun anew")
        return {"model": model, "app": again.app}


def _where(placed: Placed) -> str:
    return "on Ray" if placed.sent is not None else "here"


def _state(placed: Placed) -> str:
    resting = placed.sent is not None and placed.sent.resting
    return "away" if resting else placed.state


def remote_of(engine: Engine) -> RemoteModels:
    """Models on Ray. Raises ConfigurationError where what that needs is not installed."""
    if importlib.util.find_spec("ray") is None:
        raise ConfigurationError(
            "executor is 'ray', and Ray is not installed: pip install 'pyrometer[ray]'"
        )
    return RemoteModels(engine)
