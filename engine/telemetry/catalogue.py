"""The catalogue of metrics: name, label, unit and help, the single source of each.

METRICS are the figures and gauges of the timeline and the console; FAMILIES are what scrapers
are given, in base units. docs/metrics.md lists both.
"""

from __future__ import annotations

from typing import NamedTuple

from engine.telemetry.record import PHASES
from engine.telemetry.system import CORES


class Metric(NamedTuple):
    """One figure of the timeline or the tiles."""

    name: str
    label: str
    unit: str
    help: str

    def shown(self, value: float) -> str:
        """A value with its unit: four digits, whole numbers from a thousand on."""
        digits = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
        return f"{digits} {self.unit}".rstrip()


PHASE_HELP = {
    "front": "guards, routing and headers",
    "decode": "body to tensors",
    "queue": "waiting for a thread, a slot, a batch, the loop's turn or an equal request",
    "cache": "looking up in caches and keeping",
    "load": "loading a cold model",
    "inference": "the model's run",
    "postprocess": "computing the answer from the outputs",
    "encode": "tensors to bytes",
    "compress": "gzip",
    "write": "handing the bytes over to the server",
    "own": "phases that a route named itself",
}

SAVED_BY = {
    "plan": "What the same runs would have taken as the model is, minus their measured time.",
    "batching": "What joined rows would have taken alone, minus their part of the measured run.",
    "responses": "Hits x what recent requests spent from decoding to gzip, minus the hits' time.",
    "results": "Hits x what recent requests spent on their run, minus the hits' time.",
    "disk": "Reads from disk x what recent requests spent on their run, minus the reads' time.",
    "redis": "Results of other servers x what recent requests spent on their run, minus the "
    "look-ups' time.",
    "embeddings": "Rows found x the mean time that encoding one took since the start.",
}
SAVED_HELP = "An estimate, ms of work a second, beside a server without this alone."

METRICS = (
    Metric("requests_per_s", "Requests", "req/s", "Inference requests answered per second."),
    Metric("errors_per_s", "Errors", "req/s", "Requests answered with 4xx or 5xx per second."),
    Metric("errors_4xx_per_s", "4xx", "req/s", "Requests answered with 4xx: the caller's part."),
    Metric("errors_5xx_per_s", "5xx", "req/s", "Requests answered with 5xx: our part."),
    Metric("shed_per_s", "Shed", "req/s", "Requests refused with 429 because a queue was full."),
    Metric("expired_per_s", "Expired", "req/s", "Requests whose deadline passed in a queue."),
    Metric("cold_starts_per_s", "Cold starts", "1/s", "Requests that met a cold model."),
    Metric("rows_per_s", "Rows", "rows/s", "Rows of tensors answered per second."),
    Metric("bytes_in_per_s", "Bytes in", "B/s", "Request bodies of service traffic."),
    Metric("bytes_out_per_s", "Bytes out", "B/s", "Response bodies of service traffic."),
    Metric("p50_ms", "Latency p50", "ms", "Half of the requests took at most this long."),
    Metric("p90_ms", "Latency p90", "ms", "90 % of the requests took at most this long."),
    Metric("p95_ms", "Latency p95", "ms", "95 % of the requests took at most this long."),
    Metric("p99_ms", "Latency p99", "ms", "99 % of the requests took at most this long."),
    Metric("p99_9_ms", "Latency p99.9", "ms", "99.9 % of the requests took at most this long."),
    Metric("mean_ms", "Latency, mean", "ms", "Mean time of a request inside this process."),
    Metric("error_percent", "Errors", "%", "Share of requests answered with 4xx or 5xx."),
    Metric("server_error_percent", "Server errors", "%", "Share of requests answered with 5xx."),
    Metric("shed_percent", "Shed", "%", "Share of requests refused because a queue was full."),
    Metric("hit_percent", "Cache hits", "%", "Share of the requests that may be cached and were."),
    *(
        Metric(f"{phase}_mean_ms", f"Phase {phase}", "ms", f"Mean time of {PHASE_HELP[phase]}.")
        for phase in PHASES
    ),
    Metric("unaccounted_mean_ms", "Unaccounted", "ms", "Mean time that no phase accounts for."),
    Metric("cpu_percent", "CPU", "%", "Processor time of this process; 100 % is one core."),
    Metric("cpu_user_percent", "CPU, user", "%", "Of it, in programs."),
    Metric("cpu_system_percent", "CPU, system", "%", "Of it, in the kernel."),
    Metric("memory_mb", "Memory", "MB", "Resident memory of this process, 10^6 bytes."),
    Metric("pss_mb", "PSS", "MB", "Memory with shared pages divided among those who share them."),
    Metric("system_cpu_percent", "System CPU", "%", "Processor time of the machine, all cores."),
    Metric("system_user_percent", "System, user", "%", "Of it, in programs."),
    Metric("system_kernel_percent", "System, kernel", "%", "Of it, in the kernel."),
    Metric("load_1", "Load", "", "Load average of the machine over one minute."),
    Metric("system_memory_percent", "System memory", "%", "Memory of the machine in use."),
    Metric("swap_percent", "Swap", "%", "Swap of the machine in use."),
    Metric("disk_read_mb_s", "Disk read", "MB/s", "Read from all disks of the machine."),
    Metric("disk_write_mb_s", "Disk write", "MB/s", "Written to all disks of the machine."),
    Metric("net_in_mb_s", "Network in", "MB/s", "Received on all interfaces, loopback included."),
    Metric("net_out_mb_s", "Network out", "MB/s", "Sent on all interfaces, loopback included."),
    Metric("open_files", "Open files", "", "File descriptors that this process has open."),
    Metric("threads", "Threads", "", "Threads of this process."),
    Metric("gc_pause_ms", "Garbage collection", "ms/s", "Time the collector held the process."),
    Metric("gil_wait_ms", "GIL wait", "ms", "A thread's wait for the interpreter, mean of a few."),
    Metric("temperature_c", "Temperature", "°C", "The hottest sensor, where there is one."),
    Metric("battery_percent", "Battery", "%", "Charge left, where there is a battery."),
    Metric("threads_busy", "Busy threads", "", "Threads of the server at work on requests."),
    Metric("queued", "Queued", "", "Requests that wait for a slot or a thread."),
    Metric("queue_used_percent", "Fullest queue", "%", "The fullest of the bounded queues."),
    Metric(
        "threads_down",
        "Threads down",
        "",
        "Threads that died within a minute, or are gone.",
    ),
    Metric("dropped_per_s", "Dropped", "req/s", "Requests that the recorder had no room for."),
    Metric("profiler_hz", "Profiler, looks", "Hz", "How often the profiler looked at all threads."),
    Metric("profiler_missed_per_s", "Profiler, missed", "1/s", "Looks that came too late."),
    Metric("profiler_cpu_percent", "Profiler, CPU", "%", "What looking costs; 100 % is one core."),
    Metric("connections", "Connections", "", "Open connections."),
    Metric(
        "outside_ms",
        "Waiting outside Python",
        "ms",
        "How long requests lie in sockets before the event loop comes to them, by Little's law: "
        "the sampled number of those that wait, over their rate, both of the last five seconds. "
        "No data in seconds with fewer than 20 requests of callers.",
    ),
    *(
        Metric(f"saved_by_{source}_ms", f"Saved, {source}", "ms/s", f"{what} {SAVED_HELP}")
        for source, what in SAVED_BY.items()
    ),
    Metric("gzip_saved_bytes_per_s", "gzip, saved", "B/s", "Bytes that packing took off answers."),
    Metric("gzip_ms", "gzip, spent", "ms/s", "Measured time spent on packing answers."),
    Metric(
        "shared_away",
        "Redis away",
        "",
        "1 while shared results are not asked: Redis is away or slow.",
    ),
    Metric(
        "audit_differing_rows",
        "Rows that differ",
        "",
        "Served rows whose answers differ from the model as it is, among each model's last "
        "100 audits.",
    ),
    Metric(
        "audit_speed_percent",
        "Speed kept",
        "%",
        "What forms have kept of the speed that the plan measured, beside the model as it is or "
        "by the clock, the larger; of the model that has kept the least, median of 20 audits.",
    ),
    *(
        Metric(core, f"Core {core.split('_')[1]}", "%", "Processor time of one core.")
        for core in CORES
    ),
)
BY_NAME = {metric.name: metric for metric in METRICS}


class Family(NamedTuple):
    """One family of metrics for scrapers. kind: counter, gauge, histogram."""

    name: str
    kind: str
    labels: tuple[str, ...]
    help: str


_SERIES = ("model", "version", "variant", "route", "outcome")
_MODEL = ("model", "version", "variant", "route")
FAMILIES = (
    Family("pyrometer_requests", "counter", _SERIES, "Requests answered."),
    Family(
        "pyrometer_request_duration_seconds",
        "histogram",
        _SERIES,
        "Time of a request from the front to the hand-over of its answer.",
    ),
    Family(
        "pyrometer_queue_wait_seconds", "histogram", _MODEL, "Time that requests waited in queues."
    ),
    Family(
        "pyrometer_phase_seconds",
        "counter",
        (*_MODEL, "phase"),
        "Time of requests by phase; with unaccounted they add up to the durations.",
    ),
    Family(
        "pyrometer_cache_lookups",
        "counter",
        (*_MODEL, "result"),
        "Requests by what caches did for them: the tier that answered, or miss.",
    ),
    Family("pyrometer_cold_starts", "counter", _MODEL, "Requests that met a cold model."),
    Family("pyrometer_rows", "counter", _MODEL, "Rows of tensors answered."),
    Family("pyrometer_request_bytes", "counter", _MODEL, "Bytes of request bodies."),
    Family("pyrometer_response_bytes", "counter", _MODEL, "Bytes of response bodies."),
    Family("pyrometer_batch_rows", "histogram", _MODEL, "Rows of the run that answered a request."),
    Family(
        "pyrometer_http_requests",
        "counter",
        ("route", "outcome"),
        "Requests to routes that are no service: the console's, scrapers', unknown ones.",
    ),
    Family("pyrometer_cache_used_bytes", "gauge", ("tier",), "Bytes held by a cache tier."),
    Family("pyrometer_cache_budget_bytes", "gauge", ("tier",), "Bytes a cache tier may hold."),
    Family("pyrometer_cache_items", "gauge", ("tier",), "Items held by a cache tier."),
    Family("pyrometer_cache_evictions", "counter", ("tier",), "Items evicted from a cache tier."),
    Family(
        "pyrometer_shared_lookups",
        "counter",
        ("result",),
        "Results looked for in Redis: hit, miss, refused; and look-ups that ended without an "
        "answer: timeout, error, busy.",
    ),
    Family(
        "pyrometer_shared_writes",
        "counter",
        ("result",),
        "Results offered to Redis: written, dropped, rejected as too large.",
    ),
    Family(
        "pyrometer_shared_runs",
        "counter",
        ("result",),
        "Long runs that servers share: led here, found with another, lapsed.",
    ),
    Family(
        "pyrometer_shared_lookup_seconds",
        "gauge",
        ("quantile",),
        "Time of the last 1,024 look-ups in Redis.",
    ),
    Family(
        "pyrometer_shared_connections",
        "gauge",
        ("kind",),
        "Connections to Redis: open, used, limit.",
    ),
    Family("pyrometer_shared_up", "gauge", (), "1 while Redis is asked, 0 while it is not."),
    Family("pyrometer_shared_epoch", "gauge", (), "Flushes of shared results that are known here."),
    Family("pyrometer_models", "gauge", ("state",), "Versions of models by state."),
    Family("pyrometer_alerts", "gauge", ("severity", "state"), "Alerts by state."),
    Family("pyrometer_recorder_dropped", "counter", (), "Requests the recorder had no room for."),
    Family("pyrometer_history_dropped", "counter", (), "Buckets that history had no room for."),
    Family(
        "pyrometer_time_saved_seconds",
        "counter",
        ("model", "by"),
        "Work saved by the plan, batching or a cache, an estimate beside a server without it.",
    ),
    Family(
        "pyrometer_time_lost_seconds",
        "counter",
        ("model", "by"),
        "The same of seconds in which it cost more than it brought; subtract it.",
    ),
    Family("pyrometer_gzip_saved_bytes", "counter", (), "Bytes that packing took off answers."),
    Family("pyrometer_gzip_seconds", "counter", (), "Time spent on packing answers."),
    Family(
        "pyrometer_audited_rows",
        "counter",
        ("model", "version", "result"),
        "Served rows run again by the model as it is, by whether the answers agree.",
    ),
    Family(
        "pyrometer_plan_speedup_ratio",
        "gauge",
        ("model", "version", "when"),
        "Speed-up over the model as it is, of the recent audits: when planned, and as served.",
    ),
    Family("pyrometer_fleet_peers", "gauge", ("state",), "Peers by state, this process included."),
    Family(
        "pyrometer_fleet_requests_per_second",
        "gauge",
        (),
        "Requests a second of all processes that answer, over the last minute.",
    ),
    Family(
        "pyrometer_fleet_duration_seconds",
        "gauge",
        ("quantile",),
        "Percentiles of the last minute, of the added histograms of all processes that answer.",
    ),
    Family("pyrometer_build_info", "gauge", ("version",), "Always 1; the version is a label."),
    Family("pyrometer_resident_memory_bytes", "gauge", (), "Resident memory of this process."),
    Family("pyrometer_cpu_ratio", "gauge", (), "Processor time of this process; 1 is one core."),
    Family("pyrometer_open_files", "gauge", (), "File descriptors that this process has open."),
    Family("pyrometer_threads", "gauge", (), "Threads of this process."),
    Family("pyrometer_gil_wait_seconds", "gauge", (), "A thread's wait for the interpreter."),
    Family("pyrometer_gc_pause_ratio", "gauge", (), "Share of time in garbage collection."),
    Family("pyrometer_outside_seconds", "gauge", (), "How long requests lie in sockets."),
    Family("pyrometer_queued_requests", "gauge", (), "Requests that wait for a slot or a thread."),
    Family("pyrometer_open_connections", "gauge", (), "Open connections."),
    Family("pyrometer_system_cpu_ratio", "gauge", (), "Processor time of the machine, 0 to 1."),
    Family("pyrometer_system_memory_ratio", "gauge", (), "Memory of the machine in use, 0 to 1."),
)
