"""The snapshot: what every viewer is told, composed once a second.

tiles    the eight figures of the Live page over the last minute
phases   icicle of the last minute: requests -> model -> phase, total ms
points   ring rows; a viewer is sent those after the one it has
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.telemetry.figures import figures_of, figures_of_window
from engine.telemetry.labels import Labels
from engine.telemetry.phases import by_model, icicle, spent_by_label
from engine.telemetry.ring import Ring, Stretch
from engine.telemetry.system import GAUGES

WINDOW_S = 60
POINTS = 600
NO_REQUESTS = "no requests in the last minute"
NOT_MEASURED = "it could not be measured"
YOUNG = "the server is up for less than two minutes"
MANY_PERCENT = 900.0
"""A rise from which on it is told in times."""


@dataclass(frozen=True, slots=True)
class TileRule:
    """How a tile is named and when it leaves ok; None never warns.

    least: requests in a minute below which it is not judged, nor compared; 0 for a gauge.
    """

    id: str
    label: str
    unit: str
    warning: float | None = None
    critical: float | None = None
    lower_is_better: bool = True
    words: tuple[str, str] = ("more", "less")
    least: int = 20


TILES = (
    TileRule("requests_per_s", "Requests", "req/s"),
    TileRule("p50_ms", "Latency p50", "ms", 100, 500, words=("slower", "faster")),
    TileRule("p95_ms", "Latency p95", "ms", 100, 500, words=("slower", "faster")),
    TileRule("p99_ms", "Latency p99", "ms", 250, 1000, words=("slower", "faster"), least=100),
    TileRule("error_percent", "Errors", "%", 1, 5),
    TileRule("hit_percent", "Cache hits", "%"),
    TileRule("memory_mb", "Memory", "MB", 1000, 2000, least=0),
    TileRule("cpu_percent", "CPU", "%", least=0),
)
"""The defaults of the alert rules: response time 100/500 ms, memory 1/2 GB, errors 1/5 %.

Of fewer than 20 requests p95 is the slowest one, a cold start say; of fewer than 100, p99 is.
"""


NOT_LIVE = ("core_", "saved_by_", "gzip_", "audit_")
"""Gauges that a page asks the history for: few look at them, every viewer would pay."""
LIVE_COLUMNS = [
    *("t", "requests_per_s", "errors_per_s", "p50_ms", "p95_ms", "p99_ms", "mean_ms"),
    *("hit_percent", "error_percent", "errors_4xx_per_s", "errors_5xx_per_s", "shed_per_s"),
    *("queue_mean_ms", "inference_mean_ms"),
    *(name for name in GAUGES if not name.startswith(NOT_LIVE)),
]
"""What a viewer is sent of each second."""


def window_figures(ring: Ring, ending_before: int = 0) -> dict[str, float | None]:
    """Figures of one window of WINDOW_S seconds; None where it holds no data."""
    seconds = min(WINDOW_S, ring.seq - ending_before)
    if seconds <= 0:
        return {}
    totals, histogram = ring.window(seconds, ending_before)
    return figures_of_window(seconds, totals, histogram)


def tiles(ring: Ring, latest: Mapping[str, float | None]) -> list[dict[str, Any]]:
    """The tiles: last minute, the change against the minute before, a status and its reason.

    A gauge is as it is now, against its mean over the minute before.
    """
    now, before = window_figures(ring), window_figures(ring, WINDOW_S)
    for name in ("memory_mb", "cpu_percent"):
        now[name] = latest.get(name)
        values = ring.gauge(name, WINDOW_S, WINDOW_S)
        known = values[~np.isnan(values)]
        before[name] = float(known.mean()) if len(known) else None
    requests = ring.requests(WINDOW_S)
    earlier = None if ring.seq < 2 * WINDOW_S else ring.requests(2 * WINDOW_S) - requests
    return [_tile(rule, now.get(rule.id), before.get(rule.id), requests, earlier) for rule in TILES]


def _tile(
    rule: TileRule, value: float | None, before: float | None, requests: int, earlier: int | None
) -> dict[str, Any]:
    """requests: in the last minute. earlier: in the minute before; None before there was one."""
    is_judged = requests >= rule.least or rule.warning is None
    reason = _reason(rule, value, before, requests, earlier)
    return {
        "id": rule.id,
        "label": rule.label,
        "unit": rule.unit,
        "value": value,
        "status": _status(rule, value) if is_judged else "unknown",
        "delta": None if reason else _delta(rule, value, before),
        "reason": reason,
    }


def _reason(
    rule: TileRule, value: float | None, before: float | None, requests: int, earlier: int | None
) -> str | None:
    """Why there is no value, no judgement or no comparison; None where there are all."""
    if value is None:
        return NO_REQUESTS if rule.least else NOT_MEASURED
    if requests < rule.least:
        return f"{plural(requests, 'request')}: too few to judge" if requests else NO_REQUESTS
    if earlier is None:
        return YOUNG
    if earlier < rule.least:
        return f"{plural(earlier, 'request')} the minute before: too few to compare with"
    return NOT_MEASURED + " the minute before" if before is None else None


def _status(rule: TileRule, value: float | None) -> str:
    if value is None:
        return "unknown"
    if rule.critical is not None and value > rule.critical:
        return "critical"
    return "warning" if rule.warning is not None and value > rule.warning else "ok"


def _delta(rule: TileRule, value: float | None, before: float | None) -> str | None:
    if value is None or before is None:
        return None
    if not before:
        return "none the minute before" if value else "as the minute before"
    change = 100 * (value - before) / before
    if abs(change) < 1:
        return "as the minute before"
    if change >= MANY_PERCENT:
        return f"{in_words(value / before)} times the minute before"
    word = rule.words[0] if change > 0 else rule.words[1]
    return f"{abs(change):.0f} % {word} than the minute before"


def health(
    tile_list: list[dict[str, Any]],
    models: list[dict[str, Any]],
    problems: int,
    alerts: list[dict[str, Any]],
    is_young: bool = True,
) -> dict[str, str]:
    """One sentence: is it fine, and if not, what is not. is_young: it has just been started."""
    failed = [model["name"] for model in models if model["state"] == "failed"]
    loading = sum(model["state"] == "loading" for model in models)
    degraded = [model["name"] for model in models if model.get("degraded")]
    worst = [tile for tile in tile_list if tile["status"] in ("warning", "critical")]
    if failed:
        more = f" and {len(failed) - 1} more" if len(failed) > 1 else ""
        return {"status": "critical", "text": f"Failed model: {failed[0]}{more}"}
    firing = [alert for alert in alerts if alert["state"] == "firing"]
    if firing:
        worst_alert = min(firing, key=lambda alert: str(alert["severity"]))
        more = f"; {plural(len(firing) - 1, 'more alert')}" if len(firing) > 1 else ""
        text = f"Alert {worst_alert['name']}: {worst_alert['text']}{more}"
        return {"status": worst_alert["severity"], "text": text}
    if worst:
        tile = next((t for t in worst if t["status"] == "critical"), worst[0])
        text = f"{tile['label']} at {in_words(tile['value'])} {tile['unit']}"
        return {"status": tile["status"], "text": text}
    if degraded:
        more = f" and {len(degraded) - 1} more" if len(degraded) > 1 else ""
        return {"status": "warning", "text": f"Degraded model: {degraded[0]}{more}"}
    if loading and is_young:
        return {"status": "unknown", "text": f"Starting: {plural(loading, 'model')} loading"}
    if problems:
        are = "is" if problems == 1 else "are"
        text = f"{plural(problems, 'folder')} of the repository {are} unusable"
        return {"status": "warning", "text": text}
    if loading:
        return {"status": "ok", "text": f"Healthy: {plural(loading, 'model')} loading"}
    rate, p99 = tile_list[0]["value"], tile_list[3]["value"]
    if p99 is None:
        return {"status": "ok", "text": "Healthy: no requests in the last minute"}
    return {"status": "ok", "text": f"Healthy: {in_words(rate)} requests/s, p99 {in_words(p99)} ms"}


def plural(count: int, noun: str) -> str:
    """A count with its noun, which takes an s."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def in_words(value: float) -> str:
    """Three figures, or all before the point with thousands apart: 0.0123, 3.1, 1,240."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def phase_icicle(ring: Ring, labels: Labels, seconds: int = WINDOW_S) -> dict[str, Any]:
    """The newest seconds by model and phase; see engine.telemetry.phases."""
    spent = spent_by_label(ring, labels, max(1, ring.seq - seconds + 1), ring.seq)
    return {"window_s": seconds, **icicle(by_model(spent))}


def points_of(stretch: Stretch, wall_offset_s: float) -> list[list[float | None]]:
    """Rows of LIVE_COLUMNS, None where there is no data."""
    figures = figures_of(stretch.elapsed_s, stretch.totals, stretch.histograms)
    gauges = dict(zip(GAUGES, stretch.gauges.T, strict=True))
    known = {"t": stretch.monotonic_s + wall_offset_s} | figures | gauges
    table = np.stack([known[name] for name in LIVE_COLUMNS], axis=1)
    return [[_short(value) for value in row] for row in table.tolist()]


def _short(value: float) -> float | None:
    """Seven figures, more than any screen shows, or None; times keep their milliseconds."""
    if value != value:
        return None
    return round(value, 3) if abs(value) >= 1e6 else float(f"{value:.7g}")
