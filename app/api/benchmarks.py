"""Benchmarks: what runs, what is stored, start, cancel, delete."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary, WeakMethod

from app.api.performance import object_of
from app.benchmark_spec import BOUNDS, CHOICES, DEFAULTS, RAMP, files_of, own_url, spec_of
from app.benchmarks import Benchmarks, no_key, words_of
from app.exchange import Exchange, Handler, Response, json_response
from engine.engine import Engine
from engine.errors import InvalidInput

PATH = "/performance/benchmarks"
PARTS = ("all", "running")


class _Handlers:
    """The routes' handlers; what they share is kept for each engine as long as it lives."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._of: WeakKeyDictionary[Engine, Benchmarks] = WeakKeyDictionary()

    def benchmarks(self, engine: Engine) -> Benchmarks:
        """The one of an engine, which ends with it."""
        with self._lock:
            found = self._of.get(engine)
            if found is None:
                found = Benchmarks(engine.settings.state / "runs", _event_of(engine))
                engine.before_stop.append(found.close)
                self._of[engine] = found
        return found

    def overview(self, exchange: Exchange) -> Response:
        """GET ?part=all|running&since=: what runs, its points; stored runs; what a form needs."""
        engine, part = exchange.engine, exchange.query("part") or PARTS[0]
        if part not in PARTS:
            raise InvalidInput(f"part is {part[:40]!r}; it must be one of {', '.join(PARTS)}")
        since = exchange.query("since") or "0"
        if not since.isascii() or not since.isdigit() or len(since) > 9:
            raise InvalidInput(f"since is {since[:40]!r}; it must be a number of points")
        held = self.benchmarks(engine)
        told: dict[str, Any] = {"revision": held.runs.revision()}
        if part == "all":
            told["runs"], told["unreadable"] = held.runs.summaries()
            told["form"] = _form(exchange)
        # Read last: a run that ends meanwhile is then missing in neither.
        told |= {"last": held.last, "running": held.current(int(since))}
        return json_response(told)

    def run(self, exchange: Exchange) -> Response:
        """One stored run, whole."""
        held = self.benchmarks(exchange.engine)
        return Response(200, held.runs.read(exchange.path_args["run"]))

    def start(self, exchange: Exchange) -> Response:
        """POST a specification, this server's where it has no url: 202, or 409 while one runs."""
        engine, own = exchange.engine, _own_url(exchange)
        spec = spec_of(object_of(exchange, set(DEFAULTS)), own, engine.settings.state)
        if spec["url"] == own:
            engine.registry.slot(spec["model"], spec["version"])  # raises UnknownModel
        lend = exchange.gate.lends("benchmark", ("infer", "view")) if spec["url"] == own else no_key
        begun = self.benchmarks(engine).start(spec, lend)
        return json_response(begun | {"text": f"started {words_of(spec)}"}, 202)

    def cancel(self, exchange: Exchange) -> Response:
        """POST {}: end the run that is under way; what was measured so far is stored."""
        object_of(exchange, set())
        self.benchmarks(exchange.engine).cancel()
        return json_response({"text": "cancelled; what was measured so far is stored"})

    def delete(self, exchange: Exchange) -> Response:
        """POST {"id"}: forget a stored run."""
        wanted = object_of(exchange, {"id"}).get("id")
        if not isinstance(wanted, str):
            raise InvalidInput("id must be a text")
        self.benchmarks(exchange.engine).runs.delete(wanted)
        return json_response({"deleted": wanted})


def _event_of(engine: Engine) -> Callable[[str, str], None]:
    """The engine's event log, held weakly: who holds this does not keep the engine alive."""
    found = WeakMethod(engine.ticker.event)

    def tell(kind: str, text: str) -> None:
        event = found()
        if event is not None:
            event(kind, text)

    return tell


def _own_url(exchange: Exchange) -> str | None:
    return own_url(exchange.engine.settings, exchange.header(b"host"))


def _form(exchange: Exchange) -> dict[str, Any]:
    settings = exchange.engine.settings
    return {
        "defaults": DEFAULTS,
        "ramp": RAMP,
        "bounds": BOUNDS,
        "choices": CHOICES,
        "files": files_of(settings.state),
        "target": _own_url(exchange),
    }


def routes() -> tuple[tuple[str, str, Handler], ...]:
    """The rows of the table of routes; their handlers share the run that is under way."""
    made = _Handlers()
    return (
        ("GET", PATH, made.overview),
        ("POST", PATH, made.start),
        ("POST", f"{PATH}/cancel", made.cancel),
        ("POST", f"{PATH}/delete", made.delete),
        ("GET", f"{PATH}/{{run}}", made.run),
    )
