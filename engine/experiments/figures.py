"""An experiment's figures: percentiles, comparisons and verdicts. Heavy: for a worker thread.

planned        p50, p95, p99 of each candidate, judged together by Holm, once, at the end
always-valid   the geometric mean decides, whenever it is looked at; percentiles for reference
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from engine.experiments.blocks import Blocks
from engine.experiments.compare import (
    FIGURES,
    LEAST_BLOCKS,
    RESAMPLES,
    SHARES,
    Difference,
    Sorted,
    differences,
    used_blocks,
)
from engine.experiments.experiment import Experiment
from engine.experiments.statistics import Sequence, holm

REFERENCE = "for reference"
NOTHING = "no difference found"
TOO_FEW = "too few data"


def figures_of(experiment: Experiment, resamples: int = RESAMPLES) -> dict[str, Any]:
    """Percentiles of each variant, every comparison and the verdicts, as far as data reach."""
    with experiment.lock:
        blocks = experiment.blocks.copy()
        sequences = [Sequence.from_dict(p.sequence.as_dict()) for p in experiment.means.pairs]
    definition = experiment.definition
    candidates = experiment.names[1:]
    found = [
        differences(blocks, 0, at, definition.alpha, resamples)
        for at in range(1, len(candidates) + 1)
    ]
    planned = definition.requests is not None
    judged = experiment.is_judged
    comparisons = []
    for name, rows in zip(candidates, found, strict=True):
        is_in = name not in experiment.out
        comparisons += [_row(name, row, planned and judged and is_in) for row in rows]
    if not planned:
        pairs = zip(candidates, sequences, strict=True)
        comparisons += [
            row
            for name, s in pairs
            if name not in experiment.out and (row := _mean_row(name, s, blocks, experiment))
        ]
    _judge(comparisons, definition.alpha)
    used = min(len(used_blocks(blocks, 0, at)) for at in range(1, len(candidates) + 1))
    tested = sum(row["p"] is not None for row in comparisons)
    return {
        "variants": [_percentiles(blocks, at) for at in range(blocks.variants)],
        "comparisons": comparisons,
        "verdict": [_verdict(experiment, name, comparisons) for name in candidates]
        if judged
        else None,
        "method": _method(experiment, used, blocks.block_s, tested, resamples),
    }


def _row(candidate: str, row: Difference, judged: bool) -> dict[str, Any]:
    return {
        "candidate": candidate,
        "figure": row.figure,
        "control_ms": row.control_ms,
        "candidate_ms": row.candidate_ms,
        "difference_ms": row.difference_ms,
        "difference_low_ms": row.difference_low_ms,
        "difference_high_ms": row.difference_high_ms,
        "ratio": row.ratio,
        "ratio_low": row.ratio_low,
        "ratio_high": row.ratio_high,
        "p": row.p if judged else None,
        "p_holm": None,
        "verdict": REFERENCE,
        "always_valid": False,
    }


def _mean_row(
    candidate: str, sequence: Sequence, blocks: Blocks, experiment: Experiment
) -> dict[str, Any] | None:
    """The geometric mean's ratio with its always-valid interval; None before the first block."""
    if not sequence.count:
        return None
    at = experiment.names.index(candidate)
    low, high = sequence.interval
    before, after = _geometric_ms(blocks, 0), _geometric_ms(blocks, at)
    is_known = math.isfinite(low) and math.isfinite(high)
    ratios = (math.exp(low), math.exp(high)) if is_known else (None, None)
    return {
        "candidate": candidate,
        "figure": "mean",
        "control_ms": before,
        "candidate_ms": after,
        "difference_ms": after - before,
        "difference_low_ms": None if ratios[0] is None else before * (ratios[0] - 1),
        "difference_high_ms": None if ratios[1] is None else before * (ratios[1] - 1),
        "ratio": math.exp(sequence.mean),
        "ratio_low": ratios[0],
        "ratio_high": ratios[1],
        "p": sequence.p,
        "p_holm": None,
        "verdict": REFERENCE if is_known else TOO_FEW,
        "always_valid": True,
    }


def _geometric_ms(blocks: Blocks, variant: int) -> float:
    """The geometric mean of all durations, from the blocks' samples."""
    logs, weights = 0.0, 0
    for block in blocks.blocks:
        sample = block.samples[variant]
        if len(sample):
            logs += float(np.log(np.maximum(sample, 1e-6)).mean()) * block.counts[variant]
            weights += block.counts[variant]
    return math.exp(logs / weights) if weights else 0.0


def _judge(comparisons: list[dict[str, Any]], alpha: float) -> None:
    """Holm over all comparisons that have a p, and the verdict of each."""
    judged = [row for row in comparisons if row["p"] is not None]
    for row, p in zip(judged, holm([row["p"] for row in judged]), strict=True):
        row["p_holm"] = p
        if p <= alpha:
            row["verdict"] = "slower" if row["ratio"] > 1 else "faster"
        elif row["verdict"] != TOO_FEW:
            row["verdict"] = NOTHING


def _verdict(
    experiment: Experiment, candidate: str, comparisons: list[dict[str, Any]]
) -> dict[str, Any]:
    if candidate in experiment.out:
        text = experiment.out[candidate]["reason"]
        return {"candidate": candidate, "verdict": "stopped", "text": text}
    rows = [r for r in comparisons if r["candidate"] == candidate and r["p"] is not None]
    found = [row for row in rows if row["verdict"] in ("slower", "faster")]
    words = {row["verdict"] for row in found}
    if not rows or all(row["verdict"] == TOO_FEW for row in rows):
        word, text = TOO_FEW, f"{candidate}: too few data for a verdict"
    elif not words:
        row = rows[0]
        word, text = NOTHING, f"{candidate}: {NOTHING}: {_change(row)}"
    else:
        word = words.pop() if len(words) == 1 else "mixed"
        text = f"{candidate} is {word}: {', '.join(_change(row) for row in found)}"
    return {"candidate": candidate, "verdict": word, "text": text}


def _change(row: dict[str, Any]) -> str:
    low, high = (100 * (row[f"ratio_{end}"] - 1) for end in ("low", "high"))
    return f"{row['figure']} {100 * (row['ratio'] - 1):+.3g} % ({low:+.3g} to {high:+.3g} %)"


def _percentiles(blocks: Blocks, variant: int) -> dict[str, Any]:
    names = [f"{name}_ms" for name, _ in FIGURES]
    used = np.flatnonzero(blocks.counts()[:, variant] > 0)
    if not len(used):
        return dict.fromkeys([*names, "mean_ms"])
    side = Sorted(blocks, variant, used)
    values = side.percentiles(np.ones((1, len(used))))[0]
    mean = float(np.average(side.values, weights=side.weight))
    return dict(zip(names, map(float, values[: len(SHARES)]), strict=True)) | {"mean_ms": mean}


def _method(
    experiment: Experiment, used: int, block_s: float, comparisons: int, resamples: int
) -> str:
    level = f"{100 * (1 - experiment.definition.alpha):g} %"
    if used < LEAST_BLOCKS:
        return (
            f"intervals need {LEAST_BLOCKS} blocks of {block_s:g} s in which all variants were "
            f"asked; there are {used}"
        )
    text = f"{level} intervals: {resamples} resamples of {used} blocks of {block_s:g} s"
    if experiment.definition.requests is None:
        text += "; the mean's interval holds whenever it is looked at"
    return f"{text}; Holm over {comparisons} comparisons" if comparisons > 1 else text
