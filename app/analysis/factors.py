"""Which features moved a score: the change when one of them takes its training median."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from app.analysis.transactions import FEATURES

METHOD = "change of the score when one feature takes its training median"
MIN_CHANGE = 0.005
MAX_FACTORS = 5

Score = Callable[[np.ndarray], np.ndarray]

_DESCRIPTIONS = {
    "log_amount": "size of the amount",
    "hour_sin": "time of day",
    "hour_cos": "time of day",
    "is_self_transfer": "sender and receiver are the same",
    "sender_count": "number of the sender's earlier transactions",
    "sender_mean_log_amount": "the sender's usual amount",
    "amount_deviation": "how far the amount is from the sender's habit",
    "sender_idle_log_s": "time since the sender's last transaction",
    "sender_last_hour_count": "the sender's transactions in the last hour",
    "sender_distinct_receivers": "how many receivers the sender has had",
    "is_new_counterparty": "the sender has never paid this receiver",
    "receiver_received_count": "how often the receiver has been paid",
    "receiver_sent_count": "how often the receiver has paid",
}


def score_with_factors(
    row: np.ndarray, score: Score, medians: Mapping[str, float]
) -> tuple[float, list[dict[str, Any]]]:
    """The score of a row and its factors, largest first, from one batch.

    row: (features,). score: (rows, features) -> (rows,). Row 0 of the batch is the row
    itself, row i + 1 the same with feature i at its median.
    """
    batch = np.repeat(row[np.newaxis], len(FEATURES) + 1, axis=0)
    for place, name in enumerate(FEATURES):
        batch[place + 1, place] = medians[name]
    scores = score(batch)
    changes = float(scores[0]) - scores[1:]
    order = np.argsort(-np.abs(changes), kind="stable")[:MAX_FACTORS]
    factors = [
        {
            "feature": FEATURES[place],
            "value": float(row[place]),
            "median": float(medians[FEATURES[place]]),
            "change": float(changes[place]),
            "direction": "raises" if changes[place] > 0 else "lowers",
            "description": _DESCRIPTIONS[FEATURES[place]],
        }
        for place in order
        if abs(changes[place]) >= MIN_CHANGE
    ]
    return float(scores[0]), factors
