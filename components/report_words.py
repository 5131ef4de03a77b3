"""Numbers, times and figures of a report in words, the same in HTML and Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

NONE = "–"
STATUS = {"met": "ok", "missed": "critical", "no data": "unknown"}
KINDS = {"estimate": "about", "at most": "at most", "unknown": ""}


def number(value: float | None) -> str:
    """Three figures, or all before the point with thousands apart: 0.0123, 3.1, 1,240."""
    if value is None or value != value:
        return NONE
    if abs(value) >= 100:
        return f"{value:,.0f}"
    if not value:
        return "0"
    shown = f"{value:.3g}"
    return shown if "e" not in shown else f"{value:.6f}".rstrip("0")


def amount(figure: Mapping[str, Any], unit: str = "") -> str:
    """A figure with its unit: "412 ms", "2.1x"; a dash where there is none."""
    if figure.get("value") is None:
        return NONE
    unit = figure.get("unit") or unit
    if not unit and float(figure["value"]).is_integer():
        return f"{figure['value']:,.0f}"
    return f"{number(figure['value'])}{unit if unit == 'x' else f' {unit}' if unit else ''}"


def day_and_time(seconds: float | None) -> str:
    """UTC, to the second."""
    if not seconds:
        return NONE
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"


def of_figure(figure: Mapping[str, Any]) -> str:
    """How a figure was measured: method, how many, over what."""
    count = figure.get("n")
    parts = [figure.get("how") or "", f"n = {count:,}" if count else "", figure.get("window") or ""]
    return "; ".join(part for part in parts if part)


def saving_words(saving: Mapping[str, Any]) -> str:
    """A predicted saving: what it is, and in an hour of such traffic."""
    ms = saving.get("ms_per_hour")
    lead = KINDS.get(str(saving["kind"]), "")
    text = str(saving["text"])
    said = text if not lead or text.startswith(lead) else f"{lead} {text}"
    return said if not ms else f"{said}; {hourly(ms)} of such traffic"


def hourly(ms: float) -> str:
    """Time saved in an hour, in words."""
    if ms < 1000:
        return f"{number(ms)} ms in an hour"
    return (
        f"{number(ms / 1000)} s in an hour" if ms < 3.6e6 else f"{number(ms / 3.6e6)} h in an hour"
    )


def machine_words(machine: Mapping[str, Any] | None) -> str:
    if not machine:
        return NONE
    memory = machine.get("memory_bytes") or 0
    parts = (
        f"{machine.get('cpus')} cores",
        str(machine.get("cpu") or ""),
        f"{memory / 1e9:.1f} GB" if memory else "",
        str(machine.get("system") or ""),
        f"Python {machine['python']}" if machine.get("python") else "",
    )
    return ", ".join(part for part in parts if part)


def versions_words(versions: Mapping[str, Any] | None) -> str:
    return ", ".join(f"{name} {value}" for name, value in (versions or {}).items()) or NONE


def action_words(action: Mapping[str, Any] | None) -> str:
    """What applies a recommendation: a route, or a setting that needs a restart."""
    if action is None:
        return ""
    if "setting" in action:
        return f"set {action['flag']} ({action['variable']}={action['value']}) and restart"
    return f"{action['method']} {action['path']}"
