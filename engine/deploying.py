"""How a model gets to replicas: the trip is measured, the rule asked, its plan shipped."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import statistics
import time
from pathlib import Path
from typing import Any

import orjson

from engine import shipment
from engine.caching.payload import dump_run
from engine.config import Settings
from engine.errors import ModelFailed
from engine.executors import placement
from engine.executors.placement import Placement
from engine.executors.remote import RemoteLost
from engine.files import write_atomically
from engine.models.loaded import LoadedModel
from engine.models.plan import NO_LIMIT, Plan
from engine.sent import Calls

log = logging.getLogger(__name__)
RETRIES = 2
"""A batch whose replica is lost is tried so many times more, then answered here."""
TRIPS = 9
DEPLOY_TIMEOUT_S = 60.0
STACK_HZ = 20.0
MAX_ONGOING = 2
"""Of one replica: a batch that runs, and one that is there already when it ends."""
OBJECT_STORE_BYTES = 128 * 1024 * 1024
EMBEDDED_CPUS = 64
"""A Ray of this server's own counts so many processors, however many there are: all models fit."""
ECHO = "echo"
LONGEST_SOCKET_FOLDER = 40
"""Ray puts sockets some 60 characters deeper; the system allows 107."""


def timeout_s(settings: Settings) -> float:
    """Longest a batch may be on its way, all tries together."""
    return (1 + RETRIES) * settings.ray_timeout_s + 1


def most_rows_of(plan: Plan, settings: Settings) -> int:
    """Rows of the largest batch that is sent: expected to take half of what one try may.

    The plan's times, extrapolated by rows; a plan without times sets no limit.
    """
    most, limit_us = NO_LIMIT, settings.ray_timeout_s * 1e6 / 2
    for rows, run_us in sorted(plan.served_us.items()):
        if run_us > limit_us:
            return min(most, rows - 1)
        most = int(min(NO_LIMIT, rows * limit_us / max(run_us, 1e-3)))
    return most


def config_of(settings: Settings, folder: Path) -> dict[str, Any]:
    """What the bridge is told. folder: of the state, for what is the executor's."""
    return {
        "address": settings.ray_address,
        "namespace": settings.ray_namespace,
        "prefix": f"{settings.ray_namespace}-{_identity(folder)}",
        "folder": _session_folder(folder),
        "cpus": EMBEDDED_CPUS,
        "object_store_bytes": OBJECT_STORE_BYTES,
        "retries": RETRIES,
        "try_timeout_s": settings.ray_timeout_s,
        "deploy_timeout_s": DEPLOY_TIMEOUT_S,
        "stack_hz": STACK_HZ if settings.profile_hz else 0.0,
        "replica": "engine.replica:Replica",
        "echo": "engine.replica:Echo",
        **_replicas_of(settings),
    }


def _replicas_of(settings: Settings) -> dict[str, Any]:
    """How replicas are made; another of these makes another deployment."""
    return {
        "min_replicas": min(settings.ray_min_replicas, settings.ray_max_replicas),
        "max_replicas": settings.ray_max_replicas,
        "replica_cpus": settings.ray_replica_cpus,
        "max_ongoing": MAX_ONGOING,
        "in_flight": settings.ray_in_flight,
        "health_period_s": 5.0,
        "health_timeout_s": max(30.0, 2 * settings.ray_timeout_s),
    }


class Deployer:
    """Asks the bridge, and waits for what it says."""

    def __init__(self, settings: Settings, calls: Calls) -> None:
        self._settings, self._calls = settings, calls
        self._forced = frozenset(n.strip() for n in settings.ray_models.split(",") if n.strip())
        self._generation: dict[str, int] = {}

    def decide(self, model: LoadedModel, declared: str) -> Placement:
        """The rule's answer. Raises RemoteLost where the trip cannot be measured now."""
        choice, chosen_by = placement.choice_of(declared, model.name, self._forced)
        run_us, obstacle = model.plan.served_us, shipment.obstacle(model)
        sizes = [] if obstacle else list(run_us) or [1]
        trip_us = {rows: self._trip_us(model, rows) for rows in sizes}
        inline_us = self._settings.inline_us
        return placement.place(choice, chosen_by, obstacle, run_us, trip_us, inline_us)

    def _trip_us(self, model: LoadedModel, rows: int) -> float:
        """There and back with so many rows of this model, median, microseconds."""
        rows = model.signature.fixed_rows or rows
        payload = dump_run(model.signature.bind(model.sample_rows(rows)), "")
        asked = {"op": "run", "app": ECHO, "outputs": []}
        times = []
        for _ in range(TRIPS):
            began_ns = time.perf_counter_ns()
            head, _ = self._calls.call(asked, payload, timeout_s(self._settings))
            if "failed" in head or "lost" in head:
                raise RemoteLost(str(head))
            times.append((time.perf_counter_ns() - began_ns) / 1000)
        return statistics.median(times)

    def deploy(self, model: LoadedModel, older: set[str]) -> str:
        """Ship a model; returns its deployment's name once it is healthy.

        older: deployments that it replaces; they go first only where there is no room for both.
        Raises ModelFailed with Ray's words, RemoteLost, ArtefactError or OSError.
        """
        packed = shipment.pack(model)
        app = self._name_of(model, packed)
        try:
            self._ask_to_deploy(app, model.name, packed)
        except ModelFailed:
            in_the_way = older - {app}
            if not in_the_way:
                raise
            for other in in_the_way:
                self.remove(other)
            self._ask_to_deploy(app, model.name, packed)
        return app

    def _ask_to_deploy(self, app: str, name: str, packed: shipment.Shipment) -> None:
        asked = {"op": "deploy", "app": app, "model": name, "shipment": packed.head}
        head, _ = self._calls.call(asked, packed.content, DEPLOY_TIMEOUT_S + 30)
        if "failed" in head:
            raise ModelFailed(head["failed"])

    def _name_of(self, model: LoadedModel, packed: shipment.Shipment) -> str:
        """A name that tells content apart: the same is not deployed twice."""
        made_so = _replicas_of(self._settings) | {"try_timeout_s": self._settings.ray_timeout_s}
        digest = hashlib.blake2b(orjson.dumps([packed.head, made_so]), digest_size=5)
        digest.update(packed.content)
        generation = self._generation.get(model.name, 0)
        return f"{model.name[:40]}-{model.version}-{digest.hexdigest()}-{generation}"

    def renew(self, name: str) -> None:
        """A model's next deployment is another, though it be made of the same."""
        self._generation[name] = self._generation.get(name, 0) + 1

    def remove(self, app: str) -> None:
        """Take a deployment down, if Ray is there."""
        try:
            self._calls.call({"op": "remove", "app": app}, b"", 10)
        except RemoteLost as lost:
            log.info("%s was not removed: %s", app, lost)


def _identity(folder: Path) -> str:
    """Tells this server's deployments from others' in the namespace; kept in its state."""
    path = folder / "identity"
    try:
        found = path.read_text(errors="replace").strip()
    except OSError:
        found = ""
    if re.fullmatch("[0-9a-f]{8}", found):
        return found
    name = os.urandom(4).hex()
    write_atomically(path, name.encode())
    return name


def _session_folder(folder: Path) -> str:
    """Where an embedded Ray keeps its session; "": in Ray's own place, for sockets too long."""
    path = str((folder / "session").resolve())
    return path if len(path) <= LONGEST_SOCKET_FOLDER else ""
