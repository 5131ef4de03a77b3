"""Flask and Dash, built in the background while the front already answers /v2."""

from __future__ import annotations

import logging
from types import TracebackType
from typing import Any

import flask
from werkzeug.exceptions import HTTPException

from app.access.headers import PAGE_HEADERS, console_policy
from app.console import build_console
from app.exchange import Response, error_response, request_of_environ
from app.front import Front, method_of
from app.routes import API_PREFIXES, ROUTES
from app.theme_script import theme_script_hash
from components.catalogue import CatalogueEntry
from engine.telemetry.catalogue import METRICS
from engine.version import VERSION

log = logging.getLogger(__name__)
OWN_MODULES = ("app.", "components.", "engine.")
CALLBACK_PATH = "/_dash-update-component"
MALFORMED = (TypeError, KeyError, ValueError, IndexError, AttributeError)
"""What Dash ends with where a body is none of its calls."""


def build_flask(front: Front) -> flask.Flask:
    """The Flask server with every API route and the console. Two may live side by side.

    Its routes call the same handlers as the front; whoever serves this application by
    itself gets the same guards, since every request enters through them.
    """
    server = flask.Flask("pyrometer")
    server.config["MAX_CONTENT_LENGTH"] = front.engine.settings.max_body_bytes

    @server.before_request
    def enter() -> flask.Response | None:
        environ = flask.request.environ
        request = request_of_environ(environ, b"")
        exchange, match, refusal = front.enter(request, str(environ.get("REMOTE_ADDR") or ""))
        flask.g.entered = exchange, match
        if refusal is not None:
            return _to_flask(front.complete(exchange, refusal))
        if match.is_api and method_of(request) not in match.handlers:
            return _to_flask(front.handle(exchange, match))  # else the console's catch-all would
        return None

    def answer(**_: str) -> flask.Response:
        exchange, match = flask.g.entered
        exchange.request.body = content = flask.request.get_data()
        exchange.request.body_bytes = len(content)
        return _to_flask(front.handle(exchange, match))

    for rule in dict.fromkeys(path for _, path, _ in ROUTES):
        flask_rule = rule.replace("{", "<").replace("}", ">")
        server.add_url_rule(flask_rule, rule, answer, **_ANY)
    for prefix in (f"{prefix}/" for prefix in API_PREFIXES):
        server.add_url_rule(f"{prefix}<path:rest>", f"{prefix}*", answer, **_ANY)
    figures = tuple(
        CatalogueEntry(name=m.name, label=m.label, unit=m.unit, help=m.help) for m in METRICS
    )
    base = front.engine.settings.path_prefix
    console = build_console(server, title="Pyrometer", version=VERSION, figures=figures, base=base)
    policy = console_policy([theme_script_hash(), *console.csp_hashes()])

    @server.errorhandler(Exception)
    def failed(error: Exception) -> flask.Response | HTTPException:
        if isinstance(error, HTTPException) and (error.code or 0) < 400:
            return error  # it leads somewhere else
        entered = flask.g.get("entered")
        if entered is None:
            return _to_flask(_refusal_of(front.new_id(), error))
        return _to_flask(front.complete(entered[0], _refusal_of(entered[0].request_id, error)))

    @server.after_request
    def protect(response: flask.Response) -> flask.Response:
        for name, value in PAGE_HEADERS:
            response.headers.setdefault(name, value)
        if response.mimetype == "text/html":
            response.headers.setdefault("Content-Security-Policy", policy)
        return response

    return server


def _refusal_of(request_id: str, error: Exception) -> Response:
    """The answer to what a page's request ended with, in the one form of every error."""
    if isinstance(error, HTTPException):
        return error_response(error.code or 400, error.name)
    is_call = flask.request.method == "POST" and flask.request.path.endswith(CALLBACK_PATH)
    if is_call and isinstance(error, MALFORMED) and not _was_ours(error.__traceback__):
        return error_response(400, "body is no call of one of the console's callbacks")
    log.error("request %s failed", request_id, exc_info=error)
    return error_response(500, f"internal error; request {request_id}")


def _was_ours(trace: TracebackType | None) -> bool:
    """True where code of ours ran; Dash itself trips over bodies that are no call of it."""
    while trace is not None:
        module = trace.tb_frame.f_globals.get("__name__", "")
        if module.startswith(OWN_MODULES) and module != __name__:
            return True
        trace = trace.tb_next
    return False


_ANY: dict[str, Any] = {
    "methods": ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"],
    "provide_automatic_options": False,
}


def _to_flask(response: Response) -> flask.Response:
    lines = (line.split(": ", 1) for line in response.lines.splitlines())
    further = [(name, value) for name, value in lines]
    return flask.Response(
        response.parts or response.body, response.status, [*response.headers, *further]
    )
