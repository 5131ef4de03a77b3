"""From an entry on disk to a warm model: plan, room, open, warm-up."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Mapping
from typing import Protocol

from engine.batching.policy import Lanes
from engine.errors import ArtefactError, ModelFailed, ProviderLost
from engine.models import confined
from engine.models.loaded import LoadedModel, open_planned, open_unplanned
from engine.models.plan import Plan
from engine.models.plan_store import PlanStore
from engine.models.repository import ModelEntry
from engine.models.treatment import AS_IS, Treatment
from engine.models.trust import TrustFile


class Opener(Protocol):
    """Opens entries in two steps, so that room can be made between them."""

    def plan(self, entry: ModelEntry) -> tuple[Plan | None, int]:
        """The plan and the bytes that the opened model will take."""
        ...

    def open(self, entry: ModelEntry, plan: Plan | None) -> LoadedModel:
        """A model that has answered real rows. Raises what the model raises."""
        ...

    def close(self) -> None:
        """End what is still being planned."""
        ...


Treatments = Mapping[tuple[str, str], Treatment]
"""How versions are served, by name and version, where that is not as planned."""


class PlainOpener:
    """Models as they are, no plans; a model is charged for its artefact's size."""

    def __init__(self, trust: TrustFile, lanes: Lanes, treatments: Treatments) -> None:
        self._trust, self._lanes, self._treatments = trust, lanes, treatments

    def plan(self, entry: ModelEntry) -> tuple[Plan | None, int]:
        return None, entry.artefact.stat().st_size

    def open(self, entry: ModelEntry, plan: Plan | None) -> LoadedModel:
        treatment = self._treatments.get(entry.key, AS_IS)
        model = open_unplanned(entry, self._trust, treatment)
        model.warm_up()
        model.place(treatment.lanes_of(self._lanes))
        return model

    def close(self) -> None:
        """Nothing runs in the background."""


class PlanningOpener:
    """Opens the forms of stored plans; makes missing plans in child processes."""

    def __init__(self, store: PlanStore, lanes: Lanes, treatments: Treatments) -> None:
        self._store, self._lanes, self._treatments = store, lanes, treatments
        self._lock = threading.Lock()
        self._children: set[subprocess.Popen[bytes]] = set()
        self._closed = False

    def plan(self, entry: ModelEntry) -> tuple[Plan | None, int]:
        self._store.trust.require(entry)
        plan = self._store.read(entry) or self._made(entry)
        return plan, self._treatments.get(entry.key, AS_IS).plan_of(plan).memory_bytes

    def open(self, entry: ModelEntry, plan: Plan | None) -> LoadedModel:
        assert plan is not None, "this opener always plans"
        treatment = self._treatments.get(entry.key, AS_IS)
        try:
            model = self._opened(entry, plan, treatment)
        except (ArtefactError, OSError, ProviderLost) as error:
            if self._store.read(entry) is not None and not isinstance(error, ProviderLost):
                raise  # its files are there: it is the model
            model = self._opened(entry, self._made(entry), treatment)
        model.warm_up()
        model.place(treatment.lanes_of(self._lanes))
        return model

    def _opened(self, entry: ModelEntry, plan: Plan, treatment: Treatment) -> LoadedModel:
        return open_planned(entry, plan, self._store.folder(entry), self._store.trust, treatment)

    def _made(self, entry: ModelEntry) -> Plan:
        try:
            return self._store.make(entry, self._watch)
        except ModelFailed:
            if not self._closed:
                raise
            name = f"{entry.name}/{entry.version}"
            raise ModelFailed(f"{name}: its plan was stopped, the server ends") from None

    def _watch(self, child: subprocess.Popen[bytes]) -> None:
        with self._lock:
            self._children = {other for other in self._children if other.returncode is None}
            self._children.add(child)
            closed = self._closed
        if closed:
            confined.end(child)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            children = list(self._children)
        for child in children:
            if child.returncode is None:
                confined.end(child)
