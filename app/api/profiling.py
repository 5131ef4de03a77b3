"""Flame graphs of phases and of code, captures, and imported profiles."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

from app.api.performance import object_of
from app.api.telemetry import stretch_of
from app.exchange import Exchange, Response, json_response
from components.theme import Theme
from engine.engine import Engine
from engine.errors import InvalidInput
from engine.profiling.answer import flame_answer
from engine.profiling.calltree import KINDS, MEASURES
from engine.profiling.captures import MAX_CAPTURE_HZ
from engine.profiling.profiler import Profile, Question
from engine.telemetry.alerts.rules import parse_duration
from engine.telemetry.phases import Spent, icicle, spent_by_label, spent_of
from engine.telemetry.ring import SECONDS

VIEWS = ("phases", "code")
FORMATS = ("json", "folded", "speedscope", "pprof", "svg")
DEFAULT_WINDOW = "1m"
CAPTURE_SECONDS = 10.0
FILTERS = ("model", "version", "route", "thread", "kind")
MOST_TEXT = 500


def flame_graph(exchange: Exchange) -> Response:
    """GET ?view=phases|code&window=&format=...: where the time went, by phase or by function."""
    view = _choice(exchange, "view", VIEWS)
    shape = _choice(exchange, "format", FORMATS)
    if view == "phases":
        if shape != "json":
            raise InvalidInput(f"format is {shape!r}; phases are given as json only")
        return json_response(_phases(exchange))
    profile = exchange.engine.profiler.ask(_question(exchange))
    measure = _choice(exchange, "measure", MEASURES, "cpu")
    if shape in ("json", "svg"):
        answer = flame_answer(
            profile,
            measure,
            _against(exchange, profile),
            collapse=_flag(exchange, "collapse"),
            inverted=_flag(exchange, "invert"),
            focus=_text(exchange, "focus"),
        )
        return json_response(answer) if shape == "json" else _svg(exchange, answer)
    return _exported(profile, measure, shape, _flag(exchange, "collapse"))


def _choice(
    exchange: Exchange, name: str, known: tuple[str, ...], default: str | None = None
) -> str:
    value = exchange.query(name) or default or known[0]
    if value not in known:
        raise InvalidInput(f"{name} is {value[:40]!r}; it must be one of {', '.join(known)}")
    return value


def _flag(exchange: Exchange, name: str) -> bool:
    return _choice(exchange, name, ("0", "1")) == "1"


def _text(exchange: Exchange, name: str) -> str:
    value = exchange.query(name) or ""
    if len(value) > MOST_TEXT:
        raise InvalidInput(f"{name} has {len(value)} characters; the limit is {MOST_TEXT}")
    return value


def _question(exchange: Exchange) -> Question:
    kind = _text(exchange, "kind")
    if kind and kind not in KINDS:
        raise InvalidInput(f"kind is {kind[:40]!r}; it must be one of {', '.join(KINDS)}")
    filters = (_text(exchange, name) for name in FILTERS)
    stretch, one = (
        stretch_of(exchange, DEFAULT_WINDOW),
        (_text(exchange, "request"), _text(exchange, "capture")),
    )
    return Question(*stretch, *filters, *one)  # type: ignore[call-arg]


def _against(exchange: Exchange, profile: Profile) -> tuple[str, Profile] | None:
    """What is compared with, and in words; None where nothing is asked for."""
    question, words = _question(exchange), []
    before = exchange.query("against")
    if before not in (None, "", "before"):
        raise InvalidInput(f"against is {before[:40]!r}; it must be before")
    if before:
        length = exchange.query("against_window")
        seconds = profile.to_s - profile.from_s
        back_s = parse_duration("against_window", length) if length else seconds
        question = question._replace(from_s=profile.from_s - back_s, to_s=profile.from_s)
        words.append(f"the {length} before" if length else "the time before")
    elif exchange.query("against_from") is not None:
        from_s, to_s = stretch_of(exchange, DEFAULT_WINDOW, "against_")
        question = question._replace(from_s=from_s, to_s=to_s)
        words.append(f"{_clock(from_s)} to {_clock(to_s)}")
    for name in ("model", "version", "capture"):
        value = _text(exchange, f"against_{name}")
        if value:
            question = question._replace(**{name: value})  # type: ignore[arg-type]
            words.append(f"{name} {value}")
    if not words:
        return None
    return ", ".join(words), exchange.engine.profiler.ask(question)


def _clock(time_s: float) -> str:
    return f"{datetime.fromtimestamp(time_s, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _svg(exchange: Exchange, answer: dict[str, Any]) -> Response:
    from components.flame_svg import flame_svg

    window = answer["window"]
    plain = orjson.loads(orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY))
    theme: Theme = "dark" if _choice(exchange, "theme", ("light", "dark")) == "dark" else "light"
    captured = f"captured {_clock(time.time())}"
    subtitle = f"{_clock(window['from'])} to {_clock(window['to'])}; {captured}"
    text = flame_svg(plain, theme, "Pyrometer flame graph", subtitle)
    return _file(text.encode(), "image/svg+xml", "svg")


def _exported(profile: Profile, measure: str, shape: str, collapse: bool) -> Response:
    # Not at start: whoever never exports needs none of it.
    from engine.profiling.exports import folded, speedscope
    from engine.profiling.pprof import pprof
    from engine.profiling.tree import collapse_recursion

    tree = collapse_recursion(profile.tree) if collapse else profile.tree
    if shape == "folded":
        column = MEASURES.index(measure)
        return _file(folded(tree, column).encode(), "text/plain; charset=utf-8", "folded.txt")
    if shape == "speedscope":
        name = f"Pyrometer, {_clock(profile.from_s)} to {_clock(profile.to_s)}"
        text = orjson.dumps(speedscope(tree, name, MEASURES.index(measure)))
        return _file(text, "application/json", "speedscope.json")
    content = pprof(tree, profile.from_s, profile.covered_s)
    return _file(content, "application/octet-stream", "pb.gz")


def _file(content: bytes, kind: str, ending: str) -> Response:
    name = f"pyrometer-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.{ending}"
    disposition = ("content-disposition", f'attachment; filename="{name}"')
    return Response(200, content, [("content-type", kind), disposition])


def _phases(exchange: Exchange) -> dict[str, Any]:
    engine, (from_s, to_s) = exchange.engine, stretch_of(exchange, DEFAULT_WINDOW)
    model, route = _text(exchange, "model"), _text(exchange, "route")
    found = _spent(engine, from_s, to_s)
    chosen = {
        path: spent
        for path, spent in found.items()
        if model in ("", path[0]) and route in ("", path[-1])
    }
    options = {
        "models": sorted({path[0] for path in found}),
        "routes": sorted({path[1] for path in found if len(path) > 1}),
    }
    window = {"from": from_s, "to": to_s}
    seconds = to_s - from_s
    shown = icicle(chosen)
    return {"view": "phases", "window": window, "window_s": seconds, **shown, "options": options}


def _spent(engine: Engine, from_s: float, to_s: float) -> Mapping[tuple[str, ...], Spent]:
    """By model and route from the last hour in memory, or by model from history."""
    ticker, labels = engine.ticker, engine.recorder.labels
    ring, offset_s = ticker.ring, ticker.wall_offset_s
    held = ring.stretch(SECONDS)
    ended_s = held.monotonic_s + offset_s
    if from_s >= time.time() - SECONDS - 1:
        inside = [
            held.first_seq + place
            for place, end_s in enumerate(ended_s.tolist())
            if from_s < end_s <= to_s + 1
        ]
        if not inside:
            return {}
        return spent_by_label(ring, labels, inside[0], inside[-1])
    names = {label.model for label in labels if label.is_service and label.model}
    found: dict[tuple[str, ...], Spent] = {}
    for name in sorted(names):
        window_s = to_s - from_s
        frames = engine.monitoring.timeline.frames(
            window_s, to_s, to_s - offset_s, window_s, name
        ).frames
        spent = spent_of(frames.totals.sum(axis=0))
        if spent.requests:
            found[(name,)] = spent
    return found


def overview(exchange: Exchange) -> Response:
    """GET /performance/profile: the sampler, and the captures and imports that are kept."""
    profiler = exchange.engine.profiler
    captures = profiler.captures.as_list()
    return json_response({"sampler": profiler.status(), "captures": captures})


def capture(exchange: Exchange) -> Response:
    """POST {"seconds"?, "hz"?}: look more often for a while; 202, or 409 while one runs."""
    body = object_of(exchange, {"seconds", "hz"})
    seconds = _number(body, "seconds", CAPTURE_SECONDS)
    hz = _number(body, "hz", float(MAX_CAPTURE_HZ))
    engine = exchange.engine
    begun = engine.profiler.captures.begin(seconds, hz)
    engine.ticker.event("capture", f"capturing a profile: {begun.label}")
    answer = {"id": begun.id, "seconds": seconds, "hz": hz, "until": begun.began + seconds}
    return json_response(answer, 202)


def _number(body: dict[str, Any], name: str, default: float) -> float:
    value = body.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidInput(f"{name} must be a number")
    return float(value)


def adopt(exchange: Exchange) -> Response:
    """POST ?name=, a folded or speedscope file: keep it beside the captures."""
    from engine.profiling.imports import measures_time, parse_profile

    label, content = _text(exchange, "name") or "imported", exchange.body()
    tree = parse_profile(content)
    captures = exchange.engine.profiler.captures
    found = captures.adopt(label[:100], tree, measures_time(content))
    return json_response(found.as_dict(time.time()))


def delete(exchange: Exchange) -> Response:
    """POST {"id"}: forget a capture or an import."""
    body = object_of(exchange, {"id"})
    wanted = body.get("id")
    if not isinstance(wanted, str):
        raise InvalidInput("id must be a text")
    exchange.engine.profiler.captures.drop(wanted)
    return json_response({"deleted": wanted})
