"""How long one look back takes when history is full: `make timeline`.

A file with every tier full, two years of it, for five models: each window is asked for several
times, of all service traffic and of one model. The exit status is 1 where the median of one is
over 50 ms.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np
from tqdm import tqdm

from engine.telemetry.history import History
from engine.telemetry.history_file import HistoryFile
from engine.telemetry.labels import Label
from engine.telemetry.record import RequestMetrics
from engine.telemetry.recorder import Recorder
from engine.telemetry.ring import SECONDS, Ring
from engine.telemetry.rollup import TIERS, Bucket
from engine.telemetry.system import GAUGES
from engine.telemetry.tally import tally_of
from engine.telemetry.timeline import Timeline, as_dict

MODELS, REQUESTS, ROUNDS = 5, 2000, 9
MOST_MS = 50.0
WINDOWS = {"1 h": 3600, "6 h": 21_600, "24 h": 86_400, "7 d": 604_800, "30 d": 2_592_000}
WINDOWS["2 y"] = 730 * 86_400
NOW = 1_800_000_000 // 21_600 * 21_600


def recorded(recorder: Recorder) -> np.ndarray:
    """A second of requests to every model, of latencies that differ."""
    latencies = np.random.default_rng(1).lognormal(13, 1, REQUESTS)
    for number, ns in enumerate(latencies.tolist()):
        model = f"m{number % MODELS}"
        record = RequestMetrics("r", "/infer", 200, model, "1", rows=1, duration_ns=int(ns))
        recorder.append(record)
    return recorder.drain().rows


def filled(path: Path, recorder: Recorder, rows: np.ndarray) -> int:
    """Write every tier full; returns the bytes in use."""
    file = HistoryFile(path)
    bucket = Bucket(0)
    bucket.add(1.0, tally_of(rows), np.ones(len(GAUGES)), recorder.labels)
    with file._db:
        for tier in TIERS:
            template = [file._row(tier, bucket, series) for series in bucket.parts]
            starts = range(NOW - tier.keep_s, NOW, tier.step_s)
            for start_s in tqdm(starts, desc=f"{tier.step_s} s", leave=False):
                file._put(
                    (tier_s, series, start_s, float(tier.step_s), *rest)
                    for tier_s, series, _, _, *rest in template
                )
    used = file.used_bytes()
    file.close()
    return used


def main() -> int:
    recorder, ring, slowest = Recorder(), Ring(), 0.0
    recorder.label_id(Label("m0", "1", "", "/infer"))
    rows = recorded(recorder)
    tally = tally_of(rows)
    for second in range(SECONDS):
        ring.append(float(second), 1.0, {}, tally, recorder.labels.is_service())
    with tempfile.TemporaryDirectory(prefix="timeline-") as scratch:
        history = History(Path(scratch), recorder.labels, 10**10, lambda kind, text: None)
        used = filled(history.path, recorder, rows)
        timeline = Timeline(ring, recorder.labels, history)
        print("| window | of | points | median, ms | longest, ms |\n|---|---|---:|---:|---:|")
        for name, window_s in WINDOWS.items():
            for model in (None, "m0"):
                took = []
                for _ in range(ROUNDS):
                    began = time.perf_counter()
                    found = timeline.frames(window_s, NOW + SECONDS, SECONDS, None, model)
                    answer = as_dict(found)
                    took.append(1e3 * (time.perf_counter() - began))
                slowest = max(slowest, float(np.median(took)))
                shown = f"{np.median(took):.1f} | {max(took):.1f}"
                print(f"| {name} | {model or 'all'} | {len(answer['points'])} | {shown} |")
    print(f"\n{used / 1e6:.0f} MB in use, all tiers full, {MODELS} models")
    return 0 if slowest <= MOST_MS else 1


if __name__ == "__main__":
    raise SystemExit(main())
