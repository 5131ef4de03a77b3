"""One request of many rows or many columns, JSON and binary, beside MLServer: `make batches`.

Logistic regressions of 30 to 3,000 columns, batches of 1 to 1,024 rows, one connection, caches
refused; medians of alternating calls. Both serve scikit-learn's model; MLServer as it is. Kept
as docs/batches.png and docs/batches.md. MLServer 1.7.1 answers 500 to binary tensors over REST, so
its rows are JSON only. `flat`: the same request after 10 and after a million
others.
"""

from __future__ import annotations

import argparse
import http.client
import json
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots
from tqdm import tqdm

from bench.__main__ import ROOT, running, until_ready
from bench.cases import CASES, write_mlserver_settings
from bench.models import write_for_peers
from bench.picture import write_png
from bench.serving import serving
from bench.wrk import measure, write_script

ROWS = (1, 4, 16, 64, 256, 1024)
COLUMNS = (30, 100, 300, 1000, 3000)
MLSERVER_PORT = 8170
KINDS = ("json", "binary")
UNANSWERED = frozenset({("MLServer", "binary")})
"""MLServer 1.7.1 answers 500 to binary tensors over REST."""


@dataclass(frozen=True, slots=True)
class Point:
    """Median milliseconds of one request."""

    server: str
    kind: str
    rows: int
    columns: int
    ms: float


class Caller:
    """One connection to a server's V2 route."""

    def __init__(self, port: int, model: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        self._path = f"/v2/models/{model}/infer"

    def ms(self, matrix: np.ndarray, kind: str) -> float:
        """Milliseconds of one request, the client's own encoding not counted."""
        tensor: dict[str, Any] = {
            "name": "input",
            "datatype": "FP64",
            "shape": list(matrix.shape),
        }
        headers, tail = {"Cache-Control": "no-cache", "Content-Type": "application/json"}, b""
        if kind == "binary":
            tail = matrix.tobytes()
            tensor["parameters"] = {"binary_data_size": len(tail)}
        else:
            tensor["data"] = matrix.reshape(-1).tolist()
        head = json.dumps({"inputs": [tensor]}).encode()
        if kind == "binary":
            headers["Inference-Header-Content-Length"] = str(len(head))
            headers["Content-Type"] = "application/octet-stream"
        began = time.perf_counter()
        self._connection.request("POST", self._path, head + tail, headers)
        answer = self._connection.getresponse()
        content = answer.read()
        took = 1e3 * (time.perf_counter() - began)
        if answer.status != 200:
            raise RuntimeError(f"{self._path}: {answer.status} {content[:200]!r}")
        return took


def write_model(models: Path, columns: int) -> None:
    """A logistic regression of so many columns."""
    import skops.io
    from sklearn.linear_model import LogisticRegression

    random = np.random.default_rng(columns)
    rows = random.normal(size=(400, columns))
    folder = models / f"wide_{columns}/1"
    folder.mkdir(parents=True)
    estimator = LogisticRegression(max_iter=50).fit(rows, rows[:, 0] > 0)
    skops.io.dump(estimator, folder / "model.skops")


def sizes() -> list[tuple[int, int]]:
    """(rows, columns): the rows at 30 columns, the columns at 16 rows."""
    return [(rows, COLUMNS[0]) for rows in ROWS] + [(16, columns) for columns in COLUMNS[1:]]


def compare(folder: Path, ours: int, repeats: int) -> list[Point]:
    """Medians of both servers' alternating calls, size by size."""
    mlserver = next(case for case in CASES if case.name == "MLServer")
    points = []
    random = np.random.default_rng(0)
    by_columns: dict[int, list[int]] = {}
    for rows, columns in sizes():
        by_columns.setdefault(columns, []).append(rows)
    for columns, batches in tqdm(by_columns.items(), unit="model"):
        peer = write_for_peers(
            folder / "models", f"wide_{columns}", folder / f"peer-{columns}", columns
        )
        write_mlserver_settings(peer, "sklearn", 1, MLSERVER_PORT)
        command, variables = mlserver.started(peer, MLSERVER_PORT)
        first = json.dumps(
            {
                "inputs": [
                    {
                        "name": "input",
                        "datatype": "FP64",
                        "shape": [1, columns],
                        "data": [0.0] * columns,
                    }
                ]
            }
        ).encode()
        url = f"http://127.0.0.1:{MLSERVER_PORT}{mlserver.path}"
        with running(command, variables, url, first):
            callers = {
                "Pyrometer": Caller(ours, f"wide_{columns}"),
                "MLServer": Caller(MLSERVER_PORT, "bench"),
            }
            for rows in batches:
                matrix = random.normal(size=(rows, columns))
                for kind in KINDS:
                    asked = {n: c for n, c in callers.items() if (n, kind) not in UNANSWERED}
                    times: dict[str, list[float]] = {name: [] for name in asked}
                    for _ in range(repeats):
                        for name, caller in asked.items():
                            times[name].append(caller.ms(matrix, kind))
                    points += [
                        Point(name, kind, rows, columns, statistics.median(taken[2:]))
                        for name, taken in times.items()
                    ]
    return points


def flatness(port: int, scratch: Path, requests: int) -> dict[str, float]:
    """p50 in ms of one connection, after 10 requests and after a million."""
    rows = np.random.default_rng(1).normal(size=(500, COLUMNS[0]))
    script = write_script(scratch / "flat.lua", rows)
    url = f"http://127.0.0.1:{port}/v2/models/wide_{COLUMNS[0]}/infer"
    caller = Caller(port, f"wide_{COLUMNS[0]}")
    for _ in range(10):
        caller.ms(rows[:1], "json")
    before = [measure(url, 1, script, 2).p50_ms for _ in range(5)]
    sent = 0.0
    with tqdm(total=requests, unit="request", desc="asking") as bar:
        while sent < requests:
            window = measure(url, 50, script, 5)
            sent += window.requests_per_s * 5
            bar.update(int(window.requests_per_s * 5))
    after = [measure(url, 1, script, 2).p50_ms for _ in range(5)]
    return {"after 10": statistics.median(before), f"after {sent:,.0f}": statistics.median(after)}


def figure_of(points: list[Point]) -> go.Figure:
    figure = make_subplots(
        cols=2,
        subplot_titles=(f"rows, {COLUMNS[0]} columns", "columns, 16 rows"),
        shared_yaxes=True,
    )
    colours = {"Pyrometer": "#c2410c", "MLServer": "#64748b"}
    for server, colour in colours.items():
        for kind in KINDS:
            for place, (axis, chosen) in enumerate(
                (
                    ("rows", [p for p in points if p.columns == COLUMNS[0]]),
                    ("columns", [p for p in points if p.rows == 16]),
                ),
                start=1,
            ):
                own = sorted(
                    (p for p in chosen if (p.server, p.kind) == (server, kind)),
                    key=lambda p: getattr(p, axis),
                )
                figure.add_scatter(
                    x=[getattr(p, axis) for p in own],
                    y=[p.ms for p in own],
                    name=f"{server}, {kind}",
                    mode="lines+markers",
                    line={"color": colour, "dash": "solid" if kind == "binary" else "dot"},
                    showlegend=place == 1,
                    row=1,
                    col=place,
                )
    figure.update_xaxes(type="log", tickvals=list(ROWS), col=1)
    figure.update_xaxes(type="log", tickvals=list(COLUMNS), col=2)
    ticks = [0.1, 0.2, 0.5, 1, 2, 5, 10]
    figure.update_yaxes(type="log", tickvals=ticks, ticktext=[f"{tick:g} ms" for tick in ticks])
    figure.update_layout(
        template="plotly_white", title="One request, median", legend={"orientation": "h"}
    )
    return figure


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.batches", description=__doc__)
    parser.add_argument("--repeats", type=int, default=32)
    parser.add_argument("--requests", type=int, default=1_000_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="batches-") as scratch:
        folder = Path(scratch)
        for columns in COLUMNS:
            write_model(folder / "models", columns)
        with serving(folder) as (port, _):
            until_ready(f"http://127.0.0.1:{port}/v2/health/ready")
            flat = flatness(port, folder, given.requests)
            points = compare(folder, port, given.repeats)
    lines = [
        "# Batches",
        "",
        (__doc__ or "").split("\n\n", 1)[1].strip(),
        "",
        "![Milliseconds by rows and by columns](batches.png)",
        "",
        "| rows | columns | kind | Pyrometer, ms | MLServer, ms | ratio |",
        "|---:|---:|---|---:|---:|---:|",
    ]
    by_size = {(p.rows, p.columns, p.kind, p.server): p.ms for p in points}
    for rows, columns in sizes():
        for kind in KINDS:
            mine = by_size[rows, columns, kind, "Pyrometer"]
            theirs = by_size.get((rows, columns, kind, "MLServer"))
            beside = "- | -" if theirs is None else f"{theirs:.3f} | {theirs / mine:.1f}x"
            lines.append(f"| {rows} | {columns} | {kind} | {mine:.3f} | {beside} |")
    lines += ["", "One row, one connection, p50, ms: " + json.dumps(flat)]
    text = "\n".join(lines) + "\n"
    (ROOT / "docs/batches.md").write_text(text)
    write_png(figure_of(points), ROOT / "docs/batches.png")
    print(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
