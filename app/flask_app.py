"""Flask and Dash, built in the background while the front already answers /v2."""

from __future__ import annotations

from typing import Any

import flask

from app.access.headers import PAGE_HEADERS, console_policy
from app.console import build_console
from app.exchange import Response, request_of_environ
from app.front import Front
from app.routes import API_PREFIXES, ROUTES
from app.theme_script import theme_script_hash
from components.catalogue import CatalogueEntry
from engine.telemetry.catalogue import METRICS
from engine.version import VERSION


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
        if match.is_api and not match.handlers:
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

    @server.after_request
    def protect(response: flask.Response) -> flask.Response:
        for name, value in PAGE_HEADERS:
            response.headers.setdefault(name, value)
        if response.mimetype == "text/html":
            response.headers.setdefault("Content-Security-Policy", policy)
        return response

    return server


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
