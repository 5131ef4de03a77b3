"""GET /performance/picture: a page of the console as PNG or PDF, drawn on the server.

Needs the extra `pictures` and a Chromium. The browser runs in a child process, one at a time,
and sees nothing but this server's own pages on loopback.
"""

from __future__ import annotations

import contextlib
import importlib.util
import ipaddress
import os
import shutil
import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime
from urllib.parse import parse_qsl, urlencode, urlsplit

import orjson

from app.exchange import Exchange, Handler, Response, error_response
from app.picture_child import Job
from engine.config import Settings
from engine.errors import InvalidInput, Overloaded

LIMIT_S = 30.0
FORMATS = {"png": "image/png", "pdf": "application/pdf"}
THEMES = ("dark", "light")
WIDTHS = (390, 3840)
DEFAULT_WIDTH = 1440
MOST_TEXT = 2000
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
EXTRA = "pip install 'pyrometer[pictures]'"


class Missing(Exception):
    """What pictures need is not on this machine; the message says how to get it."""


class Failed(Exception):
    """The child process gave no picture; the message says why."""


def browser_path() -> str:
    """The Chromium to drive. Raises Missing."""
    if importlib.util.find_spec("playwright") is None:
        raise Missing(f"pictures by the server need a browser driver: {EXTRA}")
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        raise Missing(
            "pictures by the server need Chromium or Chrome on the PATH, "
            "for example: apt install chromium"
        )
    return found


def origin_of(settings: Settings) -> str:
    """This server's own address on loopback. Raises Missing where it has none."""
    if not settings.port:
        raise Missing("pictures by the server need a fixed port: --port 8050")
    host = {"localhost": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(
        settings.host, settings.host
    )
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        address = None
    if address is None or not address.is_loopback:
        raise Missing(f"pictures by the server need it on loopback; it listens on {host} only")
    kind = "https" if settings.tls_cert else "http"
    return (
        f"{kind}://[{host}]:{settings.port}" if ":" in host else f"{kind}://{host}:{settings.port}"
    )


def address_of(page: str, theme: str) -> str:
    """Path and query of one of the console's pages, figures paused. Raises InvalidInput."""
    from app.console import PAGES

    if len(page) > MOST_TEXT:
        raise InvalidInput(f"page has {len(page)} characters; the limit is {MOST_TEXT}")
    try:
        parts = urlsplit(page)
    except ValueError:
        parts = urlsplit("")
    paths = [known.path for known in PAGES]
    if parts.scheme or parts.netloc or parts.path not in paths:
        raise InvalidInput(f"page is {page[:80]!r}; it must be one of {', '.join(paths)}")
    query = dict(parse_qsl(parts.query)) | {"live": "0", "theme": theme}
    return f"{parts.path}?{urlencode(query)}"


def render(job: Job, exchange: Exchange | None = None, limit_s: float | None = None) -> bytes:
    """The picture, from a child process of its own, which ends with the request.

    Raises Failed with the child's reason, TimeoutError after limit_s, LIMIT_S where it is None.
    """
    limit_s = LIMIT_S if limit_s is None else limit_s
    child = subprocess.Popen(
        [sys.executable, "-m", "app.picture_child"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    if exchange is not None:
        exchange.request.on_cancel(lambda: _end(child))
    try:
        content, problem = child.communicate(orjson.dumps(tuple(job)), timeout=limit_s)
    except subprocess.TimeoutExpired:
        _end(child)
        child.communicate()
        raise TimeoutError(f"the picture was not drawn within {limit_s:g} s") from None
    if child.returncode or not content:
        lines = problem.decode("utf-8", "replace").strip().splitlines()
        raise Failed(f"the picture failed: {lines[-1][:300] if lines else 'no reason given'}")
    return content


def _end(child: subprocess.Popen[bytes]) -> None:
    """End the child and its driver, a process group; the browser ends with their pipe."""
    if child.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)


def picture_of() -> Handler:
    """The handler; one of its pictures is drawn at a time."""
    drawing = threading.Lock()

    def picture(exchange: Exchange) -> Response:
        """GET ?page=/&format=png|pdf&width=&theme=: a page of the console, drawn on the server."""
        if exchange.header(b"sec-fetch-site") not in ("", "none", "same-origin"):
            return error_response(403, "a page of another site may not have pictures drawn here")
        try:
            job = _job(exchange)
        except Missing as missing:
            return error_response(501, str(missing))
        if not drawing.acquire(blocking=False):
            raise Overloaded("a picture is being drawn; one at a time", retry_after_s=5)
        try:
            with exchange.gate.lends("picture", ("view",))() as key:
                content = render(job._replace(key=key), exchange)
        except Failed as failed:
            return error_response(503, str(failed))
        except TimeoutError as late:
            return error_response(504, str(late))
        finally:
            drawing.release()
        return _file(content, job)

    return picture


def _job(exchange: Exchange) -> Job:
    shape = _one_of(exchange, "format", tuple(FORMATS))
    theme = _one_of(exchange, "theme", THEMES)
    width = exchange.query("width") or str(DEFAULT_WIDTH)
    low, high = WIDTHS
    if not (width.isascii() and width.isdigit() and len(width) < 6 and low <= int(width) <= high):
        raise InvalidInput(f"width is {width[:40]!r}; it must be {low} to {high} pixels")
    settings = exchange.engine.settings
    address = settings.path_prefix + address_of(exchange.query("page") or "/", theme)
    origin = origin_of(settings)
    return Job(origin, address, shape, int(width), theme, browser_path())


def _one_of(exchange: Exchange, name: str, known: tuple[str, ...]) -> str:
    value = exchange.query(name) or known[0]
    if value not in known:
        raise InvalidInput(f"{name} is {value[:40]!r}; it must be one of {', '.join(known)}")
    return value


def _file(content: bytes, job: Job) -> Response:
    page = job.address.partition("?")[0].strip("/") or "live"
    name = f"pyrometer-{page}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.{job.format}"
    headers = [
        ("content-type", FORMATS[job.format]),
        ("content-disposition", f'inline; filename="{name}"'),
        ("cache-control", "no-store"),
    ]
    return Response(200, content, headers)
