"""One model: what it is, why it runs as it does, how fast, how good; and a form to try it."""

from __future__ import annotations

from typing import Any

from dash import html

from components.marks import panel, status_mark

FIGURES = (
    ("form", "Serves as"),
    ("speedup", "Speed-up"),
    ("memory", "Memory"),
    ("requests", "Requests"),
    ("p50", "p50"),
    ("p99", "p99"),
    ("hits", "Cache hits"),
    ("used", "Last used"),
)
"""Key and label of each figure below the model's name, of the live snapshot."""


def _words(text: str) -> html.P:
    return html.P(text, className="model-words")


def _head() -> html.Header:
    return html.Header(
        [
            html.Div(
                [
                    html.A("All models", href="/models", id="model-back", className="model-back"),
                    html.H2("", id="model-name", className="model-name", tabIndex=-1),
                    html.Span(
                        [status_mark("model-mark"), html.Span("", id="model-state")],
                        className="state model-state",
                    ),
                    html.Span(id="model-progress", className="model-progress num", role="status"),
                ],
                className="model-title",
            ),
            html.Div(id="model-actions", className="model-actions"),
        ],
        id="model-head",
        className="model-head",
    )


def _figure(key: str, label: str) -> html.Div:
    return html.Div(
        [
            html.Dt(label),
            html.Dd("–", className="num", **{"data-figure": key}),
            html.Dd("", className="model-figure-note", **{"data-note": key}),
        ],
        className="model-figure",
    )


def _readout(name: str) -> html.Div:
    return html.Div(id=f"readout-model-{name}", className="readout num")


def _panel(name: str, title: str, unit: str, waiting: str, *, span: int) -> html.Section:
    body: Any = html.Div(
        _words(waiting), id=f"model-{name}", className=f"model-body model-body-{name}"
    )
    return panel(f"panel-model-{name}", title, unit, body, span=span, head=(_readout(name),))


def model_page() -> html.Div:
    """Every panel of one model, empty and unseen; models_detail.js fills and shows it."""
    return html.Div(
        [
            _head(),
            html.P("", id="model-description", className="model-description"),
            html.Div(id="model-problem", className="model-problem", role="status", hidden=True),
            html.Dl(
                [_figure(key, label) for key, label in FIGURES],
                id="model-figures",
                className="model-figures",
            ),
            html.Div(
                [
                    _panel("plan", "Plan", "time of a run", "Asking for the plan", span=12),
                    _panel(
                        "audit", "Checked in production", "", "Asking what audits found", span=12
                    ),
                    _panel(
                        "latency", "Latency distribution", "ms", "Asking for the figures", span=6
                    ),
                    _panel(
                        "traffic", "Batches, queue and errors", "", "Asking for the figures", span=6
                    ),
                    _panel("try", "Try it", "", "Asking for the schema", span=12),
                    _panel("schema", "Schema", "", "Asking for the schema", span=6),
                    html.Div(
                        [
                            _panel("quality", "Held-out quality", "", "Asking for it", span=12),
                            _panel("versions", "Versions", "", "Asking for them", span=12),
                        ],
                        className="span-6 model-stack",
                    ),
                ],
                className="grid",
            ),
        ],
        id="model-one",
        className="model-one",
        hidden=True,
    )
