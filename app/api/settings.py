"""Effective settings with where each came from, and what runs here. Never a secret.

A URL may hold credentials: of a setting that is one, its kind and host are told. A secret
setting tells whether it is set. `text` is what the setting's variable would hold to have this
value again; it is null where that is not told.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import Field, asdict, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil

from app.exchange import Exchange, Response, json_response
from engine.config import PREFIX, Settings
from engine.models.confined import allowed
from engine.models.plan_store import cpu_name
from engine.version import VERSION

GROUPS = {
    "server": (
        *("host", "port", "http_door", "http_threads"),
        *("keep_alive_s", "read_timeout_s", "send_timeout_s", "spin_us"),
        *("fast_lane", "gzip", "analysis_nulls"),
    ),
    "access": (
        *("auth", "api_key", "insecure", "allowed_hosts", "trusted_hops", "path_prefix"),
        *("tls_cert", "tls_key", "cors_origins", "session_lifetime_s", "session_idle_s"),
        *("oidc_issuer", "oidc_client_id", "oidc_client_secret", "oidc_claim", "oidc_scopes"),
        *("rate_login_per_minute", "rate_actions_per_minute", "rate_infer_per_s"),
    ),
    "models": (
        *("models", "state", "trust_file", "preload", "model_cache_bytes"),
        *("reload_interval_s", "load_workers", "load_wait_s"),
    ),
    "plans": (
        *("optimise", "inline_us", "cpu_slots", "compile_timeout_s", "compile_memory_bytes"),
        *("parity_tolerance", "onnx_providers"),
    ),
    "caches": (
        *("result_cache", "result_cache_bytes", "embedding_cache", "embedding_cache_bytes"),
        *("response_cache", "response_cache_bytes", "spill", "spill_bytes"),
        "memory_budget_bytes",
        *("redis_url", "redis_budget_ms", "redis_connections", "redis_ttl_s"),
        *("redis_value_bytes", "redis_queue"),
    ),
    "batching": ("batching", "batch_max_rows", "batch_max_wait_us"),
    "telemetry": (
        *("telemetry", "history", "history_bytes"),
        *("alert_webhook", "alert_apprise", "otlp_endpoint", "report_at"),
    ),
    "fleet": (
        *("peers", "peers_key", "peers_interval_s"),
        *("executor", "ray_address", "ray_namespace", "ray_models", "ray_min_replicas"),
        *("ray_max_replicas", "ray_replica_cpus", "ray_timeout_s"),
    ),
    "profiling": ("profile_hz", "profile_bytes"),
    "audits": ("audit_interval_s", "audit_memory_bytes"),
    "limits": (
        *("max_connections", "http_queue", "model_queue", "load_queue", "shadow_queue"),
        "ray_in_flight",
        *("max_body_bytes", "max_elements", "max_rows"),
    ),
}
FURTHER = "further"
"""The group of a setting that GROUPS does not name."""
LIBRARIES = (
    *("numpy", "pandas", "scikit-learn", "onnxruntime", "skl2onnx", "treelite", "tl2cgen"),
    *("skops", "uvloop", "httptools", "orjson", "diskcache", "psutil", "flask", "dash"),
    *("dash-bootstrap-components", "plotly", "prometheus-client", "apprise"),
    *("opentelemetry-sdk", "redis", "ray"),
)
MOST_FILES = 100_000
_KIND = re.compile(r"[a-z][a-z0-9+.-]{1,15}")


def settings(exchange: Exchange) -> Response:
    """Effective settings with their sources, and about the process; no secret is told."""
    engine = exchange.engine
    group_of = {name: group for group, names in GROUPS.items() for name in names}
    told = [
        {"group": group_of.get(setting.name, FURTHER)}
        | told_of(setting, getattr(engine.settings, setting.name), engine.sources.get(setting.name))
        for setting in fields(Settings)
    ]
    return json_response({"groups": [*GROUPS, FURTHER], "settings": told, "about": about(exchange)})


def told_of(setting: Field[Any], value: Any, given: str | None) -> dict[str, Any]:
    """What is told of one setting. given: the flag or variable it came from, None = unknown."""
    metadata, changed = setting.metadata, value != setting.default
    flag = "" if metadata["secret"] else f"--{setting.name.replace('_', '-')}"
    if given is None:
        source = "code" if changed else "default"
    else:
        source = "flag" if given.startswith("--") else "environment"
    return {
        "name": setting.name,
        "kind": _kind_of(setting),
        "value": _shown(setting, value),
        "text": _text(setting, value),
        "default": _shown(setting, setting.default),
        "changed": changed,
        "source": source,
        "given": given,
        "variable": f"{PREFIX}{setting.name.upper()}",
        "flag": flag,
        "help": metadata["help"],
        "unit": metadata["unit"],
        "low": metadata["low"],
        "high": metadata["high"],
    }


def _kind_of(setting: Field[Any]) -> str:
    for kind in ("secret", "url"):
        if setting.metadata[kind]:
            return kind
    if isinstance(setting.default, bool):
        return "switch"
    return "number" if isinstance(setting.default, int | float) else "text"


def _shown(setting: Field[Any], value: Any) -> Any:
    if setting.metadata["secret"]:
        return "set" if value else "not set"
    if setting.metadata["url"]:
        return ", ".join(url_words(part) for part in str(value).split())
    return str(value) if isinstance(value, Path) else value


def _text(setting: Field[Any], value: Any) -> str | None:
    if setting.metadata["secret"] or setting.metadata["url"]:
        return None if value else ""
    return ("on" if value else "off") if isinstance(value, bool) else str(value)


def url_words(url: str) -> str:
    """A URL's kind and host: "https hooks.example.org"; what is no URL is "set".

    Of a kind other than http the host is left out: Apprise has tokens in its place.
    """
    kind, there, _ = url.partition("://")
    kind = kind.lower()
    if not there or not _KIND.fullmatch(kind):
        return "set"
    if kind not in ("http", "https"):
        return kind
    try:
        return f"{kind} {urlsplit(url).hostname or ''}".strip()
    except ValueError:
        return kind


def about(exchange: Exchange) -> dict[str, Any]:
    """Versions, machine, process and the size of the state folder, bytes by part.

    confinement: what processes that open models are kept from here; the first time it is asked
    for, it is tried.
    """
    engine, latest = exchange.engine, exchange.engine.ticker.latest
    parts, whole = folder_bytes(engine.settings.state)
    return {
        "version": VERSION,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "libraries": dict(_libraries()),
        "system": f"{platform.system()} {platform.release()}",
        "processor": cpu_name(),
        "cores": os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "process_id": os.getpid(),
        "uptime_s": latest["time"] - latest["started"],
        "confinement": asdict(allowed()),
        "state": {
            "folder": str(engine.settings.state.resolve()),
            "bytes": sum(parts.values()),
            "parts": parts,
            "whole": whole,
        },
    }


def _libraries() -> Iterator[tuple[str, str]]:
    for name in LIBRARIES:
        try:
            yield name, importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # an extra that is not installed


def folder_bytes(folder: Path) -> tuple[dict[str, int], bool]:
    """Bytes of the files under a folder, by its own entries up to a dot, the largest first.

    False: more than MOST_FILES are there and the rest was not counted.
    """
    parts: dict[str, int] = {}
    count = 0
    for place, size in _files(folder):
        count += 1
        if count > MOST_FILES:
            break
        parts[place] = parts.get(place, 0) + size
    ordered = sorted(parts.items(), key=lambda part: -part[1])
    return dict(ordered), count <= MOST_FILES


def _files(folder: Path) -> Iterator[tuple[str, int]]:
    """Every file under a folder: the folder's entry that it is under, and its bytes."""
    waiting = [(folder, "")]
    while waiting:
        place, top = waiting.pop()
        try:
            with os.scandir(place) as entries:
                for entry in entries:
                    part = top or entry.name.lstrip(".").partition(".")[0]
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append((Path(entry.path), part))
                    else:
                        with suppress(OSError):  # gone meanwhile
                            yield part, entry.stat(follow_symlinks=False).st_size
        except OSError:
            continue  # so is the folder
