"""A finished gate: its cases with their verdicts, and what it was made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bench.gate.cases import INSTRUMENTATION, Case
from bench.gate.samples import CPU, Samples, level, logs_of
from bench.gate.sender import FIGURES
from bench.gate.statistics import Interval, block_count, interval_of_change
from bench.gate.verdict import TOO_FEW, Verdict, verdict_of

Figures = dict[str, float]


@dataclass(frozen=True, slots=True)
class CaseOutcome:
    """changes: by figure. before, after: the figures themselves, NaN where not measured here.

    interleaved: both sides were measured in the same quads.
    """

    case: Case
    threshold_percent: float
    changes: Mapping[str, Interval]
    before: Figures
    after: Figures
    noise: Interval
    blocks: int
    verdict: Verdict
    interleaved: bool
    samples: Samples


@dataclass(frozen=True, slots=True)
class Outcome:
    """baseline, candidate: in words. notes: what a reader must know besides."""

    name: str
    baseline: str
    candidate: str
    interleaved: bool
    cases: tuple[CaseOutcome, ...]
    notes: tuple[str, ...]
    machine: Mapping[str, Any]
    versions: Mapping[str, str]
    started: float
    ended: float
    load: tuple[float, float]
    command: str

    @property
    def fails(self) -> bool:
        return any(one.verdict.fails for one in self.cases)

    @property
    def is_whole(self) -> bool:
        """False where a case has no verdict."""
        return all(one.verdict.word != TOO_FEW for one in self.cases)

    @property
    def status(self) -> int:
        """Exit status: 1 slower, 2 no verdict, else 0."""
        if self.fails:
            return 1
        return 0 if self.is_whole else 2


def outcome_of(
    case: Case, samples: Samples, stored: Mapping[str, Any] | None, threshold_percent: float
) -> CaseOutcome:
    """stored: blocks of the baseline's file, by figure, where its tree is not run."""
    if samples.change[CPU][0] or stored is None or case.compares == INSTRUMENTATION:
        interleaved, before = True, samples.before
        changes = {figure: samples.interval(figure) for figure in FIGURES}
        blocks = block_count(samples.change[CPU])
    else:
        interleaved, before = False, dict(stored)
        changes = {
            figure: interval_of_change(logs_of(before, figure), logs_of(samples.after, figure))
            for figure in FIGURES
        }
        blocks = min(sum(map(len, side[CPU])) for side in (before, samples.after))
    return CaseOutcome(
        case,
        threshold_percent,
        changes,
        {figure: level(before, figure) for figure in FIGURES},
        {figure: level(samples.after, figure) for figure in FIGURES},
        samples.noise_interval(),
        blocks,
        verdict_of(changes[CPU], threshold_percent, blocks),
        interleaved,
        samples,
    )
