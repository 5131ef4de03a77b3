"""The table of API routes: one handler each, whichever door a request comes by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from app import openapi
from app.access import pages as access
from app.api import (
    alerts,
    analyze,
    benchmarks,
    experiments,
    fleet,
    models,
    performance,
    pictures,
    profiling,
    reports,
    repository,
    settings,
    telemetry,
    v2,
)
from app.exchange import Handler, Request
from engine.telemetry.labels import UNKNOWN_ROUTE

API_PREFIXES = ("/v2", "/performance", "/analyze", "/metrics", openapi.PATH)

ROUTES: tuple[tuple[str, str, Handler], ...] = (
    ("GET", "/v2", v2.server_metadata),
    ("GET", "/v2/health/live", v2.live),
    ("GET", "/v2/health/ready", v2.ready),
    ("GET", "/v2/models/{model}", v2.model_metadata),
    ("GET", "/v2/models/{model}/ready", v2.model_ready),
    ("POST", "/v2/models/{model}/infer", v2.infer),
    ("GET", "/v2/models/{model}/versions/{version}", v2.model_metadata),
    ("GET", "/v2/models/{model}/versions/{version}/ready", v2.model_ready),
    ("POST", "/v2/models/{model}/versions/{version}/infer", v2.infer),
    ("POST", "/v2/repository/index", repository.index),
    ("POST", "/v2/repository/models/{model}/load", repository.load),
    ("POST", "/v2/repository/models/{model}/unload", repository.unload),
    ("POST", "/analyze/fraud", analyze.fraud),
    ("POST", "/analyze/risk", analyze.risk),
    ("POST", "/analyze/contract", analyze.contract),
    ("GET", "/performance/dashboard", performance.dashboard),
    ("GET", "/performance/live", performance.live),
    ("GET", "/performance/noop", performance.noop),
    ("GET", "/performance/metrics", performance.metrics),
    ("GET", "/performance/metrics/real-time", performance.real_time),
    ("GET", "/performance/flame-graph", profiling.flame_graph),
    ("GET", "/performance/profile", profiling.overview),
    ("POST", "/performance/profile", profiling.capture),
    ("POST", "/performance/profile/import", profiling.adopt),
    ("POST", "/performance/profile/delete", profiling.delete),
    ("GET", "/performance/system", performance.system),
    ("GET", "/performance/cache", performance.cache),
    ("GET", "/performance/effectiveness", performance.effectiveness),
    ("GET", "/performance/settings", settings.settings),
    ("GET", "/performance/models", performance.models),
    ("GET", "/performance/models/{model}", models.about),
    ("GET", "/performance/models/{model}/plan", performance.plan),
    ("GET", "/performance/models/{model}/latency", models.latency),
    ("GET", "/performance/models/{model}/samples", models.samples),
    ("POST", "/performance/models/{model}/pin", performance.pin),
    ("POST", "/performance/warmup", performance.warm_up),
    ("POST", "/performance/cache/clear", performance.clear_cache),
    ("GET", "/performance/metrics/history", telemetry.history),
    ("GET", "/performance/metrics/heatmap", telemetry.heat),
    ("GET", "/performance/export/csv", telemetry.export_csv),
    ("GET", "/performance/export/json", telemetry.export_json),
    ("GET", "/performance/slow-requests", telemetry.exemplars),
    ("GET", "/performance/picture", pictures.picture_of()),
    *reports.routes(),
    ("GET", "/performance/status", telemetry.status),
    ("GET", "/performance/health", telemetry.health),
    ("GET", "/performance/alerts", alerts.overview),
    ("POST", "/performance/alerts/rules", alerts.replace_rules),
    ("POST", "/performance/alerts/preview", alerts.preview),
    ("POST", "/performance/alerts/acknowledge", alerts.acknowledge),
    ("POST", "/performance/alerts/silence", alerts.silence),
    ("POST", "/performance/alerts/unsilence", alerts.end_silence),
    ("POST", "/performance/alerts/test", alerts.test),
    *benchmarks.routes(),
    ("GET", "/performance/experiments", experiments.overview),
    ("POST", "/performance/experiments", experiments.create),
    ("GET", "/performance/experiments/options", experiments.options),
    ("POST", "/performance/experiments/undo", experiments.undo),
    ("GET", "/performance/experiments/{experiment}", experiments.about),
    ("POST", "/performance/experiments/{experiment}/start", experiments.start),
    ("POST", "/performance/experiments/{experiment}/stop", experiments.stop),
    ("POST", "/performance/experiments/{experiment}/promote", experiments.promote),
    ("POST", "/performance/experiments/{experiment}/rollback", experiments.roll_back),
    ("POST", "/performance/experiments/{experiment}/delete", experiments.delete),
    ("GET", "/performance/fleet", fleet.overview),
    ("GET", "/performance/fleet/export", fleet.export),
    ("POST", "/performance/fleet/drain", fleet.drain),
    ("POST", "/performance/fleet/restart", fleet.restart),
    *access.routes(),
    ("GET", "/metrics", telemetry.scrape),
    ("GET", openapi.PATH, openapi.openapi_of(lambda: ROUTES)),
)


NEVER_WAITS = frozenset(
    {
        v2.server_metadata,
        v2.live,
        v2.ready,
        v2.model_ready,
        performance.dashboard,
        performance.live,
        performance.noop,
        performance.real_time,
    }
)
"""Handlers that the event loop runs itself: microseconds, nothing to wait for."""

MAX_KNOWN = 4096
MOST_KNOWN_BYTES = 512
"""A longer target is looked up anew each time: what is kept of targets stays small."""


@dataclass(frozen=True, slots=True)
class Match:
    """A path that exists, and its handlers by method. path: decoded. rule: its route."""

    path: str
    handlers: Mapping[str, Handler]
    path_args: Mapping[str, str]
    is_api: bool = True
    rule: str = UNKNOWN_ROUTE


class Router:
    """Finds a target's handlers: by its bytes where they were seen before, else by its parts."""

    def __init__(self, routes: tuple[tuple[str, str, Handler], ...] = ROUTES) -> None:
        self._exact: dict[str, dict[str, Handler]] = {}
        self._by_parts: dict[int, list[tuple[list[str], dict[str, Handler]]]] = {}
        self._known: dict[bytes, Match] = {}
        grouped: dict[str, dict[str, Handler]] = {}
        for method, path, handler in routes:
            grouped.setdefault(path, {})[method] = handler
        for path, handlers in grouped.items():
            if "{" in path:
                parts = path.split("/")
                self._by_parts.setdefault(len(parts), []).append((parts, handlers))
            else:
                self._exact[path] = handlers

    def match(self, request: Request) -> Match:
        """A request's handlers; none of them where no route has its path."""
        known = self._known.get(request.target)
        if known is not None:
            return known
        match = self._find(request.path)
        if match.handlers and len(request.target) <= MOST_KNOWN_BYTES:
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            self._known[request.target] = match
        return match

    def _find(self, path: str) -> Match:
        handlers = self._exact.get(path)
        if handlers is not None:
            return Match(path, handlers, {}, rule=path)
        given = path.split("/")
        for parts, candidates in self._by_parts.get(len(given), ()):
            args: dict[str, str] = {}
            for part, value in zip(parts, given, strict=True):
                if part.startswith("{"):
                    args[part[1:-1]] = value
                elif part != value:
                    break
            else:
                if all(args.values()):
                    return Match(path, candidates, args, rule="/".join(parts))
        return Match(path, {}, {}, is_api_path(path))


def is_api_path(path: str) -> bool:
    """True under a prefix where an unknown path is a JSON 404, never a page."""
    return any(path == prefix or path.startswith(f"{prefix}/") for prefix in API_PREFIXES)
