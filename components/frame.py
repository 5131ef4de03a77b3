"""What stands around the pages: rail, top line, toasts."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import dash_bootstrap_components as dbc
from dash import dcc, html

from components.catalogue import CatalogueEntries
from components.marks import icon, status_mark
from components.theme import browser_themes

TICK_MS = 1000


class Page(NamedTuple):
    """One page of the console.

    name: its section is view-<name>; path: its URL; build: catalogue entries in, Dash tree
    out; in_bar: a place of its own on a phone's bottom bar, not one under More.
    """

    name: str
    path: str
    label: str
    icon: str
    title: str
    build: Callable[[CatalogueEntries], Any]
    in_bar: bool = True


def _word(label: str) -> html.Span:
    """A label; on a phone's bar only its first word is seen."""
    first, _, rest = label.partition(" ")
    words: list[Any] = [first]
    if rest:
        words.append(html.Span(f" {rest}", className="rail-rest-words"))
    return html.Span(words, className="rail-word")


def _link(page: Page) -> html.A:
    return html.A(
        [icon(page.icon), _word(page.label)],
        href=page.path,
        className="rail-link",
        **{"data-page": page.name},
    )


def _more(pages: Sequence[Page]) -> html.Div:
    """The rest of the rail: in line on a wide screen, a sheet above the bar on a phone."""
    return html.Div(
        [
            html.Button(
                [icon("more"), _word("More")],
                id="rail-more",
                className="rail-link rail-more",
                **{"type": "button", "aria-expanded": "false", "aria-controls": "rail-sheet"},
            ),
            html.Div([_link(page) for page in pages], id="rail-sheet", className="rail-sheet"),
        ],
        className="rail-rest",
    )


def rail(title: str, version: str, pages: Sequence[Page]) -> html.Nav:
    """The left rail; a bottom bar on a phone. _router.js marks the page that is shown."""
    return html.Nav(
        [
            html.Div(
                [html.Span(className="brand-mark"), html.Span(title, className="brand-word")],
                className="brand",
            ),
            html.Div(
                [
                    *(_link(page) for page in pages if page.in_bar),
                    _more([page for page in pages if not page.in_bar]),
                ],
                className="rail-links",
            ),
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


def view(page: Page, entries: CatalogueEntries = ()) -> html.Section:
    """A page's section, unseen until _router.js shows it."""
    heading = f"view-{page.name}-title"
    return html.Section(
        [html.H2(page.title, id=heading, className="visually-hidden"), page.build(entries)],
        id=f"view-{page.name}",
        className="page-view",
        hidden=True,
        **{"aria-labelledby": heading},
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


def _time_button() -> html.Div:
    """The range in words; picker.js opens the picker below it."""
    button = html.Button(
        [
            icon("time"),
            html.Span("Last 10 minutes", id="window-label", className="num"),
            icon("down"),
        ],
        id="time-button",
        className="chip time-button",
        title="Time range, refresh, comparison",
        **{"type": "button", "aria-haspopup": "dialog", "aria-expanded": "false"},
    )
    return html.Div(button, id="time", className="time")


def top_line() -> html.Header:
    """Health in words, the range of time, live or stale, theme, export.

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
                    html.Button("Back to live", id="window-reset", className="chip", hidden=True),
                    _time_button(),
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
    pages: Sequence[Page], entries: CatalogueEntries = (), *, title: str, version: str
) -> html.Div:
    """The console around all pages. live.js keeps data-phase: waiting, live, stale, paused."""
    table = [{"name": page.name, "path": page.path, "title": page.title} for page in pages]
    views = [view(page, entries) for page in pages]
    return html.Div(
        [
            html.A("Skip to the figures", href="#page", className="skip"),
            rail(title, version, pages),
            html.Div(
                [top_line(), html.Main(views, id="page", className="page", tabIndex=-1)],
                className="body",
            ),
            html.Div(id="toasts", className="toasts", **{"aria-live": "polite"}),
            html.Div(id="themes", hidden=True, **{"data-themes": json.dumps(browser_themes())}),
            dcc.Interval(id="tick", interval=TICK_MS),
        ],
        id="console",
        className="console",
        **{"data-phase": "waiting", "data-title": title, "data-pages": json.dumps(table)},
    )
