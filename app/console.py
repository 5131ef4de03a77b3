"""The console: a Dash application mounted on the server's Flask application.

`build_console` makes a new one each time; nothing is registered globally, so two consoles
live side by side in one process. The server answers no callback on a tick: the one
dcc.Interval runs assets/live.js, which fetches GET /performance/live.
"""

from __future__ import annotations

import html
import importlib.util
from base64 import b64encode
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import dash
import flask
from dash import ClientsideFunction, Input

from components.catalogue import CatalogueEntries
from components.frame import Place, frame
from components.live_page import PLACES, live_page

ASSETS = Path(__file__).parent.parent / "assets"
BOOTSTRAP_URL = "/vendor/bootstrap.min.css"
BOOTSTRAP_MAX_AGE_S = 86_400

# Runs before the first paint, so that no page flashes in the wrong theme.
THEME_SCRIPT = """
(function () {
  var theme = null;
  try { theme = localStorage.getItem("pyrometer-theme"); } catch (refused) { theme = null; }
  if (theme !== "dark" && theme !== "light") {
    theme = matchMedia("(prefers-color-scheme: light)").matches ? "light" : "dark";
  }
  document.documentElement.setAttribute("data-theme", theme);
  document.documentElement.setAttribute("data-bs-theme", theme);
})();
"""

INDEX = """<!DOCTYPE html>
<html lang="en">
<head>
{%metas%}
<meta name="color-scheme" content="dark light">
<title>{%title%}</title>
<link rel="icon" type="image/svg+xml" href="__ICON__">
<script>__THEME__</script>
{%css%}
</head>
<body>
<noscript>This console draws with JavaScript; the same figures are at /performance/live.</noscript>
{%app_entry%}
<footer>{%config%}{%scripts%}{%renderer%}</footer>
</body>
</html>
"""


class Page(NamedTuple):
    """One page of the console. build: catalogue entries in, Dash tree out."""

    path: str
    places: tuple[Place, ...]
    build: Callable[[CatalogueEntries], Any]


PAGES = (Page("/", PLACES, live_page),)


def theme_script_hash() -> str:
    """The source expression that lets a Content-Security-Policy pass THEME_SCRIPT."""
    digest = b64encode(sha256(THEME_SCRIPT.encode()).digest()).decode()
    return f"'sha256-{digest}'"


def bootstrap_css() -> Path:
    """Bootstrap 5's stylesheet inside the Bootstrap-Flask wheel."""
    found = importlib.util.find_spec("flask_bootstrap")
    if found is None or found.origin is None:
        raise RuntimeError("the console needs the bootstrap-flask package for Bootstrap's CSS")
    return Path(found.origin).parent / "static" / "bootstrap5" / "css" / "bootstrap.min.css"


def _serve_bootstrap(server: flask.Flask) -> None:
    stylesheet = bootstrap_css()

    def bootstrap() -> flask.Response:
        return flask.send_file(stylesheet, mimetype="text/css", max_age=BOOTSTRAP_MAX_AGE_S)

    server.add_url_rule(BOOTSTRAP_URL, endpoint="console_bootstrap", view_func=bootstrap)


def _refuse_unknown_paths(server: flask.Flask, prefix: str) -> None:
    """Answer 404 where Dash's catch-all would serve the console with 200."""

    def unknown(path: str) -> tuple[flask.Response, int]:
        return flask.jsonify(error=f"nothing is served at {prefix}{path}"), 404

    server.view_functions[f"{prefix}<path:path>"] = unknown


def _layout(page: Page, title: str, version: str, figures: CatalogueEntries) -> Any:
    return frame(
        page.build(figures), title=title, version=version, places=page.places, current=page.path
    )


def build_console(
    server: flask.Flask, *, title: str, version: str, figures: CatalogueEntries = ()
) -> dash.Dash:
    """Mount a console on a Flask application.

    figures: the metric catalogue as plain entries, for labels, units and explanations.
    Registers /, /assets/, /_dash-*, /vendor/bootstrap.min.css; GET /performance/live,
    POST /performance/warmup and /performance/cache/clear are the caller's.
    """
    _serve_bootstrap(server)
    console = dash.Dash(
        __name__,
        server=server,
        title=title,
        update_title=None,
        assets_folder=str(ASSETS),
        serve_locally=True,
        external_stylesheets=[BOOTSTRAP_URL],
        include_assets_files=True,
    )
    prefix = console.config.routes_pathname_prefix
    _refuse_unknown_paths(server, prefix)
    console.index_string = INDEX.replace(
        "__ICON__", html.escape(console.get_asset_url("favicon.svg"))
    ).replace("__THEME__", THEME_SCRIPT)
    console.layout = _layout(PAGES[0], title, version, figures)
    console.clientside_callback(
        ClientsideFunction(namespace="pyrometer", function_name="tick"),
        Input("tick", "n_intervals"),
    )
    return console
