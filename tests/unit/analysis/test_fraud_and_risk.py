"""Answers on fraud and risk, with models made up for the purpose."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson
import pytest

from app.analysis.factors import MAX_FACTORS, METHOD, MIN_CHANGE
from app.analysis.fraud import BLOCK_FROM, FRAUD_FROM, REVIEW_FROM, fraud_answer
from app.analysis.risk import HIGH_FROM, MEDIUM_FROM, risk_answer
from app.analysis.transactions import FEATURES, Transaction, features

NOW = Transaction("a", "b", 100.0, 1_750_000_000.0)
PAST = Transaction("a", "c", 10.0, NOW.timestamp - 100)
LATER = Transaction("a", "c", 10.0, NOW.timestamp + 100)
MEDIANS = dict.fromkeys(FEATURES, 0.0)


class Model:
    """Linear in the features; keeps the batches it was asked."""

    def __init__(self, base: float, weights: Mapping[str, float] | None = None) -> None:
        self.base = base
        self.weights = np.array([(weights or {}).get(name, 0.0) for name in FEATURES])
        self.batches: list[np.ndarray] = []

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        self.batches.append(rows.copy())
        return np.asarray(self.base + rows @ self.weights)


def fraud(base: float) -> dict[str, Any]:
    return fraud_answer(NOW, (), Model(base), MEDIANS)


def test_one_batch_holds_the_row_and_each_feature_at_its_median() -> None:
    model, medians = Model(0.5), {name: -5.0 - i for i, name in enumerate(FEATURES)}
    fraud_answer(NOW, (PAST,), model, medians)
    (batch,) = model.batches
    row = features(NOW, (PAST,))
    assert batch.shape == (len(FEATURES) + 1, len(FEATURES))
    np.testing.assert_array_equal(batch[0], row)
    for place, name in enumerate(FEATURES):
        expected = row.copy()
        expected[place] = medians[name]
        np.testing.assert_array_equal(batch[place + 1], expected)


def test_a_factor_is_the_change_of_the_score() -> None:
    amount, deviation = features(NOW, (PAST,))[[0, FEATURES.index("amount_deviation")]]
    model = Model(0.1, {"log_amount": 0.1, "amount_deviation": -0.01})
    first, second = fraud_answer(NOW, (PAST,), model, MEDIANS)["risk_factors"]
    assert first["feature"] == "log_amount"
    assert first["value"] == amount
    assert first["median"] == 0
    assert first["change"] == pytest.approx(0.1 * amount)
    assert first["direction"] == "raises"
    assert second["change"] == pytest.approx(-0.01 * deviation)
    assert second["direction"] == "lowers"


def test_factors_are_few_and_the_largest_come_first() -> None:
    weights = {name: 0.01 * (i + 1) for i, name in enumerate(FEATURES)}
    medians = {name: value - 1 for name, value in zip(FEATURES, features(NOW, ()), strict=True)}
    factors = fraud_answer(NOW, (), Model(0.0, weights), medians)["risk_factors"]
    assert [factor["feature"] for factor in factors] == list(FEATURES[::-1][:MAX_FACTORS])


def test_small_changes_are_no_factors() -> None:
    medians = {name: value - 1 for name, value in zip(FEATURES, features(NOW, ()), strict=True)}
    small = Model(0.5, {"sender_count": MIN_CHANGE * 0.9, "log_amount": MIN_CHANGE * 1.1})
    factors = fraud_answer(NOW, (), small, medians)["risk_factors"]
    assert [factor["feature"] for factor in factors] == ["log_amount"]


@pytest.mark.parametrize(
    ("probability", "fraudulent", "action"),
    [
        (0.0, False, "approve"),
        (REVIEW_FROM - 1e-9, False, "approve"),
        (REVIEW_FROM, False, "review"),
        (FRAUD_FROM - 1e-9, False, "review"),
        (FRAUD_FROM, True, "review"),
        (BLOCK_FROM, True, "block"),
        (1.0, True, "block"),
    ],
)
def test_the_action_follows_the_probability(
    probability: float, fraudulent: bool, action: str
) -> None:
    answer = fraud(probability)
    assert answer["is_fraudulent"] is fraudulent
    assert answer["recommended_action"] == action
    assert answer["fraud_probability"] == probability


def test_confidence_is_the_probability_of_the_class_answered() -> None:
    assert fraud(0.9)["confidence"] == pytest.approx(0.9)
    assert fraud(0.1)["confidence"] == pytest.approx(0.9)


@pytest.mark.parametrize(
    ("raw", "score", "level"),
    [
        (-0.2, 0.0, "low"),
        (MEDIUM_FROM - 1e-9, MEDIUM_FROM - 1e-9, "low"),
        (MEDIUM_FROM, MEDIUM_FROM, "medium"),
        (HIGH_FROM, HIGH_FROM, "high"),
        (1.3, 1.0, "high"),
    ],
)
def test_risk_is_clipped_and_has_a_level(raw: float, score: float, level: str) -> None:
    answer = risk_answer(NOW, (), Model(raw), MEDIANS)
    assert answer["risk_score"] == score
    assert answer["risk_level"] == level


def test_answers_count_the_history_used_and_are_plain_json() -> None:
    model = Model(0.5, {"log_amount": 0.05})
    for answer in (
        fraud_answer(NOW, (PAST, NOW, LATER), model, MEDIANS),
        risk_answer(NOW, (PAST, NOW, LATER), model, MEDIANS),
    ):
        assert answer["history_used"] == 1
        assert answer["factor_method"] == METHOD
        assert orjson.loads(orjson.dumps(answer)) == answer
