"""The registry under any order of loads, leases, evictions and changes of the repository."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
)

from engine.errors import ModelFailed, ModelLoading, UnknownModel
from engine.models import registry as registry_module
from engine.models.plan import Plan
from engine.models.registry import Registry
from engine.models.repository import ModelEntry
from engine.models.slots import Lease, Slot

BUDGET_BYTES = 100
NAMES = st.sampled_from(["a", "b", "c", "d"])
VERSIONS = st.sampled_from(["1", "2"])
DIGESTS = st.sampled_from(["one", "two", "bad"])


class Model:
    """What the registry needs of a loaded model."""

    form = "stub"

    def __init__(self, entry: ModelEntry) -> None:
        self.entry, self.name, self.version = entry, entry.name, entry.version
        self.on_opened: Callable[[Any, int], None]


class Opener:
    """Models of 10 to 90 bytes; one whose digest is "bad" cannot be opened."""

    def __init__(self) -> None:
        self.opened: Counter[tuple[str, str]] = Counter()

    def plan(self, entry: ModelEntry) -> tuple[Plan | None, int]:
        sizes = {"a": 10, "b": 35, "c": 60, "d": 90}
        return None, sizes[entry.name]

    def open(self, entry: ModelEntry, plan: Plan | None) -> Any:
        self.opened[entry.key] += 1
        if entry.digest == "bad":
            raise ValueError("broken on purpose")
        return Model(entry)

    def close(self) -> None:
        """Nothing runs in the background."""


def entry(name: str, version: str, digest: str) -> ModelEntry:
    return ModelEntry(name, version, Path(f"/nowhere/{name}/{version}/model.skops"), digest)


class RegistryMachine(RuleBasedStateMachine):
    """Loads run when a rule says so; nothing here waits for another thread."""

    leases = Bundle("leases")

    def __init__(self) -> None:
        super().__init__()
        self.room_wait_s, registry_module.ROOM_WAIT_S = registry_module.ROOM_WAIT_S, 0.0
        self.opener, self.jobs = Opener(), list[Callable[[], None]]()
        self.entries = {(n, "1"): entry(n, "1", "one") for n in "abcd"}
        self.registry = Registry(
            self.entries.values(),
            self.opener,
            self.jobs.append,
            lambda kind, text: None,
            max_waiting=2,
            budget_bytes=BUDGET_BYTES,
        )
        self.held: list[Lease] = []
        self.charged = 0

    def teardown(self) -> None:
        try:
            for lease in self.held:
                lease.give_back()
            self.run_loads()
            assert self.registry.leased >= 0
            assert all(slot.leases == 0 for slot in self.registry.slots())
        finally:
            registry_module.ROOM_WAIT_S = self.room_wait_s

    @initialize()
    def load_one(self) -> None:
        self.load("a", "1")
        self.run_loads()
        assert self.slot("a", "1").state == "warm"

    def slot(self, name: str, version: str) -> Slot | None:
        try:
            return self.registry.slot(name, version)
        except UnknownModel:
            return None

    # loads

    @rule(name=NAMES, version=VERSIONS)
    def load(self, name: str, version: str) -> None:
        slot = self.slot(name, version)
        if slot is None:
            assert (name, version) not in self.entries
            return
        jobs, was_warm, under_way = len(self.jobs), slot.model is not None, slot.loading
        future = self.registry.load(slot)
        if under_way is not None:
            assert future is under_way
        if was_warm or under_way is not None:
            assert len(self.jobs) == jobs, "there, or on the way, and begun again"
        else:
            assert len(self.jobs) == jobs + 1

    @rule()
    def run_one_load(self) -> None:
        if self.jobs:
            opened = self.opener.opened.total()
            self.jobs.pop(0)()
            assert self.opener.opened.total() <= opened + 1

    @rule()
    def run_loads(self) -> None:
        while self.jobs:
            self.jobs.pop(0)()
        for slot in self.registry.slots():
            assert slot.loading is None
            assert slot.replacing is None
            assert (slot.state == "warm") == (slot.model is not None)

    # leases

    @rule(target=leases, name=NAMES, version=st.one_of(st.none(), VERSIONS))
    def lease(self, name: str, version: str | None) -> Any:
        warm = self.registry.serving(name, version)
        opened = self.opener.opened.total()
        try:
            lease = self.registry.lease(name, version, 0.0)
        except (ModelLoading, ModelFailed, UnknownModel):
            assert warm is None, "a model that is loaded was not leased"
            return multiple()
        assert lease.model is warm
        assert self.opener.opened.total() == opened
        self.held.append(lease)
        return lease

    @rule(lease=consumes(leases))
    def give_back(self, lease: Lease) -> None:
        before = lease.slot.leases
        lease.give_back()
        self.held.remove(lease)
        assert lease.slot.leases == before - 1

    # what takes models out

    @rule(name=st.one_of(st.none(), NAMES))
    def evict_idle(self, name: str | None) -> None:
        idle = [
            slot
            for slot in self.registry.slots()
            if slot.model
            and not slot.leases
            and not slot.pinned
            and name in (None, slot.entry.name)
        ]
        wanted = len(idle), sum(slot.bytes for slot in idle)
        assert self.registry.evict_idle(name) == wanted
        assert all(slot.model is None for slot in idle)

    @rule(name=NAMES, version=VERSIONS)
    def unload(self, name: str, version: str) -> None:
        slot = self.slot(name, version)
        if slot is not None:
            assert self.registry.unload(slot) == (slot.leases == 0)
            if slot.leases == 0:
                assert slot.model is None
                if not slot.loading and not slot.replacing:
                    with pytest.raises(ModelFailed, match="unloaded"):
                        self.registry.lease(name, version, 0.0)

    @rule(lease=leases)
    def unload_what_is_leased(self, lease: Lease) -> None:
        assert not self.registry.unload(lease.slot)
        self.registry.evict_idle(lease.model.name)
        assert lease.slot.leases > 0

    @rule(name=NAMES, version=VERSIONS, pinned=st.booleans())
    def pin(self, name: str, version: str, pinned: bool) -> None:
        slot = self.slot(name, version)
        if slot is not None:
            self.registry.pin(slot, pinned)

    @rule(name=NAMES, version=VERSIONS, size=st.sampled_from([1, 20, 60]))
    def open_a_form_later(self, name: str, version: str, size: int) -> None:
        """A loaded model opens a form that stands in, and is charged for it."""
        slot = self.slot(name, version)
        if slot is None or slot.model is None:
            return
        with self.registry.lease(name, version, 0.0) as model:
            model.on_opened(model, size)
            fits = self.registry.resident_bytes <= BUDGET_BYTES
            assert fits or not [
                other
                for other in self.registry.slots()
                if other.model and not other.leases and not other.pinned
            ]
        self.charged = max(0, self.registry.resident_bytes - BUDGET_BYTES)

    @rule(names=st.permutations("abcd"))
    def load_all(self, names: list[str]) -> None:
        """More than fit: the last ones that do are there."""
        for name in names:
            if (name, "1") in self.entries:
                self.load(name, "1")
        self.run_loads()

    # the repository

    @rule(name=NAMES, version=VERSIONS, digest=st.sampled_from(["three", "four"]))
    def replace_what_is_loaded(self, name: str, version: str, digest: str) -> None:
        slot = self.slot(name, version)
        if slot is None or slot.model is None or slot.entry.digest == digest:
            return
        self.change(name, version, digest)
        assert slot.model is not None, "the old one serves until the new one is there"
        self.run_loads()

    @rule(name=NAMES, version=VERSIONS, digest=st.one_of(st.none(), DIGESTS))
    def change(self, name: str, version: str, digest: str | None) -> None:
        """A version appears, changes or, without a digest, is gone."""
        if digest is None:
            self.entries.pop((name, version), None)
        else:
            self.entries[name, version] = entry(name, version, digest)
        self.registry.sync(self.entries.values())
        assert {slot.entry.key for slot in self.registry.slots()} == set(self.entries)

    @rule(name=NAMES, version=st.one_of(st.none(), VERSIONS))
    def promote(self, name: str, version: str | None) -> None:
        if (name, version) in self.entries or (version is None and self.registry.has(name)):
            self.registry.promote(name, version)
            if version is not None:
                assert self.registry.slot(name).entry.version == version

    # always

    @invariant()
    def a_leased_model_stays(self) -> None:
        there = {id(slot) for slot in self.registry.slots()}
        for lease in self.held:
            assert lease.slot.leases > 0
            if id(lease.slot) in there:
                assert lease.slot.model is not None, "a leased model was unloaded"

    @invariant()
    def leases_are_counted(self) -> None:
        counted = Counter(id(lease.slot) for lease in self.held)
        for slot in self.registry.slots():
            assert slot.leases == counted[id(slot)]

    @invariant()
    def memory_adds_up_and_is_bounded(self) -> None:
        slots = self.registry.slots()
        assert self.registry.resident_bytes == sum(slot.bytes for slot in slots)
        assert all((slot.bytes > 0) == (slot.model is not None) for slot in slots)
        over = max(0, self.registry.resident_bytes - BUDGET_BYTES)
        assert over <= self.charged, "only what a loaded model opened itself may exceed"
        self.charged = min(self.charged, over)

    @invariant()
    def something_serves_each_name(self) -> None:
        for name in {key[0] for key in self.entries}:
            assert self.registry.slot(name).entry.key in self.entries


TestRegistryState = RegistryMachine.TestCase
TestRegistryState.settings = settings(max_examples=150, stateful_step_count=50, deadline=None)
