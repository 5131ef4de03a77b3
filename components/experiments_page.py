"""The Experiments page: is the candidate better, may I believe it, and what do I press?

Mounted empty; assets/experiments*.js fill it from GET /performance/experiments and the experiment
that is shown.
"""

from __future__ import annotations

from typing import Any

from dash import html

from components.experiments_form import action, experiments_form
from components.marks import panel, status_mark
from components.tables import Column, table

FIGURE_COLUMNS = (
    Column("candidate", "Figure"),
    Column("control", "Control, ms", "end"),
    Column("ms", "Candidate, ms", "end"),
    Column("ratio", "Ratio", "end"),
    Column("p", "p (Holm)", "end"),
    Column("verdict", "Verdict"),
)
AGREEMENT_COLUMNS = (
    Column("when", "When"),
    Column("output", "Output"),
    Column("control", "Control answered"),
    Column("candidate", "Candidate answered"),
    Column("difference", "Differ by", "end"),
)
GUARD_COLUMNS = (
    Column("guard", "Watched"),
    Column("state", "State"),
    Column("now", "Now", "end"),
    Column("limit", "Limit", "end"),
    Column("count", "Requests", "end"),
)
SPLIT_COLUMNS = (
    Column("variant", "Variant"),
    Column("units", "Callers", "end"),
    Column("expected", "Intended", "end"),
    Column("off", "Off by", "end"),
)
VARIANT_COLUMNS = (
    Column("variant", "Variant"),
    Column("share", "Share, %", "end"),
    Column("requests", "Requests", "end"),
    Column("errors", "Errors, %", "end"),
    Column("refused", "Refused", "end"),
    Column("cached", "Cached", "end"),
    Column("sampled", "Timed", "end"),
    Column("p50", "p50, ms", "end"),
    Column("p95", "p95, ms", "end"),
    Column("p99", "p99, ms", "end"),
    Column("mean", "Mean, ms", "end"),
)
PROMOTION_COLUMNS = (
    Column("model", "Model"),
    Column("serves", "Serves now"),
    Column("before", "Before"),
    Column("experiment", "By experiment"),
    Column("action", "", "end"),
)
LIST_COLUMNS = (
    Column("experiment", "Experiment"),
    Column("state", "State"),
    Column("mode", "Mode"),
    Column("progress", "Progress"),
    Column("verdict", "Verdict"),
    Column("action", "", "end"),
)


def _id(name: str) -> str:
    return f"experiments-{name}"


def _readout(name: str) -> html.Div:
    return html.Div(id=f"readout-experiments-{name}", className="readout num")


def _progress() -> html.Div:
    fill = html.Div(id=_id("progress-fill"), className="experiments-bar-fill")
    bar = html.Div(
        fill,
        id=_id("progress-bar"),
        className="experiments-bar",
        role="progressbar",
        **{
            "aria-label": "Requests answered by the variant with the fewest",
            "aria-valuemin": "0",
            "aria-valuemax": "100",
            "aria-valuenow": "0",
        },
    )
    words = html.Span(id=_id("progress-words"), className="num")
    return html.Div([bar, words], id=_id("progress"), className="experiments-progress", hidden=True)


def _verdict() -> html.Section:
    line = html.Div(
        [status_mark(_id("mark")), html.P("Asking for the experiments", id=_id("verdict"))],
        id=_id("headline"),
        className="experiments-headline",
        role="status",
        **{"data-status": "unknown"},
    )
    return panel(
        "panel-experiments-verdict",
        "Verdict",
        "",
        line,
        html.Ul([], id=_id("sentences"), className="experiments-sentences"),
        html.P("", id=_id("detail"), className="experiments-detail"),
        _progress(),
        html.Div(id=_id("actions"), className="experiments-actions"),
        html.Dl([], id=_id("facts"), className="experiments-facts"),
        html.Div(id=_id("command"), className="experiments-command"),
        span=12,
        head=(_readout("verdict"), action("new", "New experiment")),
    )


def _results() -> list[html.Section]:
    """What the experiment that is shown has found."""

    def part(name: str, title: str, *body: Any, span: int = 6, unit: str = "") -> html.Section:
        place = f"panel-experiments-{name}"
        return panel(place, title, unit, *body, span=span, head=(_readout(name),))

    def rows(name: str, columns: tuple[Column, ...]) -> html.Div:
        return table(name, columns, "experiments-")

    def words(name: str, kind: str = "note") -> html.P:
        return html.P("", id=_id(name), className=f"experiments-{kind}")

    shadow = html.Dl([], id=_id("shadow"), className="experiments-facts experiments-shadow")
    return [
        part("forest", "Times beside control's", html.Div(id=_id("forest")), unit="ratio"),
        part("figures", "Figures", rows("figures", FIGURE_COLUMNS), words("method")),
        part(
            "agreement",
            "Agreement of the answers",
            html.Ul([], id=_id("agreed"), className="experiments-agreed"),
            rows("agreement", AGREEMENT_COLUMNS),
        ),
        part("guards", "Guard rails", rows("guards", GUARD_COLUMNS)),
        part("split", "Split of the callers", words("ratio"), rows("split", SPLIT_COLUMNS)),
        part("shadow", "Runs beside", shadow, words("shadow-words")),
        part("variants", "Variants", rows("variants", VARIANT_COLUMNS), span=12),
    ]


def _lists() -> list[html.Section]:
    return [
        panel(
            f"panel-experiments-{name}",
            title,
            "",
            table(name, columns, "experiments-"),
            span=12,
            head=(_readout(name),),
        )
        for name, title, columns in (
            ("promotions", "Promotions in force", PROMOTION_COLUMNS),
            ("list", "Experiments", LIST_COLUMNS),
        )
    ]


def experiments_page() -> html.Div:
    """The page, empty. Its data-state: loading, empty, shown, stale or error."""
    return html.Div(
        [
            _verdict(),
            experiments_form(),
            html.Div(_results(), id=_id("results"), className="grid"),
            html.Div(_lists(), className="grid"),
        ],
        id="experiments-page",
        className="experiments-page",
        **{
            "data-state": "loading",
            "data-form": "closed",
            "data-mode": "",
            "data-promotions": "none",
            "data-trust": "yes",
        },
    )
