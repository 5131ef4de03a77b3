"""A plan as text, for the command line."""

from __future__ import annotations

from engine.models.plan import BATCH_ROWS, Candidate, Plan


def plan_table(plan: Plan) -> str:
    """One line per form: verdict, microseconds by batch size, parity, reason."""
    heads = ["form", "verdict", *(f"{rows} rows, µs" for rows in BATCH_ROWS), "largest diff."]
    rows = [heads, *(_row(candidate) for candidate in plan.candidates)]
    widths = [max(len(row[place]) for row in rows) for place in range(len(heads))]
    lines = [
        "  ".join(
            cell.ljust(width) if place < 2 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    why = [f"  {c.form}: {_size(c)}{c.reason}" for c in plan.candidates]
    title = f"{plan.model} {plan.version}: {plan.reason}"
    return "\n".join([title, "", *lines, "", *why, f"tolerance {plan.tolerance:g}"])


def _row(candidate: Candidate) -> list[str]:
    times = [
        f"{candidate.run_us[rows]:,.1f}" if rows in candidate.run_us else "-" for rows in BATCH_ROWS
    ]
    parity = candidate.parity
    difference = "-" if parity is None else f"{parity.max_difference:.1e}"
    return [candidate.form, candidate.verdict, *times, difference]


def _size(candidate: Candidate) -> str:
    if not candidate.files:
        return ""
    kept = candidate.quality
    quality = f", {kept.metric} {kept.before:.4f} -> {kept.after:.4f}" if kept else ""
    return f"{candidate.file_bytes:,} bytes{quality}; "
