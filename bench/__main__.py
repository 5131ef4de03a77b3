"""`make bench`: Pyrometer beside its peers, one run, one process of ours from start to end.

The same model, the same 500 rows, wrk with one row a request. Our server stays up with default
settings and full telemetry; each peer is started, measured in windows that alternate with
ours, and stopped before the next one, so that no idle peer costs the one measured. Figures
are medians, ratios the median of the pairs' ratios. Caches are refused by a header unless
named. The tables go to docs/benchmarks.md, the windows to bench/results.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from bench import models as bench_models
from bench.cases import CASES, CONSTANT, Case, write_mlserver_settings
from bench.peers.environments import build, built
from bench.wrk import Window, body_of, measure, write_script

ROOT = Path(__file__).parent.parent
CONNECTIONS = (1, 50)
OURS_PORT, PEER_PORT = 8150, 8160
MODELS = {"breast_cancer": "random forest, 100 trees", "logistic": "logistic regression"}
Pairs = list[tuple[Window, Window]]


@dataclass(slots=True)
class Results:
    """Pairs of windows (ours, theirs) by model, case and connections; failures by case."""

    pairs: dict[str, Pairs] = field(default_factory=dict)
    cached: dict[str, Pairs] = field(default_factory=dict)
    beside_slow: dict[str, dict[str, Window]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)


def key(model: str, case: str, connections: int) -> str:
    return f"{model} | {case} | {connections}"


@contextmanager
def running(command: list[str], variables: dict[str, str], url: str, body: bytes) -> Iterator[int]:
    """A server, from its first right answer to its end, children included; its process id."""
    process = subprocess.Popen(
        command,
        env=variables,
        cwd=tempfile.gettempdir(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_for_answer(process, url, body)
        yield process.pid
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(20)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(20)
        time.sleep(1)


def wait_for_answer(process: subprocess.Popen[bytes], url: str, body: bytes) -> None:
    end = time.monotonic() + 120
    headers = {"Content-Type": "application/json"}
    while time.monotonic() < end and process.poll() is None:
        request = urllib.request.Request(url, body, headers)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"no answer from {url}")


def our_command(models: Path, folder: Path) -> list[str]:
    command = [sys.executable, "-m", "app.cli", "serve", "--port", str(OURS_PORT)]
    command += ["--models", str(models), "--state", str(folder / "state")]
    return [*command, "--trust-file", str(folder / "trusted.sha256")]


def our_url(model: str) -> str:
    return f"http://127.0.0.1:{OURS_PORT}/v2/models/{model}/infer"


class Bench:
    """One run: our server, the scripts, and what was measured."""

    def __init__(self, bundled: Path, scratch: Path, windows: int, seconds: float) -> None:
        self.windows, self.seconds, self.scratch = windows, seconds, scratch
        self.models = bench_models.write_repository(bundled, scratch)
        rows = bench_models.rows_of(bundled)
        self.first = body_of(rows[:1])
        self.plain = write_script(scratch / "plain.lua", rows)
        self.caching = write_script(scratch / "caching.lua", rows, caches=True)
        self.results = Results()

    def beside(self, case: Case, model: str) -> None:
        """Windows of ours and of a peer, in turn."""
        folder = bench_models.write_for_peers(self.models, model, self.scratch / "peers" / model)
        for batch in (1, 64):
            write_mlserver_settings(folder, "sklearn", batch, PEER_PORT)
        write_mlserver_settings(folder, "onnx", 1, PEER_PORT)
        command, variables = case.started(folder, PEER_PORT)
        theirs = f"http://127.0.0.1:{PEER_PORT}{case.path}"
        with running(command, variables, theirs, self.first):
            for url in (theirs, our_url(model)):
                measure(url, 10, self.plain, 1)
            for connections in CONNECTIONS:
                pairs = self.results.pairs.setdefault(key(model, case.name, connections), [])
                for _ in range(self.windows):
                    mine = measure(our_url(model), connections, self.plain, self.seconds)
                    pairs.append((mine, measure(theirs, connections, self.plain, self.seconds)))
                if case.name == CONSTANT:
                    hits = self.results.cached.setdefault(key(model, case.name, connections), [])
                    measure(our_url(model), connections, self.caching, 1)
                    for _ in range(self.windows):
                        mine = measure(our_url(model), connections, self.caching, self.seconds)
                        hits.append((mine, measure(theirs, connections, self.plain, self.seconds)))

    def beside_slow(self, slow: str) -> None:
        """A fast model at 4 connections and health at 1, while 16 hammer a slow model."""
        body = json.dumps(
            {"inputs": [{"name": "x", "datatype": "FP64", "shape": [1, 1], "data": [1.0]}]}
        )
        script = self.scratch / "slow.lua"
        script.write_text(
            f'wrk.method = "POST"\nwrk.body = [==[{body}]==]\n'
            'wrk.headers["content-type"] = "application/json"\n'
        )
        health = f"http://127.0.0.1:{OURS_PORT}/v2/health/live"
        found = self.results.beside_slow.setdefault(slow, {})
        found["fast model alone, 4"] = measure(our_url("breast_cancer"), 4, self.plain, 3)
        hammer = subprocess.Popen(
            ["wrk", "-t1", "-c16", "-d14s", "-s", str(script), our_url(slow)],
            stdout=subprocess.DEVNULL,
        )
        time.sleep(1.5)
        found["fast model, 4"] = measure(our_url("breast_cancer"), 4, self.plain, 5)
        found["health, 1"] = measure(health, 1, None, 5)
        hammer.wait()


def ratio(pairs: Pairs) -> float:
    return statistics.median(a.requests_per_s / b.requests_per_s for a, b in pairs)


def middle(pairs: Pairs, place: int, figure: str) -> float:
    return float(statistics.median(getattr(pair[place], figure) for pair in pairs))


def peers_table(results: Results, model: str, connections: int) -> list[str]:
    lines = [
        f"\n### {MODELS[model]}, {connections} connection{'s' if connections > 1 else ''}\n",
        "| server | requests/s | p50, ms | p99, ms | failed | Pyrometer beside it: requests/s "
        "| p50 | p99 | ratio |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for case in CASES:
        pairs = results.pairs.get(key(model, case.name, connections))
        if not pairs:
            why = results.failed.get(f"{model} | {case.name}")
            if why:
                lines.append(f"| {case.name} | not measured: {why} | | | | | | | |")
            continue
        failed = sum(theirs.failed for _, theirs in pairs)
        lines.append(
            f"| {case.name} | {middle(pairs, 1, 'requests_per_s'):,.0f} "
            f"| {middle(pairs, 1, 'p50_ms'):.3f} | {middle(pairs, 1, 'p99_ms'):.3f} | {failed} "
            f"| {middle(pairs, 0, 'requests_per_s'):,.0f} | {middle(pairs, 0, 'p50_ms'):.3f} "
            f"| {middle(pairs, 0, 'p99_ms'):.3f} | {ratio(pairs):.2f}x |"
        )
    return lines


def report(results: Results) -> str:
    """Everything as Markdown."""
    lines = ["# `make bench`", "", (__doc__ or "").split("\n\n", 1)[1].strip(), ""]
    lines.append(f"{os.cpu_count()} cores, Python {platform.python_version()}, client included.")
    for model in MODELS:
        for connections in reversed(CONNECTIONS):
            lines += peers_table(results, model, connections)
    lines += ["\n## Result-cache hits beside granian's constant bytes\n"]
    lines += ["| model, connections | hits/s | constant/s | ratio |", "|---|---:|---:|---:|"]
    for name, pairs in results.cached.items():
        mine, theirs = middle(pairs, 0, "requests_per_s"), middle(pairs, 1, "requests_per_s")
        lines.append(f"| {name} | {mine:,.0f} | {theirs:,.0f} | {ratio(pairs):.2f}x |")
    lines += ["\n## Beside a 200 ms model at 16 connections\n"]
    lines += [
        "| slow model | asked | requests/s | p50, ms | p99, ms | failed |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for slow, windows in results.beside_slow.items():
        for asked, window in windows.items():
            lines.append(
                f"| {slow} | {asked} | {window.requests_per_s:,.0f} | {window.p50_ms:.3f} "
                f"| {window.p99_ms:.3f} | {window.failed} |"
            )
    settings = ", ".join(f"{name} {value}" for name, value in results.settings.items())
    lines += ["\n## Effective settings\n", settings]
    return "\n".join(lines) + "\n"


def as_json(results: Results) -> str:
    return json.dumps(asdict(results), indent=1)


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--windows", type=int, default=3, help="pairs of windows a case")
    parser.add_argument("--seconds", type=float, default=2.0, help="length of a window, s")
    parser.add_argument("--only", default="", help="cases whose name contains this")
    parser.add_argument("--no-build", action="store_true", help="only peers that are built")
    given = parser.parse_args()
    if shutil.which("wrk") is None:
        print("bench needs wrk (Debian: apt-get install wrk)", file=sys.stderr)
        return 2
    chosen = [case for case in CASES if given.only.lower() in case.name.lower()]
    failures = {} if given.no_build else build(dict.fromkeys(case.environment for case in chosen))
    for peer, why in failures.items():
        print(f"{peer} could not be installed: {why}", file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        results = run(Bench(given.models, Path(scratch), given.windows, given.seconds), chosen)
    text = report(results)
    (ROOT / "docs/benchmarks.md").write_text(text)
    (ROOT / "bench/results.json").write_text(as_json(results))
    print(text)
    return 0


def run(bench: Bench, chosen: list[Case]) -> Results:
    """Measure every case that can be started; the others are named with their reason."""
    results, there = bench.results, built()
    results.settings = effective_settings()
    ours = our_command(bench.models, bench.scratch)
    variables = dict(os.environ) | {"PYTHONPATH": str(ROOT)}
    with running(ours, variables, our_url("breast_cancer"), bench.first):
        until_ready(f"http://127.0.0.1:{OURS_PORT}/v2/health/ready")
        for slow in ("slow", "slow_c"):
            bench.beside_slow(slow)
        tasks = [(case, model) for case in chosen for model in MODELS]
        for case, model in tqdm(tasks, unit="case"):
            if case.environment not in there:
                results.failed[f"{model} | {case.name}"] = "its environment could not be built"
                continue
            try:
                bench.beside(case, model)
            except (RuntimeError, subprocess.SubprocessError) as error:
                results.failed[f"{model} | {case.name}"] = str(error)[:200]
    return results


def until_ready(url: str) -> None:
    end = time.monotonic() + 300
    while time.monotonic() < end:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.2)
    raise RuntimeError("our server did not become ready")


def effective_settings() -> dict[str, str]:
    """Every setting as our server has it."""
    from engine.config import load_settings

    found: dict[str, Any] = asdict(load_settings({}))
    return {name: str(value) for name, value in found.items()}


if __name__ == "__main__":
    raise SystemExit(main())
