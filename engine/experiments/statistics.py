"""The statistics of an experiment: pure functions of numbers.

holm            p-values of several comparisons together (Holm 1979)
sample_ratio    whether the split gave what its weights say (chi-square)
rate_interval   a share, valid whenever it is looked at
Sequence        a mean, valid whenever it is looked at
"""

from __future__ import annotations

import math
from collections.abc import Sequence as Row
from dataclasses import asdict, dataclass
from typing import Any

MISMATCH_P = 0.001
SPREAD = 1.0
"""c^2 of `Sequence`, in values."""
YES, NO = 0.5, 10.0
"""The weight Beta(YES, NO) of `rate_interval`: on small shares, which guard rails are about."""


def holm(p_values: Row[float]) -> list[float]:
    """Adjusted p-values in the same order: comparisons taken from the smallest p upwards.

    p_(i) is multiplied by the number of comparisons left, is never below the one before it,
    and at most 1. To reject where it is <= alpha keeps the chance of any false alarm <= alpha
    however the comparisons depend on each other.
    """
    count = len(p_values)
    adjusted, largest = [1.0] * count, 0.0
    for rank, place in enumerate(sorted(range(count), key=lambda at: p_values[at])):
        largest = max(largest, min(1.0, (count - rank) * p_values[place]))
        adjusted[place] = largest
    return adjusted


def sample_ratio(counts: Row[int], shares: Row[float]) -> float | None:
    """p of Pearson's chi-square that `counts` came from a split by `shares`.

    None while fewer than 5 are expected of any (the approximation does not hold).
    """
    total = sum(counts)
    expected = [total * share for share in shares]
    if min(expected) < 5:
        return None
    from scipy.stats import chisquare

    return float(chisquare(list(counts), expected).pvalue)


def rate_interval(hits: float, trials: int, alpha: float) -> tuple[float, float]:
    """An interval of a share that holds at every number of trials at once, 1 - alpha.

    hits: of yes-or-no trials, or the sum of shares of 0..1, one a trial.

    Robbins' mixture of likelihood ratios with a weight Beta(a, b) on the share (Robbins 1970):
    M_n(p) = B(k + a, n - k + b) / B(a, b) / (p^k (1 - p)^(n - k)) is a martingale of mean 1
    where p is the true share, so P(M_n(p) >= 1/alpha for any n) <= alpha (Ville). The interval is
    of all p with M_n(p) < 1/alpha. With shares x instead of yes or no it holds too, because
    (q/p)^x ((1-q)/(1-p))^(1-x) <= x q/p + (1-x)(1-q)/(1-p), whose mean is 1 where that of x is p.
    Trials must be independent of each other.
    """
    if not trials:
        return 0.0, 1.0
    k, rest = hits, trials - hits
    limit = _log_beta(k + YES, rest + NO) - _log_beta(YES, NO) + math.log(alpha)

    def is_out(p: float) -> bool:
        return (k * math.log(p) if k else 0.0) + (rest * math.log1p(-p) if rest else 0.0) <= limit

    middle = min(max(k / trials, 1e-12), 1 - 1e-12)
    low = 0.0 if not k else _border(is_out, 1e-15, middle)
    high = 1.0 if not rest else _border(is_out, 1 - 1e-15, middle)
    return low, high


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def _border(is_out: Any, outer: float, inner: float) -> float:
    """Between a value that is out and one that is in; the outer side of the border."""
    if not is_out(outer):
        return outer
    for _ in range(60):
        middle = (outer + inner) / 2
        outer, inner = (middle, inner) if is_out(middle) else (outer, middle)
    return outer


@dataclass(slots=True)
class Sequence:
    """A confidence sequence of a mean: an interval that holds at every step at once.

    The t-test that may be looked at at any time (Lai 1976; Wang and Ramdas 2023, "Anytime-valid
    t-tests"): with S = sum(x - mu), V = sum((x - mu)^2) over t values and a weight N(0, 1/c^2) on
    the mean in standard deviations,

        E_t(mu) = sqrt(c^2 / (t + c^2)) * (V / (V - S^2 / (t + c^2)))^(t / 2)

    is a martingale of mean 1 where mu is the true mean of normal values, whatever their standard
    deviation. By Ville's inequality P(E_t(mu) >= 1/alpha for any t) <= alpha, and the interval is
    of all mu with E_t(mu) < 1/alpha. A value is here the difference of two variants' mean
    logarithms in one block of time: many requests, so nearly normal, and nearly independent of
    the next.
    What was once outside stays outside: low and high only close in.

    With c^2 = 1 and alpha = 0.05 the interval is finite from the fifth value on.
    """

    alpha: float
    count: int = 0
    total: float = 0.0
    squares: float = 0.0
    low: float = -math.inf
    high: float = math.inf
    log_e: float = 0.0

    def add(self, value: float) -> None:
        """Take the next value."""
        self.count += 1
        self.total += value
        self.squares += value * value
        self.log_e = max(self.log_e, self._log_e_of_no_difference())
        half = self._half_width()
        self.low = max(self.low, self.mean - half)
        self.high = min(self.high, self.mean + half)

    @property
    def mean(self) -> float:
        return self.total / self.count if self.count else 0.0

    @property
    def p(self) -> float:
        """A p-value of "no difference" that may be looked at at any time."""
        return min(1.0, math.exp(-self.log_e))

    @property
    def interval(self) -> tuple[float, float]:
        """Where the mean is; the newest alone where the mean has moved and nothing is left."""
        if self.low <= self.high:
            return self.low, self.high
        half = self._half_width()
        return self.mean - half, self.mean + half

    def _log_e_of_no_difference(self) -> float:
        t, g = self.count, SPREAD
        left = self.squares - self.total**2 / (t + g)
        if left <= 0 or self.squares <= 0:
            return 0.0
        return 0.5 * math.log(g / (t + g)) + 0.5 * t * math.log(self.squares / left)

    def _half_width(self) -> float:
        """Half of the interval's width now; infinite while nothing can be said."""
        t, g = self.count, SPREAD
        variance = max(0.0, self.squares / t - self.mean**2)
        log_ratio = (math.log((t + g) / g) - 2 * math.log(self.alpha)) / t
        most = -math.expm1(-log_ratio) * (t + g)
        return math.inf if most >= t else math.sqrt(most * variance / (t - most))

    def as_dict(self) -> dict[str, Any]:
        """For storing; infinite ends are None."""
        value = asdict(self)
        for end in ("low", "high"):
            value[end] = value[end] if math.isfinite(value[end]) else None
        return value

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> Sequence:
        """The inverse of `as_dict`. Raises TypeError for other fields."""
        ends = {"low": -math.inf, "high": math.inf}
        known = {end: ends[end] if value.get(end) is None else value[end] for end in ends}
        return cls(**(value | known))
