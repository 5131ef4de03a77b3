"""Process and machine, sampled once a second by the ticker, never in a request."""

from __future__ import annotations

import time
from collections.abc import Callable

import psutil


class SystemSampler:
    """Rates are over the time since the previous sample; the first has none."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._process = psutil.Process()
        self._process.cpu_percent()
        psutil.cpu_percent()
        self._previous: tuple[float, dict[str, int]] | None = None

    def sample(self) -> dict[str, float | None]:
        """Columns of the ring by name; None where the system does not tell."""
        with self._process.oneshot():
            resident = self._process.memory_info().rss
            cpu = self._process.cpu_percent()
        return {
            "cpu_percent": cpu,
            "memory_mb": resident / 1e6,
            "system_cpu_percent": psutil.cpu_percent(),
            "system_memory_percent": psutil.virtual_memory().percent,
            **self._rates(),
        }

    def _rates(self) -> dict[str, float | None]:
        now, totals = self._monotonic(), _byte_totals()
        previous, self._previous = self._previous, (now, totals)
        if previous is None or now <= previous[0]:
            return dict.fromkeys(totals)
        elapsed_s = now - previous[0]
        return {
            name: max(0, total - previous[1].get(name, total)) / 1e6 / elapsed_s
            for name, total in totals.items()
        }

    def details(self) -> dict[str, object]:
        """A fuller reading for /performance/system; costs about a millisecond."""
        memory, swap = psutil.virtual_memory(), psutil.swap_memory()
        with self._process.oneshot():
            return {
                "process": {
                    "pid": self._process.pid,
                    "memory_mb": self._process.memory_info().rss / 1e6,
                    "threads": self._process.num_threads(),
                    "open_files": self._process.num_fds(),
                    "cpu_seconds": sum(self._process.cpu_times()[:2]),
                },
                "machine": {
                    "cores": psutil.cpu_count(),
                    "load_average": list(psutil.getloadavg()),
                    "memory_total_mb": memory.total / 1e6,
                    "memory_percent": memory.percent,
                    "swap_percent": swap.percent,
                },
            }


def _byte_totals() -> dict[str, int]:
    totals: dict[str, int] = {}
    disk, net = psutil.disk_io_counters(), psutil.net_io_counters()
    if disk is not None:
        totals["disk_read_mb_s"], totals["disk_write_mb_s"] = disk.read_bytes, disk.write_bytes
    if net is not None:
        totals["net_in_mb_s"], totals["net_out_mb_s"] = net.bytes_recv, net.bytes_sent
    return totals
