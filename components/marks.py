"""Small marks used everywhere: icons, status marks, panel frames."""

from __future__ import annotations

from typing import Any

from dash import html


def icon(name: str) -> html.Span:
    """A 16 px icon, drawn by layout.css as a mask in the colour of the text."""
    return html.Span(className=f"icon icon-{name}", **{"aria-hidden": "true"})


def status_mark(element_id: str | None = None, status: str = "unknown") -> html.Span:
    """The status' shape; layout.css draws it from data-status, the word stands beside it."""
    named = {} if element_id is None else {"id": element_id}
    return html.Span(className="mark", **{"data-status": status, "aria-hidden": "true"}, **named)


def panel(
    panel_id: str, title: str, unit: str, *body: Any, span: int, head: tuple[Any, ...] = ()
) -> html.Section:
    """A titled panel on the 12-column grid. span: columns on a wide screen."""
    heading: list[Any] = [title]
    if unit:
        heading.append(html.Span(f", {unit}", className="unit"))
    return html.Section(
        [
            html.Div(
                [html.H2(heading, id=f"{panel_id}-title"), *head],
                className="panel-head",
                id=f"{panel_id}-head",
            ),
            *body,
        ],
        id=panel_id,
        className=f"panel span-{span}",
        **{"aria-labelledby": f"{panel_id}-title"},
    )
