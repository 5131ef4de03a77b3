"""Flask and Dash, built in the background while the front already answers /v2."""

from __future__ import annotations

import flask

from app.console import build_console
from app.exchange import Response, request_of_environ
from app.front import Front
from app.routes import ROUTES
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
    def guard() -> flask.Response | None:
        refusal = front.guard(request_of_environ(flask.request.environ, b""))
        return None if refusal is None else _to_flask(refusal)

    def answer(**_: str) -> flask.Response:
        content = flask.request.get_data()
        response = front.handle(request_of_environ(flask.request.environ, content))
        assert response is not None, "Flask routes are API routes"
        return _to_flask(response)

    for rule in dict.fromkeys(path for _, path, _ in ROUTES):
        flask_rule = rule.replace("{", "<").replace("}", ">")
        server.add_url_rule(flask_rule, rule, answer, methods=_METHODS)
    for prefix in ("/v2/", "/performance/", "/analyze/"):
        server.add_url_rule(f"{prefix}<path:rest>", f"{prefix}*", answer, methods=_METHODS)
    figures = tuple(
        CatalogueEntry(name=m.name, label=m.label, unit=m.unit, help=m.help) for m in METRICS
    )
    build_console(server, title="Pyrometer", version=VERSION, figures=figures)
    return server


_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]


def _to_flask(response: Response) -> flask.Response:
    lines = (line.split(": ", 1) for line in response.lines.splitlines())
    further = [(name, value) for name, value in lines]
    return flask.Response(
        response.parts or response.body, response.status, [*response.headers, *further]
    )
