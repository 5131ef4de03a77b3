"""What shared results look like to scrapers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Values = list[tuple[tuple[str, ...], float]]
LOOKUPS = {
    **{"hit": "hits", "miss": "misses", "refused": "refused"},
    **{"timeout": "timeouts", "error": "errors", "busy": "busy"},
}
WRITES = {"written": "written", "dropped": "dropped", "rejected": "rejected"}
RUNS = {"led": "led", "found": "found", "lapsed": "lapsed"}
CONNECTIONS = {"open": "connections", "used": "connections_used", "limit": "connections_limit"}
QUANTILES = {"0.5": "p50_ms", "0.99": "p99_ms"}


def shared_families(figures: Mapping[str, Any]) -> dict[str, Values]:
    """Labelled values by family. figures: of SharedTier."""

    def of(names: Mapping[str, str]) -> Values:
        return [((label,), figures[name]) for label, name in names.items()]

    times = [(q, figures[name]) for q, name in QUANTILES.items() if figures[name] is not None]
    return {
        "pyrometer_shared_lookups": of(LOOKUPS),
        "pyrometer_shared_writes": of(WRITES),
        "pyrometer_shared_runs": of(RUNS),
        "pyrometer_shared_lookup_seconds": [((q,), ms / 1e3) for q, ms in times],
        "pyrometer_shared_connections": of(CONNECTIONS),
        "pyrometer_shared_up": [((), float(figures["state"] == "closed"))],
        "pyrometer_shared_epoch": [((), float(figures["epoch"]))],
    }
