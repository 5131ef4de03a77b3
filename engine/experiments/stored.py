"""An experiment as it is stored, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from engine.experiments.agreement import Counts
from engine.experiments.definition import definition_of
from engine.experiments.experiment import ACTIONS, Experiment, VariantCounts
from engine.experiments.running_mean import RunningMeans

PLAIN = (
    *("state", "started_s", "ended_s", "reason", "stopped_by", "blamed", "promoted", "out"),
    *("digests", "final", "by_header", "by_inputs", "shadow"),
)
"""Fields of an experiment that are JSON as they are."""


def as_stored(experiment: Experiment) -> dict[str, Any]:
    """All but what `as_arrays` holds, for JSON."""
    with experiment.lock:
        return {name: getattr(experiment, name) for name in PLAIN} | {
            "id": experiment.id,
            "definition": experiment.definition.as_given(),
            "created_s": experiment.created_s,
            "elapsed_s": experiment.since_s,
            "counts": [asdict(counts) for counts in experiment.counts],
            "means": experiment.means.as_stored(),
            "agreements": [
                {"counts": asdict(one.counts), "examples": list(one.examples)}
                for one in experiment.agreements
            ],
        }


def as_arrays(experiment: Experiment) -> dict[str, np.ndarray]:
    """Durations and callers."""
    with experiment.lock:
        return experiment.blocks.as_arrays() | experiment.units.as_arrays()


def restored(stored: Mapping[str, Any], arrays: Mapping[str, np.ndarray] | None) -> Experiment:
    """The experiment that was stored so; arrays: None where they are lost.

    Raises KeyError, TypeError, ValueError or InvalidInput for what is none.
    """
    definition = definition_of(stored["definition"], "1")
    one = Experiment(
        str(stored["id"]),
        definition,
        float(stored["created_s"]),
        elapsed_s=float(stored["elapsed_s"]),
    )
    for name in PLAIN:
        setattr(one, name, stored[name])
    if one.state not in ACTIONS:
        raise ValueError(f"state is {one.state!r}")
    if one.final is not None:
        one.computed, one.computed_s = one.final["figures"], one.final["computed_s"]
    one.counts = [VariantCounts(**counts) for counts in stored["counts"]]
    one.means = RunningMeans.restored(stored["means"], definition.alpha)
    for agreement, kept in zip(one.agreements, stored["agreements"], strict=True):
        agreement.counts = Counts(**kept["counts"])
        agreement.examples.extend(kept["examples"])
    if arrays is not None:
        one.blocks.restore(arrays)
        one.units.restore(arrays)
    return one
