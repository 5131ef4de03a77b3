"""The Fleet page: all processes as one, each of them, what they serve, and every way out.

Mounted empty; assets/fleet.js fills it from GET /performance/fleet.
"""

from __future__ import annotations

from dash import html

from components.marks import panel, status_mark
from components.tables import Column, table

FIGURES = (
    ("processes", "Processes", ""),
    ("requests_per_s", "Requests", "req/s"),
    ("p50_ms", "Latency p50", "ms"),
    ("p95_ms", "Latency p95", "ms"),
    ("p99_ms", "Latency p99", "ms"),
    ("p99_9_ms", "Latency p99.9", "ms"),
    ("error_percent", "Errors", "%"),
    ("hit_percent", "Cache hits", "%"),
)
"""Key, label and unit of the figures of all processes together."""
PEER_COLUMNS = (
    Column("peer", "Process"),
    Column("state", "State"),
    Column("spark", "10 minutes"),
    Column("rate", "Req/s", "end"),
    Column("p50", "p50, ms", "end"),
    Column("p99", "p99, ms", "end"),
    Column("errors", "Errors, %", "end"),
    Column("hits", "Hits, %", "end"),
    Column("cpu", "CPU, %", "end"),
    Column("memory", "Memory", "end"),
    Column("queue", "Queue, %", "end"),
    Column("alerts", "Alerts", "end"),
    Column("models", "Warm", "end"),
    Column("clock", "Clock", "end"),
)
MODEL_COLUMNS = (
    Column("model", "Model"),
    Column("rate", "Req/s", "end"),
    Column("p50", "p50, ms", "end"),
    Column("p99", "p99, ms", "end"),
    Column("errors", "Errors, %", "end"),
    Column("same", "Everywhere the same"),
    Column("on", "Version, form, digest"),
)
NODE_COLUMNS = (
    Column("node", "Node"),
    Column("state", "State"),
    Column("cpus", "CPUs", "end"),
    Column("cpu", "CPU, %", "end"),
    Column("memory", "Memory"),
    Column("replicas", "Replicas", "end"),
    Column("action", "", "end"),
)
REPLICA_COLUMNS = (
    Column("replica", "Model, replica"),
    Column("where", "Where, why"),
    Column("state", "State"),
    Column("p50", "p50, ms", "end"),
    Column("p99", "p99, ms", "end"),
    Column("requests", "Requests", "end"),
    Column("queued", "Queued", "end"),
    Column("cpu", "CPU, %", "end"),
    Column("memory", "Memory", "end"),
    Column("action", "", "end"),
)
OUTGOING_COLUMNS = (
    Column("to", "To"),
    Column("used", "Under way, of limit"),
    Column("waits", "Had to wait", "end"),
    Column("waiting", "Queued, of limit", "end"),
    Column("asked", "Asked", "end"),
    Column("failed", "Failed", "end"),
    Column("note", "Last problem"),
)
NOW_NOTE = (
    "Requests are the sum of all that answer; percentiles are read from their histograms added up. "
    "A process that does not answer counts for nothing here."
)
WAYS = (
    ("These processes", "pyrometer serve --peers http://10.0.0.2:8050,http://10.0.0.3:8050"),
    ("Every address of a name", "pyrometer serve --peers dns://pyrometer.default.svc:8050"),
    ("Every node of a Ray cluster", "pyrometer serve --peers ray"),
)
"""How peers are named, by what they are."""


def _readout(name: str) -> html.Div:
    return html.Div(id=f"readout-fleet-{name}", className="readout num")


def _now() -> html.Section:
    figures = [
        html.Div(
            [
                html.Dt([label, html.Span(f", {unit}", className="unit") if unit else ""]),
                html.Dd("–", className="num", **{"data-fleet": key}),
            ],
            className="fleet-figure",
        )
        for key, label, unit in FIGURES
    ]
    sentence = html.Div(
        [status_mark("fleet-mark"), html.P("Asking the peers", id="fleet-words")],
        className="fleet-sentence",
    )
    return panel(
        "panel-fleet-now",
        "All processes together",
        "last minute",
        sentence,
        html.Dl(figures, className="fleet-figures"),
        html.P(NOW_NOTE, className="fleet-remark"),
        span=12,
        head=(_readout("now"),),
    )


def _how() -> html.Section:
    """What is shown where no peers are configured."""
    ways = [
        html.Li([html.Span(name, className="fleet-way"), html.Div(**{"data-command": command})])
        for name, command in WAYS
    ]
    words = (
        "This process watches itself alone. Name its peers, and their requests, percentiles, "
        "models and alerts appear here as one: each is asked every two seconds for histograms "
        "that add up."
    )
    key = (
        "Where peers ask for a key, make one with scope view on each, and set PYROMETER_PEERS_KEY. "
        "Name them by the addresses of the processes, not by the load balancer's."
    )
    return panel(
        "panel-fleet-how",
        "No peers are configured",
        "",
        html.Div(
            [
                html.P(words),
                html.Ul(ways, className="fleet-ways"),
                html.P([key, " ", html.A("Settings", href="/settings"), "."]),
            ],
            className="fleet-how",
        ),
        span=12,
    )


def _latency() -> html.Section:
    return panel(
        "panel-fleet-latency",
        "Latency p99",
        "ms, all together and each",
        html.Div(id="fleet-latency", className="fleet-plot"),
        span=12,
        head=(_readout("latency"),),
    )


def _listed(name: str, title: str, unit: str, columns: tuple[Column, ...]) -> html.Section:
    return panel(
        f"panel-fleet-{name}",
        title,
        unit,
        table(name, columns, "fleet-"),
        span=12,
        head=(_readout(name),),
    )


def _remote() -> html.Section:
    return panel(
        "panel-fleet-remote",
        "Ray",
        "",
        html.Div(id="fleet-remote-words", className="fleet-words"),
        span=12,
        head=(_readout("remote"),),
    )


def _shared() -> html.Section:
    return panel(
        "panel-fleet-shared",
        "Shared results",
        "",
        html.Div(id="fleet-shared-words", className="fleet-words"),
        html.Dl(id="fleet-shared-facts", className="fleet-facts", hidden=True),
        span=12,
        head=(_readout("shared"),),
    )


def fleet_page() -> html.Div:
    """Every panel of the page, empty."""
    note = html.P(id="fleet-range", className="fleet-range", hidden=True, role="note")
    return html.Div(
        [
            note,
            _how(),
            _now(),
            _latency(),
            _listed("peers", "Processes", "last minute", PEER_COLUMNS),
            _listed("versions", "Models across the fleet", "last minute", MODEL_COLUMNS),
            _remote(),
            _listed("nodes", "Nodes", "Ray", NODE_COLUMNS),
            _listed("replicas", "Placement and replicas", "", REPLICA_COLUMNS),
            _shared(),
            _listed("outgoing", "Outgoing connections", "since the start", OUTGOING_COLUMNS),
        ],
        id="fleet-page",
        className="grid fleet-page",
        **{"data-state": "loading", "data-configured": "unknown", "data-remote": "no"},
    )
