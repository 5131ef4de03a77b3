"""A stored run in a terminal: a compact table and one sentence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

SHOWN = ("p50", "p90", "p95", "p99", "p999", "max")


def figure(value: float | None) -> str:
    """A number with three significant figures or no decimals; a dash where there is none."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def table(run: Mapping[str, Any]) -> str:
    """What was asked, what was kept, and the percentiles from each point of view."""
    spec = run.get("spec") or {}
    lines = [f"{run['id']}  {run['kind']}  {run['name'] or '(no name)'}"]
    lines.append(f"{spec.get('model') or 'recorded models'} at {spec.get('url')}, {_asked(spec)}")
    rates = f"achieved {figure(run['achieved_per_s'])}/s"
    if run.get("requested_per_s") is not None:
        rates = f"requested {figure(run['requested_per_s'])}/s, {rates}"
        rates += f", lag {run['lag_percent']:.2f} %"
    lines.append(f"{run['requests']:,} requests, {run['errors']:,} errors, {rates}")
    lines += [f"  {count:>8,}  {text}" for text, count in run["error_texts"].items()]
    if run.get("steps"):
        lines += ["", *_steps(run["steps"])]
    rows = [["ms", *("p99.9" if name == "p999" else name for name in SHOWN)]]
    begin = "from the intended send" if spec.get("loop") == "open" else "from the send"
    for name, kind in ((begin, "latency_ms"), ("service", "service_ms"), ("server", "server_ms")):
        held = run.get(kind)
        if held and (kind != "service_ms" or spec.get("loop") == "open"):
            rows.append([name, *(figure(held.get(share)) for share in SHOWN)])
    lines += ["", *_aligned(rows)]
    if run.get("soak"):
        lines += ["", *_soak(run["soak"])]
    return "\n".join(lines)


def _asked(spec: Mapping[str, Any]) -> str:
    over = f"over {spec.get('connections')} connections"
    ramp = spec.get("ramp")
    if ramp:
        return (
            f"{ramp['from_per_s']:g} to {ramp['to_per_s']:g}/s, {ramp['step_s']:g} s a step, {over}"
        )
    if spec.get("loop") == "closed":
        return f"closed loop {over}, {spec.get('seconds'):g} s"
    rate = spec.get("rate_per_s")
    arrivals = "at its own times" if rate is None else f"{spec.get('arrivals')} {rate:g}/s"
    return f"open loop, {arrivals} for {spec.get('seconds'):g} s {over}"


def _steps(steps: Iterable[Mapping[str, Any]]) -> list[str]:
    rows = [["rate/s", "achieved/s", "p50 ms", "p99 ms", "errors %", ""]]
    for step in steps:
        cells = (step["rate_per_s"], step["achieved_per_s"], step["p50_ms"], step["p99_ms"])
        errors = figure(step["error_percent"])
        rows.append([*(figure(cell) for cell in cells), errors, step["why"] or "good"])
    return _aligned(rows)


def _soak(soak: Mapping[str, Any]) -> list[str]:
    lines = [f"{soak['expected_errors']:,} requests were refused with 400, as expected"]
    memory = soak["rss_mb"]
    if memory:
        lines.append(
            f"memory {memory['first']:.1f} -> {memory['last']:.1f} MB after the warm-up, slope "
            f"{memory['slope_per_h']:.2f} MB/h (95 %: {memory['low_per_h']:.2f} to "
            f"{memory['high_per_h']:.2f}; noise +-{memory['noise_per_h']:.2f})"
        )
        lines += [
            f"{name} {soak[key]['first']:g} -> {soak[key]['last']:g}"
            for name, key in (("open files", "files"), ("threads", "threads"))
        ]
    return lines


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    last = len(widths) - 1
    return [
        "  ".join(
            cell.ljust(widths[place]) if place in (0, last) else cell.rjust(widths[place])
            for place, cell in enumerate(row)
        ).rstrip()
        for row in rows
    ]


def sentence(run: Mapping[str, Any], misses: Sequence[str]) -> str:
    """What to remember of a run."""
    if not run["valid"]:
        return f"Invalid: {run['invalid_because']}."
    soak = run.get("soak")
    if soak:
        return "Green: nothing grows." if soak["green"] else f"Red: {'; '.join(soak['because'])}."
    if run["kind"] == "ramp":
        highest = run["highest_within_slo_per_s"]
        if highest is None:
            return "No rate was within the SLO."
        end = (
            "; the last step was still good, so it may be higher" if run["rose_to_the_end"] else ""
        )
        return f"The highest rate within the SLO is {figure(highest)} requests/s{end}."
    if misses:
        return f"Valid, but it misses its SLO: {'; '.join(misses)}."
    p99 = figure(run["latency_ms"]["p99"])
    return f"Valid: {figure(run['achieved_per_s'])} requests/s with a p99 of {p99} ms."


def listing(summaries: Iterable[Mapping[str, Any]]) -> str:
    """One line a run, newest first."""
    rows = [["id", "kind", "achieved/s", "p99 ms", "errors", "valid", "what"]]
    for one in summaries:
        latency = one.get("latency_ms") or {}
        said = "yes" if one["valid"] else "no"
        what = " ".join(part for part in (one["name"], one["model"]) if part)
        figures = (one["achieved_per_s"], latency.get("p99"), one["errors"])
        rows.append([one["id"], one["kind"], *(figure(value) for value in figures), said, what])
    return "\n".join(_aligned(rows)) if len(rows) > 1 else "There are no runs."
