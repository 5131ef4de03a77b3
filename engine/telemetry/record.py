"""One record per request, appended once, success or failure.

    duration = preprocessing + queue + load + inference + postprocessing
             + serialization + unaccounted

Phases never overlap; `unaccounted` is the rest, so that they always add up.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

PHASES = ("preprocessing", "queue", "model_load", "inference", "postprocessing", "serialization")
_PAGE_BYTES = os.sysconf("SC_PAGESIZE")


@dataclass(slots=True)
class RequestMetrics:
    """What one request did. Times are nanoseconds; the dict form gives milliseconds.

    batch_rows: rows of the run that answered, others' included; 0 where none ran.
    backend: the form that answered. degraded: another form has failed and this one stands in.
    cpu_ns is this request's own thread time, 0 where it was not read: on the event loop it is
    read for one request in 16, and not for those answered together. memory_before_mb and
    memory_after_mb are the whole process' resident memory; they are read for cold requests, for
    those over 5 ms (after only) and for a sample, and are None elsewhere.
    """

    request_id: str
    endpoint: str
    status: int = 0
    model: str = ""
    version: str = ""
    rows: int = 0
    batch_rows: int = 0
    cold_start: bool = False
    cache_hit: bool = False
    backend: str = ""
    degraded: bool = False
    duration_ns: int = 0
    cpu_ns: int = 0
    preprocessing_ns: int = 0
    queue_ns: int = 0
    model_load_ns: int = 0
    inference_ns: int = 0
    postprocessing_ns: int = 0
    serialization_ns: int = 0
    memory_before_mb: float | None = None
    memory_after_mb: float | None = None
    finished_at: float = 0.0

    @property
    def unaccounted_ns(self) -> int:
        return self.duration_ns - (
            self.preprocessing_ns
            + self.queue_ns
            + self.model_load_ns
            + self.inference_ns
            + self.postprocessing_ns
            + self.serialization_ns
        )

    def as_dict(self) -> dict[str, Any]:
        """The public form: times in ms, CPU as a percentage of the duration."""
        return {
            "request_id": self.request_id,
            "endpoint": self.endpoint,
            "status": self.status,
            "model": self.model,
            "version": self.version,
            "rows": self.rows,
            "batch_rows": self.batch_rows,
            "duration_ms": self.duration_ns / 1e6,
            "memory_before_mb": self.memory_before_mb,
            "memory_after_mb": self.memory_after_mb,
            "cpu_percent": 100 * self.cpu_ns / self.duration_ns if self.cpu_ns else None,
            "cold_start": self.cold_start,
            "cache_hit": self.cache_hit,
            "backend": self.backend,
            "degraded": self.degraded,
            "queue_time_ms": self.queue_ns / 1e6,
            "model_load_time_ms": self.model_load_ns / 1e6,
            "preprocessing_time_ms": self.preprocessing_ns / 1e6,
            "inference_time_ms": self.inference_ns / 1e6,
            "postprocessing_time_ms": self.postprocessing_ns / 1e6,
            "serialization_time_ms": self.serialization_ns / 1e6,
            "unaccounted_time_ms": self.unaccounted_ns / 1e6,
            "finished_at": self.finished_at,
        }


class ProcessMemory:
    """Resident memory of this process, read from a descriptor kept open (about 2 us)."""

    def __init__(self) -> None:
        self._statm = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)

    def resident_mb(self) -> float:
        return int(os.pread(self._statm, 64, 0).split()[1]) * _PAGE_BYTES / 1e6
