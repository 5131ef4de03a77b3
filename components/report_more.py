"""Further parts of a report's HTML: where the time goes, what else was run, the appendix."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from components.report_charts import flame
from components.report_parts import (
    FORMS,
    Cites,
    Data,
    cell,
    figure_cell,
    head,
    heading,
    row,
    table,
    words,
)
from components.report_words import (
    NONE,
    amount,
    day_and_time,
    machine_words,
    number,
    of_figure,
    versions_words,
)

CODE = ("id", "file", "command", "commit")


def time_spent(report: Data, cites: Cites) -> Iterator[str]:
    """Phases, functions, flame graph of the window."""
    window = report["window"]
    said = f"Of the traffic from {window['words']}." if window else "Made without a server."
    yield heading("time", "Where the time goes now", said)
    if report["now"]:
        rows = [row(head(one["label"]), figure_cell(cites, one["figure"])) for one in report["now"]]
        yield table(("In this window", "Figure>"), rows, "Figures of the window", "few")
    if report["phases"]:
        yield "<h3>Phases of requests</h3>"
        columns = ("Model", "Phase", "Share>", "Time>", "Requests>", "")
        rows = [_phase(one, cites) for one in report["phases"]]
        yield table(columns, rows, "Phases of requests")
    elif window:
        yield "<p>No request in this window.</p>"
    if report["top"]:
        yield "<h3>Functions, by their own processor time</h3>"
        rows = [
            row(
                cell(f"<code>{escape(one['function'])}</code>"),
                words(f"{number(one['self_percent'])} %", "end nowrap"),
                words(f"{number(one['total_percent'])} %", "end nowrap"),
            )
            for one in report["top"]
        ]
        yield table(("Function", "Own>", "With callees>"), rows, "Functions", "")
    if report["flame"] and window:
        of = "Code of requests" if report["flame"].get("kind") else "All code"
        drawn = flame(report["flame"], of, f"{window['words']}, processor time")
        region = 'tabindex="0" role="region" aria-label="Flame graph"'
        yield f'<div class="scroll" {region}>{drawn}</div>'


def _phase(one: Data, cites: Cites) -> str:
    width = f"{max(0.5, one['percent']):.1f}"
    return row(
        head(one["model"]),
        words(one["phase"]),
        cell(f"{number(one['percent'])} %{cites.mark(one)}", "end nowrap"),
        words(f"{number(one['ms'])} ms", "end nowrap"),
        words(f"{one['requests']:,}", "end"),
        cell(f'<span class="share" style="width:{width}%"></span>', "drawn"),
    )


def beside(report: Data, cites: Cites) -> Iterator[str]:
    """Effectiveness in production, experiments, gates, load tests: what is there."""
    told = report["effectiveness"]
    if told:
        yield heading("effectiveness", "Effectiveness in production", "Watched by the server.")
        rows = [row(head(one["label"]), figure_cell(cites, one)) for one in told["figures"]]
        yield table(("In the last hour", "Figure>"), rows, "Effectiveness", "few")
    lines = [
        row(
            head(f"{one['kind']}: {one['name'] or one['id']}"),
            cell(_figures(one, cites)),
            words(day_and_time(one["ended"]), "nowrap"),
        )
        for one in (*report["soaks"], *report["loads"])
    ]
    lines += [
        row(
            head(f"gate: {one['name'] or one['id']}"),
            words(one["passed"]),
            words(day_and_time(one["ended"]), "nowrap"),
        )
        for one in report["gates"]
    ]
    lines += [
        row(head(f"experiment: {one['name']}"), words(one["text"]), "<td></td>")
        for one in report["experiments"]
    ]
    if lines:
        yield heading("beside", "Load tests, gates and experiments")
        yield table(("Run", "Figures", "Ended"), lines, "Load tests, gates and experiments")


def _figures(one: Data, cites: Cites) -> str:
    told = ", ".join(f"{cites.figure(f)} {escape(f['label'])}" for f in one["figures"])
    return told if one["valid"] else f'{told}; <span class="why">invalid</span>'


def appendix(report: Data, cites: Cites) -> Iterator[str]:
    """Every source, and every figure of the runs with how it was measured."""
    yield '<footer class="new-page">'
    said = "What each figure is from. A run is a file in the server's state folder."
    yield heading("sources", "Appendix: sources", said)
    for one in report["sources"]:
        yield from _source(one)
    rows = [
        row(
            cell(f"<code>{escape(figure['key'])}</code>"),
            cell(f"{escape(amount(figure))}{cites.mark(figure)}", "end nowrap"),
            words(of_figure(figure)),
        )
        for figure in _measured(report)
    ]
    if rows:
        yield heading("figures", "Appendix: every figure of before and after")
        yield table(("Figure", "Value>", "How"), rows, "Every figure", "small wide")
    yield "</footer>"


def _source(one: Data) -> Iterator[str]:
    title = f"{one['number']}. {one['name'] or one['id']}"
    yield f'<h3 id="source-{one["number"]}">{escape(title)}</h3><dl>'
    pairs = (
        ("kind", one["kind"]),
        ("id", one["id"]),
        ("file", one["where"]),
        ("begun", day_and_time(one["started"])),
        ("ended", day_and_time(one["ended"])),
        ("command", one["command"]),
        ("machine", machine_words(one["machine"])),
        ("versions", versions_words(one["versions"])),
        ("commit", one["commit"] or NONE),
    )
    for name, value in pairs:
        if value != NONE:
            shown = escape(str(value))
            shown = f"<code>{shown}</code>" if name in CODE else shown
            yield f"<dt>{name}</dt><dd>{shown}</dd>"
    yield "</dl>"


def _measured(report: Data) -> Iterator[Data]:
    for one in report["before_after"]:
        for form in FORMS:
            if one[form].get("value") is not None:
                yield one[form]
    for one in report["server"]:
        if one["figure"].get("value") is not None:
            yield one["figure"]
