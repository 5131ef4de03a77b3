"""A gate in words: a table for the terminal, Markdown for a pull request."""

from __future__ import annotations

from collections.abc import Sequence

from bench.gate.cases import CACHED, INSTRUMENTATION
from bench.gate.measure import BARE, BASELINE, CANDIDATE
from bench.gate.outcome import CaseOutcome, Outcome
from bench.gate.samples import CPU
from bench.gate.statistics import Interval
from bench.gate.verdict import SLOWER

HEADINGS = (
    ("case", "<"),
    ("connections", ">"),
    ("CPU us, before", ">"),
    ("after", ">"),
    ("change, 95 %", "<"),
    ("threshold", ">"),
    ("verdict", "<"),
    ("A/A noise", "<"),
)
BESIDE = (
    ("case", "<"),
    ("requests/s", "<"),
    ("p50", "<"),
    ("p99", "<"),
    ("requests", ">"),
    ("blocks", ">"),
)


def headline(outcome: Outcome) -> str:
    """The verdict in a sentence."""
    slower = [one.case.name for one in outcome.cases if one.verdict.word == SLOWER]
    if slower:
        return f"Fails: {', '.join(slower)} slower than the threshold allows"
    if not outcome.is_whole:
        return "No verdict: too little was measured; give it more minutes"
    return "Passes: no case is shown to be slower than its threshold"


def table(outcome: Outcome) -> str:
    """For the terminal."""
    lines = [
        f"{outcome.name}: {outcome.candidate} against {outcome.baseline}",
        "CPU time of the server process, per request:",
        *_columns(HEADINGS, [_row(one) for one in outcome.cases]),
        "beside it, change with 95 % interval (lower latency and higher throughput are better):",
        *_columns(BESIDE, [_beside(one) for one in outcome.cases]),
        *(f"note: {note}" for note in outcome.notes),
        headline(outcome),
    ]
    return "\n".join(lines)


def markdown(outcome: Outcome) -> str:
    """For a pull request."""
    machine = outcome.machine
    libraries = ", ".join(f"{name} {version}" for name, version in outcome.versions.items())
    wall_s = outcome.ended - outcome.started
    way = "interleaved with the baseline" if outcome.interleaved else "against stored figures"
    lines = [
        f"### Regression gate: {'fails' if outcome.fails else 'passes'}",
        "",
        f"{headline(outcome)}.",
        "",
        *_markdown(HEADINGS, [_row(one) for one in outcome.cases]),
        "",
        "CPU time of the whole server process per request; trimmed mean, 95 % interval by a "
        "bootstrap of starts and blocks. It fails where the near end of an interval passes its "
        "threshold. A/A noise is each side against itself in the same windows.",
        "",
        *_markdown(BESIDE, [_beside(one) for one in outcome.cases]),
        "",
        *(f"- {note}" for note in outcome.notes),
        f"- baseline: {outcome.baseline}; this: {outcome.candidate}; {way}",
        f"- machine: {machine['cpus']} x {machine['cpu']}, "
        f"{machine['memory_bytes'] / 2**30:.1f} GiB, {machine['system']}, "
        f"Python {machine['python']}; load average {outcome.load[0]:.1f} before, "
        f"{outcome.load[1]:.1f} after; {wall_s:.0f} s",
        f"- libraries: {libraries}",
        f"- again: `{outcome.command}`",
    ]
    return "\n".join(lines) + "\n"


def form_notes(cases: Sequence[CaseOutcome]) -> list[str]:
    """Where the two sides did not answer alike."""
    notes = []
    for one in cases:
        forms, name = one.samples.forms, one.case.name
        if one.samples.differing:
            notes.append(
                f"{name}: {one.samples.differing} of {one.samples.compared} answers differ "
                "from the baseline's"
            )
        # What answers from a cache are labelled with is the form of who put them there.
        pair = {form for side, form in forms.items() if side in (BASELINE, CANDIDATE, BARE)}
        if one.case.kind != CACHED and len(pair) > 1:
            listed = ", ".join(f"{side} {form}" for side, form in forms.items())
            notes.append(f"{name}: other forms of the model answered: {listed}")
    return notes


def _row(one: CaseOutcome) -> list[str]:
    return [
        one.case.name,
        str(one.case.connections),
        _number(one.before[CPU], 1),
        _number(one.after[CPU], 1),
        str(one.changes[CPU]),
        f"{one.threshold_percent:g} %",
        one.verdict.word if one.case.compares != INSTRUMENTATION else _cost_word(one),
        str(one.noise),
    ]


def _cost_word(one: CaseOutcome) -> str:
    """Instruments cost something; that is no news."""
    return "costs too much" if one.verdict.word == SLOWER else one.verdict.word


def _beside(one: CaseOutcome) -> list[str]:
    changes: Sequence[Interval] = [
        one.changes[figure] for figure in ("requests_per_s", "p50_ms", "p99_ms")
    ]
    return [one.case.name, *map(str, changes), f"{one.samples.requests:,}", str(one.blocks)]


def _number(value: float, places: int) -> str:
    return "no data" if value != value else f"{value:,.{places}f}"


def _columns(headings: Sequence[tuple[str, str]], rows: Sequence[Sequence[str]]) -> list[str]:
    names = [name for name, _ in headings]
    widths = [max(map(len, column)) for column in zip(names, *rows, strict=True)]
    return [
        "  "
        + "  ".join(
            f"{cell:{side}{width}}"
            for cell, (_, side), width in zip(row, headings, widths, strict=True)
        ).rstrip()
        for row in (names, *rows)
    ]


def _markdown(headings: Sequence[tuple[str, str]], rows: Sequence[Sequence[str]]) -> list[str]:
    marks = {"<": "---", ">": "---:"}
    lines = ["| " + " | ".join(name for name, _ in headings) + " |"]
    lines.append("|" + "|".join(marks[side] for _, side in headings) + "|")
    return lines + ["| " + " | ".join(row) + " |" for row in rows]
