"""A gate as a stored run (kind "gate"), and as a baseline of what was measured."""

from __future__ import annotations

import json
import math
import secrets
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.gate.baseline import FORMAT, Baseline
from bench.gate.outcome import CaseOutcome, Outcome
from bench.gate.report import headline, markdown
from bench.gate.server import SETTINGS
from bench.gate.statistics import Interval
from bench.gate.trees import Revision
from engine.errors import PyrometerError
from engine.files import write_atomically

MOST_RUNS = 500


def write_run(folder: Path, outcome: Outcome, spec: Mapping[str, Any], commit: str | None) -> Path:
    """The run's file in the runs folder, where the oldest over MOST_RUNS go.

    Raises PyrometerError where it cannot be written.
    """
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(outcome.started))
    run_id = f"{stamp}-{secrets.token_hex(3)}"
    path = folder / f"{run_id}.json"
    content = json.dumps(_plain(run_of(outcome, spec, commit) | {"id": run_id}), allow_nan=False)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content.encode())
        for old in sorted(folder.glob("[0-9]*.json"))[:-MOST_RUNS]:
            old.unlink(missing_ok=True)
    except OSError as error:
        raise PyrometerError(f"{path} cannot be written: {error.strerror}") from None
    return path


def run_of(outcome: Outcome, spec: Mapping[str, Any], commit: str | None) -> dict[str, Any]:
    """The fields of every stored run, and under "gate" what only a gate has."""
    requests = sum(one.samples.requests for one in outcome.cases)
    nothing = (
        *("requested_per_s", "achieved_per_s", "lag_percent", "latency_ms", "service_ms"),
        *("server_ms", "steps", "highest_within_slo_per_s"),
    )
    return {
        "kind": "gate",
        "name": outcome.name,
        "started": outcome.started,
        "ended": outcome.ended,
        "machine": dict(outcome.machine),
        "versions": dict(outcome.versions),
        "commit": commit,
        "spec": dict(spec),
        "valid": outcome.is_whole,
        "invalid_because": None if outcome.is_whole else headline(outcome),
        "cancelled": False,
        "requests": requests,
        "errors": 0,
        "statuses": {"200": requests},
        "error_texts": {},
        "series": {"columns": [], "points": []},
        "histogram": {"edges_ms": [], "counts": []},
        "gate": {
            "passes": not outcome.fails,
            "verdict": headline(outcome),
            "baseline": outcome.baseline,
            "candidate": outcome.candidate,
            "interleaved": outcome.interleaved,
            "notes": list(outcome.notes),
            "load_average": list(outcome.load),
            "cases": [_case(one) for one in outcome.cases],
            "markdown": markdown(outcome),
        },
    } | dict.fromkeys(nothing)


def _case(one: CaseOutcome) -> dict[str, Any]:
    return {
        "name": one.case.name,
        "title": one.case.title,
        "model": one.case.model,
        "connections": one.case.connections,
        "threshold_percent": one.threshold_percent,
        "verdict": one.verdict.word,
        "fails": one.verdict.fails,
        "interleaved": one.interleaved,
        "before": one.before,
        "after": one.after,
        "changes_percent": {figure: asdict(change) for figure, change in one.changes.items()},
        "noise_percent": asdict(one.noise),
        "blocks": one.blocks,
        "requests": one.samples.requests,
        "requests_per_window": one.samples.count,
        "forms": one.samples.forms,
        "hit_percent": one.samples.hit_percent,
        "answers_differing": one.samples.differing,
    }


def baseline_of(
    outcome: Outcome, name: str, revision: Revision, payload: Mapping[str, Any]
) -> Baseline:
    """What was measured of the candidate, to compare with later."""
    return {
        "format": FORMAT,
        "name": name,
        "created": outcome.ended,
        "commit": revision.commit,
        "clean": revision.clean,
        "machine": dict(outcome.machine),
        "versions": dict(outcome.versions),
        "payload": dict(payload),
        "settings": list(SETTINGS),
        "cases": {one.case.name: _measured(one) for one in outcome.cases},
    }


def _measured(one: CaseOutcome) -> dict[str, Any]:
    noise: Interval = one.noise
    return {
        "requests_per_window": one.samples.count,
        "forms": one.samples.forms,
        "noise": asdict(noise),
        "blocks": {
            figure: [[round(value, 6) for value in blocks] for blocks in rounds]
            for figure, rounds in one.samples.after.items()
        },
    }


def _plain(value: Any) -> Any:
    """With None for what is no number: JSON has no NaN."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
