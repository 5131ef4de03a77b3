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
from engine.profiling.calltree import KINDS, MEASURES, SAMPLES
from engine.profiling.captures import MAX_CAPTURE_HZ
from engine.profiling.profiler import Profile, Question
from engine.telemetry.alerts.rules import parse_duration
from engine.telemetry.phases import Spent, icicle, spent_by_label, spent_of
from engine.telemetry.ring import SECONDS

VIEWS = ("phases", "code")
FORMATS = ("json", "folded", "speedscope", "pprof", "svg")
DEFAULT_WINDOW = "1m"
CAPTURE_SECONDS = 10.0
FILTERS = ("model", "version", "route", "thread")
MOST_TEXT = 500
SpentByPath = Mapping[tuple[str, ...], Spent]


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
    for name in ("invert", "focus", "against", "against_from", "against_capture"):
        if exchange.query(name) not in (None, "", "0"):
            raise InvalidInput(f"{name} does not go with format={shape}; it is json's and svg's")
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
    model, version, route, thread = (_text(exchange, name) for name in FILTERS)
    from_s, to_s = stretch_of(exchange, DEFAULT_WINDOW)
    request, capture = _text(exchange, "request"), _text(exchange, "capture")
    return Question(from_s, to_s, model, version, route, thread, kind, request, capture)


def _against(exchange: Exchange, profile: Profile) -> tuple[str, Profile] | None:
    """What is compared with, and in words; None where nothing is asked for.

    Another time or capture takes the place of the capture or request that is compared.
    """
    question, words = _question(exchange), []
    before = exchange.query("against")
    if before not in (None, "", "before"):
        raise InvalidInput(f"against is {before[:40]!r}; it must be before")
    length = exchange.query("against_window")
    if before:
        seconds = profile.to_s - profile.from_s
        back_s = parse_duration("against_window", length) if length else max(1.0, seconds)
        question = _at(question, profile.begins_s - back_s, profile.begins_s)
        # A slice that both sides overlap is the first side's.
        question = question._replace(ends_by_s=profile.begins_s)
        words.append(f"the {length} before" if length else "the time before")
    elif exchange.query("against_from") is not None:
        from_s, to_s = stretch_of(exchange, DEFAULT_WINDOW, "against_")
        question = _at(question, from_s, to_s)
        if to_s <= profile.from_s:
            question = question._replace(ends_by_s=profile.begins_s)
        words.append(f"{_clock(from_s)} to {_clock(to_s)}")
    capture = _text(exchange, "against_capture")
    if capture:
        question = question._replace(capture=capture, request="")
        words.append(f"capture {capture}")
    for name in ("model", "version"):
        value = _text(exchange, f"against_{name}")
        if value and question.request:
            raise InvalidInput(f"against_{name} does not go with request: it is of one model")
        if value:
            question = question._replace(**{name: value})  # type: ignore[arg-type]
            words.append(f"{name} {value}")
    return (", ".join(words), exchange.engine.profiler.ask(question)) if words else None


def _at(question: Question, from_s: float, to_s: float) -> Question:
    return question._replace(from_s=from_s, to_s=to_s, request="", capture="")


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

    tree = collapse_recursion(profile.selected) if collapse else profile.selected
    column = MEASURES.index(measure) if profile.is_timed else SAMPLES
    if shape == "folded":
        text = folded(tree, column).encode()
        return _file(text, "text/plain; charset=utf-8", "folded.txt")
    if shape == "speedscope":
        name = f"Pyrometer, {_clock(profile.from_s)} to {_clock(profile.to_s)}"
        return _file(
            orjson.dumps(speedscope(tree, name, column)), "application/json", "speedscope.json"
        )
    counts = profile.counts
    hz = counts.looks / counts.looked_s if counts and counts.looked_s else 0.0
    content = pprof(tree, profile.from_s, profile.covered_s, column, hz)
    return _file(content, "application/octet-stream", "pb.gz")


def _file(content: bytes, kind: str, ending: str) -> Response:
    name = f"pyrometer-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.{ending}"
    disposition = ("content-disposition", f'attachment; filename="{name}"')
    return Response(200, content, [("content-type", kind), disposition])


def _phases(exchange: Exchange) -> dict[str, Any]:
    engine, (from_s, to_s) = exchange.engine, stretch_of(exchange, DEFAULT_WINDOW)
    model, route = _text(exchange, "model"), _text(exchange, "route")
    recent = from_s >= time.time() - SECONDS - 1
    if route and not recent:
        raise InvalidInput("route is known for the last hour only")
    found, since_s = _recent(engine, from_s, to_s) if recent else _older(engine, from_s, to_s)
    chosen = {
        path: spent
        for path, spent in found.items()
        if model in ("", path[0]) and route in ("", path[-1])
    }
    options = {
        "models": sorted({path[0] for path in found}),
        "routes": sorted({path[1] for path in found if len(path) > 1}),
    }
    window = {"from": from_s, "to": to_s, "covered_s": max(0.0, to_s - since_s)}
    told = {"view": "phases", "window": window, "window_s": to_s - from_s}
    return told | icicle(chosen) | {"options": options}


def _recent(engine: Engine, from_s: float, to_s: float) -> tuple[SpentByPath, float]:
    """By model and route, from the last hour in memory; and since when it is complete."""
    ticker, ring = engine.ticker, engine.ticker.ring
    first_seq, ended_s, _ = ring.ends()
    inside = [
        (seq, end_s)
        for seq, end_s in enumerate((ended_s + ticker.wall_offset_s).tolist(), first_seq)
        if from_s < end_s <= to_s and seq >= ring.detail_since
    ]
    if not inside:
        return {}, to_s
    (first, end_s), (last, _) = inside[0], inside[-1]
    found = spent_by_label(ring, engine.recorder.labels, first, last)
    return found, max(from_s, end_s - 1)


def _older(engine: Engine, from_s: float, to_s: float) -> tuple[SpentByPath, float]:
    """By model, from history."""
    labels, window_s = engine.recorder.labels, to_s - from_s
    found: dict[tuple[str, ...], Spent] = {}
    for name in sorted({label.model for label in labels if label.is_service and label.model}):
        frames = engine.monitoring.look_at(from_s, to_s, window_s, name).frames
        spent = spent_of(frames.totals.sum(axis=0))
        if spent.requests:
            found[(name,)] = spent
    return found, from_s


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
