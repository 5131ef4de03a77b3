"""The registry over an opener of known sizes and outcomes: loads, leases, room, versions."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from engine.errors import ModelFailed, ModelLoading, OverBudget, UnknownModel
from engine.models.loaded import LoadedModel
from engine.models.model_toml import Declaration
from engine.models.plan import Plan
from engine.models.registry import Registry
from engine.models.repository import ModelEntry


class StubModel:
    """What the registry needs of a loaded model."""

    form = "stub"

    def __init__(self, entry: ModelEntry) -> None:
        self.entry, self.name, self.version = entry, entry.name, entry.version


class StubOpener:
    """Models of stated sizes; a digest that begins with "bad" fails."""

    def __init__(self, sizes: dict[str, int]) -> None:
        self.sizes, self.opened = sizes, cast(list[str], [])
        self.gate = threading.Event()
        self.gate.set()

    def plan(self, entry: ModelEntry) -> tuple[Plan | None, int]:
        return None, self.sizes.get(entry.name, 10)

    def open(self, entry: ModelEntry, plan: Plan | None) -> LoadedModel:
        self.gate.wait(10)
        self.opened.append(f"{entry.name}/{entry.version}")
        if entry.digest.startswith("bad"):
            raise ValueError("broken on purpose")
        return cast(LoadedModel, StubModel(entry))

    def close(self) -> None:
        self.gate.set()


def entry(name: str, version: str = "1", digest: str = "good") -> ModelEntry:
    return ModelEntry(name, version, Path(f"/nowhere/{name}/{version}/model.skops"), digest)


def at_once(job: Callable[[], None]) -> None:
    job()


def in_thread(job: Callable[[], None]) -> None:
    threading.Thread(target=job, daemon=True).start()


def registry(
    *entries: ModelEntry, opener: StubOpener | None = None, budget: int = 100, **extra: Any
) -> Registry:
    options: dict[str, Any] = {"submit": at_once, "max_waiting": 4} | extra
    return Registry(
        entries,
        opener or StubOpener({}),
        options["submit"],
        options.get("on_event", lambda *_: None),
        max_waiting=options["max_waiting"],
        budget_bytes=budget,
    )


def test_a_lease_loads_a_cold_model_and_says_so() -> None:
    models = registry(entry("a"))
    with (first := models.lease("a", None, 1)) as model:
        assert model.name == "a"
    assert first.cold
    assert not models.lease("a", None, 1).cold


def test_many_callers_cause_one_load() -> None:
    opener = StubOpener({})
    opener.gate.clear()
    models = registry(entry("a"), opener=opener, submit=in_thread, max_waiting=20)
    seen: list[str] = []

    def ask() -> None:
        with models.lease("a", None, 10) as model:
            seen.append(model.name)

    callers = [threading.Thread(target=ask) for _ in range(16)]
    for caller in callers:
        caller.start()
    opener.gate.set()
    for caller in callers:
        caller.join(10)
    assert seen == ["a"] * 16
    assert opener.opened == ["a/1"]


def test_the_least_recently_used_leaves_when_there_is_no_room() -> None:
    models = registry(*map(entry, "abc"), opener=StubOpener(dict.fromkeys("abc", 40)))
    for name in "ab":
        with models.lease(name, None, 1):
            pass
    with models.lease("a", None, 1):
        pass
    with models.lease("c", None, 1):
        pass
    assert {s.entry.name for s in models.slots() if s.model} == {"a", "c"}
    assert models.resident_bytes == 80
    assert models.evictions == 1


def test_a_lease_blocks_eviction_until_it_ends() -> None:
    models = registry(
        entry("a"), entry("b"), opener=StubOpener({"a": 60, "b": 60}), submit=in_thread
    )
    with models.lease("a", None, 5):
        loading = models.load(models.slot("b"))
        with pytest.raises(TimeoutError):
            loading.result(0.1)
        assert models.slot("a").model is not None
    assert loading.result(5).name == "b"
    assert models.slot("a").model is None


def test_a_pinned_model_is_never_evicted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.models.registry.ROOM_WAIT_S", 0.05)
    models = registry(entry("a"), entry("b"), opener=StubOpener({"a": 60, "b": 60}))
    models.load(models.slot("a")).result(1)
    models.pin(models.slot("a"), True)
    with pytest.raises(OverBudget, match="in use or pinned"):
        models.load(models.slot("b")).result(1)
    assert models.slot("a").model is not None
    models.pin(models.slot("a"), False)
    assert models.load(models.slot("b")).result(1).name == "b"


def test_a_model_larger_than_the_budget_is_refused_and_evicts_nothing() -> None:
    models = registry(entry("a"), entry("b"), opener=StubOpener({"a": 60, "b": 101}))
    models.load(models.slot("a")).result(1)
    with pytest.raises(OverBudget, match="takes 101 bytes; the budget is 100"):
        models.load(models.slot("b")).result(1)
    assert models.slot("a").model is not None
    assert models.resident_bytes == 60


def test_a_failed_open_gives_its_room_back() -> None:
    models = registry(entry("a", digest="bad"))
    with pytest.raises(ModelFailed, match="broken on purpose"):
        models.lease("a", None, 1)
    assert models.resident_bytes == 0
    assert models.slot("a").state == "failed"


def test_waiting_for_loads_leaves_threads_for_warm_models() -> None:
    opener = StubOpener({})
    opener.gate.clear()
    models = registry(entry("a"), opener=opener, submit=in_thread, max_waiting=1)
    ended: list[str] = []

    def ask() -> None:
        # The one place to wait may be taken by the other asker for a moment.
        while not ended:
            with contextlib.suppress(ModelLoading), models.lease("a", None, 10) as model:
                ended.append(model.name)

    waiter = threading.Thread(target=ask)
    waiter.start()
    refusal = ""
    while "already wait" not in refusal:
        with pytest.raises(ModelLoading) as raised:
            models.lease("a", None, 0)
        refusal = str(raised.value)
    opener.gate.set()
    waiter.join(10)
    assert ended == ["a"]


def test_a_newer_version_serves_once_it_is_warm() -> None:
    models = registry(entry("a"))
    models.load(models.slot("a")).result(1)
    models.sync([entry("a"), entry("a", "2")])
    assert models.slot("a").entry.version == "2"
    assert models.slot("a", "1").model is not None
    assert models.versions("a") == ["1", "2"]


def test_a_broken_newer_version_never_replaces_a_working_one() -> None:
    events: list[str] = []
    models = registry(entry("a"), on_event=lambda kind, text: events.append(text))
    models.load(models.slot("a")).result(1)
    models.sync([entry("a"), entry("a", "2", "bad")])
    assert models.slot("a").entry.version == "1"
    assert models.slot("a", "2").state == "failed"
    assert any("the version before goes on" in text for text in events)


def test_a_start_with_a_broken_newest_version_falls_back() -> None:
    models = registry(entry("a"), entry("a", "2", "bad"))
    with pytest.raises(ModelFailed):
        models.load(models.slot("a")).result(1)
    with models.lease("a", None, 1) as model:
        assert model.version == "1"


def test_changed_content_is_swapped_when_warm_and_kept_out_when_broken() -> None:
    models = registry(entry("a"))
    models.load(models.slot("a")).result(1)
    models.sync([entry("a", digest="good2")])
    assert models.slot("a").entry.digest == "good2"
    models.sync([entry("a", digest="bad3")])
    slot = models.slot("a")
    assert slot.entry.digest == "good2"
    assert slot.state == "warm"
    assert "broken on purpose" in (slot.problem or "")
    assert models.resident_bytes == 10


def test_a_version_that_left_the_repository_is_unknown_and_its_leases_finish() -> None:
    models = registry(entry("a"), entry("b"))
    with models.lease("a", None, 1) as model:
        models.sync([entry("b")])
        assert model.name == "a"
    with pytest.raises(UnknownModel):
        models.slot("a")
    assert models.resident_bytes == 0


def test_an_unloaded_model_waits_for_an_explicit_load() -> None:
    models = registry(entry("a"))
    lease = models.lease("a", None, 1)
    with lease:
        assert not models.unload(models.slot("a"))
    assert models.unload(models.slot("a"))
    with pytest.raises(ModelFailed, match="was unloaded"):
        models.lease("a", None, 1)
    models.load(models.slot("a")).result(1)
    with models.lease("a", None, 1) as model:
        assert model.name == "a"


def test_a_model_without_preload_is_not_loaded_by_a_change() -> None:
    opener = StubOpener({})
    models = registry(opener=opener)
    models.sync([replace(entry("a"), declared=Declaration(preload=False))])
    assert opener.opened == []
    assert models.slot("a").state == "cold"


def test_closing_ends_those_who_wait() -> None:
    jobs: list[Callable[[], None]] = []
    models = registry(entry("a"), submit=jobs.append)
    loading = models.load(models.slot("a"))
    models.close()
    with pytest.raises(ModelFailed, match="closing"):
        loading.result(1)
    jobs[0]()
