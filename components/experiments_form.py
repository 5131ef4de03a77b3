"""The form of the Experiments page that makes one; assets/experiments_form.js fills it."""

from __future__ import annotations

from typing import Any

from dash import html

from components.forms import Field, field_label
from components.marks import icon, panel

MAIN = (
    Field("name", "Name", "text", "What is tried, in a few words"),
    Field("model", "Model", "choice", "Whose requests take part"),
    Field(
        "mode",
        "Mode",
        "choice",
        "Split: each caller is answered by one variant. Shadow: control answers everybody, the "
        "candidates run beside, off the callers' time",
        (("split", "split the callers"), ("shadow", "shadow: run beside")),
    ),
    Field(
        "header",
        "Sticky by header",
        "text",
        "The same value, the same variant; without one, by a hash of the inputs",
        wants="mode=split",
    ),
    Field(
        "fraction",
        "Compared, % of requests",
        "percent",
        "Also run by the others, off the caller's time, to compare the answers",
    ),
    Field(
        "measure",
        "Measure",
        "choice",
        "The whole request at the server, or the model's run alone; cached answers are left out "
        "of runs",
        (("request", "whole request"), ("inference", "model's run")),
        wants="mode=split",
    ),
    Field(
        "analysis.kind",
        "Analysis",
        "choice",
        "Planned: one look, at the end. Always valid: whenever it is looked at, but wider",
        (("planned", "planned end"), ("always-valid", "always valid")),
    ),
    Field(
        "analysis.requests",
        "Requests of each variant",
        hint="The verdict stays hidden until then",
        wants="analysis.kind=planned",
    ),
    Field(
        "alpha", "Level, %", "percent", "How often a difference may be found where there is none"
    ),
)
GUARDS = (
    (
        "errors",
        "Errors",
        (
            Field("guards.errors.limit", "More than control's by, %", "percent"),
            Field("guards.errors.least", "From requests", hint="It judges from so many on"),
        ),
    ),
    (
        "p99",
        "p99",
        (
            Field("guards.p99.limit", "Times control's, at most"),
            Field("guards.p99.least", "From requests", hint="It judges from so many on"),
        ),
    ),
    (
        "disagreement",
        "Answers that differ",
        (
            Field("guards.disagreement.limit", "Of the rows, at most, %", "percent"),
            Field("guards.disagreement.least", "From requests", hint="Compared ones"),
            Field(
                "guards.disagreement.tolerance",
                "Equal within",
                hint="Largest difference of two numbers that count as equal",
            ),
        ),
    ),
)
"""Name, title and fields of each guard rail; the first field of each switches it off."""


def _id(name: str) -> str:
    return f"experiments-{name}"


def action(name: str, words: str, icon_name: str = "") -> html.Button:
    """A button of the page, `experiments-NAME`."""
    content: list[Any] = [html.Span(words, className="button-text")]
    return html.Button(
        [icon(icon_name), *content] if icon_name else content,
        id=_id(name),
        className="action btn btn-sm btn-link",
        **{"type": "button"},
    )


def _field(field: Field) -> html.Label:
    return field_label("experiments", field)


def _guard_fields(name: str, title: str, fields: tuple[Field, ...]) -> html.Div:
    switch = Field(f"guards.{name}", title, "flag", "Off: it stops nothing")
    shown = [_field(field._replace(wants=f"guards.{name}=1")) for field in fields]
    return html.Div([_field(switch), *shown], className="experiments-guard")


def _group(title: str, *content: Any) -> html.Div:
    return html.Div(
        [html.H3(title, className="experiments-sub"), *content], className="experiments-group"
    )


def experiments_form() -> html.Section:
    """The form, without its inputs and variants."""
    create = action("create", "Create and start", "experiments")
    create.className = "action btn btn-sm experiments-create"
    start = Field("start", "Start at once", "flag", "Off: it is kept as a draft")
    return panel(
        "panel-experiments-form",
        "New experiment",
        "",
        html.Div(
            [
                html.Div([_field(field) for field in MAIN], className="experiments-fields"),
                html.Div(id=_id("options-problem"), className="experiments-note", role="status"),
                _group("Variants", html.Div(id=_id("variants")), action("add", "Add a candidate")),
                _group("Guard rails that stop it", *(_guard_fields(*guard) for guard in GUARDS)),
                html.Div(id=_id("problem"), className="experiments-problem", role="alert"),
                html.Div(
                    [create, _field(start), html.Span(id=_id("will"), className="muted")],
                    className="experiments-send",
                ),
                html.Div(id=_id("curl"), className="experiments-command"),
            ],
            id=_id("form"),
            className="experiments-form",
        ),
        span=12,
        head=(html.Div(className="readout"), action("close", "Close")),
    )
