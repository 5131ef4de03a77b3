"""What pages and routes show of models that run elsewhere, from reports already here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.executors.remote import LOCAL, RAY
from engine.sent import ReplicaFigures

if TYPE_CHECKING:
    from engine.remote_models import RemoteModels

NO_FIGURES = ReplicaFigures()
REPLICA_FIELDS = ("queued", "cpu_percent", "resident_bytes", "uptime_s")


def figures_of(remote: RemoteModels) -> dict[str, Any]:
    """See engine.executors.remote.Remote.figures."""
    link, counts = remote.link, remote.ray_figures.counts
    report = link.report if link.state == "up" else {}
    return {
        "executor": RAY,
        "state": link.state,
        "since": round(link.since_s, 1),
        "address": remote.address,
        "problem": link.problem or None,
        "nodes": _nodes(report),
        "deployments": [_deployment(remote, report, key) for key in remote.placed_keys()],
        "sent": counts.sent,
        "kept_home": counts.kept_home,
        "retries": counts.retries,
        "fallbacks": counts.fallbacks,
        "in_flight": counts.in_flight,
        "in_flight_limit": remote.scheduler.slots,
        "queued": remote.scheduler.counts.queued,
        "queue_limit": remote.scheduler.max_queued,
        "refused": remote.scheduler.counts.refused,
        "bridge_starts": link.starts,
    }


def _nodes(report: dict[str, Any]) -> list[dict[str, Any]]:
    reports = [one for replicas in report.get("replicas", {}).values() for one in replicas]
    nodes = []
    for node in report.get("nodes", []):
        there = [one for one in reports if one.get("node") == node["id"]] if node["alive"] else []
        newest = there[-1] if there else {}
        nodes.append(
            node
            | {
                "cpu_percent": newest.get("node_cpu_percent"),
                "resident_bytes": newest.get("node_resident_bytes"),
                "replicas": len(there),
            }
        )
    return nodes


def _deployment(
    remote: RemoteModels, report: dict[str, Any], key: tuple[str, str]
) -> dict[str, Any]:
    model, version = key
    placed = remote.placement(model, version) or {}
    app = remote.app_of(key)
    p50, p99 = remote.ray_figures.trip_ms(app)
    known: dict[str, Any] = next(
        (v for k, v in report.get("apps", {}).items() if app and k.endswith(f"-{app}")), {}
    )
    return {
        "model": model,
        "version": version,
        "placement": placed.get("where", LOCAL),
        "reason": placed.get("reason", ""),
        "state": placed.get("state", LOCAL),
        "problem": placed.get("problem"),
        "run_us": placed.get("run_us", {}),
        "trip_us": placed.get("trip_us", {}),
        "trip_p50_ms": p50,
        "trip_p99_ms": p99,
        "replicas": [_replica(remote, report, app, one) for one in known.get("replicas", [])],
    }


def _replica(
    remote: RemoteModels, report: dict[str, Any], app: str, one: dict[str, Any]
) -> dict[str, Any]:
    reports = report.get("replicas", {}).get(app, [])
    own: dict[str, Any] = next((r for r in reports if r.get("replica") == one["id"]), {})
    figures = remote.ray_figures.replicas.get(one["id"], NO_FIGURES).as_dict()
    told = {name: own.get(name) for name in REPLICA_FIELDS}
    return {
        "id": one["id"],
        "node": one["node"],
        "state": "draining" if own.get("drained") else one["state"],
        **told,
        "requests": own.get("requests", 0),
        **figures,
    }
