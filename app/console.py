"""The console: a Dash application mounted on the server's Flask application.

One layout holds every page of PAGES as a section; assets/_router.js shows the one of the
address, so a page costs no round trip and its charts stay mounted. `build_console` makes a new one
each time; nothing is registered globally, so two consoles live side by side in one process.
The server answers no callback on a tick: the one dcc.Interval runs assets/live.js, which
fetches GET /performance/live.
"""

from __future__ import annotations

import html
import importlib.util
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import Any

import dash
import flask
from dash import ClientsideFunction, Input

from app.bundle import FOREVER, KINDS, Bundle, bundle
from app.theme_script import THEME_SCRIPT
from components.alerts_page import alerts_page
from components.benchmarks_page import benchmarks_page
from components.caches_page import caches_page
from components.catalogue import CatalogueEntries
from components.experiments_page import experiments_page
from components.flame_page import flame_page
from components.fleet_page import fleet_page
from components.frame import Page, frame
from components.live_page import live_page
from components.models_page import models_page
from components.reports_page import reports_page
from components.requests_page import requests_page
from components.settings_page import settings_page
from components.system_page import system_page

ASSETS = Path(__file__).parent.parent / "assets"

LOADED_LATE = ("dash/dcc/async-graph.js", "plotly/package_data/plotly.min.js")
"""What Dash asks for only once everything else runs; the browser is told at the beginning."""

INDEX = """<!DOCTYPE html>
<html lang="en">
<head>
{%metas%}
<meta name="color-scheme" content="dark light">
<title>{%title%}</title>
<link rel="icon" type="image/svg+xml" href="__ICON__">
<script>__THEME__</script>
{%css%}
<link rel="stylesheet" href="__STYLES__">
__PRELOADS__
</head>
<body>
<noscript>This console draws with JavaScript; the same figures are at /performance/live.</noscript>
{%app_entry%}
<footer>{%config%}{%scripts%}<script src="__SCRIPTS__"></script>{%renderer%}</footer>
</body>
</html>
"""


def _plain(build: Callable[[], Any]) -> Callable[[CatalogueEntries], Any]:
    """The builder of a page that needs no catalogue."""
    return lambda _: build()


PAGES = (
    Page("live", "/", "Live", "live", "Live", live_page),
    Page("models", "/models", "Models", "models", "Models", models_page),
    Page("requests", "/requests", "Requests", "requests", "Requests", _plain(requests_page)),
    Page("flame", "/flame-graph", "Flame graph", "flame", "Flame graph", _plain(flame_page)),
    Page("alerts", "/alerts", "Alerts", "alerts", "Alerts", alerts_page),
    Page("system", "/system", "System", "system", "System", system_page, in_bar=False),
    Page("caches", "/caches", "Caches", "caches", "Caches", caches_page, in_bar=False),
    Page(
        *("fleet", "/fleet", "Fleet", "fleet", "Fleet"),
        build=_plain(fleet_page),
        in_bar=False,
    ),
    Page(
        *("benchmarks", "/benchmarks", "Benchmarks", "benchmarks", "Benchmarks"),
        build=_plain(benchmarks_page),
        in_bar=False,
    ),
    Page(
        *("experiments", "/experiments", "Experiments", "experiments", "Experiments"),
        build=_plain(experiments_page),
        in_bar=False,
    ),
    Page(
        *("reports", "/reports", "Reports", "report", "Reports"),
        build=_plain(reports_page),
        in_bar=False,
    ),
    Page("settings", "/settings", "Settings", "settings", "Settings", settings_page, in_bar=False),
)


def bootstrap_css() -> Path:
    """Bootstrap 5's stylesheet inside the Bootstrap-Flask wheel."""
    found = importlib.util.find_spec("flask_bootstrap")
    if found is None or found.origin is None:
        raise RuntimeError("the console needs the bootstrap-flask package for Bootstrap's CSS")
    return Path(found.origin).parent / "static" / "bootstrap5" / "css" / "bootstrap.min.css"


def _bootstrap() -> Bundle:
    content = bootstrap_css().read_bytes()
    digest = blake2b(content, digest_size=8).hexdigest()
    return Bundle(f"bootstrap.{digest}.css", KINDS["css"], content)


def _serve_bundle(server: flask.Flask, made: Bundle, base: str = "") -> str:
    """Serve a bundle beside the files it is made of; returns its address in a browser."""
    address = f"/assets/{made.name}"
    headers = {"Cache-Control": FOREVER}

    def content() -> flask.Response:
        return flask.Response(made.content, content_type=made.kind, headers=headers)

    server.add_url_rule(address, endpoint=made.name, view_func=content)
    return base + address


def _serve_pages(server: flask.Flask, prefix: str) -> None:
    """Answer the pages' paths with the console; 404 where Dash's catch-all would too."""
    endpoint = f"{prefix}<path:path>"
    console = server.view_functions[endpoint]
    paths = {page.path for page in PAGES}

    def page_or_unknown(path: str) -> Any:
        if f"/{path}" in paths:
            return console(path)
        return flask.jsonify(error=f"nothing is served at {prefix}{path}"), 404

    server.view_functions[endpoint] = page_or_unknown


def build_console(
    server: flask.Flask,
    *,
    title: str,
    version: str,
    figures: CatalogueEntries = (),
    base: str = "",
) -> dash.Dash:
    """Mount a console on a Flask application.

    figures: the metric catalogue as plain entries, for labels, units and explanations.
    base: what a browser writes before the paths of this server, as a proxy has it.
    Registers the paths of PAGES, /assets/ and /_dash-*; /performance is the caller's.
    """
    bootstrap_url = _serve_bundle(server, _bootstrap(), base)
    console = dash.Dash(
        __name__,
        server=server,
        title=title,
        update_title=None,
        assets_folder=str(ASSETS),
        serve_locally=True,
        external_stylesheets=[bootstrap_url],
        include_assets_files=False,
        routes_pathname_prefix="/",
        requests_pathname_prefix=f"{base}/",
    )
    prefix = console.config.routes_pathname_prefix
    _serve_pages(server, prefix)
    addresses = {
        "__ICON__": console.get_asset_url("favicon.svg"),
        "__STYLES__": _serve_bundle(server, bundle(ASSETS, "css"), base),
        "__SCRIPTS__": _serve_bundle(server, bundle(ASSETS, "js"), base),
    }
    index = INDEX.replace("__THEME__", THEME_SCRIPT)
    suites = f"{console.config.requests_pathname_prefix}_dash-component-suites/"
    loads = (f'<link rel="preload" as="script" href="{suites}{name}">' for name in LOADED_LATE)
    index = index.replace("__PRELOADS__", "\n".join(loads))
    for place, address in addresses.items():
        index = index.replace(place, html.escape(address))
    console.index_string = index
    console.layout = frame(PAGES, figures, title=title, version=version)
    console.clientside_callback(
        ClientsideFunction(namespace="pyrometer", function_name="tick"),
        Input("tick", "n_intervals"),
    )
    return console
