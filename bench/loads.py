"""Loading and holding models: `python -m bench.loads`.

(a) Load from the artefact cache: each bundled model evicted and loaded again, from reading its
plan to a warmed model, by the server's own clock.
(b) The cost of a request beside 1, 10 and 100 loaded models: p50 of one connection in
alternating short windows against three servers that are up at once but asked in turn; two of
them hold one model (A/A), which shows what the machine's noise alone does.
(c) Memory (PSS) of a server with the five bundled models, after requests to each.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from tqdm import tqdm

from bench.serving import Client, percentile, serving, wait_settled

SMALL = "risk_scorer"
HEADERS = {"Cache-Control": "no-cache"}


def sample_body(folder: Path, metadata: dict[str, Any]) -> bytes:
    """One real row of a bundled model as a V2 body."""
    with np.load(folder / "1/samples.npz") as archive:
        tensors = [
            {
                "name": spec["name"],
                "datatype": spec["datatype"],
                "shape": list(archive[spec["name"]][:1].shape),
                "data": archive[spec["name"]][:1].reshape(-1).tolist(),
            }
            for spec in metadata["inputs"]
        ]
    return json.dumps({"inputs": tensors}).encode()


def reload_times(port: int, names: list[str], rounds: int) -> dict[str, list[float]]:
    """Milliseconds of each load, by model, the models evicted before each."""
    client = Client(port)
    times: dict[str, list[float]] = {name: [] for name in names}
    for _ in tqdm(range(rounds), desc="loading", unit="round"):
        client.call("POST", "/performance/cache/clear", {"tier": "models"})
        for name in names:
            client.call("POST", f"/v2/repository/models/{name}/load", {})
            held = client.call("GET", "/performance/models")[1]["models"]
            times[name].append(next(m["load_ms"] for m in held if m["name"] == name))
    return times


def window_us(client: Client, path: str, body: bytes, seconds: float) -> float:
    """p50 of one connection's requests over a short window, microseconds."""
    times, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end:
        started = time.perf_counter_ns()
        status, _, _ = client.exchange("POST", path, body, HEADERS)
        times.append((time.perf_counter_ns() - started) / 1e3)
        if status != 200:
            raise RuntimeError(f"{path}: {status}")
    return statistics.median(times)


def cost_by_models(
    models: Path, scratch: Path, counts: tuple[int, ...], windows: int, seconds: float
) -> list[list[float]]:
    """p50 per window (microseconds), a list for each of `counts`, windows alternating."""
    results: list[list[float]] = [[] for _ in counts]
    with ExitStack() as stack:
        clients, body = [], b""
        for place, count in enumerate(counts):
            folder = scratch / f"{place}-of-{count}"
            for number in range(count):
                shutil.copytree(models / SMALL, folder / f"models/m{number}")
            port, _ = stack.enter_context(serving(folder, "--reload-interval-s", "0"))
            client = Client(port)
            wait_settled(client, count)
            clients.append(Client(port))
            body = body or sample_body(models / SMALL, client.call("GET", "/v2/models/m0")[1])
        for _ in tqdm(range(windows + 1), desc="asking", unit="window"):
            for place, client in enumerate(clients):
                results[place].append(
                    window_us(client, f"/v2/models/m{counts[place] - 1}/infer", body, seconds)
                )
    return [values[1:] for values in results]  # the first window warms up


def pss_mb(port: int, process_id: int, models: Path, names: list[str], requests: int) -> float:
    """PSS of the server once each model has answered `requests` requests."""
    client = Client(port)
    for name in names:
        body = sample_body(models / name, client.call("GET", f"/v2/models/{name}")[1])
        for _ in range(requests):
            status, _, _ = client.exchange("POST", f"/v2/models/{name}/infer", body, HEADERS)
            assert status == 200
    return float(psutil.Process(process_id).memory_full_info().pss / 1e6)


def ratio_interval(values: list[float], base: list[float]) -> tuple[float, float, float]:
    """Median of the paired ratios and its bootstrap 95 % interval over windows."""
    ratios = np.array(values) / np.array(base)
    random = np.random.default_rng(7)
    resampled = np.median(random.choice(ratios, (2000, len(ratios))), axis=1)
    low, high = np.percentile(resampled, [2.5, 97.5])
    return float(np.median(ratios)), float(low), float(high)


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.loads", description=__doc__)
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--windows", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=0.5)
    given = parser.parse_args()
    names = sorted(path.parent.name for path in given.models.glob("*/model.toml"))
    with tempfile.TemporaryDirectory(prefix="loads-") as scratch:
        folder = Path(scratch) / "five"
        shutil.copytree(given.models, folder / "models")
        with serving(folder) as (port, _):
            client = Client(port)
            client.call("POST", "/performance/warmup", {})
            times = reload_times(port, names, given.rounds)
        with serving(folder) as (port, process_id):  # plans are there: no child, no scikit-learn
            Client(port).call("POST", "/performance/warmup", {})
            memory_mb = pss_mb(port, process_id, given.models, names, 200)
        counts = (1, 1, 10, 100)
        costs = cost_by_models(given.models, Path(scratch), counts, given.windows, given.seconds)
    print("| model | loads | p50, ms | p99, ms |\n|---|---|---|---|")
    for name, values in times.items():
        shown = f"{percentile(values, 0.5):.1f} | {percentile(values, 0.99):.1f}"
        print(f"| {name} | {len(values)} | {shown} |")
    all_ms = [ms for values in times.values() for ms in values]
    shown = f"{percentile(all_ms, 0.5):.1f} | {percentile(all_ms, 0.99):.1f}"
    print(f"| all | {len(all_ms)} | {shown} |\n")
    print(
        "| loaded models | windows | request p50, us | ratio to 1 model, 95 % |\n|---|---|---|---|"
    )
    for place, count in enumerate(counts):
        middle, low, high = ratio_interval(costs[place], costs[0])
        label = f"{count} (A/A)" if place == 1 else str(count)
        median = statistics.median(costs[place])
        ratio = "1" if place == 0 else f"{middle:.3f} ({low:.3f} to {high:.3f})"
        print(f"| {label} | {len(costs[place])} | {median:.0f} | {ratio} |")
    print(f"\nPSS with {len(names)} models after 200 requests to each: {memory_mb:.0f} MB")
    met = percentile(all_ms, 0.5) <= 20 and memory_mb <= 200
    return 0 if met else 1


if __name__ == "__main__":
    raise SystemExit(main())
