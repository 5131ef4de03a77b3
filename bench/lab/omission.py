"""Coordinated omission, shown and undone: `make omission`.

A server answers in S and stalls for D of every P seconds. A closed loop of one connection sends
nothing while it waits, so a stall is one sample among (P - D) / S. Three figures must agree,
and the closed loop's own must not:

    arithmetic   requests that arrive evenly find a stall with probability D / P and then wait
                 evenly between 0 and D: the quantile q is S for q <= 1 - D / P, else
                 S + D * (q - (1 - D / P)) / (D / P)
    open loop    the lab's latency from the intended send time
    corrected    wrk2's (HdrHistogram's) correction of the closed loop: for each latency v above
                 the expected interval I between sends, v - I, v - 2 I, ... down to I are
                 counted too; I is the closed loop's own median, as it sends one after the other
"""

from __future__ import annotations

import argparse
import math
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from tqdm import tqdm

from bench.lab.lab import Cancel, run
from bench.lab.spec import spec_from
from engine.telemetry.histogram import BUCKETS, MIDDLE_MS, buckets_of, percentiles_ms

SHARES = (0.5, 0.9, 0.95, 0.99, 0.999)
AGREES = 0.05


def corrected(counts: np.ndarray, interval_ms: float) -> np.ndarray:
    """wrk2's correction of a histogram's counts (BUCKETS,), each bucket taken at its middle."""
    fixed = counts.astype(np.int64).copy()
    for bucket in np.flatnonzero(counts):
        waits = MIDDLE_MS[bucket] - interval_ms * np.arange(
            1, math.floor(MIDDLE_MS[bucket] / interval_ms) + 1
        )
        missed = buckets_of(waits[waits >= interval_ms] * 1e6)
        fixed += counts[bucket] * np.bincount(missed, minlength=BUCKETS)
    return fixed


def expected_ms(share: float, service_ms: float, stall_s: float, every_s: float) -> float:
    """The arithmetic's quantile."""
    stalled = stall_s / every_s
    if share <= 1 - stalled:
        return service_ms
    return service_ms + 1e3 * stall_s * (share - (1 - stalled)) / stalled


def counts_of(record: dict[str, Any]) -> np.ndarray:
    """A stored run's histogram, dense."""
    edges, counts = record["histogram"]["edges_ms"], record["histogram"]["counts"]
    dense = np.zeros(BUCKETS, dtype=np.int64)
    if counts:
        middles = np.sqrt(np.array(edges[:-1]) * np.array(edges[1:])) * 1e6
        np.add.at(dense, buckets_of(middles), counts)
    return dense


@contextmanager
def stalling(service_ms: float, stall_s: float, every_s: float) -> Iterator[int]:
    """The stalling server as a child process; its port."""
    command = [sys.executable, "-m", "bench.lab.stalling", "--service-ms", str(service_ms)]
    command += ["--stall-s", str(stall_s), "--every-s", str(every_s)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline())
    finally:
        process.terminate()
        process.wait(10)


def compare(
    port: int, stall_s: float, every_s: float, periods: int, rate_per_s: float
) -> dict[str, Any]:
    """Both loops for whole periods: their records, `closed` and `open`."""
    base = {"url": f"http://127.0.0.1:{port}", "model": "constant", "timeout_s": 10 * every_s}
    base |= {"seconds": periods * every_s}
    enough = min(1000, math.ceil(1.5 * rate_per_s * stall_s) + 10)
    loops = {
        "closed": {"loop": "closed", "connections": 1},
        "open": {"loop": "open", "rate_per_s": rate_per_s, "connections": enough},
    }
    records = {}
    for name, loop in loops.items():
        with tqdm(total=round(periods * every_s), desc=f"{name} loop", unit="s") as bar:
            records[name] = run(
                spec_from(base | loop),
                lambda line, bar=bar: bar.update(round(line["elapsed_s"]) - bar.n),  # type: ignore[misc]
                Cancel(),
            )
    return records


def figures(
    records: dict[str, Any], service_ms: float, stall_s: float, every_s: float
) -> dict[str, list[float]]:
    """Quantiles SHARES, ms, by method."""
    closed, opened = counts_of(records["closed"]), counts_of(records["open"])
    interval_ms = float(percentiles_ms(closed[np.newaxis], (0.5,))[0, 0])
    stacked = np.stack([closed, corrected(closed, interval_ms), opened])
    found = percentiles_ms(stacked, SHARES)
    arithmetic = [expected_ms(share, service_ms, stall_s, every_s) for share in SHARES]
    return {
        "closed loop": found[0].tolist(),
        "closed loop, corrected as wrk2 does": found[1].tolist(),
        "open loop, from the intended send": found[2].tolist(),
        "arithmetic": arithmetic,
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.lab.omission", description=__doc__)
    parser.add_argument("--service-ms", type=float, default=2.0)
    parser.add_argument("--stall-s", type=float, default=1.0)
    parser.add_argument("--every-s", type=float, default=10.0)
    parser.add_argument("--periods", type=int, default=6)
    parser.add_argument("--rate", type=float, default=200.0)
    given = parser.parse_args()
    shape = (given.service_ms, given.stall_s, given.every_s)
    with stalling(*shape) as port:
        records = compare(port, given.stall_s, given.every_s, given.periods, given.rate)
    table = figures(records, *shape)
    print("\n| method | " + " | ".join(f"p{100 * share:g}, ms" for share in SHARES) + " |")
    print("|---" * (1 + len(SHARES)) + "|")
    for name, values in table.items():
        print(f"| {name} | " + " | ".join(f"{value:.1f}" for value in values) + " |")
    place = SHARES.index(0.99)
    closed, fixed, opened, known = (values[place] for values in table.values())
    agree = abs(opened / fixed - 1) <= AGREES and abs(opened / known - 1) <= AGREES
    print(
        f"\nrequested {records['open']['requested_per_s']}/s, "
        f"achieved {records['open']['achieved_per_s']}/s; p99: open loop {opened:.1f} ms, "
        f"wrk2's arithmetic {fixed:.1f} ms, closed loop {closed:.1f} ms"
    )
    return 0 if agree and closed < known / 2 and records["open"]["valid"] else 1


if __name__ == "__main__":
    raise SystemExit(main())
