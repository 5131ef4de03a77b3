"""The fleet: what this process tells its peers, what it has pulled from them, and two actions."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import orjson

from app.api.performance import object_of
from app.api.telemetry import checked_text
from app.exchange import Exchange, Response, json_response
from app.outgoing import row
from engine.engine import Engine
from engine.errors import InvalidInput
from engine.executors.remote import Remote

if TYPE_CHECKING:
    from engine.fleet.fleet import Fleet

KEPT_S = 1.0
"""So long an answer of merged figures serves all who ask."""


def export(exchange: Exchange) -> Response:
    """GET ?since=SEQ&run=RUN: what this process served after it, to be added up by its peers."""
    from engine.fleet_export import fleet_export  # not at start: most servers have no peers

    engine = exchange.engine
    since, run = _seq(exchange.query("since") or "0"), exchange.query("run") or ""
    tag = f'"{engine.recorder.run_id}-{engine.ticker.ring.seq}"'
    headers = [("etag", tag), ("cache-control", "no-store")]
    if exchange.header(b"if-none-match") == tag:
        return Response(304, b"", headers)
    told = fleet_export(engine, since, run[:64])
    return Response(200, told.as_bytes(), [("content-type", "application/json"), *headers])


def _seq(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 15:
        raise InvalidInput(f"since is {text[:40]!r}; it must be a sequence number")
    return int(text)


class _Reports:
    """The merged figures of each fleet, computed at most once in KEPT_S however many ask."""

    def __init__(self) -> None:
        self._kept: WeakKeyDictionary[Fleet, tuple[float, bytes]] = WeakKeyDictionary()
        self._lock = threading.Lock()

    def of(self, fleet: Fleet) -> bytes:
        from engine.fleet.report import fleet_report

        now_s = time.monotonic()
        with self._lock:
            made_s, kept = self._kept.get(fleet, (-KEPT_S, b""))
            if now_s - made_s >= KEPT_S:
                kept = orjson.dumps(fleet_report(fleet.view(), fleet.interval_s))
                self._kept[fleet] = (now_s, kept)
            return kept


_reports = _Reports()


def overview(exchange: Exchange) -> Response:
    """Merged figures of all peers, each of them, models, executor, outgoing connections."""
    engine = exchange.engine
    told: dict[str, Any] = {
        "configured": engine.fleet is not None,
        "fleet": None if engine.fleet is None else orjson.Fragment(_reports.of(engine.fleet)),
        "remote": None if engine.remote is None else engine.remote.figures(),
        "shared": None if engine.shared is None else engine.shared.figures(),
        "outgoing": outgoing(engine),
    }
    return json_response(told)


def outgoing(engine: Engine) -> list[dict[str, Any]]:
    """Every way out of this process that is configured, with its bound."""
    rows = [one for figures in engine.outgoing for one in figures()]
    if engine.shared is not None:
        rows.append(_redis(engine.shared.figures()))
    return rows


def _redis(shared: dict[str, Any]) -> dict[str, Any]:
    asked = sum(int(shared.get(name) or 0) for name in ("hits", "misses", "written"))
    return row(
        *("redis", str(shared.get("url", ""))),
        int(shared.get("connections_used") or 0),
        int(shared.get("connections_limit") or 0),
        open=shared.get("connections"),
        waiting=shared.get("queued"),
        waiting_limit=shared.get("queue_limit"),
        asked=asked,
        failed=int(shared.get("timeouts") or 0) + int(shared.get("refused") or 0),
        problem=shared.get("problem"),
        text=f"circuit {shared.get('state')}",
    )


def drain(exchange: Exchange) -> Response:
    """POST {"id": replica or node}: it takes no new work, and ends when its own is done."""
    body = object_of(exchange, {"id"})
    wanted = checked_text(body, "id", 200)
    done = _remote(exchange.engine).drain(wanted)
    return json_response({**done, "text": f"{wanted} takes no new work and ends when it is done"})


def restart(exchange: Exchange) -> Response:
    """POST {"model"}: its replicas are begun anew, one after the other."""
    body = object_of(exchange, {"model"})
    wanted = checked_text(body, "model", 200)
    exchange.engine.registry.slot(wanted)
    done = _remote(exchange.engine).restart(wanted)
    return json_response({**done, "text": f"replicas of {wanted} are begun anew"})


def _remote(engine: Engine) -> Remote:
    if engine.remote is None:
        raise InvalidInput("there is no executor but this process: nothing to drain or restart")
    return engine.remote
