"""What was measured of one case, and what follows from it.

    figure -> rounds -> blocks -> values

A quad is four windows, two of each side, A B B A or B A A B: what drifts evenly meets both
alike. Its value is the mean of B's logs less the mean of A's. Where there is no A to run,
only B's own figures are kept.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from bench.gate.sender import FIGURES, Window
from bench.gate.statistics import Interval, Sample, interval_of, trimmed_mean

CPU = "cpu_us"
Rounds = list[list[list[float]]]
Blocks = dict[str, list[list[float]]]
"""By figure: a list for each round of one value a block, the trimmed mean of its windows."""


@dataclass(slots=True)
class Samples:
    """One case's values. noise: each side against itself in the same quads, CPU time,
    signed by lot: as wide as the change is where there is none.

    requests: sent in all windows. forms: by side, which form of the model answered.
    hit_percent: by side, answers from a cache. differing: answers of the two sides that
    differ, of `compared`. count: requests a window.
    """

    change: dict[str, Rounds] = field(default_factory=dict)
    noise: Rounds = field(default_factory=list)
    before: Blocks = field(default_factory=dict)
    after: Blocks = field(default_factory=dict)
    requests: int = 0
    count: int = 0
    forms: dict[str, str] = field(default_factory=dict)
    hit_percent: dict[str, float] = field(default_factory=dict)
    differing: int = 0
    compared: int = 0

    def begin_round(self) -> None:
        self.noise.append([])
        for figure in FIGURES:
            self.change.setdefault(figure, []).append([])
            self.before.setdefault(figure, []).append([])
            self.after.setdefault(figure, []).append([])

    def add_block(self, quads: Sequence[tuple[list[Window], list[Window]]], flips: int) -> None:
        """Windows of both sides by quad; A's may be none. flips: 64 bits that sign the noise."""
        noise = []
        for place, quad in enumerate(quads):
            own = [math.log(pair[1].cpu_us / pair[0].cpu_us) for pair in quad if pair]
            signs = [1 if flips >> ((2 * place + bit) % 64) & 1 else -1 for bit in (0, 1)]
            noise.append(sum(a * b for a, b in zip(own, signs, strict=False)) / 2)
        self.noise[-1].append(noise)
        for figure in FIGURES:
            first = [[getattr(one, figure) for one in before] for before, _ in quads]
            second = [[getattr(one, figure) for one in after] for _, after in quads]
            if first[0]:
                ratios = np.log(second).mean(axis=1) - np.log(first).mean(axis=1)
                self.change[figure][-1].append(ratios.tolist())
                self.before[figure][-1].append(trimmed_mean(np.ravel(first)))
            self.after[figure][-1].append(trimmed_mean(np.ravel(second)))

    def interval(self, figure: str = CPU) -> Interval:
        return interval_of(self.change[figure])

    def noise_interval(self) -> Interval:
        return interval_of(self.noise)


def level(blocks: Blocks, figure: str) -> float:
    """The figure itself, over all blocks; NaN where there are none."""
    values = [value for one in blocks.get(figure, []) for value in one]
    return trimmed_mean(np.asarray(values)) if values else math.nan


def logs_of(blocks: Mapping[str, Sequence[Sequence[float]]], figure: str) -> Sample:
    """Blocks as a sample of logs, one value a block."""
    return [[[math.log(value)] for value in one] for one in blocks[figure]]
