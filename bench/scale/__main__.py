"""`make scale` measures; `python -m bench.scale --rate 100000` plans with what is stored."""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from bench.__main__ import ROOT
from bench.scale.plan import Assumptions, Scaled, plans, router_most_per_s

STORED, PAGE, PICTURE = ROOT / "docs/scale.json", ROOT / "docs/scale.md", ROOT / "docs/scale.png"
RATES = (1_000.0, 100_000.0, 10_000_000.0)
BEGIN, END = "<!-- figures: make scale -->", "<!-- end of figures -->"


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.scale", description=__doc__)
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--measure", action="store_true", help="measure anew and write the docs")
    parser.add_argument("--predict", action="store_true", help="fit what is stored anew, and write")
    parser.add_argument("--rate", type=float, action="append", help="requests per second")
    for item in fields(Assumptions):
        flag = f"--{item.name.replace('_', '-')}"
        parser.add_argument(flag, type=type(item.default), default=item.default)
    given = parser.parse_args()
    assumed = Assumptions(**{item.name: getattr(given, item.name) for item in fields(Assumptions)})
    if given.measure or given.predict:
        _renew(given.models, given.measure)
    stored = json.loads(STORED.read_text())
    if given.measure or given.predict:
        _write_page(stored)
    print("\n".join([*measured_lines(stored), "", *error_lines(stored)]))
    print("\n".join(["", *plan_lines(stored, tuple(given.rate or RATES), assumed)]))
    return 0


def _renew(models: Path, measure: bool) -> None:
    from bench.scale import figures, picture

    def say(words: str) -> None:
        print(words, flush=True)

    if measure:
        with tempfile.TemporaryDirectory(prefix="scale-") as folder:
            found = figures.measured(Path(folder), models, figures.Times(), say)
    else:
        found = json.loads(STORED.read_text())
    STORED.write_text(json.dumps(_rounded(figures.predict(found, say)), indent=1) + "\n")
    picture.draw(found, PICTURE)


def _rounded(value: Any) -> Any:
    """Six digits of every number: what is stored is read by people too."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, Mapping):
        return {name: _rounded(item) for name, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, list) else value


def _write_page(stored: Mapping[str, Any]) -> None:
    """Put the tables between the page's marks."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    lines = [*measured_lines(stored), "", *error_lines(stored), ""]
    lines += plan_lines(stored, RATES, Assumptions())
    PAGE.write_text(f"{before}{BEGIN}\n\n" + "\n".join(lines) + f"\n\n{END}{after}")


def measured_lines(stored: Mapping[str, Any]) -> list[str]:
    """Every run, with what formula and simulation say of its rate."""
    rows = [
        "| what | offered/s | p50, p95, p99 measured, ms | formula | simulated | load average |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name, given in stored["subjects"].items():
        for kind in ("fitted", "held_out"):
            rows += [_row(f"{name}, {kind.replace('_', ' ')}", p, given) for p in given[kind]]
    for name in ("two_slots", "two_nodes"):
        rows += [
            _row(f"slow, {name.replace('_', ' ')}", point, stored[name])
            for point in stored[name]["points"]
        ]
    return rows


def _row(name: str, point: Mapping[str, Any], given: Mapping[str, Any]) -> str:
    cells = [name, f"{point['rate_per_s']:,.0f}", _quantiles(point)]
    for way in ("formula", "simulated"):
        at = [p for p in given.get(way, []) if p["rate_per_s"] == point["rate_per_s"]]
        cells.append(_quantiles(at[0]) if at else "-")
    cells.append(f"{point['load_1']:g}")
    return f"| {' | '.join(cells)} |"


def _quantiles(point: Mapping[str, Any]) -> str:
    return " / ".join(f"{point[name]:.3g}" for name in ("p50_ms", "p95_ms", "p99_ms"))


def error_lines(stored: Mapping[str, Any]) -> list[str]:
    """Fits and mean errors at rates that they had not seen."""
    quick, slow = (stored["subjects"][name] for name in ("quick", "slow"))
    turn, run = quick["fit"], slow["fit"]
    rows = [
        f"Quick: {1e6 * turn['overhead_s']:.0f} µs a turn and {1e6 * turn['each_s']:.0f} µs a "
        f"request, at most {turn['capacity_per_s']:,.0f}/s by the fit, "
        f"{quick['capacity']['achieved_per_s']:,.0f}/s by a closed loop. Slow: "
        f"{1e3 * run['service_s']:.2f} ms a run (squared variation {run['cv2']:.3f}), at most "
        f"{run['capacity_per_s']:,.0f}/s by the fit, {slow['capacity']['achieved_per_s']:,.0f}/s "
        f"by a closed loop. nginx: {stored['two_nodes']['router_us']:.0f} µs a request. Highest "
        f"load average: {stored['about']['highest_load_1']:g}.",
        "",
        "| mean error at rates not fitted | p50 | p95 | p99 |",
        "|---|---:|---:|---:|",
    ]
    given = {**stored["subjects"]}
    given |= {"slow, two slots": stored["two_slots"], "slow, two nodes": stored["two_nodes"]}
    for name, subject in given.items():
        for way, by in subject["errors_percent"].items():
            cells = [f"{by[q]:.0f} %" for q in ("p50_ms", "p95_ms", "p99_ms")]
            rows.append(f"| {name}, {way} | {' | '.join(cells)} |")
    return rows


def plan_lines(
    stored: Mapping[str, Any], rates: tuple[float, ...], given: Assumptions
) -> list[str]:
    """What each rate takes under these assumptions."""
    words = ", ".join(f"{name} {value:g}" for name, value in asdict(given).items())
    router_us = stored["two_nodes"]["router_us"]
    most = router_most_per_s(router_us, given)
    rows = [
        f"Assumed: {words}. One router node passes on {most:,.0f}/s.",
        "",
        "| model | requests/s | a replica carries/s | replicas | nodes | routers | $/hour "
        f"| $/million | nodes of {given.regions} regions, one may be lost |",
        f"|---|{'---:|' * 8}",
    ]
    for name, found in plans(stored, rates, given).items():
        rows += [_plan_row(name, scaled) for scaled in found]
    return rows


def _plan_row(name: str, scaled: Scaled) -> str:
    cells: Sequence[str] = (
        f"{scaled.rate_per_s:,.0f}",
        f"{scaled.replica_per_s:,.0f}",
        f"{scaled.replicas:,}",
        f"{scaled.nodes:,}",
        f"{scaled.routers:,}",
        f"{scaled.cost_per_hour:,.2f}",
        f"{scaled.per_million:.3f}",
        f"{scaled.regional_nodes:,}",
    )
    return f"| {name} | {' | '.join(cells)} |"


if __name__ == "__main__":
    raise SystemExit(main())
