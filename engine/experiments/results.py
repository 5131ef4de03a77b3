"""What is known of an experiment, as plain data for routes and pages. Light.

Its heavy figures (figures.py) are those that were computed last; while they are hidden they are
not in here at all.
"""

from __future__ import annotations

from typing import Any

from engine.experiments.compare import FIGURES
from engine.experiments.definition import Variant
from engine.experiments.experiment import Experiment
from engine.experiments.statistics import MISMATCH_P, sample_ratio

SHADOW_FIGURES = ("offered", "compared", "dropped", "queued", "queue_limit", "left_out")


def answer_of(experiment: Experiment, computing: bool) -> dict[str, Any]:
    """Everything about an experiment. computing: newer figures are on their way."""
    visible = experiment.visible
    kept = experiment.computed if visible else {}
    progress = experiment.progress()
    with experiment.lock:
        block_s, count = experiment.blocks.block_s, len(experiment.blocks.blocks)
        sampled = [int(row.sum()) for row in experiment.blocks.histograms]
        agreements = [one.as_dict() for one in experiment.agreements]
        variants = [
            {
                "name": name,
                "requests": counts.requests,
                "errors": counts.errors,
                "error_percent": 100 * counts.errors / counts.requests if counts.requests else None,
                "refused": counts.refused,
                "cached": counts.cached,
                "sampled": sampled[at],
            }
            for at, (name, counts) in enumerate(
                zip(experiment.names, experiment.counts, strict=True)
            )
        ]
    nothing = dict.fromkeys([*(f"{name}_ms" for name, _ in FIGURES), "mean_ms"])
    measured = kept.get("variants") or [nothing] * len(variants)
    return about(experiment) | {
        "results": {
            "visible": visible,
            "hidden_why": ""
            if visible
            else f"hidden until each variant has answered {progress[1]} requests",
            "computed": experiment.computed_s if visible else None,
            "computing": computing,
            "method": kept.get("method", ""),
            "blocks": {"count": count, "seconds": block_s, "most": experiment.blocks.most},
            "variants": [one | own for one, own in zip(variants, measured, strict=True)],
            "comparisons": kept.get("comparisons", []),
            "verdict": kept.get("verdict"),
            "agreement": agreements,
            "split": _split(experiment),
            "shadow": _shadow(experiment),
            "guards": _guards(experiment),
        }
    }


def about(experiment: Experiment) -> dict[str, Any]:
    """What it is and where it stands, without results."""
    definition, shares = experiment.definition, experiment.split.shares
    done, needed = experiment.progress()
    return definition.as_dict() | {
        "id": experiment.id,
        "state": experiment.state,
        "created": experiment.created_s,
        "started": experiment.started_s,
        "ended": experiment.ended_s,
        "running_s": experiment.since_s,
        "reason": experiment.reason,
        "stopped_by": experiment.stopped_by,
        "blamed": experiment.blamed,
        "promoted": experiment.promoted,
        "actions": experiment.actions,
        "progress": {
            "requests": done,
            "needed": needed,
            "share": None if needed is None else min(1.0, done / needed),
        },
        "variants": [
            _variant(variant, at, shares[at]) | {"stopped": experiment.out.get(variant.name)}
            for at, variant in enumerate(definition.variants)
        ],
    }


def _variant(variant: Variant, at: int, share: float) -> dict[str, Any]:
    return {
        "name": variant.name,
        "role": "candidate" if at else "control",
        "version": variant.version,
        "backend": variant.backend,
        "batching": variant.batching,
        "max_wait_us": variant.max_wait_us,
        "caches": variant.caches,
        "weight": variant.weight,
        "share": share,
        "text": variant.text,
    }


def _split(experiment: Experiment) -> dict[str, Any] | None:
    if experiment.definition.is_shadow:
        return None
    with experiment.lock:
        counts, is_sample = experiment.units.counts, experiment.units.is_sample
        by_header, by_inputs = experiment.by_header, experiment.by_inputs
    shares = experiment.split.shares
    p = sample_ratio(counts, shares)
    mismatch = p is not None and p < MISMATCH_P
    text = "too few callers to tell" if p is None else "as intended"
    if mismatch:
        text = f"not as intended (p = {p:.1g}): the results are not to be trusted"
    return {
        "units": sum(counts),
        "is_sample": is_sample,
        "unit": experiment.definition.header or "inputs",
        "by_header": by_header,
        "by_inputs": by_inputs,
        "variants": [
            {"name": name, "units": counts[at], "expected": sum(counts) * shares[at]}
            for at, name in enumerate(experiment.names)
        ],
        "p": p,
        "mismatch": mismatch,
        "text": text,
    }


def _shadow(experiment: Experiment) -> dict[str, Any]:
    known = dict.fromkeys(
        ("offered", "compared", "dropped", "queued", "queue_limit", "left_out"), 0
    )
    counts = known | experiment.shadow
    dropped = counts["dropped"]
    text = f"{dropped} dropped: the queue was full" if dropped else "none dropped"
    return counts | {"text": text}


def _guards(experiment: Experiment) -> list[dict[str, Any]]:
    rows = []
    kinds = list(experiment.definition.guards)
    for at, (candidate, guard, look) in enumerate(experiment.looks()):
        kind = kinds[at % len(kinds)]
        if guard is None or look is None:
            rows.append(_guard_row(kind, candidate, "off"))
            continue
        is_hidden = kind == "p99" and not experiment.visible
        told = experiment.out.get(candidate)
        stopped = told is not None and told["by"] == kind
        state = "stopped" if stopped else "too few data" if look.value is None else "watching"
        text = "within its limit so far" if is_hidden and look.value is not None else look.text
        if stopped and told is not None:
            text = told["reason"]
        rows.append(
            _guard_row(kind, candidate, state)
            | {
                "count": look.requests,
                "least": guard.least,
                "limit": guard.limit,
                "value": None if is_hidden else look.value,
                "near": None if is_hidden else look.near,
                "text": text,
            }
        )
    return rows


def _guard_row(kind: str, candidate: str, state: str) -> dict[str, Any]:
    return {
        "guard": kind,
        "candidate": candidate,
        "state": state,
        "count": 0,
        "least": None,
        "limit": None,
        "value": None,
        "near": None,
        "text": "off" if state == "off" else "",
    }
