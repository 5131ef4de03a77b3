"""Shared results off the request path: epochs that are read, flushes passed on, what is written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from engine.caching.memory import MISS, MemoryTier
from engine.caching.payload import dump_run
from engine.caching.shared_circuit import Circuit
from engine.caching.shared_epochs import ALL, MOST_STORED, Epochs, field_of, stored_epochs
from engine.caching.shared_keys import prefix_of
from engine.caching.shared_links import Away, Links, Refusal
from engine.caching.shared_types import Payload, SharedCounts, Ticket
from engine.caching.shared_watch import Watch
from engine.caching.shared_writer import TOGETHER_BYTES, Offer, Writer
from engine.config import Settings
from engine.engine import Engine
from engine.models.loaded import Run
from engine.sharing import Sharing, made_by, setup_of

M = field_of("m")

# what a store says of epochs


def test_epochs_of_a_store_are_read() -> None:
    assert stored_epochs([b"*", b"4", b"m:a.b-c", b"0"]) == {ALL: 4, "m:a.b-c": 0}
    full = [text for number in range(MOST_STORED) for text in (b"m:%d" % number, b"1")]
    assert len(stored_epochs(full)) == MOST_STORED
    with pytest.raises(ValueError, match="so many"):
        stored_epochs([*full, b"*", b"1"])


@pytest.mark.parametrize(
    ("field", "epoch"),
    [
        *((b"*", text) for text in (b"-1", b"01", b"+1", b" 1", b"1_0", b"x", b"", 1)),
        *((b"*", b"%d" % 2**53), (b"*", b"9" * 5000)),
        *((name, b"1") for name in (b"", b"m", b"m:", b"m:a b", b"m:\xff", b"m:" + b"a" * 129)),
        (b"m:.a", b"1"),
    ],
)
def test_what_is_no_epoch_is_refused(field: object, epoch: object) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        stored_epochs([field, epoch])


def test_odd_replies_are_refused_and_bad_files_are_none(tmp_path: Path) -> None:
    for reply in ([b"*"], b"OK", None):
        with pytest.raises(ValueError):  # noqa: PT011
            stored_epochs(reply)
    path = tmp_path / "epochs.json"
    for known in ('{"*": -1}', '{"*": 1e300}', '{"*": 1e999}', '{"x": 1}'):
        path.write_text(f'{{"known": {known}, "owed": []}}')
        assert Epochs(path).of("m") == (0, 0)


def test_a_flush_of_what_no_model_is_named_is_one_of_everything() -> None:
    epochs = Epochs()
    assert [epochs.field_for(name) for name in ("a.b-c", "a b", "")] == ["m:a.b-c", ALL, ALL]


def test_what_cannot_be_saved_stops_no_flush(tmp_path: Path) -> None:
    epochs = Epochs(tmp_path / "epochs.json")
    epochs.follow({M: 2**70})
    assert epochs.of("m") == (0, 2**70)


class Told:
    """A link to a store that has epochs; it refuses scripts, or is late with them."""

    def __init__(self, script: Exception, *flat: bytes) -> None:
        self.script, self.flat, self.usable = script, list(flat), True

    def ask(self, commands: Sequence[Any], within_s: float) -> list[Any]:
        if commands[0][0] == b"HGETALL":
            return [self.flat]
        if isinstance(self.script, Away):
            raise self.script
        return [self.script]


def watch_of(flushed: Callable[[str | None], None]) -> Watch:
    epochs = Epochs()
    epochs.follow({ALL: 5})
    return Watch(Links("redis://127.0.0.1:1/0", 3), Circuit(3), epochs, flushed, 0.005)


def test_a_flush_is_passed_on_though_the_store_refuses_to_be_raised(
    caplog: pytest.LogCaptureFixture,
) -> None:
    seen: list[str | None] = []
    watch = watch_of(seen.append)
    link = Told(Refusal("NOPERM no scripts"), b"m:m", b"1")
    for _ in range(3):
        watch._follow(link)  # type: ignore[arg-type]
    assert seen == ["m"]
    assert caplog.text.count("NOPERM") == 1


def test_a_flush_is_passed_on_before_the_store_is_raised() -> None:
    seen: list[str | None] = []
    watch = watch_of(seen.append)
    with pytest.raises(Away):
        watch._follow(Told(Away("late", late=True), b"m:m", b"1"))  # type: ignore[arg-type]
    assert seen == ["m"]


def test_a_flush_that_fails_is_tried_again_until_it_is_done_also_while_the_store_is_away(
    caplog: pytest.LogCaptureFixture,
) -> None:
    seen: list[str | None] = []
    fails = True

    def flushed(group: str | None) -> None:
        seen.append(group)
        if fails and group == "m":
            raise OSError("no disk")

    watch = watch_of(flushed)
    watch._follow(Told(Refusal(""), b"m:m", b"1", b"m:n", b"1", b"*", b"5"))  # type: ignore[arg-type]
    assert sorted(seen, key=str) == ["m", "n"], "one that fails keeps no other from it"
    watch.look()
    fails = False
    watch.look()
    watch.look()
    assert seen[2:] == ["m", "m"]
    assert caplog.text.count("tried again") == 1


# what is written


class Written:
    """A writer's connection that keeps what it was asked."""

    def __init__(self) -> None:
        self.trips: list[list[Any]] = []
        self.usable, self.reads = True, False

    def ask(self, commands: Sequence[Any], within_s: float) -> list[Any]:
        self.trips.append(list(commands))
        return [b"OK"] * len(commands)

    def close(self) -> None:
        pass


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> tuple[Writer, Written]:
    links, circuit, link = Links("redis://127.0.0.1:1/0", 3), Circuit(3), Written()
    circuit.probed(None)
    monkeypatch.setattr(links, "connect", lambda: link)
    return Writer(links, circuit, SharedCounts(), 64), link


def test_a_trip_ends_at_about_its_bytes(written: tuple[Writer, Written]) -> None:
    writer, link = written
    for number in range(5):
        writer.offer(Offer(b"%d" % number, lambda: b"v", TOGETHER_BYTES // 2, 1000))
    writer.thread.start()
    writer.close(5)
    assert [len(trip) for trip in link.trips] == [2, 2, 1]
    assert writer._waiting_bytes == 0


def test_a_result_that_no_bytes_can_be_made_of_releases_its_claim_and_is_said_once(
    written: tuple[Writer, Written], caplog: pytest.LogCaptureFixture
) -> None:
    writer, link = written
    bad = partial(dump_run, {"y": np.array(["a", None], dtype=object)}, "")
    writer.offer(Offer(b"1", bad, 10, 1000, b"claim 1"))
    writer.offer(Offer(b"2", bad, 10, 1000))
    writer.offer(Offer(b"3", lambda: b"v", 10, 1000))
    writer.thread.start()
    writer.close(5)
    (trip,) = link.trips
    assert [command[:2] for command in trip] == [(b"DEL", b"claim 1"), (b"SET", b"3")]
    assert (writer._counts.dropped, writer._counts.written) == (2, 1)
    assert caplog.text.count("could not be shared") == 1


# what a key says


def planned(*forms: str, exact: bool) -> Any:
    plan = SimpleNamespace(
        ranges=tuple((8 * number, form) for number, form in enumerate(forms, 1)),
        candidate=lambda form: SimpleNamespace(exact=exact),
    )
    return SimpleNamespace(plan=plan)


def test_a_key_tells_what_computed_its_value(tmp_path: Path) -> None:
    def made(setup: bytes, model: Any, encoder: Any = None) -> bytes:
        return made_by(SimpleNamespace(model=model, encoder=encoder), setup)  # type: ignore[arg-type]

    exact, small = planned("onnx", exact=True), planned("small", exact=False)
    keys = [
        *(made(b"1", exact), made(b"2", exact), made(b"1", small)),
        *(made(b"1", planned("smaller", exact=False)), made(b"1", exact, small)),
    ]
    assert len(set(keys)) == len(keys)
    assert made(b"1", planned("treelite", exact=True)) == keys[0], "forms that agree share"
    assert prefix_of((0, 0), "m", keys[0]) == b"pyrometer:1:0.0:m:" + keys[0] + b":"
    settings = Settings(models=tmp_path, state=tmp_path)
    setups = {
        setup_of(settings),
        setup_of(replace(settings, parity_tolerance=0.5)),
        setup_of(replace(settings, onnx_providers="CUDA")),
    }
    assert len(setups) == 3
    assert f"numpy {np.__version__}".encode() in setup_of(settings)


class Asked(SimpleNamespace):
    """What is read of a call."""

    __hash__ = object.__hash__  # type: ignore[assignment]


class Broken:
    """A tier whose every part raises."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)


def test_a_call_goes_on_whatever_the_tier_raises() -> None:
    entry = SimpleNamespace(declared=SimpleNamespace(cache_ttl_s=0.0))
    plan = SimpleNamespace(ranges=())
    model = SimpleNamespace(name="m", entry=entry, plan=plan)
    call: Any = SimpleNamespace(model=model, encoder=None, tier=object(), ticket=None, key=b"k")
    sharing = Sharing(Broken(), lambda model: None)  # type: ignore[arg-type]
    sharing.begin(call)
    assert call.ticket is None
    assert sharing.find_all([call]) == [None]
    call.ticket = Ticket("m", b"", (0, 0), (0, 0))
    sharing.settle(call)
    sharing.keep(call, Run({"y": np.zeros(1)}, "form"))
    sharing.give_up(call)


@pytest.mark.parametrize(("declared_s", "lives_s"), [(10.0, 10.0), (500.0, 100.0), (0.0, 1e9)])
def test_what_was_found_is_kept_no_longer_than_its_model_says(
    declared_s: float, lives_s: float
) -> None:
    now_s = [0.0]
    memory = MemoryTier(1 << 20, lambda: now_s[0])
    found = Payload(dump_run({"y": np.zeros(1)}, "form"), 100.0 if declared_s else 0.0)
    tier = SimpleNamespace(
        ticket=lambda *_: Ticket("m", b"p", (0, 0), (0, 0)),
        find=lambda *_: [found],
        is_current=lambda _: True,
    )
    entry = SimpleNamespace(declared=SimpleNamespace(cache_ttl_s=declared_s))
    model = SimpleNamespace(name="m", entry=entry, plan=SimpleNamespace(ranges=()))
    call: Any = Asked(model=model, encoder=None, tier=memory, ticket=None, key=b"k", outputs=("y",))
    (run,) = Sharing(tier, lambda model: None).find_all([call])  # type: ignore[arg-type]
    assert run is not None
    now_s[0] = 0.99 * lives_s
    assert memory.get(b"k") is run
    now_s[0] = lives_s
    assert (memory.get(b"k") is MISS) == bool(declared_s)


def test_a_flush_empties_disks_before_the_memory_that_is_filled_from_them(tmp_path: Path) -> None:
    engine = Engine(Settings(models=tmp_path / "none", state=tmp_path / "state", history=False))
    order: list[str] = []

    def cleared(name: str) -> Any:
        return SimpleNamespace(clear=lambda model: order.append(name) or (1, 10))

    kept = engine.results, engine.results_disk
    try:
        engine.results, engine.results_disk = cleared("memory"), cleared("disk")
        items, freed_bytes = engine.clear_data("results", "m")
    finally:
        engine.results, engine.results_disk = kept
        engine.close()
    assert (order, items, freed_bytes) == (["disk", "memory"], 1, 10)
