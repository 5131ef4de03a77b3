"""Reports: the one of now or of a past window, those that are stored, and what measures them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary, WeakMethod

from app.api.performance import object_of
from app.api.pictures import THEMES, Failed, Missing, browser_path, render
from app.api.telemetry import stretch_of
from app.exchange import Exchange, Handler, Response, error_response, json_response
from app.picture_child import Job
from app.report_flags import KINDS
from app.reports.daily import next_at
from app.reports.gather import report_of
from app.reports.measurement import BOUNDS_S, SECONDS, Measurement
from app.reports.store import MOST_REPORTS, ReportStore
from engine.engine import Engine
from engine.errors import InvalidInput, Overloaded

PATH = "/performance/reports"
DEFAULT_WINDOW = "1h"
PICTURE_WIDTH = 1080
FLAGS = ("0", "1")


class _Kept(NamedTuple):
    """What belongs to one engine."""

    store: ReportStore
    measurement: Measurement


class _Handlers:
    """The routes' handlers; what they share is kept for each engine as long as it lives."""

    def __init__(self) -> None:
        self._lock, self._drawing = threading.Lock(), threading.Lock()
        self._of: WeakKeyDictionary[Engine, _Kept] = WeakKeyDictionary()

    def kept(self, engine: Engine) -> _Kept:
        with self._lock:
            found = self._of.get(engine)
            if found is None:
                settings = engine.settings
                measurement = Measurement(settings, _event_of(engine))
                engine.before_stop.append(measurement.close)
                found = _Kept(ReportStore(settings.state / "reports"), measurement)
                self._of[engine] = found
        return found

    def optimization(self, exchange: Exchange) -> Response:
        """GET ?format=json|html|md|pdf&window= or &from=&to=: before and after, now, and advice."""
        shape = _one_of(exchange, "format", tuple(KINDS))
        from_s, to_s = stretch_of(exchange, DEFAULT_WINDOW)
        flame = _one_of(exchange, "flame", ("1", "0")) == "1"
        report = report_of(exchange.engine, from_s, to_s, "demand", flame)
        if shape == "json":
            report |= _plans_of(exchange.engine)
        return self._answer(exchange, report, shape)

    def overview(self, exchange: Exchange) -> Response:
        """Stored reports, when the next is due, and the measurement that is under way."""
        kept, now = self.kept(exchange.engine), time.time()
        at = exchange.engine.settings.report_at
        return json_response(
            {
                "reports": kept.store.summaries(),
                "limit": MOST_REPORTS,
                "schedule": {"at": at or None, "next": next_at(at, now)},
                "measurement": kept.measurement.as_dict(),
            }
        )

    def stored(self, exchange: Exchange) -> Response:
        """GET ?format=json|html|md|pdf: one stored report."""
        shape = _one_of(exchange, "format", tuple(KINDS))
        report = self.kept(exchange.engine).store.read(exchange.path_args["report"])
        return self._answer(exchange, report, shape)

    def make(self, exchange: Exchange) -> Response:
        """POST {"from"?, "to"?}: make a report of that stretch, else of the last hour; keep it."""
        body, engine = object_of(exchange, {"from", "to"}), exchange.engine
        now = time.time()
        from_s, to_s = _time(body, "from", now - 3600), _time(body, "to", now)
        if from_s >= to_s:
            raise InvalidInput(f"from is {from_s:.0f}; it must be before to, {to_s:.0f}")
        report = report_of(engine, from_s, to_s, "demand")
        name = self.kept(engine).store.write(report)
        text = f"stored report {name}: {report['summary']['text']}"
        engine.ticker.event("report", f"stored report {name}")
        return json_response({"id": name, "text": text})

    def delete(self, exchange: Exchange) -> Response:
        """POST {"id"}: forget a stored report."""
        wanted = object_of(exchange, {"id"}).get("id")
        if not isinstance(wanted, str):
            raise InvalidInput("id must be a text")
        self.kept(exchange.engine).store.delete(wanted)
        return json_response({"deleted": wanted, "text": f"deleted report {wanted}"})

    def measure(self, exchange: Exchange) -> Response:
        """POST {"seconds"?}: measure before and after on this machine; 202, 409 while one runs."""
        body = object_of(exchange, {"seconds"})
        seconds, (low, high) = body.get("seconds", SECONDS), BOUNDS_S
        is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
        if not is_number or not low <= seconds <= high:
            raise InvalidInput(f"seconds must be a number from {low:g} to {high:g}")
        begun = self.kept(exchange.engine).measurement.start(float(seconds))
        text = f"measuring before and after, at most {seconds:g} s"
        return json_response(begun | {"text": text}, 202)

    def cancel(self, exchange: Exchange) -> Response:
        """POST {}: end the measurement; what was measured so far is stored."""
        object_of(exchange, set())
        self.kept(exchange.engine).measurement.cancel()
        return json_response({"text": "ending; what was measured so far is stored"})

    def _answer(self, exchange: Exchange, report: dict[str, Any], shape: str) -> Response:
        theme = _one_of(exchange, "theme", ("", *THEMES))
        if shape == "json":
            return json_response(report)
        if shape in ("pdf", "png"):
            return self._drawn(exchange, report, shape, theme)
        return _file(exchange, report, rendered(report, shape, theme), shape)

    def _drawn(
        self, exchange: Exchange, report: dict[str, Any], shape: str, theme: str
    ) -> Response:
        """PDF or PNG by a browser in a child process, one at a time."""
        if exchange.header(b"sec-fetch-site") not in ("", "none", "same-origin"):
            return error_response(403, "a page of another site may not have pictures drawn here")
        try:
            job = job_of(report, shape, theme)
        except Missing as missing:
            return error_response(501, str(missing))
        if not self._drawing.acquire(blocking=False):
            raise Overloaded("a report is being drawn; one at a time", retry_after_s=5)
        try:
            return _file(exchange, report, render(job, exchange), shape)
        except Failed as failed:
            return error_response(503, str(failed))
        except TimeoutError as late:
            return error_response(504, str(late))
        finally:
            self._drawing.release()


def _plans_of(engine: Engine) -> dict[str, Any]:
    """Every model's whole plan, the caches, and the last minute's figures."""
    models = []
    for slot in engine.registry.slots():
        plan = slot.model.plan if slot.model else None
        models.append(
            {
                "model": slot.entry.name,
                "version": slot.entry.version,
                "backend": slot.model.form if slot.model else None,
                "speedup": plan.speedup if plan else None,
                "plan": plan.as_dict() if plan else None,
                "load_ms": slot.load_ms,
            }
        )
    latest = engine.ticker.latest
    figures = {tile["id"]: tile["value"] for tile in latest["tiles"]}
    return {"models": models, "caches": latest["caches"], "last_minute": figures}


def rendered(report: dict[str, Any], shape: str, theme: str = "") -> bytes:
    """A report as HTML or Markdown."""
    if shape == "md":
        from components.report_markdown import report_markdown

        return report_markdown(report).encode()
    from components.report_html import report_html

    return report_html(report, theme).encode()


def job_of(report: dict[str, Any], shape: str, theme: str = "") -> Job:
    """What draws a report. Raises Missing where no browser is there."""
    browser = browser_path()
    content = rendered(report, "html", theme).decode()
    return Job("", "", shape, PICTURE_WIDTH, theme or "light", browser, content)


def _file(exchange: Exchange, report: dict[str, Any], content: bytes, shape: str) -> Response:
    made = datetime.fromtimestamp(report["made"], UTC)
    name = f"pyrometer-report-{made:%Y%m%dT%H%M%SZ}.{shape}"
    how = "attachment" if _one_of(exchange, "download", FLAGS) == "1" else "inline"
    headers = [
        ("content-type", KINDS[shape]),
        ("content-disposition", f'{how}; filename="{name}"'),
        ("cache-control", "no-store"),
    ]
    return Response(200, content, headers)


def _one_of(exchange: Exchange, name: str, known: tuple[str, ...]) -> str:
    value = exchange.query(name) or known[0]
    if value not in known:
        words = ", ".join(one for one in known if one)
        raise InvalidInput(f"{name} is {value[:40]!r}; it must be one of {words}")
    return value


def _time(body: dict[str, Any], name: str, default: float) -> float:
    value = body.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e11:
        raise InvalidInput(f"{name} must be UTC seconds")
    return float(value)


def _event_of(engine: Engine) -> Callable[[str, str], None]:
    """The engine's event log, held weakly: who holds this does not keep the engine alive."""
    found = WeakMethod(engine.ticker.event)

    def tell(kind: str, text: str) -> None:
        event = found()
        if event is not None:
            event(kind, text)

    return tell


def routes() -> tuple[tuple[str, str, Handler], ...]:
    """The rows of the table of routes; their handlers share stores and measurements."""
    made = _Handlers()
    return (
        ("GET", f"{PATH}/optimization", made.optimization),
        ("GET", PATH, made.overview),
        ("POST", PATH, made.make),
        ("POST", f"{PATH}/delete", made.delete),
        ("POST", f"{PATH}/measure", made.measure),
        ("POST", f"{PATH}/measure/cancel", made.cancel),
        ("GET", f"{PATH}/{{report}}", made.stored),
    )
