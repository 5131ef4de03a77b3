"""What stands around every page: rail, top line, toasts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import dash_bootstrap_components as dbc
from dash import dcc, html

from components.marks import icon, status_mark
from components.theme import browser_themes

TICK_MS = 1000


class Place(NamedTuple):
    """A destination in the rail. href: a path or "#element" of our own, never from data."""

    href: str
    label: str
    icon: str


def _link(place: Place, current: str) -> html.A:
    marked = {"aria-current": "page"} if place.href == current else {}
    return html.A(
        [icon(place.icon), html.Span(place.label, className="rail-word")],
        href=place.href,
        className="rail-link",
        **marked,
    )


def rail(title: str, version: str, places: Sequence[Place], current: str) -> html.Nav:
    """The left rail; a bottom bar on a phone."""
    return html.Nav(
        [
            html.Div(
                [html.Span(className="brand-mark"), html.Span(title, className="brand-word")],
                className="brand",
            ),
            html.Div([_link(place, current) for place in places], className="rail-links"),
            html.Div(
                [
                    html.Div(f"version {version}", id="server-version"),
                    html.Div(id="server-uptime", className="num"),
                ],
                className="rail-foot",
            ),
        ],
        className="rail",
        **{"aria-label": "Console"},
    )


def _tool(button_id: str, icon_name: str, word: str, label: str) -> dbc.Button:
    return dbc.Button(
        [icon(icon_name), html.Span(word, className="button-text")],
        id=button_id,
        className="tool",
        color="link",
        size="sm",
        title=label,
    )


def top_line() -> html.Header:
    """Health in words, the window, live or stale, theme, export.

    The sentence changes every second; #health-announce, which screen readers follow, only
    when the status does.
    """
    return html.Header(
        [
            html.Div(
                [
                    status_mark("health-mark"),
                    html.H1("Waiting for the server's first answer", id="health-text"),
                    html.Div(
                        id="health-announce",
                        className="visually-hidden",
                        role="status",
                        **{"aria-live": "polite"},
                    ),
                ],
                id="health",
                className="health",
                **{"data-status": "unknown"},
            ),
            html.Div(
                [
                    html.Span("last 10 minutes", id="window-label", className="window num"),
                    html.Button("Back to live", id="window-reset", className="chip", hidden=True),
                    html.Button(
                        [
                            html.Span(className="badge-dot", **{"aria-hidden": "true"}),
                            html.Span("Waiting", id="live-words", className="num"),
                        ],
                        id="live-badge",
                        className="live-badge",
                        title="Pause or resume",
                        **{"data-state": "waiting", "type": "button"},
                    ),
                    _tool("theme-switch", "theme", "Theme", "Switch between light and dark"),
                    _tool("export-png", "export", "Export PNG", "Export this page as a PNG image"),
                ],
                className="tools",
            ),
        ],
        id="top-line",
        className="top-line",
    )


def frame(
    page: Any, *, title: str, version: str, places: Sequence[Place], current: str
) -> html.Div:
    """The console around one page. live.js keeps data-phase: waiting, live, stale, paused."""
    return html.Div(
        [
            html.A("Skip to the figures", href="#page", className="skip"),
            rail(title, version, places, current),
            html.Div(
                [top_line(), html.Main(page, id="page", className="page", tabIndex=-1)],
                className="body",
            ),
            html.Div(id="toasts", className="toasts", **{"aria-live": "polite"}),
            html.Div(id="themes", hidden=True, **{"data-themes": json.dumps(browser_themes())}),
            dcc.Interval(id="tick", interval=TICK_MS),
        ],
        id="console",
        className="console",
        **{"data-phase": "waiting", "data-title": title},
    )
