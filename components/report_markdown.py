"""A report as Markdown: the same tables, figures with the numbers of their sources."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from components.report_words import (
    NONE,
    action_words,
    amount,
    day_and_time,
    machine_words,
    number,
    of_figure,
    saving_words,
    versions_words,
)

Data = Mapping[str, Any]
_SIGNS = str.maketrans({"|": "\\|", "\n": " ", "<": "&lt;", "`": "'", "*": "\\*", "[": "\\["})


def plain(text: Any) -> str:
    """Text that stays text in a cell."""
    return str(text).translate(_SIGNS)


def report_markdown(report: Data) -> str:
    """The whole text."""
    numbers = {source["id"]: source["number"] for source in report["sources"]}

    def cited(figure: Data, unit: str = "") -> str:
        place = numbers.get(figure.get("run"))
        return f"{plain(amount(figure, unit))}{f' [{place}]' if place else ''}"

    window = report["window"]
    lines = [
        f"# {report['title']}",
        "",
        f"**{plain(report['summary']['text'])}**",
        "",
        f"Made {day_and_time(report['made'])}, version {report['version'] or NONE}"
        + (f"; window {window['words']}" if window else "")
        + ".",
        "Numbers in brackets are sources, listed at the end.",
        "",
    ]
    lines += _targets(report, cited)
    lines += _advice(report, cited)
    lines += _before_after(report, cited)
    lines += _time_spent(report, cited)
    lines += _beside(report, cited)
    lines += ["", "## What could not be measured", ""]
    lines += [f"- {plain(one['what'])}: {plain(one['why'])}" for one in report["not_measured"]]
    lines += _sources(report)
    return "\n".join(lines) + "\n"


def _table(columns: Sequence[str], rows: Iterator[Sequence[str]]) -> list[str]:
    marks = ["---:" if name.endswith(">") else "---" for name in columns]
    heads = [name.rstrip(">") for name in columns]
    lines = [f"| {' | '.join(heads)} |", f"|{'|'.join(marks)}|"]
    return [*lines, *(f"| {' | '.join(row)} |" for row in rows)]


def _targets(report: Data, cited: Any) -> list[str]:
    rows = (
        (
            plain(row["label"]),
            plain(row["target"]),
            cited(row["figure"]),
            row["status"],
            plain(row["why"] or row["subject"] or ""),
            cited(row["live"]) if row["live"] else "",
        )
        for row in report["targets"]
    )
    return ["## Targets", "", *_table(("", "target", "measured>", "", "", "in the window>"), rows)]


def _advice(report: Data, cited: Any) -> list[str]:
    lines = ["", "## Recommendations", ""]
    lines += [plain(report["left_out"]), ""] if report.get("left_out") else []
    for one in report["recommendations"]:
        lines.append(f"{one['rank']}. **{plain(one['title'])}** {plain(one['why'])}")
        lines += [f"   - {plain(fact['label'])}: {cited(fact)}" for fact in one["evidence"]]
        lines.append(f"   - saves: {plain(saving_words(one['saving']))}")
        if one["action"]:
            lines.append(f"   - to apply it: {plain(action_words(one['action']))}")
    return lines if report["recommendations"] else [*lines, "None."]


def _before_after(report: Data, cited: Any) -> list[str]:
    lines = ["", "## Before and after", ""]
    if not report["before_after"]:
        return [*lines, "Nothing was measured yet."]
    lines += [f"- {form}: {plain(words)}" for form, words in report["forms"].items()]
    rows = (
        (
            plain(row["model"]),
            plain(row["label"]),
            *(cited(row[form]) for form in ("before", "warm", "plan")),
            f"{number(row['gain'])}x" if row["gain"] else NONE,
        )
        for row in report["before_after"]
    )
    lines += ["", *_table(("model", "", "before>", "warm>", "plan>", "better>"), rows), ""]
    server = (
        (plain(one["label"]), cited(one["figure"]), plain(of_figure(one["figure"])))
        for one in report["server"]
    )
    return [*lines, *_table(("the server", ">", "how"), server)]


def _time_spent(report: Data, cited: Any) -> list[str]:
    lines = ["", "## Where the time goes now", ""]
    now = ((plain(one["label"]), cited(one["figure"])) for one in report["now"])
    lines += _table(("in this window", ">"), now) if report["now"] else ["No server was asked."]
    if report["phases"]:
        rows = (
            (
                plain(one["model"]),
                one["phase"],
                f"{number(one['percent'])} %",
                f"{number(one['ms'])} ms",
                f"{one['requests']:,}",
            )
            for one in report["phases"]
        )
        columns = ("model", "phase", "share>", "time>", "requests>")
        lines += ["", *_table(columns, rows)]
    if report["top"]:
        rows_ = (
            (
                plain(one["function"]),
                f"{number(one['self_percent'])} %",
                f"{number(one['total_percent'])} %",
            )
            for one in report["top"]
        )
        lines += ["", *_table(("function", "own>", "with callees>"), rows_)]
    return lines


def _beside(report: Data, cited: Any) -> list[str]:
    lines: list[str] = []
    if report["effectiveness"]:
        figures = report["effectiveness"]["figures"]
        rows = ((plain(one["label"]), cited(one)) for one in figures)
        lines += ["", "## Effectiveness in production", "", *_table(("", ">"), rows)]
    runs = [*report["soaks"], *report["loads"]]
    if runs:
        lines += ["", "## Load tests", ""]
    for one in runs:
        figures = ", ".join(f"{cited(f)} {plain(f['label'])}" for f in one["figures"])
        lines.append(f"- {one['kind']} {plain(one['name'] or one['id'])}: {figures}")
    return lines


def _sources(report: Data) -> list[str]:
    lines = ["", "## Sources", ""]
    for one in report["sources"]:
        parts = [
            f"{one['kind']} {one['id']}",
            day_and_time(one["started"]),
            plain(one["command"]),
            plain(machine_words(one["machine"])),
            plain(versions_words(one["versions"])),
            f"commit {one['commit']}" if one["commit"] else NONE,
        ]
        lines.append(f"{one['number']}. {'; '.join(part for part in parts if part != NONE)}")
    return lines
