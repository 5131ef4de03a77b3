"""The bridge to the console: one request through a WSGI application, in this thread."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from typing import Any

from app.exchange import Header, Request, Response

WSGIApp = Callable[..., Any]
HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length"})


def call_wsgi(
    application: WSGIApp, request: Request, host: str, port: int, peer: str = ""
) -> Response:
    """The application's whole answer; 500 when it raises, which it reports itself."""
    from werkzeug.test import run_wsgi_app

    chunks, status, headers = run_wsgi_app(application, environ_of(request, host, port, peer))
    kept: list[Header] = [
        (name, value) for name, value in headers if name.lower() not in HOP_BY_HOP
    ]
    return Response(int(status.split(" ", 1)[0]), b"".join(chunks), kept)


def environ_of(request: Request, host: str, port: int, peer: str = "") -> dict[str, Any]:
    """The WSGI environment of a request."""
    environ: dict[str, Any] = {
        "REQUEST_METHOD": request.method.decode("latin-1"),
        "SCRIPT_NAME": "",
        "PATH_INFO": request.path.encode().decode("latin-1"),
        "QUERY_STRING": request.query_string,
        "SERVER_NAME": host,
        "SERVER_PORT": str(port),
        "REMOTE_ADDR": peer,
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(request.body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "CONTENT_LENGTH": str(request.body_bytes),
    }
    for name, value in request.headers.items():
        if b"_" in name:
            continue  # WSGI cannot tell it from the name with hyphens, which a proxy may have set
        key = name.decode("latin-1").upper().replace("-", "_")
        if key == "CONTENT_TYPE":
            environ[key] = value.decode("latin-1")
        elif key != "CONTENT_LENGTH":
            environ[f"HTTP_{key}"] = value.decode("latin-1")
    return environ
