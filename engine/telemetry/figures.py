"""Figures of stretches of time, from sums and histograms: the one place they are computed.

    seconds     float64 (n,)                 time covered by each stretch
    totals      int64 (n, len(TOTALS))
    histograms  int (n, BUCKETS)

Percentiles come from merged histograms, never from other percentiles; a share or a mean of
nothing is NaN.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from engine.telemetry.histogram import percentiles_ms
from engine.telemetry.record import PHASES
from engine.telemetry.tally import TOTAL_AT

PERCENTILES = {"p50_ms": 0.5, "p90_ms": 0.9, "p95_ms": 0.95, "p99_ms": 0.99, "p99_9_ms": 0.999}
RATES = {
    "requests_per_s": ("requests",),
    "errors_per_s": (
        *("requests_client_error", "requests_shed", "requests_cancelled"),
        *("requests_expired", "requests_server_error"),
    ),
    "errors_4xx_per_s": ("requests_client_error", "requests_shed", "requests_cancelled"),
    "errors_5xx_per_s": ("requests_expired", "requests_server_error"),
    "shed_per_s": ("requests_shed",),
    "expired_per_s": ("requests_expired",),
    "cold_starts_per_s": ("cold_starts",),
    "rows_per_s": ("rows",),
    "bytes_in_per_s": ("bytes_in",),
    "bytes_out_per_s": ("bytes_out",),
}
SHARES = {
    "error_percent": (RATES["errors_per_s"], "requests"),
    "server_error_percent": (RATES["errors_5xx_per_s"], "requests"),
    "shed_percent": (("requests_shed",), "requests"),
    "hit_percent": (("response_hits", "result_hits", "disk_hits", "redis_hits"), "lookups"),
}
MEANS = {"mean_ms": "duration_ns"} | {f"{phase}_mean_ms": f"{phase}_ns" for phase in PHASES}
FIGURES = (*RATES, *PERCENTILES, *SHARES, *MEANS, "unaccounted_mean_ms")


def figures_of(
    seconds: np.ndarray, totals: np.ndarray, histograms: np.ndarray
) -> dict[str, np.ndarray]:
    """Every figure of each stretch, float64 (n,)."""
    found: dict[str, np.ndarray] = {}
    with np.errstate(divide="ignore", invalid="ignore"):
        for name, parts in RATES.items():
            found[name] = _sum(totals, parts) / seconds
        for name, (parts, whole) in SHARES.items():
            found[name] = 100 * _sum(totals, parts) / _not_zero(totals[:, TOTAL_AT[whole]])
        requests = _not_zero(totals[:, TOTAL_AT["requests"]])
        for name, part in MEANS.items():
            found[name] = totals[:, TOTAL_AT[part]] / requests / 1e6
    found["unaccounted_mean_ms"] = found["mean_ms"] - sum(
        found[f"{phase}_mean_ms"] for phase in PHASES
    )
    percentiles = percentiles_ms(histograms, tuple(PERCENTILES.values()))
    found |= dict(zip(PERCENTILES, percentiles.T, strict=True))
    return found


def figures_of_window(
    seconds: float, totals: Mapping[str, int], histogram: np.ndarray
) -> dict[str, float | None]:
    """Every figure of one window; None where there is none."""
    row = np.array([list(totals.values())], dtype=np.int64)
    found = figures_of(np.array([seconds]), row, histogram[np.newaxis])
    return {name: _known(value[0]) for name, value in found.items()}


def _known(value: float) -> float | None:
    return None if value != value else float(value)


def _sum(totals: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    found: np.ndarray = totals[:, [TOTAL_AT[name] for name in names]].sum(axis=1)
    return found.astype(np.float64)


def _not_zero(counts: np.ndarray) -> np.ndarray:
    return np.where(counts == 0, np.nan, counts)
