"""The simulator of transactions, and the writing of model folders."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from app.analysis.transactions import DAY_S, FEATURES, MAX_HISTORY, features
from examples import writer
from examples.transactions_data import START_S, generate, simulate
from examples.writer import BuiltModel, is_built, write_model


def built(note: str = "first") -> BuiltModel:
    return BuiltModel(
        name="tiny",
        description=note,
        task="classifier",
        input_name="input",
        datatype="FP64",
        shape=(-1, 2),
        estimator={"note": note},
        samples=np.zeros((3, 2)),
        metadata={"seed": 1},
        extra={"explain.npz": {"weights": np.ones(2)}},
    )


def test_a_seed_gives_the_same_examples() -> None:
    assert list(generate(50, 3)) == list(generate(50, 3))
    assert list(generate(50, 3)) != list(generate(50, 4))


def test_rows_are_the_features_that_serving_computes() -> None:
    simulated = simulate(40, 5)
    for row, example in zip(simulated.rows, generate(40, 5), strict=True):
        np.testing.assert_array_equal(row, features(example.transaction, example.history))


def test_examples_are_finite_bounded_and_of_both_classes() -> None:
    simulated = simulate(1000, 1)
    assert simulated.rows.shape == (1000, len(FEATURES))
    assert np.isfinite(simulated.rows).all()
    assert 0.05 < simulated.fraud.mean() < 0.25
    assert simulated.risk.min() >= 0
    assert simulated.risk.max() <= 1
    assert len(np.unique(simulated.risk)) > 500
    assert all(len(example.history) <= MAX_HISTORY for example in generate(200, 1))


def test_habits_keep_the_hours_of_utc() -> None:
    assert START_S % DAY_S == 0
    hours = [e.transaction.timestamp % DAY_S / 3600 for e in generate(1000, 2) if not e.fraud]
    assert 13 < float(np.median(hours)) < 15


def test_fraud_breaks_habits_more_often() -> None:
    simulated = simulate(1000, 1)
    for name in ("is_new_counterparty", "sender_last_hour_count"):
        column = simulated.rows[:, FEATURES.index(name)]
        assert column[simulated.fraud == 1].mean() > 2 * column[simulated.fraud == 0].mean()


def test_a_written_model_is_whole(tmp_path: Path) -> None:
    assert not is_built(tmp_path, "tiny")
    write_model(tmp_path, built())
    assert is_built(tmp_path, "tiny")
    assert [path.name for path in tmp_path.iterdir()] == ["tiny"]
    assert json.loads((tmp_path / "tiny/1/metadata.json").read_text())["seed"] == 1


@pytest.mark.parametrize(
    "file", ["model.toml", "1/model.skops", "1/samples.npz", "1/metadata.json", "1/explain.npz"]
)
def test_a_folder_that_lacks_a_file_is_not_complete(tmp_path: Path, file: str) -> None:
    write_model(tmp_path, built())
    (tmp_path / "tiny" / file).unlink()
    assert not is_built(tmp_path, "tiny")
    write_model(tmp_path, built())
    assert is_built(tmp_path, "tiny")


def test_a_failed_write_keeps_the_old_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_model(tmp_path, built())

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(writer, "_write_arrays", fail)
    with pytest.raises(OSError, match="disk full"):
        write_model(tmp_path, built("second"))
    assert [path.name for path in tmp_path.iterdir()] == ["tiny"]
    assert "first" in (tmp_path / "tiny/model.toml").read_text()
    assert is_built(tmp_path, "tiny")
