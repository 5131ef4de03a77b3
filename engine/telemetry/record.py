"""One record per request, appended once, success or failure.

    duration = front + decode + queue + cache + load + inference + postprocess
             + encode + compress + write + own + unaccounted

    front        guards, route, headers, until the request is looked at
    decode       body to tensors
    queue        waiting: for a thread, a slot, a batch, the loop's turn, equal requests
    cache        looking up and keeping
    load         a cold model
    inference    the model's run
    postprocess  the answer's own computation
    encode       tensors to bytes
    compress     gzip
    write        handing the bytes over to the server
    own          phases that a route named itself

Phases never overlap; `unaccounted` is the rest, so that they always add up.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.types import CACHE_WORDS, NO_LOOKUP, RESPONSE_HIT

PHASES = (
    "front",
    "decode",
    "queue",
    "cache",
    "load",
    "inference",
    "postprocess",
    "encode",
    "compress",
    "write",
    "own",
)
MAX_OWN_PHASES = 16
_PAGE_BYTES = os.sysconf("SC_PAGESIZE")


@dataclass(slots=True)
class RequestMetrics:
    """What one request did. Times are nanoseconds; the dict form gives milliseconds.

    batch_rows: rows of the run that answered, others' included; 0 where none ran.
    backend: the form that answered. degraded: another form has failed and this one stands in.
    cache: what caches did, see engine.types. bytes_in, bytes_out: of the bodies. error: the name of
    what was raised. cpu_ns is this request's own thread time, 0 where it was not read: on the
    event loop it is read for one request in 16, and not for those answered together.
    memory_before_mb and memory_after_mb are the whole process' resident memory; they are read
    for cold requests, for those over 5 ms (after only) and for a sample, and are None elsewhere.
    samples: of the profiler that fell into it, for exemplars; None where nobody looked.
    """

    request_id: str
    endpoint: str
    status: int = 0
    model: str = ""
    version: str = ""
    variant: str = ""
    rows: int = 0
    batch_rows: int = 0
    cold_start: bool = False
    cache: int = NO_LOOKUP
    backend: str = ""
    degraded: bool = False
    bytes_in: int = 0
    bytes_out: int = 0
    duration_ns: int = 0
    front_ns: int = 0
    decode_ns: int = 0
    queue_ns: int = 0
    cache_ns: int = 0
    load_ns: int = 0
    inference_ns: int = 0
    postprocess_ns: int = 0
    encode_ns: int = 0
    compress_ns: int = 0
    write_ns: int = 0
    own_ns: int = 0
    own_phases: dict[str, int] = field(default_factory=dict)
    cpu_ns: int = 0
    memory_before_mb: float | None = None
    memory_after_mb: float | None = None
    trace_id: str = ""
    span_id: str = ""
    error: str = ""
    finished_at: float = 0.0
    samples: Sequence[Any] | None = None

    @property
    def cache_hit(self) -> bool:
        return self.cache >= RESPONSE_HIT

    @property
    def accounted_ns(self) -> int:
        """The sum of all phases so far."""
        return (
            self.front_ns
            + self.decode_ns
            + self.queue_ns
            + self.cache_ns
            + self.load_ns
            + self.inference_ns
            + self.postprocess_ns
            + self.encode_ns
            + self.compress_ns
            + self.write_ns
            + self.own_ns
        )

    @property
    def unaccounted_ns(self) -> int:
        return self.duration_ns - self.accounted_ns

    def add_own(self, name: str, ns: int) -> None:
        """Book a route's own phase; over MAX_OWN_PHASES names are booked as (other)."""
        if name not in self.own_phases and len(self.own_phases) >= MAX_OWN_PHASES:
            name = "(other)"
        self.own_phases[name] = self.own_phases.get(name, 0) + ns
        self.own_ns += ns

    def as_dict(self) -> dict[str, Any]:
        """The public form: times in ms, CPU as a percentage of the duration."""
        phases = {phase: getattr(self, f"{phase}_ns") / 1e6 for phase in PHASES}
        return {
            "request_id": self.request_id,
            "endpoint": self.endpoint,
            "status": self.status,
            "error": self.error or None,
            "model": self.model,
            "version": self.version,
            "variant": self.variant or None,
            "rows": self.rows,
            "batch_rows": self.batch_rows,
            "bytes_in": self.bytes_in,
            "bytes_out": self.bytes_out,
            "duration_ms": self.duration_ns / 1e6,
            "memory_before_mb": self.memory_before_mb,
            "memory_after_mb": self.memory_after_mb,
            "cpu_percent": 100 * self.cpu_ns / self.duration_ns if self.cpu_ns else None,
            "cold_start": self.cold_start,
            "cache_hit": self.cache_hit,
            "cache": CACHE_WORDS[self.cache] or None,
            "backend": self.backend,
            "degraded": self.degraded,
            "queue_time_ms": phases["queue"],
            "model_load_time_ms": phases["load"],
            "preprocessing_time_ms": phases["front"] + phases["decode"],
            "inference_time_ms": phases["inference"],
            "postprocessing_time_ms": phases["cache"] + phases["postprocess"] + phases["own"],
            "serialization_time_ms": phases["encode"] + phases["compress"] + phases["write"],
            "unaccounted_time_ms": self.unaccounted_ns / 1e6,
            "phases_ms": phases | {"unaccounted": self.unaccounted_ns / 1e6},
            "own_phases_ms": {name: ns / 1e6 for name, ns in self.own_phases.items()},
            "trace_id": self.trace_id or None,
            "finished_at": self.finished_at,
            "profile": {"samples": len(self.samples)} if self.samples else None,
        }


class ProcessMemory:
    """Resident memory of this process, read from a descriptor kept open (about 2 us)."""

    def __init__(self) -> None:
        self._statm = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)

    def resident_mb(self) -> float:
        return int(os.pread(self._statm, 64, 0).split()[1]) * _PAGE_BYTES / 1e6
