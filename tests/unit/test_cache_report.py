"""What tiers tell of themselves, and what the report makes of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from engine.cache_report import AGES_AT_ONCE, MOST_MODELS, cache_report
from engine.caching.disk import DiskTier
from engine.caching.embeddings import EmbeddingCache
from engine.caching.memory import MISS, WINDOW_LOOKUPS, Held, MemoryTier
from engine.config import Settings
from engine.engine import Engine
from engine.telemetry.labels import OK, OUTCOMES, SERVER_ERROR, Label
from engine.telemetry.tally import AT, SUMS
from engine.telemetry.totals import SeriesTotal
from tests.waiting import until


def test_what_groups_hold_adds_up_whatever_is_put_dropped_and_evicted() -> None:
    now = [0.0]
    tier = MemoryTier(120_000, clock_s=lambda: now[0])
    random = np.random.default_rng(5)
    for turn in range(4_000):
        now[0] += 1
        key = b"%d" % random.integers(300)
        if tier.get(key) is MISS or turn % 7 == 0:
            size, group = int(random.integers(1, 3_000)), f"m{random.integers(4)}"
            tier.put(key, key, size, group, ttl_s=float(random.integers(0, 3) * 50))
        held = tier.groups().values()
        assert sum(one.items for one in held) == tier.items
        assert sum(one.bytes for one in held) == tier.bytes
    assert tier.counters.expired > 0
    assert tier.counters.evictions > 0
    freed = tier.groups()["m1"]
    assert tier.clear("m1") == (freed.items, freed.bytes)
    assert "m1" not in tier.groups()
    tier.clear()
    assert tier.groups() == {}


def test_ages_are_since_an_item_was_put_last() -> None:
    now = [0.0]
    tier = MemoryTier(10**8, clock_s=lambda: now[0])
    assert tier.ages_s() is None
    for second in range(11):
        now[0] = float(second)
        tier.put(b"%d" % second, 1, 10, "m")
    assert tier.ages_s() == (10.0, 5.0)
    tier.put(b"0", 2, 10, "m")
    assert tier.ages_s() == (9.0, 4.0)


def test_a_tier_says_what_it_was_judged_by() -> None:
    tier = MemoryTier(10**8)
    assert tier.judged == (0, 0)
    for place in range(WINDOW_LOOKUPS + 1):
        tier.get(b"%d" % place)
    assert (tier.awake, tier.judged) == (False, (0, WINDOW_LOOKUPS))


def test_a_disk_tells_items_bytes_and_ages_of_small_and_large_values(tmp_path: Path) -> None:
    disk = DiskTier(tmp_path, 10_000_000)
    assert (disk.items, disk.groups(), disk.ages_s()) == (0, {}, None)
    disk.offer(b"small", lambda: b"x" * 100, "m")
    disk.offer(b"large", lambda: b"x" * 100_000, "n")
    until(lambda: disk.written == 2, 5, "written")
    assert disk.items == 2
    assert disk.groups() == {"m": Held(1, 116), "n": Held(1, 100_016)}
    ages = disk.ages_s()
    assert ages is not None
    assert 0 <= ages[1] <= ages[0] < 60
    disk.close(5)


def test_an_encoder_s_rows_are_counted_as_found_read_back_or_encoded(tmp_path: Path) -> None:
    disk = DiskTier(tmp_path, 10_000_000)
    cache = EmbeddingCache(MemoryTier(10**7), disk)

    def encode(places: list[int]) -> np.ndarray:
        return np.ones((len(places), 3))

    cache.rows([b"a", b"b"], encode, "e")
    cache.rows([b"a", b"c"], encode, "e")
    until(lambda: disk.written == 3, 5, "written")
    cache.tier.clear()
    cache.rows([b"a", b"d"], encode, "e")
    use = cache.use["e"]
    assert (use.hits, use.disk_hits, use.encoded) == (1, 1, 4)
    assert use.encode_ns > 0
    disk.close(5)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """Not started: it has an empty repository and counts nothing by itself."""
    (tmp_path / "models").mkdir()
    engine = Engine(Settings(models=tmp_path / "models", state=tmp_path / "state"))
    yield engine
    engine.close()


def book(engine: Engine, model: str, outcome: int = OK, service: bool = True, **sums: int) -> None:
    """Totals of one series of a model, as if its requests had been recorded."""
    totals = engine.ticker.totals
    label = Label(model, "1", "", "/v2/models/{model}/infer", service)
    total = SeriesTotal(np.zeros(len(SUMS), dtype=np.int64))
    for name, value in sums.items():
        total.sums[AT[name]] = value
    totals.by_series[totals.labels.id_of(label) * len(OUTCOMES) + outcome] = total


def test_time_saved_is_hits_by_the_mean_run_of_their_model(engine: Engine) -> None:
    hits = {"response_hits": 60, "result_hits": 20, "disk_hits": 10}
    book(engine, "slow", requests=100, lookups=100, inference_ns=50_000_000, **hits)
    book(engine, "slow", SERVER_ERROR, requests=7, lookups=7, inference_ns=10**12)
    book(engine, "fast", requests=3, lookups=3, inference_ns=3_000, response_hits=1)
    book(engine, "unmeasured", requests=5, lookups=5, response_hits=5)
    book(engine, "console", service=False, requests=9, lookups=9, response_hits=9)
    told = cache_report(engine, measures=False)
    models = {model["model"]: model for model in told["models"]}
    assert models["slow"]["run_ms"] == 5.0
    assert models["slow"]["saved_ms"] == 450.0
    assert models["slow"]["hit_percent"] == pytest.approx(100 * 90 / 107)
    assert models["unmeasured"]["saved_ms"] is None
    assert "console" not in models
    tiers = {tier["tier"]: tier for tier in told["tiers"]}
    assert tiers["responses"]["saved_ms"] == pytest.approx(300.0 + 0.0015)
    assert tiers["results"]["saved_ms"] == 100.0
    assert tiers["results"]["disk"]["saved_ms"] == 50.0
    assert tiers["models"]["saved_ms"] is None


def test_what_an_encoder_s_rows_saved_is_by_the_mean_row(engine: Engine) -> None:
    assert engine.embeddings is not None
    engine.embeddings.rows([b"a"], lambda places: np.ones((len(places), 2)), "encoder")
    use = engine.embeddings.use["encoder"]
    use.hits, use.encoded, use.encode_ns = 30, 10, 20_000_000
    told = cache_report(engine, measures=False)
    tier = next(tier for tier in told["tiers"] if tier["tier"] == "embeddings")
    (model,) = told["models"]
    assert tier["saved_ms"] == model["saved_ms"] == 60.0
    assert model["held"]["embeddings"]["items"] == 1
    assert model["known"] is False


def test_nothing_is_saved_where_nothing_hit(engine: Engine) -> None:
    book(engine, "m", requests=4, lookups=4, inference_ns=4_000)
    told = cache_report(engine, measures=False)
    assert [tier["saved_ms"] for tier in told["tiers"]] == [None] * 4
    assert told["models"][0]["saved_ms"] is None


def test_models_with_most_in_the_caches_come_first_and_are_bounded(engine: Engine) -> None:
    assert engine.results is not None
    for place in range(MOST_MODELS + 5):
        engine.results.put(b"%d" % place, 1, 10 * place, f"m{place}")
    told = cache_report(engine, measures=False)
    assert told["models"][0]["model"] == f"m{MOST_MODELS + 4}"
    assert len(told["models"]) == MOST_MODELS
    assert told["models_left_out"] == 5


def test_ages_of_a_large_tier_are_read_on_demand_only(engine: Engine) -> None:
    assert engine.results is not None
    for place in range(AGES_AT_ONCE + 1):
        engine.results.put(b"%d" % place, 1, 1, "m")

    def ages(measures: bool) -> tuple[bool, bool]:
        told = cache_report(engine, measures)["tiers"]
        tier = next(tier for tier in told if tier["tier"] == "results")
        return tier["aged"], tier["oldest_s"] is not None

    assert ages(False) == (False, False)
    assert ages(True) == (True, True)


def test_a_sleeping_tier_says_why(engine: Engine) -> None:
    assert engine.results is not None
    for place in range(WINDOW_LOOKUPS + 1):
        engine.results.get(b"%d" % place)
    tiers = {tier["tier"]: tier for tier in cache_report(engine, False)["tiers"]}
    assert tiers["results"]["why"].startswith("0 of 2048 lookups hit")
    assert tiers["responses"]["why"] is None


@pytest.mark.parametrize(
    ("given", "off"),
    [
        ({}, []),
        ({"spill": False}, [("disk", "spill")]),
        ({"embedding_cache": False}, [("embeddings", "embedding_cache")]),
        (
            {"optimise": False},
            [(t, "optimise") for t in ("results", "embeddings", "responses", "disk")],
        ),
    ],
)
def test_tiers_that_are_turned_off_name_the_setting(
    tmp_path: Path, given: dict[str, bool], off: list[tuple[str, str]]
) -> None:
    (tmp_path / "models").mkdir()
    settings = Settings(models=tmp_path / "models", state=tmp_path / "state", **given)  # type: ignore[arg-type]
    engine = Engine(settings)
    told = cache_report(engine, measures=False)
    assert [(one["tier"], one["setting"]) for one in told["off"]] == off
    engine.close()
