"""Prometheus beside the console: `make scrape`.

A real Prometheus scrapes a real server for a minute of load. Its histogram_quantile must lie
within one of the scraped buckets of what the console says of the same window, and every query
of the Grafana dashboard must be answered. The exit status is 1 where that is not so.
"""

from __future__ import annotations

import argparse
import json
import socket
import subprocess
import tempfile
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from bench.__main__ import ROOT, until_ready
from bench.models import rows_of, write_repository
from bench.serving import Client, serving
from bench.wrk import body_of
from engine.telemetry.histogram import GROWTH
from engine.telemetry.openmetrics import EVERY

BUCKET = GROWTH**EVERY
MODEL = "breast_cancer"
SELECT = f'pyrometer_request_duration_seconds_bucket{{model="{MODEL}"}}'
SHARES = {"p50_ms": 0.5, "p95_ms": 0.95, "p99_ms": 0.99}
DASHBOARD = ROOT / "docs/grafana/pyrometer.json"


@dataclass
class Compared:
    """Quantiles in ms: Prometheus', the console's. unanswered: queries without a result."""

    quantiles: dict[str, tuple[float, float]] = field(default_factory=dict)
    unanswered: list[str] = field(default_factory=list)
    answered: int = 0
    counted: tuple[float, float] = (0, 0)

    @property
    def agrees(self) -> bool:
        within = all(1 / BUCKET <= told / ours <= BUCKET for told, ours in self.quantiles.values())
        return within and not self.unanswered and len(self.quantiles) == len(SHARES)


@contextmanager
def prometheus(folder: Path, target: int, interval_s: int) -> Iterator[int]:
    """A Prometheus of Debian's that scrapes 127.0.0.1:target; yields its port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    (folder / "prometheus.yml").write_text(
        f"global: {{scrape_interval: {interval_s}s}}\nscrape_configs:\n"
        f"- job_name: pyrometer\n  static_configs: [{{targets: ['127.0.0.1:{target}']}}]\n"
    )
    process = subprocess.Popen(
        [
            "prometheus",
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'tsdb'}",
            f"--web.listen-address=127.0.0.1:{port}",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until_ready(f"http://127.0.0.1:{port}/-/ready")
        yield port
    finally:
        process.terminate()
        process.wait(30)


def ask(port: int, query: str, at: float) -> list[dict[str, Any]]:
    """Result of an instant query. Raises RuntimeError for one that Prometheus refuses."""
    asked = urllib.parse.urlencode({"query": query, "time": f"{at:.3f}"})
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/query?{asked}") as answer:
        said = json.load(answer)
    if said["status"] != "success":
        raise RuntimeError(f"{query}: {said}")
    result: list[dict[str, Any]] = said["data"]["result"]
    return result


def compare(models: Path, seconds: int) -> Compared:
    """Load a server for so long with Prometheus beside it, and compare."""
    compared = Compared()
    with tempfile.TemporaryDirectory(prefix="scrape-") as scratch:
        folder = Path(scratch)
        write_repository(models, folder)
        with serving(folder) as (port, _), prometheus(folder, port, 1) as scraper:
            until_ready(f"http://127.0.0.1:{port}/v2/health/ready")
            _load(port, models, seconds)
            window = f"{max(5, seconds - 4)}s"
            path = f"/performance/metrics/history?window={window}&step={window}&model={MODEL}"
            at = time.time()
            told = Client(port).call("GET", path)[1]
            ours = dict(zip(told["columns"], told["points"][-1], strict=True))
            for name, share in SHARES.items():
                query = f"histogram_quantile({share}, sum by (le) (increase({SELECT}[{window}])))"
                found = ask(scraper, query, at)
                if found:
                    compared.quantiles[name] = (1e3 * float(found[0]["value"][1]), ours[name])
            time.sleep(2)  # a last scrape sees the last second
            counted = ask(scraper, f'sum(pyrometer_requests_total{{model="{MODEL}"}})', time.time())
            status = Client(port).call("GET", "/performance/status")[1]
            compared.counted = (float(counted[0]["value"][1]), float(status["requests"]))
            for panel in json.loads(DASHBOARD.read_text())["panels"]:
                for target in panel["targets"]:
                    query = target["expr"].replace("$__rate_interval", window)
                    compared.answered += 1
                    if not ask(scraper, query, at):
                        compared.unanswered.append(query)
    return compared


def _load(port: int, models: Path, seconds: int) -> None:
    """Four callers with a little rest between, so that the latencies differ."""
    bodies = [body_of(row[None]) for row in rows_of(models)[:40]]
    ends = time.monotonic() + seconds
    headers = {"content-type": "application/json"}

    def call(number: int) -> None:
        client, step = Client(port), number
        while time.monotonic() < ends:
            step += 1
            client.exchange("POST", f"/v2/models/{MODEL}/infer", bodies[step % 40], headers)

    threads = [threading.Thread(target=call, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for _ in tqdm(range(seconds), unit="s", desc="load"):
        time.sleep(1)
    for thread in threads:
        thread.join()


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.scrape", description=__doc__)
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--seconds", type=int, default=60)
    given = parser.parse_args()
    compared = compare(given.models, given.seconds)
    print("| quantile | Prometheus, ms | console, ms | ratio |\n|---|---:|---:|---:|")
    for name, (told, ours) in compared.quantiles.items():
        print(f"| {name.removesuffix('_ms')} | {told:.4f} | {ours:.4f} | {told / ours:.3f} |")
    print(f"\na bucket is a ratio of {BUCKET:.3f}")
    print(f"requests: Prometheus {compared.counted[0]:,.0f}, console {compared.counted[1]:,.0f}")
    print(f"dashboard: {compared.answered} queries, unanswered: {compared.unanswered or 'none'}")
    return 0 if compared.agrees and compared.counted[0] == compared.counted[1] else 1


if __name__ == "__main__":
    raise SystemExit(main())
