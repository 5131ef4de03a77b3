"""Caches, single flight, histograms, ring, settings: the parts alone."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from engine.caching.key import result_key
from engine.caching.memory import MemoryTier
from engine.caching.single_flight import SingleFlight
from engine.config import load_settings
from engine.errors import ConfigurationError, Overloaded
from engine.executors.pool import WorkerPool
from engine.models.parity import compare
from engine.models.repository import read_repository
from engine.telemetry.histogram import histogram_of, percentile_ms
from engine.telemetry.record import RequestMetrics


def test_percentiles_are_within_one_percent() -> None:
    durations = np.random.default_rng(1).lognormal(13, 1.5, 50_000)
    counts = histogram_of(durations)
    for share in (0.5, 0.95, 0.99):
        exact = np.sort(durations)[int(np.ceil(share * len(durations))) - 1] / 1e6
        assert percentile_ms(counts, share) == pytest.approx(exact, rel=0.0101)


def test_histograms_merge_by_adding() -> None:
    first, second = np.array([2e6, 3e6]), np.array([9e6])
    merged = histogram_of(first) + histogram_of(second)
    np.testing.assert_array_equal(merged, histogram_of(np.concatenate([first, second])))


def test_no_requests_have_no_percentile() -> None:
    assert percentile_ms(histogram_of(np.array([])), 0.5) is None


def test_phases_and_the_rest_add_up_to_the_duration() -> None:
    record = RequestMetrics("r", "/e", duration_ns=100, decode_ns=20, inference_ns=70)
    body = record.as_dict()
    parts = [body[key] for key in body if key.endswith("_time_ms")]
    assert sum(parts) == pytest.approx(body["duration_ms"])
    assert body["memory_before_mb"] is None


def test_an_item_over_a_tenth_of_the_budget_is_not_admitted() -> None:
    tier = MemoryTier(budget_bytes=100_000)
    tier.put(b"a", 1, 10, "m")
    assert not tier.put(b"b", 2, 10_000, "m")
    assert tier.get(b"a") == 1
    assert tier.counters.rejected == 1


def test_one_model_can_be_flushed_alone() -> None:
    tier = MemoryTier(budget_bytes=100_000)
    tier.put(b"a", 1, 10, "m")
    tier.put(b"b", 2, 10, "n")
    assert tier.clear("m")[0] == 1
    assert tier.get(b"b") == 2


def test_a_key_depends_on_version_dtype_shape_bytes_and_outputs() -> None:
    rows = np.arange(6.0).reshape(2, 3)
    base = result_key(b"v1", {"x": rows}, ("predict",))
    assert base == result_key(b"v1", {"x": rows.copy()}, ("predict",))
    assert len(base) == 20
    others = [
        result_key(b"v2", {"x": rows}, ("predict",)),
        result_key(b"v1", {"x": rows.astype(np.float32)}, ("predict",)),
        result_key(b"v1", {"x": rows.reshape(3, 2)}, ("predict",)),
        result_key(b"v1", {"x": rows + 1}, ("predict",)),
        result_key(b"v1", {"x": rows}, ("predict", "predict_proba")),
        result_key(b"v1", {"y": rows}, ("predict",)),
    ]
    assert base not in others
    assert len(set(others)) == len(others)


def test_text_keys_do_not_run_together() -> None:
    def key(*texts: str) -> bytes:
        return result_key(b"v", {"x": np.array(texts, dtype=object)}, ())

    assert key("ab", "c") != key("a", "bc")


def test_identical_concurrent_computations_run_once() -> None:
    flights: SingleFlight[int] = SingleFlight()
    entered, release, runs = threading.Event(), threading.Event(), []

    def compute() -> int:
        runs.append(1)
        entered.set()
        release.wait(10)
        return 42

    outcomes: list[tuple[int, bool]] = []
    leader = threading.Thread(target=lambda: outcomes.append(flights.run(b"k", compute)))
    leader.start()
    assert entered.wait(10)
    follower = threading.Thread(target=lambda: outcomes.append(flights.run(b"k", compute)))
    follower.start()
    release.set()
    leader.join(10)
    follower.join(10)
    assert {outcome for outcome, _ in outcomes} == {42}
    assert sum(led for _, led in outcomes) == len(runs)


def test_a_full_pool_refuses_at_once() -> None:
    pool = WorkerPool("test", 1, 1)
    started, release = threading.Event(), threading.Event()

    def block() -> None:
        started.set()
        release.wait(10)

    pool.submit(block)
    assert started.wait(10)
    pool.submit(release.wait)
    with pytest.raises(Overloaded, match="1 jobs waiting"):
        pool.submit(release.wait)
    release.set()
    pool.close(5)


def test_parity_counts_labels_and_measures_numbers() -> None:
    oracle = {"predict": np.array([1, 0]), "predict_proba": np.array([[0.5], [0.25]])}
    form = {"predict": np.array([1, 1]), "predict_proba": np.array([[0.5], [np.nan]])}
    parity = compare(oracle, form)
    assert parity.unequal_labels == 1
    assert parity.max_difference == np.inf
    assert not parity.agrees(1.0)


def test_settings_come_from_flags_before_variables_before_defaults() -> None:
    environ = {"PORT": "1", "PYROMETER_PORT": "2", "PYROMETER_OPTIMISE": "off"}
    assert load_settings(environ).port == 2
    assert load_settings(environ).optimise is False
    assert load_settings(environ, {"port": 3}).port == 3
    assert load_settings({"PORT": "9"}).port == 9


def test_a_bad_setting_names_itself() -> None:
    with pytest.raises(ConfigurationError, match="PYROMETER_PORT"):
        load_settings({"PYROMETER_PROT": "1"})
    with pytest.raises(ConfigurationError, match="port is 70000"):
        load_settings({"PORT": "70000"})
    with pytest.raises(ConfigurationError, match="optimise is 'maybe'"):
        load_settings({"PYROMETER_OPTIMISE": "maybe"})


def test_a_bad_folder_is_a_problem_and_the_others_are_served(tmp_path: Path) -> None:
    (tmp_path / "good/1").mkdir(parents=True)
    (tmp_path / "good/1/model.skops").write_bytes(b"x")
    (tmp_path / "empty").mkdir()
    (tmp_path / "typo/1").mkdir(parents=True)
    (tmp_path / "typo/1/model.skops").write_bytes(b"x")
    (tmp_path / "typo/model.toml").write_text("prelaod = true")
    repository = read_repository(tmp_path)
    assert [entry.name for entry in repository.entries] == ["good"]
    assert repository.problems.keys() == {"empty", "typo"}
    assert "prelaod" in repository.problems["typo"]
