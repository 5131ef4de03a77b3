"""The catalogue of metrics: name, label, unit and help, the single source of each."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Metric:
    """One figure of the ring or the tiles."""

    name: str
    label: str
    unit: str
    help: str


METRICS = (
    Metric("requests_per_s", "Requests", "req/s", "Inference requests answered per second."),
    Metric("errors_per_s", "Errors", "req/s", "Requests answered with 4xx or 5xx per second."),
    Metric("p50_ms", "Latency p50", "ms", "Half of the requests took at most this long."),
    Metric("p95_ms", "Latency p95", "ms", "95 % of the requests took at most this long."),
    Metric("p99_ms", "Latency p99", "ms", "99 % of the requests took at most this long."),
    Metric("error_percent", "Errors", "%", "Share of requests answered with 4xx or 5xx."),
    Metric("hit_percent", "Cache hits", "%", "Share of answered requests found in a cache."),
    Metric("cpu_percent", "CPU", "%", "Processor time of this process; 100 % is one core."),
    Metric("memory_mb", "Memory", "MB", "Resident memory of this process, 10^6 bytes."),
    Metric("system_cpu_percent", "System CPU", "%", "Processor time of the machine, all cores."),
    Metric("system_memory_percent", "System memory", "%", "Memory of the machine in use."),
    Metric("disk_read_mb_s", "Disk read", "MB/s", "Read from all disks of the machine."),
    Metric("disk_write_mb_s", "Disk write", "MB/s", "Written to all disks of the machine."),
    Metric("net_in_mb_s", "Network in", "MB/s", "Received on all interfaces, loopback included."),
    Metric("net_out_mb_s", "Network out", "MB/s", "Sent on all interfaces, loopback included."),
)
