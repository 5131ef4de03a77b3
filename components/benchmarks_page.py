"""The Benchmarks page: how fast is it really, and can the number be defended?

Mounted empty; assets/benchmarks*.js fill it from GET /performance/benchmarks and a stored run.
"""

from __future__ import annotations

from dash import html

from components.forms import Field, field_label
from components.marks import icon, panel, status_mark
from components.tables import Column, table

MAIN = (
    Field("model", "Model", "choice", "Which model is asked"),
    Field("name", "Name", "text", "What to call the run; may be empty"),
    Field(
        "loop",
        "Load",
        "choice",
        "Open: requests are sent at a rate, whatever the answers take, and latency counts from "
        "when each should have been sent. Closed: every connection waits for its answer first, "
        "so that a stall of the server hides most of what it cost",
        (("open", "open: at a rate"), ("closed", "closed: as fast as answered")),
    ),
    Field(
        "arrivals",
        "Arrivals",
        "choice",
        "Poisson: at random, as independent callers come; constant: evenly",
        (("poisson", "Poisson"), ("constant", "constant")),
        wants="loop=open",
    ),
    Field("rate_per_s", "Rate, requests/s", wants="loop=open"),
    Field("connections", "Connections"),
    Field("seconds", "Length, s"),
    Field("warmup_s", "Warm-up before, s", hint="Sent, but not counted"),
    Field("slo.p99_ms", "p99 at most, ms", hint="The objective; empty for none"),
    Field("slo.error_percent", "Errors at most, %", hint="The objective; empty for none"),
    Field(
        "payload.cache",
        "Cached answers allowed",
        "flag",
        "Off: every request asks the model, by Cache-Control: no-cache",
    ),
    Field(
        "ramp",
        "Ramp: find the highest rate",
        "flag",
        "Steps of rising rates; the highest one within the objective is told",
        wants="loop=open",
    ),
    Field("ramp.from_per_s", "From, requests/s", wants="ramp=1"),
    Field("ramp.to_per_s", "To, requests/s", wants="ramp=1"),
    Field("ramp.steps", "Steps", wants="ramp=1"),
    Field("ramp.step_s", "Each, s", wants="ramp=1"),
)
FURTHER = (
    Field(
        "payload.source",
        "Payload",
        "choice",
        "Rows that came with the model, a file of V2 bodies, or captured traffic",
        (("samples", "the model's rows"), ("file", "a file"), ("traffic", "captured traffic")),
    ),
    Field("payload.rows", "Different bodies", hint="At most so many different requests"),
    Field(
        "payload.path",
        "File",
        "choice",
        "Of payloads or traffic in the state directory; `pyrometer bench record` captures traffic",
        wants="payload.source=file",
    ),
    Field(
        "payload.speed",
        "Speed of replay",
        hint="1: at its own times; empty: in its order, at the rate above",
        wants="payload.source=traffic",
    ),
    Field("version", "Version", "text", "Empty: the one that serves"),
    Field(
        "url",
        "Target",
        "text",
        "Empty: this server; else another V2 server on this machine, as http://127.0.0.1:8080",
    ),
    Field("timeout_s", "Time-out, s", hint="An answer later than this is an error"),
    Field("seed", "Seed", hint="Of arrivals and made rows: the same seed sends the same"),
)
RUN_COLUMNS = (
    Column("run", "Run"),
    Column("asked", "What was asked"),
    Column("rate", "Achieved, 1/s", "end"),
    Column("p50", "p50, ms", "end"),
    Column("p99", "p99, ms", "end"),
    Column("errors", "Errors, %", "end"),
    Column("verdict", "Verdict"),
    Column("action", "", "end"),
)
COMPARED_COLUMNS = (
    Column("figure", "Figure"),
    Column("this", "This run", "end"),
    Column("other", "Compared", "end"),
    Column("ratio", "Ratio", "end"),
    Column("words", "In words"),
)
PLOTS = (
    ("sides", "Client beside server", "ms", 6),
    ("asked", "Asked and achieved", "", 6),
    ("distribution", "Latency distribution", "ms", 6),
    ("percentiles", "Latency by percentile", "ms", 6),
    ("ramp", "Rate against p99", "ms", 12),
)
"""Name, title, unit and width of each panel that shows a stored run."""


def _id(name: str) -> str:
    return f"benchmarks-{name}"


def _readout(name: str) -> html.Div:
    return html.Div(id=f"readout-benchmarks-{name}", className="readout num")


def _fields(fields: tuple[Field, ...]) -> html.Div:
    return html.Div(
        [field_label("benchmarks", field) for field in fields], className="benchmarks-fields"
    )


def _form() -> html.Section:
    further = html.Details(
        [
            html.Summary("Payload, target, seed", className="benchmarks-more"),
            _fields(FURTHER),
        ],
        id=_id("further"),
    )
    start = html.Button(
        [icon("benchmarks"), html.Span("Start", className="button-text")],
        id=_id("start"),
        className="action btn btn-sm benchmarks-start",
        **{"type": "button"},
    )
    return panel(
        "panel-benchmarks-form",
        "Start a benchmark",
        "",
        html.Div(
            [
                _fields(MAIN),
                further,
                html.Div(id=_id("problem"), className="benchmarks-problem", role="alert"),
                html.Div(
                    [start, html.Span(id=_id("estimate"), className="muted num")],
                    className="benchmarks-send",
                ),
            ],
            id=_id("form"),
            className="benchmarks-form",
        ),
        span=12,
    )


def _progress() -> html.Div:
    bar = html.Div(
        html.Div(id=_id("progress-fill"), className="benchmarks-bar-fill"),
        id=_id("progress-bar"),
        className="benchmarks-bar",
        role="progressbar",
        **{
            "aria-label": "Progress of the benchmark",
            "aria-valuemin": "0",
            "aria-valuemax": "100",
            "aria-valuenow": "0",
        },
    )
    cancel = html.Button(
        "Cancel", id=_id("cancel"), className="action btn btn-sm btn-link", **{"type": "button"}
    )
    words = html.Span(id=_id("progress-words"), className="num")
    return html.Div(
        [html.Div([words, cancel], className="benchmarks-progress-line"), bar],
        id=_id("progress"),
        className="benchmarks-progress",
        hidden=True,
    )


def _plot(name: str) -> html.Div:
    return html.Div(
        html.P("", className="benchmarks-blank"), id=_id(name), className="benchmarks-plot"
    )


def _over_time() -> html.Section:
    head = (_readout("time"),)
    body = (_progress(), _plot("time"))
    return panel("panel-benchmarks-time", "Over the run", "", *body, span=12, head=head)


def _verdict() -> html.Section:
    line = html.Div(
        [status_mark(_id("mark")), html.P("Asking for the runs", id=_id("verdict"))],
        id=_id("headline"),
        className="benchmarks-headline",
        role="status",
        **{"data-status": "unknown"},
    )
    actions = html.Div(id=_id("actions"), className="benchmarks-actions")
    return panel(
        "panel-benchmarks-verdict",
        "Verdict",
        "",
        line,
        html.P("", id=_id("detail"), className="benchmarks-detail"),
        html.Dl([], id=_id("facts"), className="benchmarks-facts"),
        html.Div(id=_id("command"), className="benchmarks-command"),
        span=12,
        head=(_readout("verdict"), actions),
    )


def _compared() -> html.Section:
    stop = html.Button("Stop comparing", id=_id("alone"), className="chip", **{"type": "button"})
    return panel(
        "panel-benchmarks-compared",
        "Compared",
        "",
        html.Ul(id=_id("differences"), className="benchmarks-differences"),
        table("compared", COMPARED_COLUMNS, "benchmarks-"),
        span=12,
        head=(_readout("compared"), stop),
    )


def _runs() -> html.Section:
    return panel(
        "panel-benchmarks-runs",
        "Stored runs",
        "newest first",
        table("runs", RUN_COLUMNS, "benchmarks-"),
        span=12,
        head=(_readout("runs"),),
    )


def benchmarks_page() -> html.Div:
    """The page, empty. Its data-state: loading, empty, shown, stale or error."""
    plots = [
        panel(
            f"panel-benchmarks-{name}", title, unit, _plot(name), span=span, head=(_readout(name),)
        )
        for name, title, unit, span in PLOTS
    ]
    return html.Div(
        [
            _verdict(),
            html.Div([_form(), _over_time()], className="benchmarks-top"),
            html.Div([_compared(), *plots, _runs()], className="grid"),
        ],
        id="benchmarks-page",
        className="benchmarks-page",
        **{"data-state": "loading", "data-ramp": "no", "data-compared": "no"},
    )
