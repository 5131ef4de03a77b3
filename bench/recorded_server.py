"""`pyrometer`, with the duration of each request of service traffic written to a file as well.

    PYROMETER_BENCH_SAMPLES=file python -m bench.recorded_server serve ...

The file holds the recorder's own durations, int64 ns, one after the other: what can be held against
the figures that are told of this process.
"""

from __future__ import annotations

import os
import runpy
from pathlib import Path

import numpy as np

from engine.telemetry.recorder import Drained, Recorder
from engine.telemetry.rows import COLUMN

VARIABLE = "PYROMETER_BENCH_SAMPLES"


def samples_in(path: Path) -> np.ndarray:
    """Durations, ns, that a server has written so far."""
    content = path.read_bytes() if path.exists() else b""
    return np.frombuffer(content[: len(content) // 8 * 8], dtype=np.int64)


def _keep(path: str) -> None:
    drain = Recorder.drain

    def kept_drain(self: Recorder) -> Drained:
        drained = drain(self)
        if len(drained.rows):
            service = self.labels.is_service()[drained.rows[:, 0]]
            with open(path, "ab") as file:
                file.write(drained.rows[service, COLUMN["duration_ns"]].astype(np.int64).tobytes())
        return drained

    Recorder.drain = kept_drain  # type: ignore[method-assign]


if __name__ == "__main__":
    _keep(os.environ.pop(VARIABLE))
    runpy.run_module("app.cli", run_name="__main__")
