"""The analysis routes: answers, fields refused by name, factors that add up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.analysis.contracts import FLAWS, Explainer
from app.analysis.transactions import FEATURES, Transaction, features, parse_request
from engine.errors import InvalidField
from engine.models.backends.estimator_backend import load_skops
from examples.contracts_data import BAD
from examples.transactions_data import simulate
from tests.conftest import RunningServer
from tests.contract.http import call

GOOD = {"from_address": "a-1", "to_address": "b-2", "amount": 120.5, "timestamp": 1_750_000_000}
PAST = {**GOOD, "timestamp": "2025-06-14T10:00:00Z"}


def fraud(port: int, transaction: Any, history: Any = None) -> tuple[int, Any]:
    body = {"transaction": transaction, "historical_data": history}
    status, _, answer = call(port, "POST", "/analyze/fraud", body)
    return status, answer


def test_fraud_answers_as_the_model_does(server: RunningServer, bundled_models: Path) -> None:
    status, answer = fraud(server.port, GOOD, [PAST])
    assert status == 200, answer
    model = load_skops((bundled_models / "fraud_detector/1/model.skops").read_bytes())
    row = features(*parse_request({"transaction": GOOD, "historical_data": [PAST]}))
    expected = model.predict_proba(row[np.newaxis])[0, 1]
    assert answer["fraud_probability"] == pytest.approx(expected, abs=1e-5)
    assert answer["is_fraudulent"] == (expected >= 0.5)
    assert answer["recommended_action"] in ("approve", "review", "block")
    assert answer["history_used"] == 1
    assert answer["model_version"] == "1"
    assert answer["request_id"]


def test_a_factor_is_the_change_at_the_training_median(
    server: RunningServer, bundled_models: Path
) -> None:
    odd = {**GOOD, "amount": 1e6, "timestamp": 1_750_000_000 + 3 * 3600}
    _, answer = fraud(server.port, odd, [PAST])
    model = load_skops((bundled_models / "fraud_detector/1/model.skops").read_bytes())
    row = features(*parse_request({"transaction": odd, "historical_data": [PAST]}))
    assert answer["risk_factors"]
    for factor in answer["risk_factors"]:
        without = row.copy()
        without[FEATURES.index(factor["feature"])] = factor["median"]
        scores = model.predict_proba(np.array([row, without]))[:, 1]
        assert factor["change"] == pytest.approx(scores[0] - scores[1], abs=1e-5)


def test_risk_is_a_score_and_a_level(server: RunningServer) -> None:
    status, _, answer = call(server.port, "POST", "/analyze/risk", {"transaction": GOOD})
    assert status == 200
    assert 0 <= answer["risk_score"] <= 1
    assert answer["risk_level"] in ("low", "medium", "high")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"amount": -1}, "transaction.amount"),
        ({"amount": 0}, "transaction.amount"),
        ({"amount": "12"}, "transaction.amount"),
        ({"amount": True}, "transaction.amount"),
        ({"amount": None}, "transaction.amount"),
        ({"from_address": ""}, "transaction.from_address"),
        ({"to_address": "a b"}, "transaction.to_address"),
        ({"to_address": "a" * 129}, "transaction.to_address"),
        ({"timestamp": "yesterday"}, "transaction.timestamp"),
        ({"timestamp": -5}, "transaction.timestamp"),
        ({"timestmap": 5}, "transaction.timestmap"),
        ({"metadata": [1]}, "transaction.metadata"),
    ],
)
def test_a_bad_field_is_422_and_named(
    server: RunningServer, change: dict[str, Any], field: str
) -> None:
    status, answer = fraud(server.port, {**GOOD, **change})
    assert status == 422
    assert field in answer["error"]


def test_a_bad_history_entry_is_named_by_its_place(server: RunningServer) -> None:
    status, answer = fraud(server.port, GOOD, [PAST, {**PAST, "amount": -3}])
    assert status == 422
    assert "historical_data[1].amount" in answer["error"]


def test_an_infinite_amount_is_refused() -> None:
    with pytest.raises(InvalidField, match=r"transaction\.amount"):
        parse_request({"transaction": {**GOOD, "amount": float("inf")}})


def test_only_what_came_before_is_history() -> None:
    now = Transaction("a", "b", 5.0, 1000.0)
    later = Transaction("a", "b", 50.0, 1000.0)
    np.testing.assert_array_equal(features(now, [later, now]), features(now, []))


def test_seconds_and_iso_times_are_the_same() -> None:
    iso = parse_request({"transaction": {**GOOD, "timestamp": "2025-06-15T15:06:40Z"}})
    naive = parse_request({"transaction": {**GOOD, "timestamp": "2025-06-15T15:06:40"}})
    assert iso[0].timestamp == naive[0].timestamp == GOOD["timestamp"]


def test_the_simulator_is_seeded_and_finite() -> None:
    first, second = simulate(60, 3), simulate(60, 3)
    np.testing.assert_array_equal(first.rows, second.rows)
    assert np.isfinite(first.rows).all()
    assert set(first.fraud) == {0, 1}


@pytest.mark.parametrize("flaw", sorted(FLAWS))
def test_a_known_flaw_is_found(server: RunningServer, flaw: str) -> None:
    code = "contract C1 {\n  " + BAD[flaw].replace("NAME", "balances").replace("VERB", "claim1")
    status, _, answer = call(server.port, "POST", "/analyze/contract", {"contract_code": code})
    assert status == 200
    assert flaw in [finding["flaw"] for finding in answer["findings"]]
    assert set(answer["scores"]) == set(FLAWS)


def test_a_blank_or_missing_contract_is_422(server: RunningServer) -> None:
    for body in ({"contract_code": "  "}, {}, {"contract_code": 5}, {"contract_cod": "a"}):
        assert call(server.port, "POST", "/analyze/contract", body)[0] == 422


def test_contributions_add_up_to_the_decision(bundled_models: Path) -> None:
    folder = bundled_models / "contract_classifier/1"
    pipeline = load_skops((folder / "model.skops").read_bytes())
    explainer = Explainer.load(folder / "explain.npz")
    for code in BAD.values():
        _, parts = explainer.contributions(code)
        given = parts.sum(axis=0) + explainer.intercept
        np.testing.assert_allclose(given, pipeline.decision_function([code])[0], atol=1e-8)
