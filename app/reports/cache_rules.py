"""Rules about caches and packing: asked for nothing, too small, not worth its time. Pure."""

from __future__ import annotations

from app.reports.advice import Found, Look, Saving, made, models_of, per_hour, setting

LEAST_REQUESTS = 100
"""Fewer say nothing about a model's traffic."""
BYPASSED_PERCENT, REPEATED_PERCENT = 50.0, 20.0
FULL_PERCENT, YOUNG_S = 90.0, 600.0
GZIP_PERCENT = 10.0


def bypassed(look: Look) -> Found:
    """Requests that no cache is asked for, although they repeat."""
    for model in models_of(look):
        requests, lookups = model["requests"], model["lookups"]
        if requests < LEAST_REQUESTS:
            continue
        passed = requests - lookups
        hits = sum(model[f"{tier}_hits"] for tier in ("response", "result", "disk", "redis"))
        repeat = 100 * hits / lookups if lookups >= LEAST_REQUESTS else None
        if 100 * passed / requests < BYPASSED_PERCENT or (
            repeat is not None and repeat < REPEATED_PERCENT
        ):
            continue
        name = model["name"]
        ran = max(1, requests - hits)
        run_ms = model["inference_ns"] / ran / 1e6
        evidence = [
            look.live("requests that asked no cache", passed, "", f"{name}.lookups"),
            look.live("mean run", run_ms, "ms", f"{name}.inference"),
        ]
        if repeat is None:
            saving: Saving = (None, "unknown", "how many of them repeat was not measured")
        else:
            evidence.append(look.live("of those that asked, hits", repeat, "%", f"{name}.hits"))
            saved_ms = passed * repeat / 100 * run_ms
            saving = (per_hour(look, saved_ms), "estimate", f"{saved_ms:,.1f} ms in this window")
        off = next((one["setting"] for one in look.facts["off"] if one["tier"] == "results"), None)
        why = (
            f"{off} is off."
            if off
            else "its model.toml says results = false."
            if not model["cache_results"]
            else "their callers send Cache-Control: no-cache."
        )
        yield made(
            4,
            f"bypass-{name}",
            f"Let {name} be answered from the cache",
            f"{100 * passed / requests:.0f} % of its requests asked no cache: {why}",
            evidence,
            saving,
            setting(off, "on") if off else None,
        )


def evicting(look: Look) -> Found:
    """A tier that is full and throws away what is young."""
    for tier in look.facts["tiers"]:
        budget, young = tier["budget_bytes"], tier.get("median_s")
        if not tier["evictions"] or not budget:
            continue
        if tier["tier"] != "models" and (
            100 * tier["bytes"] / budget < FULL_PERCENT or (young is not None and young > YOUNG_S)
        ):
            continue
        name = {
            "models": "model_cache_bytes",
            "results": "result_cache_bytes",
            "responses": "response_cache_bytes",
            "embeddings": "embedding_cache_bytes",
        }[tier["tier"]]
        evidence = [
            look.live("evicted since the start", tier["evictions"], "", f"{tier['tier']}.evictions")
            | {"window": "since the start"},
            look.live(
                "used of its budget", 100 * tier["bytes"] / budget, "%", f"{tier['tier']}.bytes"
            )
            | {"window": "now"},
        ]
        if young is not None:
            evidence.append(
                look.live("age of the median item", young, "s", f"{tier['tier']}.median_s")
                | {"window": "now"}
            )
        yield made(
            6,
            f"evicting-{tier['tier']}",
            f"Give {tier['label'].lower()} a larger budget",
            "It is full and evicts what is young; twice the budget holds twice as much.",
            evidence,
            (None, "unknown", "which of the evicted would have been asked is not known"),
            setting(name, str(2 * budget)),
        )


def gzip(look: Look) -> Found:
    """gzip that takes longer than the bytes it saves would take on the wire."""
    totals, packed = look.facts["totals"], look.facts["gzip"]
    spent, whole = totals.get("compress_ns") or 0, totals.get("duration_ns") or 0
    if not packed or not whole or 100 * spent / whole < GZIP_PERCENT or not packed["responses"]:
        return
    saved_bytes = packed["bytes_in"] - packed["bytes_out"]
    per_mb_ms = packed["ms_per_100_kb"].get(str(packed["level"]))
    evidence = [
        look.live("share of the time in gzip", 100 * spent / whole, "%", "compress"),
        look.live("bytes saved since the start", saved_bytes / 1e6, "MB", "gzip.bytes"),
    ]
    ratio = packed["bytes_in"] / max(1, packed["bytes_out"])
    words = ""
    if per_mb_ms:
        # 100 kB take so long to pack, and what it saves of them so long to send.
        faster = 0.1 * (1 - 1 / ratio) * 8e3 / per_mb_ms
        words = f" It pays on links slower than {faster:,.0f} Mbit/s only."
        evidence.append(look.live("packing 100 kB", per_mb_ms, "ms", "gzip.ms_per_100_kb"))
    yield made(
        5,
        "gzip",
        "Leave packing out on a fast network",
        f"gzip takes {100 * spent / whole:.0f} % of the requests' time.{words}",
        evidence,
        (per_hour(look, spent / 1e6), "at most", f"{spent / 1e6:,.1f} ms in this window"),
        setting("gzip", "off"),
    )
