"""What was measured, over any window: history, exports, exemplars, scrapes, status."""

from __future__ import annotations

import csv
import io
import math
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import orjson

from app.exchange import Exchange, Response, json_response
from engine.errors import InvalidInput
from engine.inventory import inventory
from engine.telemetry.alerts.rules import parse_duration
from engine.telemetry.figures import FIGURES
from engine.telemetry.heatmap import heatmap
from engine.telemetry.system import GAUGES
from engine.telemetry.timeline import POINTS, as_dict, usual_step_s

DEFAULT_WINDOW = "1h"
EXPORT_STEPS = ((3600, 1), (86_400, 10), (30 * 86_400, 60))
"""Windows up to so long are exported in such steps, s; longer ones by the hour."""
EXPORT_ROWS = 360
HEAT_STEPS = 120
COLUMNS = (*FIGURES, *GAUGES)


def history(exchange: Exchange) -> Response:
    """GET ?window= or ?from=&to=, &step=&model=&columns=: figures over time; null where none."""
    (from_s, to_s), step = stretch_of(exchange, DEFAULT_WINDOW), exchange.query("step")
    step_s = None if step is None else parse_duration("step", step)
    monitoring, model = exchange.engine.monitoring, _model(exchange)
    found = monitoring.look_at(from_s, min(to_s, time.time()), step_s, model)
    events = {"events": monitoring.events_between(from_s, to_s)}
    return json_response(as_dict(found, _columns(exchange)) | events)


def _columns(exchange: Exchange) -> tuple[str, ...]:
    """The columns asked for, separated by commas; all where none are named."""
    asked = exchange.query("columns")
    if not asked:
        return COLUMNS
    names = tuple(dict.fromkeys(asked.split(",")))
    unknown = next((name for name in names if name not in COLUMNS), None)
    if unknown is not None:
        raise InvalidInput(f"columns has {unknown[:80]!r}; it must be of those in docs/metrics.md")
    return names


def heat(exchange: Exchange) -> Response:
    """GET ?window= or ?from=&to=, &model=: how many requests of each step took how long."""
    from_s, to_s = stretch_of(exchange, DEFAULT_WINDOW)
    to_s = min(to_s, time.time())
    step_s = usual_step_s(max(1.0, (to_s - from_s) * POINTS / HEAT_STEPS))
    step_s = min(step_s, max(1.0, to_s - from_s))
    found = exchange.engine.monitoring.look_at(from_s, to_s, step_s, _model(exchange))
    return json_response({"step_s": found.step_s, "problem": found.problem} | heatmap(found.frames))


def stretch_of(exchange: Exchange, window: str, prefix: str = "") -> tuple[float, float]:
    """A stretch of time, UTC seconds: from and to, or else a window until now.

    Raises InvalidInput naming the parameter.
    """
    if exchange.query(f"{prefix}from") is None:
        now = time.time()
        return now - parse_duration("window", exchange.query("window") or window), now
    return _time(exchange, f"{prefix}from"), _time(exchange, f"{prefix}to")


def _time(exchange: Exchange, name: str) -> float:
    given = exchange.query(name) or ""
    try:
        value = float(given) if given.isascii() and "_" not in given else math.nan
    except ValueError:
        value = math.nan
    if not 0 < value < 1e11:
        raise InvalidInput(f"{name} is {given[:40]!r}; it must be UTC seconds")
    return value


def export_csv(exchange: Exchange) -> Response:
    """GET ?window=&model=: every recorded figure as CSV, times in UTC, sent as it is read."""
    name = f"pyrometer-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.csv"
    headers = [
        ("content-type", "text/csv; charset=utf-8"),
        ("content-disposition", f'attachment; filename="{name}"'),
    ]
    rows = _rows(exchange, _window(exchange), _model(exchange))
    return Response(200, b"", headers, parts=_csv(rows))


def export_json(exchange: Exchange) -> Response:
    """GET ?window=&model=: every recorded figure as JSON, times in UTC, sent as it is read."""
    rows = _rows(exchange, _window(exchange), _model(exchange))
    return Response(200, b"", [("content-type", "application/json")], parts=_json(rows))


def _window(exchange: Exchange) -> float:
    return parse_duration("window", exchange.query("window") or DEFAULT_WINDOW)


def _model(exchange: Exchange) -> str | None:
    """The model asked for. Raises UnknownModel for one that is not there."""
    name = exchange.query("model")
    if name is not None:
        exchange.engine.registry.slot(name)
    return name


def _rows(exchange: Exchange, window_s: float, model: str | None) -> Iterator[list[list[Any]]]:
    """Rows (UTC time, figures, gauges) in blocks, oldest first; empty seconds are left out."""
    step_s = next((step for most, step in EXPORT_STEPS if window_s <= most), 3600)
    monitoring, now, now_s = exchange.engine.monitoring, time.time(), time.monotonic()
    end = math.ceil(now / step_s) * step_s
    blocks = math.ceil(window_s / step_s / EXPORT_ROWS)
    # Asked for now, so that a bad window is refused before the first byte is sent.
    monitoring.timeline.frames(window_s, now, now_s, max(step_s, window_s / EXPORT_ROWS), model)

    def read() -> Iterator[list[list[Any]]]:
        for block in range(blocks, 0, -1):
            until = end - (block - 1) * EXPORT_ROWS * step_s
            offset = now - now_s
            found = monitoring.timeline.frames(
                EXPORT_ROWS * step_s, until, until - offset, step_s, model
            )
            table = as_dict(found, COLUMNS)["points"]
            covered = found.frames.seconds > 0
            since = now - window_s
            yield [
                [_utc(row[0]), *row[1:]]
                for row, known in zip(table, covered, strict=True)
                if known and row[0] + step_s > since
            ]

    return read()


def _utc(time_s: float) -> str:
    return f"{datetime.fromtimestamp(time_s, UTC):%Y-%m-%dT%H:%M:%SZ}"


def _csv(blocks: Iterator[list[list[Any]]]) -> Iterator[bytes]:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("time_utc", *COLUMNS))
    for block in blocks:
        writer.writerows(["" if value is None else value for value in row] for row in block)
        yield text.getvalue().encode()
        text.seek(0)
        text.truncate()


def _json(blocks: Iterator[list[list[Any]]]) -> Iterator[bytes]:
    yield b'{"columns":' + orjson.dumps(("time_utc", *COLUMNS)) + b',"rows":['
    lead = b""
    for block in blocks:
        for first in range(0, len(block), 100):
            yield lead + b",".join(map(orjson.dumps, block[first : first + 100]))
            lead = b","
    yield b"]}"


def exemplars(exchange: Exchange) -> Response:
    """GET ?model=: the slowest requests of each minute and a sample, by phase; no payloads."""
    name = exchange.query("model")
    return json_response({"exemplars": exchange.engine.ticker.exemplars.as_dicts(name)})


def scrape(exchange: Exchange) -> Response:
    """GET /metrics: Prometheus' text or OpenMetrics, as the scraper asks."""
    from prometheus_client.exposition import choose_encoder  # see Monitoring.registry

    encode, kind = choose_encoder(exchange.header(b"accept"))
    return Response(200, encode(exchange.engine.scraped), [("content-type", kind)])


def status(exchange: Exchange) -> Response:
    """Everything in a few words: health, readiness, models, alerts, history, recorder."""
    engine = exchange.engine
    latest, monitoring = engine.ticker.latest, engine.monitoring
    held = inventory(engine)
    states = [model["state"] for model in held["models"]]
    unready = engine.unready()
    return json_response(
        {
            "version": latest["version"],
            "uptime_s": latest["time"] - latest["started"],
            "health": latest["health"],
            "ready": not unready,
            "unready": unready,
            "models": {state: states.count(state) for state in sorted(set(states))},
            "requests": engine.ticker.totals.requests,
            "alerts_firing": [
                alert["key"] for alert in latest["alerts"] if alert["state"] == "firing"
            ],
            "threads_down": monitoring.died(),
            "history": latest["history"],
            "recorder": {
                "enabled": engine.recorder.enabled,
                "dropped": engine.recorder.dropped,
                "labels": len(engine.recorder.labels),
                "labels_refused": engine.recorder.labels.refused,
            },
            "problems": held["problems"],
        }
    )


def health(exchange: Exchange) -> Response:
    """200 with the health sentence; 503 when a thread of the engine is down."""
    down = exchange.engine.monitoring.down()
    said = exchange.engine.ticker.latest["health"]
    if down:
        text = f"threads are down: {', '.join(down)}"
        return json_response({"status": "critical", "text": text, "error": text}, 503)
    return json_response(said)


def checked_text(body: dict[str, Any], name: str, most: int, default: str | None = None) -> str:
    """A text field of a body. Raises InvalidInput naming it."""
    value = body.get(name, default)
    if not isinstance(value, str) or len(value) > most or not (value or default == ""):
        raise InvalidInput(f"{name} must be a text of 1 to {most} characters")
    return value
