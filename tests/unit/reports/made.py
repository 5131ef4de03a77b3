"""A stored run and a server's facts with known figures."""

from __future__ import annotations

from typing import Any

RUN = "20260301T120000Z-0a1b2c"
WINDOW = {
    "id": "history-1000-4600",
    "from": 1000.0,
    "to": 4600.0,
    "live": True,
    "covered_s": 3600.0,
    "problem": None,
}
GOOD = {
    "plan/forest/cold_start_ms": 400.0,
    "plan/linear/cold_start_ms": 600.0,
    "before/linear/cold_start_ms": 2400.0,
    "plan/forest/cold_model_ms": 8.0,
    "plan/linear/cold_model_ms": 4.0,
    "plan/forest/warm_p99_ms": 0.5,
    "plan/linear/warm_p99_ms": 0.25,
    "plan/forest/throughput_per_s": 9000.0,
    "plan/linear/throughput_per_s": 12000.0,
    "before/forest/warm_p50_ms": 120.0,
    "plan/forest/warm_p50_ms": 0.1,
    "plan/server/hit_percent": 75.0,
    "plan/server/reduction_from_warm_percent": 80.0,
    "plan/server/memory_base_mb": 90.0,
    "plan/server/memory_loaded_mb": 150.0,
    "plan/server/memory_peak_mb": 210.0,
    "plan/server/cache_overhead_mb": 12.0,
    "plan/server/cpu_idle_percent": 1.0,
    "plan/server/cpu_at_20_percent": 4.0,
    "plan/server/cpu_peak_percent": 50.0,
    "plan/server/errors_at_50_percent": 0.0,
    "plan/server/gzip_ratio": 2.5,
    "plan/server/gzip_ms": 3.0,
}
PHASES = ("front", "decode", "cache", "inference", "encode", "write", "unaccounted")


def run_of(**changes: float | None) -> dict[str, Any]:
    """A stored run; changes: figures by key, "/" written as "__"; None is not measured."""
    values = GOOD | {key.replace("__", "/"): value for key, value in changes.items()}
    figures = {
        key: {
            "value": value,
            "unit": "ms" if key.endswith("_ms") else "%" if key.endswith("percent") else "",
            "n": 10,
            "how": "by a test",
            "window": "1 s",
            "why": None if value is not None else "it failed",
        }
        for key, value in values.items()
    }
    return {
        "id": RUN,
        "kind": "optimization",
        "name": "before and after",
        "started": 900.0,
        "ended": 1000.0,
        "machine": {"cpus": 2, "cpu": "a chip", "memory_bytes": 8e9, "python": "3.11"},
        "versions": {"pyrometer": "0.1.0", "numpy": "2.4"},
        "commit": "abc123",
        "valid": True,
        "cancelled": False,
        "spec": {"command": "python -m bench.optimization"},
        "optimization": {
            "models": ["forest", "linear"],
            "mix": "half and half",
            "forms": {"before": "loaded each time", "warm": "loaded once", "plan": "the plan"},
            "figures": figures,
        },
    }


def model_of(name: str = "forest", **changes: Any) -> dict[str, Any]:
    """A model's facts: warm, on a compiled form, a thousand requests, nothing wrong."""
    oracle = {"form": "scikit-learn", "run_us": {"1": 4000.0, "128": 8000.0}}
    chosen = {"form": "onnxruntime-f32", "run_us": {"1": 15.0, "128": 600.0}}
    facts: dict[str, Any] = {
        "name": name,
        "version": "1",
        "state": "warm",
        "backend": "onnxruntime-f32",
        "plan": {"chosen": chosen["form"], "reason": "fastest", "candidates": [oracle, chosen]},
        "served_us": chosen["run_us"],
        "speedup": 266.0,
        "load_ms": 5.0,
        "loads": 2,
        "pinned": False,
        "preload": True,
        "serving": True,
        "degraded": None,
        "degraded_requests": 0,
        "cache_results": True,
        "requests": 1000,
        "lookups": 1000,
        "response_hits": 500,
        "result_hits": 0,
        "disk_hits": 0,
        "redis_hits": 0,
        "cold_starts": 0,
        "rows": 1000,
        "bytes_out": 10_000,
        "duration_ns": 100_000_000,
        "load_ns": 0,
        "inference_ns": 10_000_000,
        "compress_ns": 0,
    }
    return facts | changes


def facts_of(*models: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A server's facts over an hour."""
    facts: dict[str, Any] = {
        "time": 4600.0,
        "version": "0.1.0",
        "started": 500.0,
        "settings": {"optimise": True, "batching": True, "gzip": True},
        "window": WINDOW,
        "totals": {"requests": 1000, "p99_ms": 0.9, "compress_ns": 0, "duration_ns": 100_000_000},
        "models": list(models),
        "tiers": [],
        "off": [],
        "gzip": None,
        "phases": {"ids": [], "labels": [], "parents": [], "values": [], "counts": []},
        "flame": None,
    }
    return facts | changes


def phases_of(model: str, **ms: float) -> dict[str, list[Any]]:
    """An icicle of one model's phases."""
    whole = sum(ms.values())
    names = list(ms)
    return {
        "ids": ["requests", model, *(f"{model}/{name}" for name in names)],
        "labels": ["requests", model, *names],
        "parents": ["", "requests", *([model] * len(names))],
        "values": [whole, whole, *ms.values()],
        "counts": [1000] * (2 + len(names)),
    }
