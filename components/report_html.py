"""A report as one HTML file that needs nothing else: no script, no address of elsewhere.

data: app.reports.document. Every figure bears the number of its source, a link to the appendix,
which lists each run with its id, command, machine, versions and commit. What comes from outside
is written as text. PICTURES is where the console puts the pictures of its basket.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from components import report_more
from components.report_charts import bars
from components.report_parts import (
    FORMS,
    Cites,
    Data,
    cell,
    figure_cell,
    group,
    head,
    heading,
    row,
    status_words,
    table,
    words,
)
from components.report_style import style
from components.report_words import (
    NONE,
    action_words,
    day_and_time,
    machine_words,
    number,
    of_figure,
    saving_words,
)

PICTURES = "<!-- pictures -->"
DRAWN = (
    ("cold_start_ms", "Process start to first answer, ms"),
    ("warm_p99_ms", "Warm answer without cache, p99, ms"),
    ("throughput_per_s", "Requests/s at 50 connections"),
)
COLOURS = {"before": "var(--ink-3)", "warm": "var(--series-1)", "plan": "var(--accent)"}


def report_html(report: Data, theme: str = "") -> str:
    """The whole file. theme: "dark" or "light" whatever the reader's system says, or ""."""
    cites = Cites(report["sources"])
    named = f' data-theme="{theme}"' if theme in ("dark", "light") else ""
    title = f"Pyrometer, {report['title'].lower()}, {day_and_time(report['made'])}"
    parts = [
        f'<!DOCTYPE html>\n<html lang="en"{named}>\n<head>\n<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="color-scheme" content="light dark">',
        f"<title>{escape(title)}</title>\n<style>{style()}</style>\n</head>\n<body>",
        *_head(report),
        "<main>",
        *_targets(report, cites),
        *_advice(report, cites),
        *_before_after(report, cites),
        *report_more.time_spent(report, cites),
        *report_more.beside(report, cites),
        *_not_measured(report),
        PICTURES,
        "</main>",
        *report_more.appendix(report, cites),
        "</body>\n</html>\n",
    ]
    return "\n".join(parts)


def _head(report: Data) -> Iterator[str]:
    window = report["window"]
    machine = next((one["machine"] for one in report["sources"] if one.get("machine")), None)
    parts = [f"Made {day_and_time(report['made'])}"]
    if report["version"]:
        parts.append(f"version {report['version']}")
    if window:
        covered = f"{number(window['covered_s'] / 60)} min recorded"
        parts.append(f"{'live' if window['live'] else 'past'} window {window['words']}, {covered}")
    if machine:
        parts.append(machine_words(machine))
    yield f"<header><h1>{escape(report['title'])}</h1>"
    yield f'<p class="lead">{escape(report["summary"]["text"])}</p>'
    yield f'<p class="meta">{escape("; ".join(parts))}</p></header>'


def _targets(report: Data, cites: Cites) -> Iterator[str]:
    yield heading(
        "targets",
        "Targets",
        "The worst model is judged. Where a range is wanted, what is better than it is met too.",
    )
    rows, named = [], None
    for one in report["targets"]:
        if one["group"] != named:
            named = one["group"]
            rows.append(group(named, 5))
        subject = f' <span class="why">{escape(one["subject"])}</span>' if one["subject"] else ""
        why = f'<div class="why">{escape(one["why"])}</div>' if one["why"] else ""
        rows.append(
            row(
                head(one["label"]),
                words(one["target"]),
                figure_cell(cites, one["figure"], strong=True),
                cell(f"{status_words(one['status'])}{subject}{why}"),
                figure_cell(cites, one["live"]) if one["live"] else "<td></td>",
            )
        )
    columns = ("", "Target", "Measured>", "Status", "In the window>")
    yield table(columns, rows, "Targets", "targets")


def _advice(report: Data, cites: Cites) -> Iterator[str]:
    said = (
        f"By rules from what was measured; the largest saving first. {report.get('left_out', '')}"
    )
    yield heading("recommendations", "Recommendations", said)
    if not report["recommendations"]:
        yield "<p>None: no rule found anything in these figures.</p>"
        return
    yield '<ol class="advice">'
    for one in report["recommendations"]:
        evidence = "".join(
            f"<li>{escape(fact['label'])}: <b>{cites.figure(fact)}</b></li>"
            for fact in one["evidence"]
        )
        done = action_words(one["action"])
        yield f"<li><h3>{escape(one['title'])}</h3><p>{escape(one['why'])}</p>"
        yield f"<ul>{evidence}</ul>" if evidence else ""
        yield f"<p>Saves: {escape(saving_words(one['saving']))}.</p>"
        yield f"<p>To apply it: <code>{escape(done)}</code></p></li>" if done else "</li>"
    yield "</ol>"


def _before_after(report: Data, cites: Cites) -> Iterator[str]:
    yield heading("before-after", "Before and after, on this machine")
    rows = report["before_after"]
    if not rows:
        yield "<p>Nothing was measured yet: make optimization, or Measure now in the console.</p>"
        return
    said = {form: escape(report["forms"][form]) for form in FORMS}
    keys = "".join(
        f'<li><i style="background:{COLOURS[form]}"></i>{form}: {said[form]}</li>' for form in FORMS
    )
    yield f'<ul class="key">{keys}</ul>'
    for name, title in DRAWN:
        drawn = bars([one for one in rows if one["name"] == name], title)
        if drawn:
            region = f'tabindex="0" role="region" aria-label="{title}"'
            yield f'<h3>{title}</h3><div class="scroll" {region}>{drawn}</div>'
    yield "<h3>All of them</h3>"
    columns = ("", "Before>", "Warm>", "Plan>", "Better than before>", "than warm>")
    yield table(columns, _models(rows, cites), "Before and after by model")
    yield "<h3>The server as a whole</h3>"
    lines = [
        row(
            head(one["label"]),
            figure_cell(cites, one["figure"], strong=True),
            words(one["figure"].get("why") or of_figure(one["figure"]), "why"),
        )
        for one in report["server"]
    ]
    yield table(("", "Pyrometer>", "How"), lines, "The server as a whole")
    if report["mix"]:
        yield f'<p class="note">The mix: {escape(report["mix"])}.</p>'


def _models(rows: list[Data], cites: Cites) -> Iterator[str]:
    model = None
    known = {one["model"] for one in rows if any(_has_value(one[form]) for form in FORMS)}
    for one in rows:
        if one["model"] not in known:
            continue
        if one["model"] != model:
            model = one["model"]
            yield group(model, 6)
        gains = (f"{number(x)}x" if x else NONE for x in (one["gain"], one["gain_warm"]))
        figures = (figure_cell(cites, one[form], strong=form == "plan") for form in FORMS)
        yield row(head(one["label"]), *figures, *(words(gain, "end") for gain in gains))
    lacking = dict.fromkeys(one["model"] for one in rows if one["model"] not in known)
    if lacking:
        yield group(f"No figures of {', '.join(lacking)}", 6)


def _has_value(one: Data | None) -> bool:
    return one is not None and one.get("value") is not None


def _not_measured(report: Data) -> Iterator[str]:
    yield heading("not-measured", "What could not be measured")
    if not report["not_measured"]:
        yield "<p>Everything that was asked for has a figure.</p>"
        return
    rows = [row(head(one["what"]), words(one["why"] or "")) for one in report["not_measured"]]
    yield table(("What", "Why"), rows, "What could not be measured", "")
