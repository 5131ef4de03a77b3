"""A seeded simulator of chain transactions.

Accounts have habits: an hour of the day, a usual amount, a few counterparties. Honest
transfers follow them with noise. Fraud takes an account over: a burst of transfers, at an
odd hour, to new receivers, of amounts off the habit; one in five frauds imitates the
habit, and one honest transfer in fifteen breaks it, so that the two overlap. The risk of a
transfer is a noisy blend of how unusual it is and whether it was fraud.

Every example is a (transaction, history) pair whose features come from the function that
serves requests.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from app.analysis.transactions import DAY_S, HOUR_S, Transaction, features

START_S = 1_750_000_000.0
FRAUD_SHARE = 0.12
IMITATES_HABIT = 0.2
BREAKS_HABIT = 0.07
MAX_PAST = 14


@dataclass(frozen=True)
class Simulated:
    """rows: (n, features); fraud: (n,) 0 or 1; risk: (n,) in 0..1."""

    rows: np.ndarray
    fraud: np.ndarray
    risk: np.ndarray


def simulate(examples: int, seed: int) -> Simulated:
    """`examples` independent accounts, each judged at one transfer."""
    random = np.random.default_rng(seed)
    rows, fraud, risk = [], [], []
    for number in range(examples):
        is_fraud = bool(random.random() < FRAUD_SHARE)
        transaction, history, unusual = account(random, number, is_fraud)
        rows.append(features(transaction, history))
        fraud.append(is_fraud)
        blend = 0.1 + 0.35 * unusual + 0.4 * is_fraud + random.normal(0, 0.06)
        risk.append(min(1.0, max(0.0, blend)))
    return Simulated(np.array(rows), np.array(fraud, dtype=np.int64), np.array(risk))


def account(
    random: np.random.Generator, number: int, is_fraud: bool
) -> tuple[Transaction, list[Transaction], bool]:
    """One account's transfer, its history, and whether the transfer breaks the habit."""
    me = f"acct-{number}"
    known = [f"peer-{random.integers(10_000)}" for _ in range(random.integers(1, 5))]
    usual_log, usual_hour = random.normal(5, 1.2), random.normal(14, 3)
    unusual = bool(random.random() < (1 - IMITATES_HABIT if is_fraud else BREAKS_HABIT))
    now = START_S + random.integers(300) * DAY_S

    def moment(day: float, hour: float) -> float:
        return float(now) - day * DAY_S + (hour % 24) * HOUR_S

    past = [
        Transaction(
            me,
            str(random.choice(known)),
            math.exp(random.normal(usual_log, 0.4)),
            moment(float(random.integers(1, 40)), random.normal(usual_hour, 1.5)),
        )
        for _ in range(random.integers(0, MAX_PAST))
    ]
    hour = random.normal(usual_hour + (9 if unusual else 0), 3 if unusual else 1.5)
    at = moment(0, hour)
    if unusual:
        burst = random.poisson(2.0 if is_fraud else 0.7)
        past += [
            Transaction(
                me,
                f"mule-{random.integers(50)}",
                math.exp(random.normal(usual_log + 0.8, 0.8)),
                at - random.uniform(30, 3000),
            )
            for _ in range(burst)
        ]
    habitual = random.random() < (0.15 if unusual else 0.85)
    receiver = str(random.choice(known)) if habitual else f"new-{random.integers(5_000)}"
    shift = random.normal(1.1, 1.0) if unusual else 0.0
    amount = math.exp(random.normal(usual_log + shift, 0.45))
    received = [
        Transaction(f"other-{i}", receiver, 10.0, at - random.uniform(1, 20) * DAY_S)
        for i in range(random.poisson(3.0 if habitual else 0.6))
    ]
    return Transaction(me, receiver, amount, at), past + received, unusual
