"""Process and machine, sampled once a second by the ticker, never in a request."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable, Mapping
from typing import Any

import psutil

MAX_CORES = 64
CORES = tuple(f"core_{core}_percent" for core in range(min(MAX_CORES, os.cpu_count() or 1)))
SAMPLED = (
    *("cpu_percent", "cpu_user_percent", "cpu_system_percent", "memory_mb", "pss_mb"),
    *("system_cpu_percent", "system_user_percent", "system_kernel_percent", "load_1"),
    *("system_memory_percent", "swap_percent", "disk_read_mb_s", "disk_write_mb_s"),
    *("net_in_mb_s", "net_out_mb_s", "open_files", "threads", "gc_pause_ms", "gil_wait_ms"),
    *("temperature_c", "battery_percent"),
)
FROM_ENGINE = (
    *("threads_busy", "queued", "connections", "outside_ms"),
    *("queue_used_percent", "threads_down", "dropped_per_s"),
    *("profiler_hz", "profiler_missed_per_s", "profiler_cpu_percent"),
    *("saved_by_plan_ms", "saved_by_batching_ms", "saved_by_responses_ms", "saved_by_results_ms"),
    *("saved_by_disk_ms", "saved_by_redis_ms", "saved_by_embeddings_ms"),
    *("gzip_saved_bytes_per_s", "gzip_ms", "shared_away"),
    *("audit_differing_rows", "audit_speed_percent"),
)
"""Gauges that others give: the server's threads and queues, the wait outside Python, what was
saved and whether plans hold."""
GAUGES = (*SAMPLED, *FROM_ENGINE, *CORES)
PSS_EVERY = 10
"""Seconds between readings of what costs milliseconds, or changes slowly."""
GIL_TRIES = 5


class GarbagePauses:
    """Time that this process' garbage collector has taken, by its callbacks."""

    def __init__(self) -> None:
        self.total_ns = self.collections = 0
        self._began_ns = 0
        gc.callbacks.append(self._seen)

    def _seen(self, phase: str, info: Mapping[str, int]) -> None:
        if phase == "start":
            self._began_ns = time.perf_counter_ns()
        elif self._began_ns:
            self.total_ns += time.perf_counter_ns() - self._began_ns
            self.collections += 1

    def close(self) -> None:
        if self._seen in gc.callbacks:
            gc.callbacks.remove(self._seen)


def gil_wait_ms() -> float:
    """Mean time, ms, that a thread waits for the interpreter after giving it up."""
    began_ns = time.perf_counter_ns()
    for _ in range(GIL_TRIES):
        time.sleep(0)
    return (time.perf_counter_ns() - began_ns) / GIL_TRIES / 1e6


class SystemSampler:
    """Rates are over the time since the previous sample; the first has none."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._process = psutil.Process()
        self._garbage = GarbagePauses()
        self._previous: tuple[float, dict[str, float]] | None = None
        self._cores = psutil.cpu_times(percpu=True)[:MAX_CORES]
        self._slow: dict[str, float | None] = {}
        self._samples = 0

    def close(self) -> None:
        self._garbage.close()

    def sample(self) -> dict[str, float | None]:
        """Gauges by name; None where the system does not tell."""
        with self._process.oneshot():
            resident = self._process.memory_info().rss
            times = self._process.cpu_times()
            threads, files = self._process.num_threads(), self._process.num_fds()
        if self._samples % PSS_EVERY == 0:
            self._slow = self._read_slow()
        self._samples += 1
        rates = self._rates(times.user, times.system)
        user, kernel = rates["cpu_user_percent"], rates["cpu_system_percent"]
        return {
            **rates,
            "cpu_percent": None if user is None or kernel is None else user + kernel,
            "memory_mb": resident / 1e6,
            "threads": threads,
            "open_files": files,
            "system_memory_percent": psutil.virtual_memory().percent,
            "load_1": os.getloadavg()[0],
            "gil_wait_ms": gil_wait_ms(),
            **self._cpu_of_machine(),
            **self._slow,
        }

    def _read_slow(self) -> dict[str, float | None]:
        return {
            "pss_mb": _pss_mb(),
            "swap_percent": psutil.swap_memory().percent,
            "temperature_c": _temperature(),
            "battery_percent": _battery(),
        }

    def _rates(self, user_s: float, system_s: float) -> dict[str, float | None]:
        totals = {
            "cpu_user_percent": 100 * user_s,
            "cpu_system_percent": 100 * system_s,
            "gc_pause_ms": self._garbage.total_ns / 1e6,
            **_megabytes(),
        }
        now = self._monotonic()
        previous, self._previous = self._previous, (now, totals)
        if previous is None or now <= previous[0]:
            return dict.fromkeys(totals)
        elapsed_s = now - previous[0]
        return {
            name: max(0.0, total - previous[1].get(name, total)) / elapsed_s
            for name, total in totals.items()
        }

    def _cpu_of_machine(self) -> dict[str, float | None]:
        """Shares of the time since the last sample: of all cores, and of each."""
        before, self._cores = self._cores, psutil.cpu_times(percpu=True)[:MAX_CORES]
        if len(before) != len(self._cores):
            return {}
        spent = [
            {name: max(0.0, getattr(new, name) - getattr(old, name)) for name in new._fields}
            for old, new in zip(before, self._cores, strict=True)
        ]
        totals = [_total(core) for core in spent]
        whole = sum(totals)
        if not whole:
            return {}
        busy = [total - _idle(core) for core, total in zip(spent, totals, strict=True)]
        cores = {
            name: 100 * part / total if total else None
            for name, part, total in zip(CORES, busy, totals, strict=False)
        }
        user = sum(core.get("user", 0.0) + core.get("nice", 0.0) for core in spent)
        kernel = sum(core.get("system", 0.0) for core in spent)
        return {
            "system_cpu_percent": 100 * sum(busy) / whole,
            "system_user_percent": 100 * user / whole,
            "system_kernel_percent": 100 * kernel / whole,
            **cores,
        }

    def details(self) -> dict[str, Any]:
        """A fuller reading for /performance/system; costs about a millisecond."""
        memory, swap = psutil.virtual_memory(), psutil.swap_memory()
        with self._process.oneshot():
            return {
                "process": {
                    "pid": self._process.pid,
                    "memory_mb": self._process.memory_info().rss / 1e6,
                    "pss_mb": self._slow.get("pss_mb"),
                    "threads": self._process.num_threads(),
                    "open_files": self._process.num_fds(),
                    "cpu_seconds": sum(self._process.cpu_times()[:2]),
                    "gc_pause_ms_total": self._garbage.total_ns / 1e6,
                    "gc_collections": self._garbage.collections,
                },
                "machine": {
                    "cores": psutil.cpu_count(),
                    "load_average": list(psutil.getloadavg()),
                    "memory_total_mb": memory.total / 1e6,
                    "memory_percent": memory.percent,
                    "swap_percent": swap.percent,
                    "temperature_c": self._slow.get("temperature_c"),
                    "battery_percent": self._slow.get("battery_percent"),
                },
            }


def _total(core: Mapping[str, float]) -> float:
    """guest times are contained in user's."""
    return sum(value for name, value in core.items() if not name.startswith("guest"))


def _idle(core: Mapping[str, float]) -> float:
    return core.get("idle", 0.0) + core.get("iowait", 0.0)


def _megabytes() -> dict[str, float]:
    totals: dict[str, float] = {}
    disk, net = psutil.disk_io_counters(), psutil.net_io_counters()
    if disk is not None:
        totals["disk_read_mb_s"] = disk.read_bytes / 1e6
        totals["disk_write_mb_s"] = disk.write_bytes / 1e6
    if net is not None:
        totals["net_in_mb_s"], totals["net_out_mb_s"] = net.bytes_recv / 1e6, net.bytes_sent / 1e6
    return totals


def _pss_mb() -> float | None:
    """Memory with shared pages divided among those who share them."""
    try:
        with open("/proc/self/smaps_rollup", "rb") as lines:
            kilobytes = next(line.split()[1] for line in lines if line.startswith(b"Pss:"))
    except (OSError, StopIteration):
        return None
    return int(kilobytes) * 1024 / 1e6


def _temperature() -> float | None:
    """The hottest sensor, degrees Celsius, where there is one."""
    read: Any = getattr(psutil, "sensors_temperatures", dict)()
    found = [sensor.current for sensors in read.values() for sensor in sensors if sensor.current]
    return max(found, default=None)


def _battery() -> float | None:
    found = getattr(psutil, "sensors_battery", lambda: None)()
    return None if found is None else float(found.percent)
