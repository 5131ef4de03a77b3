"""Before and after on this machine: `make optimization`, and the console's Measure now.

Per model: scikit-learn loaded at each request (before), loaded once (warm), and the plan. Cold
start, latency of one connection without caches, throughput and errors at fifty, memory, processor
time, hit rate under a stated mix, gzip. Nothing but this machine is asked, no peer is needed.
The run is stored as <store>/<id>.json, kind "optimization", each figure with its unit, how often
and how it was measured (bench/optimization/figures.py). Bounded by --seconds.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.lab.environment import commit, machine, versions
from bench.lab.store import RunStore, new_id
from bench.optimization import forms
from bench.optimization.figures import BEFORE, FORMS, PLAN, SERVER, WARM, Figure, Figures
from bench.optimization.load import CONNECTIONS
from bench.optimization.progress import Progress
from bench.optimization.rows import MIX, Rows
from bench.optimization.servers import Places
from bench.optimization.steps import AT_FIFTY, NO_TIME, Bench, OutOfTime
from engine.version import VERSION

USUAL_S = 150.0
STARTS_S, MODEL_S = 40.0, 22.0
"""What a whole run takes: starts and rests once, and each model."""
LIMITS_S = (15.0, 1800.0)
MOST_MODELS = 12
PERCENTILES = tuple((f"warm_p{share}_ms", "ms") for share in (50, 95, 99))
OF_MODEL = (("cold_start_ms", "ms"), ("cold_model_ms", "ms"), *PERCENTILES, *AT_FIFTY)
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stopped(Exception):
    """A signal ended the run; what was measured is stored."""


def models_of(folder: Path, only: str) -> list[str]:
    """Names of the models that can be measured: skops files with sample rows."""
    names = [
        path.parent.parent.name
        for path in sorted(folder.glob("*/1/model.skops"))
        if (path.parent / "samples.npz").is_file()
    ]
    wanted = [name.strip() for name in only.split(",") if name.strip()]
    if unknown := sorted(set(wanted) - set(names)):
        raise ValueError(f"--only names {unknown[0]!r}; there are: {', '.join(names) or 'none'}")
    if not names:
        raise ValueError(f"{folder} has no model with a skops file and samples.npz")
    return (wanted or names)[:MOST_MODELS]


def measure(given: argparse.Namespace, names: list[str]) -> tuple[Bench, str | None]:
    """Every figure there is time for; the words say why it ended early, if it did."""
    progress = Progress(given.progress == "json", 10 * len(names) + 9, given.seconds)
    with tempfile.TemporaryDirectory(prefix="optimization-") as scratch:
        places = Places(given.models.resolve(), Path(scratch))
        places.keep_plans(given.state, PLAN)
        rows = {name: Rows(given.models, name) for name in names}
        usual_s = STARTS_S + MODEL_S * len(names)
        scale = given.scale or min(1.0, given.seconds / usual_s)
        bench = Bench(places, rows, Figures(), progress, scale)
        ended = None
        try:
            with progress.shown():
                signal.setitimer(signal.ITIMER_REAL, given.seconds)
                for form in (forms.the_plan, forms.before, forms.warm):
                    with bench.form():
                        form(bench)
        except Stopped:
            ended = "cancelled"
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        _keep_made(places, given.state)
    _fill(bench, names)
    _reductions(bench.figures, names)
    return bench, ended


def _keep_made(places: Places, state: Path) -> None:
    """Leave the plans that were made to the state, where it has none: they cost a minute."""
    made = places.scratch / f"state-{PLAN}" / "plans"
    if made.is_dir() and state.is_dir() and not (state / "plans").exists():
        shutil.copytree(made, state / "plans")


def _fill(bench: Bench, names: list[str]) -> None:
    """A figure that no step came to says so."""
    why = bench.faults[0] if bench.faults else NO_TIME
    for form in FORMS:
        for name in names:
            for figure, unit in OF_MODEL:
                if not bench.figures.has(form, name, figure):
                    bench.figures.missing(form, name, figure, unit, why)


def _reductions(figures: Figures, names: list[str]) -> None:
    """How much less time a request takes by the plan, models' mean."""
    for form in (BEFORE, WARM):
        shares = []
        for name in names:
            was, now = (figures.value(f, name, "warm_p50_ms") for f in (form, PLAN))
            if was and now is not None:
                shares.append(100 * (1 - now / was))
        key, how = f"reduction_from_{form}_percent", f"1 - p50 of the plan / p50 of {FORMS[form]}"
        if shares:
            mean = sum(shares) / len(shares)
            figure = Figure(mean, "%", len(shares), f"{how}; mean of the models", "as the p50s")
            figures.put(PLAN, SERVER, key, figure)
        else:
            figures.missing(PLAN, SERVER, key, "%", "no model has both p50s")


def stored(bench: Bench, given: argparse.Namespace, began_s: float, ended: str | None) -> Path:
    """Write the run; returns its file."""
    command = f"python -m bench.optimization --models {given.models} --seconds {given.seconds:g}"
    failed = sum(figure.value is None for figure in bench.figures.by_key.values())
    progress, over_s = bench.progress, time.time()
    because = ended or (bench.faults[0] if bench.faults else None)
    run: dict[str, Any] = {
        "id": new_id(began_s),
        "kind": "optimization",
        "name": given.name,
        "started": began_s,
        "ended": over_s,
        "machine": machine(),
        "versions": {"pyrometer": VERSION, **versions()},
        "commit": commit(),
        "spec": {"models": list(bench.rows), "seconds": given.seconds, "command": command},
        "valid": because is None,
        "invalid_because": because,
        "cancelled": ended == "cancelled",
        "requests": progress.requests,
        "errors": progress.errors,
        "statuses": {},
        "error_texts": {text: bench.faults.count(text) for text in bench.faults},
        "requested_per_s": None,
        "achieved_per_s": progress.requests / max(1e-9, over_s - began_s),
        "lag_percent": None,
        "latency_ms": None,
        "service_ms": None,
        "server_ms": None,
        "series": {"columns": [], "points": []},
        "histogram": {"edges_ms": [], "counts": []},
        "steps": None,
        "highest_within_slo_per_s": None,
        "optimization": {
            "forms": FORMS,
            "mix": MIX,
            "connections": CONNECTIONS,
            "models": list(bench.rows),
            "not_measured": failed,
            "figures": bench.figures.as_dict(),
        },
    }
    store = RunStore(given.store)
    return store.path_of(store.write(run))


def table(bench: Bench) -> str:
    """The run as Markdown, for a terminal."""
    figures = bench.figures
    rows = ("cold_start_ms", "cold_model_ms", "warm_p50_ms", "warm_p99_ms", "throughput_per_s")
    lines = ["| model | figure | before | warm | plan |", "|---|---|---:|---:|---:|"]
    for model in bench.rows:
        for name in rows:
            cells = [figures.value(form, model, name) for form in FORMS]
            shown = " | ".join("-" if value is None else f"{value:,.4g}" for value in cells)
            lines.append(f"| {model} | {name} | {shown} |")
    lines += ["", "| server | value | how |", "|---|---:|---|"]
    for key, figure in figures.by_key.items():
        form, subject, name = key.split("/")
        if subject == SERVER:
            value = "-" if figure.value is None else f"{figure.value:,.4g} {figure.unit}"
            lines.append(f"| {form}, {name} | {value} | {figure.why or figure.how} |")
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench.optimization", description=__doc__)
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--state", type=Path, default=Path(".pyrometer"), help="has plans and runs")
    parser.add_argument("--store", type=Path, help="where the run goes (default: STATE/runs)")
    parser.add_argument("--seconds", type=float, default=USUAL_S, help="limit of the whole run")
    parser.add_argument("--scale", type=float, help="of every window's length, 0.1 to 1")
    parser.add_argument("--only", default="", help="models, separated by commas")
    parser.add_argument("--name", default="before and after")
    parser.add_argument("--progress", choices=("bar", "json"), default="bar")
    return parser


def _stop(*_: object) -> None:
    raise Stopped


def _over(*_: object) -> None:
    raise OutOfTime


def main(argv: list[str] | None = None) -> int:
    """0, or 1 where nothing could be measured, 2 for a bad argument."""
    given = _parser().parse_args(argv)
    given.store = given.store or given.state / "runs"
    says = json.dumps if given.progress == "json" else (lambda told: str(told.get("error")))
    low, high = LIMITS_S
    try:
        if not low <= given.seconds <= high:
            raise ValueError(f"--seconds is {given.seconds:g}; it must be {low:g} to {high:g}")
        if given.scale is not None and not 0.1 <= given.scale <= 1:
            raise ValueError(f"--scale is {given.scale:g}; it must be 0.1 to 1")
        names = models_of(given.models, given.only)
    except (ValueError, OSError) as error:
        print(says({"type": "error", "error": str(error)}), flush=True)
        return 2
    for number in STOP_SIGNALS:
        signal.signal(number, _stop)
    signal.signal(signal.SIGALRM, _over)
    # A server holds them back, and its children inherit that.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
    began_s = time.time()
    try:
        bench, ended = measure(given, names)
        path = stored(bench, given, began_s, ended)
    except (OSError, RuntimeError) as error:
        print(says({"type": "error", "error": str(error)}), flush=True)
        return 1
    if given.progress == "json":
        print(json.dumps({"type": "result", "id": path.stem, "path": str(path)}), flush=True)
    else:
        print(table(bench))
        print(f"\n{path}: {bench.progress.elapsed_s:.0f} s", file=sys.stderr)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
