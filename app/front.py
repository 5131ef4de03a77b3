"""The front: guards and the request's own clock, before either door.

    environ -> Host, Origin -> route -> handler -> record -> headers
                                  \\-> not an API path: None, the console's Flask answers

Every request passes here, so no guard may live in a Flask hook. The front gives up a
request only to Flask, and only after its guards.
"""

from __future__ import annotations

import ipaddress
import logging
import re
import time
import uuid
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from app.api.inference import add_headers
from app.api.statuses import response_to
from app.exchange import Exchange, Response, error_response
from app.routes import Match, Router, is_api_path
from engine.engine import Engine

log = logging.getLogger(__name__)
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
HEALTH_PREFIX = "/v2/health/"
SLOW_NS = 5_000_000
_REQUEST_ID = re.compile(r"[A-Za-z0-9_.:\-]{1,128}")


class Front:
    """Guards and API routes over one engine."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.router = Router()
        extra = engine.settings.allowed_hosts.split(",")
        self._hosts = {"localhost", engine.settings.host.lower(), *map(str.strip, extra)} - {""}

    def guard(self, environ: Mapping[str, Any]) -> Response | None:
        """A refusal (403), or None for a request that may go on."""
        if environ["PATH_INFO"].startswith(HEALTH_PREFIX):
            return None
        host = str(environ.get("HTTP_HOST") or "")
        if not self._is_ours(host):
            return error_response(403, f"Host {host[:100]!r} is not served here")
        if environ["REQUEST_METHOD"] in SAFE_METHODS:
            return None
        origin = environ.get("HTTP_ORIGIN")
        if origin is not None and _authority(str(origin)) != host.lower():
            return error_response(403, f"Origin {str(origin)[:100]!r} may not change anything here")
        if environ.get("HTTP_SEC_FETCH_SITE", "none") not in ("none", "same-origin"):
            return error_response(403, "a request from another site may not change anything here")
        return None

    def _is_ours(self, host: str) -> bool:
        name = _host_name(host)
        if name in self._hosts:
            return True
        try:
            return ipaddress.ip_address(name).is_loopback
        except ValueError:
            return False

    def handle(self, environ: Mapping[str, Any]) -> Response | None:
        """The answer to a guarded API request; None when Flask is to answer it."""
        started_ns, cpu_ns = time.perf_counter_ns(), time.thread_time_ns()
        request_id = _request_id(environ)
        refusal = self.guard(environ)
        if refusal is not None:
            refusal.headers.append(("x-request-id", request_id))
            return refusal
        path = environ["PATH_INFO"]
        match = self.router.match(path)
        if match is None and not is_api_path(path):
            return None
        exchange = Exchange(environ, self.engine, request_id, started_ns)
        response = self._answer(exchange, match)
        self._finish(exchange, response, cpu_ns)
        response.headers.append(("x-request-id", request_id))
        return response

    def _answer(self, exchange: Exchange, match: Match | None) -> Response:
        method = exchange.environ["REQUEST_METHOD"]
        if match is None:
            return error_response(404, f"no route {exchange.environ['PATH_INFO'][:200]!r}")
        handler = match.handlers.get("GET" if method == "HEAD" else method)
        if handler is None:
            allowed = ", ".join(match.handlers)
            return error_response(405, f"use {allowed}", ("allow", allowed))
        exchange.path_args = match.path_args
        try:
            return handler(exchange)
        except Exception as error:
            response = response_to(error)
            if response is None:
                log.exception("request %s failed", exchange.request_id)
                return error_response(500, f"internal error; request {exchange.request_id}")
            return response

    def _finish(self, exchange: Exchange, response: Response, cpu_ns: int) -> None:
        """Complete and append the record of a request that is service traffic."""
        record = exchange.record
        if record is None:
            return
        record.status = response.status
        record.cpu_ns = time.thread_time_ns() - cpu_ns
        record.duration_ns = time.perf_counter_ns() - exchange.started_ns
        if record.memory_before_mb is not None or record.duration_ns > SLOW_NS:
            record.memory_after_mb = self.engine.memory.resident_mb()
        record.finished_at = time.time()
        self.engine.recorder.append(record)
        add_headers(record, response)


def _authority(origin: str) -> str:
    """Host and port of an Origin, lower case; "" for one that is malformed or opaque."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def _host_name(host: str) -> str:
    """The name or address in a Host header, its port dropped, lower case."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower()


def _request_id(environ: Mapping[str, Any]) -> str:
    given = environ.get("HTTP_X_REQUEST_ID")
    if given and _REQUEST_ID.fullmatch(given):
        return str(given)
    return uuid.uuid4().hex
