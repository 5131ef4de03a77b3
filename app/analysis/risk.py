"""From a risk score to a level."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from app.analysis.factors import METHOD, Score, score_with_factors
from app.analysis.transactions import Transaction, before, features

MEDIUM_FROM = 0.35
HIGH_FROM = 0.65


def risk_answer(
    transaction: Transaction,
    history: Sequence[Transaction],
    score: Score,
    medians: Mapping[str, float],
) -> dict[str, Any]:
    """Score a transaction, 0 to 1. The regressor may step a little outside; that is clipped."""
    raw, factors = score_with_factors(features(transaction, history), score, medians)
    clipped = min(1.0, max(0.0, raw))
    return {
        "risk_score": clipped,
        "risk_level": risk_level(clipped),
        "factors": factors,
        "factor_method": METHOD,
        "history_used": len(before(transaction, history)),
    }


def risk_level(score: float) -> str:
    """low below MEDIUM_FROM, high from HIGH_FROM, medium between."""
    if score >= HIGH_FROM:
        return "high"
    return "medium" if score >= MEDIUM_FROM else "low"
