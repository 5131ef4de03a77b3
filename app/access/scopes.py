"""What each route asks of its caller: one table, by route and not by verb.

    need      who may come in
    HEALTH    everybody, under any Host
    OPEN      everybody who uses a Host of ours: the login page
    ANY       every key and session, whatever its scopes
    INFER     scope infer
    VIEW      scope view; operate includes it
    OPERATE   scope operate; each of these is written to the audit log

A route that is not in the table is OPERATE, so that one which was forgotten is closed; a test
names it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from engine.errors import InvalidInput

SCOPES = ("infer", "view", "operate")
INCLUDED = {"operate": ("view",)}


@dataclass(frozen=True, slots=True)
class Need:
    """scopes: one of them is enough; none: no caller is asked for."""

    name: str
    scopes: frozenset[str]
    any_host: bool = False
    is_action: bool = False


HEALTH = Need("health", frozenset(), any_host=True)
OPEN = Need("open", frozenset())
ANY = Need("any", frozenset(SCOPES))
INFER = Need("infer", frozenset({"infer"}))
VIEW = Need("view", frozenset({"view"}))
OPERATE = Need("operate", frozenset({"operate"}), is_action=True)

_V2, _MODEL = "/v2/models/{model}", "/performance/models/{model}"
_BENCHMARKS, _REPORTS = "/performance/benchmarks", "/performance/reports"
_EXPERIMENTS = "/performance/experiments"
_EXPERIMENT = f"{_EXPERIMENTS}/{{experiment}}"

_TABLE: tuple[tuple[Need, str, tuple[str, ...]], ...] = (
    (HEALTH, "GET", ("/v2/health/live", "/v2/health/ready")),
    (OPEN, "GET", ("/login", "/login/oidc", "/login/oidc/callback", "/performance/session")),
    (OPEN, "POST", ("/login", "/logout")),
    (
        ANY,
        "GET",
        (
            *("/v2", _V2, f"{_V2}/ready", f"{_V2}/versions/{{version}}"),
            *(f"{_V2}/versions/{{version}}/ready", "/openapi.json", "/performance/noop"),
        ),
    ),
    (ANY, "POST", ("/v2/repository/index",)),
    (INFER, "POST", (f"{_V2}/infer", f"{_V2}/versions/{{version}}/infer")),
    (INFER, "POST", ("/analyze/fraud", "/analyze/risk", "/analyze/contract")),
    (
        VIEW,
        "GET",
        (
            *("/performance/dashboard", "/performance/live", "/performance/metrics"),
            *("/performance/metrics/real-time", "/performance/flame-graph"),
            *("/performance/profile", "/performance/system", "/performance/cache"),
            *("/performance/effectiveness", "/performance/settings", "/performance/models"),
            *(_MODEL, f"{_MODEL}/plan", f"{_MODEL}/latency", f"{_MODEL}/samples"),
            *("/performance/metrics/history", "/performance/metrics/heatmap"),
            *("/performance/export/csv", "/performance/export/json"),
            *("/performance/slow-requests", "/performance/picture", "/performance/status"),
            *("/performance/reports/optimization", "/performance/health"),
            *("/performance/alerts", "/performance/audit", "/metrics"),
            *(_BENCHMARKS, f"{_BENCHMARKS}/{{run}}", _REPORTS, f"{_REPORTS}/{{report}}"),
            *(_EXPERIMENTS, f"{_EXPERIMENTS}/options", _EXPERIMENT),
            *("/performance/fleet", "/performance/fleet/export"),
        ),
    ),
    (VIEW, "POST", ("/performance/alerts/preview",)),
    (
        OPERATE,
        "POST",
        (
            *("/v2/repository/models/{model}/load", "/v2/repository/models/{model}/unload"),
            *("/performance/profile", "/performance/profile/import"),
            *("/performance/profile/delete", f"{_MODEL}/pin", "/performance/warmup"),
            *("/performance/cache/clear", "/performance/alerts/rules"),
            *("/performance/alerts/acknowledge", "/performance/alerts/silence"),
            *("/performance/alerts/unsilence", "/performance/alerts/test"),
            *(_BENCHMARKS, f"{_BENCHMARKS}/cancel", f"{_BENCHMARKS}/delete"),
            *(_REPORTS, f"{_REPORTS}/delete", f"{_REPORTS}/measure"),
            *(f"{_REPORTS}/measure/cancel", _EXPERIMENTS, f"{_EXPERIMENTS}/undo"),
            *(f"{_EXPERIMENT}/start", f"{_EXPERIMENT}/stop", f"{_EXPERIMENT}/promote"),
            *(f"{_EXPERIMENT}/rollback", f"{_EXPERIMENT}/delete"),
            *("/performance/fleet/drain", "/performance/fleet/restart"),
        ),
    ),
)

NEEDS: dict[tuple[str, str], Need] = {
    (method, path): need for need, method, paths in _TABLE for path in paths
}


def need_of(method: str, rule: str, *, is_api: bool, has_handler: bool) -> Need:
    """What a request needs. rule: its route's path; the console's own pages have none."""
    if not is_api:
        return VIEW
    return NEEDS.get((method, rule), OPERATE) if has_handler else ANY


def scopes_of(names: Iterable[str]) -> frozenset[str]:
    """Scopes by name, and what they include. Raises InvalidInput."""
    found: set[str] = set()
    for name in names:
        if name not in SCOPES:
            raise InvalidInput(f"scope is {name[:40]!r}; it must be one of {', '.join(SCOPES)}")
        found |= {name, *INCLUDED.get(name, ())}
    if not found:
        raise InvalidInput(f"scope is missing; give one or more of {', '.join(SCOPES)}")
    return frozenset(found)


def in_order(scopes: Iterable[str]) -> list[str]:
    """Scopes as they are shown."""
    held = set(scopes)
    return [name for name in SCOPES if name in held]
