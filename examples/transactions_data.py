"""A seeded simulator of chain transactions.

Accounts have habits: an hour of the day, a usual amount, a few counterparties. Honest
transfers follow them with noise. Fraud takes an account over: a burst of transfers, at an
odd hour, to new receivers, of amounts off the habit. Some frauds imitate the habit and some
honest transfers break it, so that the two overlap, and a few labels are wrong, as labels
are. The risk of a transfer is a noisy blend of how unusual it is and whether it was fraud.

Every example is a (transaction, history) pair whose features come from the function that
serves requests.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from app.analysis.transactions import DAY_S, HOUR_S, Transaction, features

START_S = 1_749_945_600.0
"""15 June 2025, a midnight in UTC, so that hours of the day are those that serving sees."""

FRAUD_SHARE = 0.12
IMITATES_HABIT = 0.05
BREAKS_HABIT = 0.05
WRONG_LABEL = 0.002
MAX_PAST = 14


@dataclass(frozen=True, slots=True)
class Example:
    """A transfer, what came before it, its label (maybe wrong) and its risk, 0 to 1."""

    transaction: Transaction
    history: tuple[Transaction, ...]
    fraud: bool
    risk: float


@dataclass(frozen=True)
class Simulated:
    """rows: (n, features); fraud: (n,) 0 or 1; risk: (n,) in 0..1."""

    rows: np.ndarray
    fraud: np.ndarray
    risk: np.ndarray


@dataclass(frozen=True, slots=True)
class _Habit:
    """known: receivers; usual_log: mean of ln(amount); hour: of the day, UTC, 0 to 24."""

    me: str
    known: list[str]
    usual_log: float
    hour: float


def simulate(examples: int, seed: int) -> Simulated:
    """`examples` independent accounts, each judged at one transfer, as training arrays."""
    drawn = list(generate(examples, seed))
    return Simulated(
        np.array([features(example.transaction, example.history) for example in drawn]),
        np.array([example.fraud for example in drawn], dtype=np.int64),
        np.array([example.risk for example in drawn]),
    )


def generate(examples: int, seed: int) -> Iterator[Example]:
    """The examples one by one; the same seed gives the same ones."""
    random = np.random.default_rng(seed)
    for number in range(examples):
        is_fraud = bool(random.random() < FRAUD_SHARE)
        transaction, history, unusual = _account(random, number, is_fraud)
        risk = 0.1 + 0.35 * unusual + 0.4 * is_fraud + random.normal(0, 0.06)
        label = is_fraud != bool(random.random() < WRONG_LABEL)
        yield Example(transaction, tuple(history), label, float(min(1.0, max(0.0, risk))))


def _account(
    random: np.random.Generator, number: int, is_fraud: bool
) -> tuple[Transaction, list[Transaction], bool]:
    """One account's transfer, its history, and whether the transfer breaks the habit."""
    known = [f"peer-{random.integers(10_000)}" for _ in range(random.integers(1, 5))]
    habit = _Habit(f"acct-{number}", known, random.normal(5, 1.2), random.normal(14, 3))
    unusual = bool(random.random() < (1 - IMITATES_HABIT if is_fraud else BREAKS_HABIT))
    today = START_S + float(random.integers(300)) * DAY_S
    hour = random.normal(habit.hour + (9 if unusual else 0), 3 if unusual else 1.5)
    at = _moment(today, hour)
    history = _habitual(random, habit, today)
    if unusual:
        history += _burst(random, habit, at, 2.0 if is_fraud else 0.7)
    to_known = random.random() < (0.15 if unusual else 0.85)
    receiver = str(random.choice(known)) if to_known else f"new-{random.integers(5_000)}"
    shift = random.normal(1.1, 1.0) if unusual else 0.0
    amount = math.exp(random.normal(habit.usual_log + shift, 0.45))
    history += [
        Transaction(f"other-{i}", receiver, 10.0, at - random.uniform(1, 20) * DAY_S)
        for i in range(random.poisson(3.0 if to_known else 0.6))
    ]
    return Transaction(habit.me, receiver, amount, at), history, unusual


def _habitual(random: np.random.Generator, habit: _Habit, today: float) -> list[Transaction]:
    """Transfers of the last 40 days that follow the habit; today is its midnight, Unix seconds."""
    return [
        Transaction(
            habit.me,
            str(random.choice(habit.known)),
            math.exp(random.normal(habit.usual_log, 0.4)),
            _moment(today - float(random.integers(1, 40)) * DAY_S, random.normal(habit.hour, 1.5)),
        )
        for _ in range(random.integers(0, MAX_PAST))
    ]


def _burst(
    random: np.random.Generator, habit: _Habit, at: float, expected: float
) -> list[Transaction]:
    """`expected` transfers on average to strangers in the 50 minutes before `at`."""
    return [
        Transaction(
            habit.me,
            f"mule-{random.integers(50)}",
            math.exp(random.normal(habit.usual_log + 0.8, 0.8)),
            at - random.uniform(30, 3000),
        )
        for _ in range(random.poisson(expected))
    ]


def _moment(day_s: float, hour: float) -> float:
    return day_s + (hour % 24) * HOUR_S
