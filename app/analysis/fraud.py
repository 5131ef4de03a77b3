"""From a fraud probability to an answer somebody can act on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from app.analysis.factors import METHOD, Score, score_with_factors
from app.analysis.transactions import Transaction, before, features

FRAUD_FROM = 0.5
"""The model's own decision: scikit-learn predicts the class with the higher probability."""
REVIEW_FROM = 0.2
BLOCK_FROM = 0.8


def fraud_answer(
    transaction: Transaction,
    history: Sequence[Transaction],
    score: Score,
    medians: Mapping[str, float],
) -> dict[str, Any]:
    """Judge a transaction. confidence is the probability of the class answered."""
    row = features(transaction, history)
    probability, factors = score_with_factors(row, score, medians)
    fraudulent = probability >= FRAUD_FROM
    return {
        "is_fraudulent": fraudulent,
        "confidence": probability if fraudulent else 1 - probability,
        "fraud_probability": probability,
        "risk_factors": factors,
        "factor_method": METHOD,
        "recommended_action": recommended_action(probability),
        "history_used": len(before(transaction, history)),
    }


def recommended_action(probability: float) -> str:
    """approve below REVIEW_FROM, block from BLOCK_FROM, review between."""
    if probability >= BLOCK_FROM:
        return "block"
    return "review" if probability >= REVIEW_FROM else "approve"
