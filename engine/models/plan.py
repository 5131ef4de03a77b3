"""The plan: which form of a model serves it, and why.

    Plan
      signature     inputs and outputs of the model
      example       one row that the model answers: input -> nested lists, None for NaN
      candidates    one row per form that was tried
        form        "scikit-learn", "onnxruntime-f32", ...
        verdict     "chosen" | "agrees" | "out"
        reason      in words
        parity      rows, unequal labels, largest difference
        run_us      median time by batch size, microseconds
        load_ms     time to open the form
        memory_bytes  private memory that opening and running it adds, at least its file
        file_bytes  size of its files
        files       file name -> SHA-256, relative to the plan's folder
        recipe      how it is fed and read, see its backend
        quality     of a smaller form: held-out figure before and after
        finite_only it agrees on all rows but those with NaN, which another form answers
      ranges        ((up to this many rows, form), ...), the last without an upper end
      reason        in words

The first candidate is the oracle, the model as it is. Among the forms that agree with it on
every calibration row, the fastest at each measured batch size wins, in at most MAX_RANGES
ranges. A further form must be worth its memory: it takes over only where it is at least
MIN_GAIN times faster. A smaller form that keeps its accuracy budget then takes the place of
all of them, if it is smaller (or faster, where the budget prefers speed).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from engine.models.describe import Description
from engine.models.model_toml import AccuracyBudget
from engine.models.parity import Parity
from engine.models.signature import Signature, signature_from_dict
from engine.models.smaller import Quality

BATCH_ROWS = (1, 8, 32, 128)
MAX_RANGES = 3
MIN_GAIN = 1.25
NO_LIMIT = 2**31
ABSENT = "is not present on this machine"
FORMAT = 7
"""Raised whenever the meaning of a stored plan changes, so that old ones are made anew."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One form that took part."""

    form: str
    verdict: str
    reason: str
    parity: Parity | None = None
    run_us: Mapping[int, float] = field(default_factory=dict)
    load_ms: float | None = None
    memory_bytes: int = 0
    file_bytes: int = 0
    files: Mapping[str, str] = field(default_factory=dict)
    recipe: Mapping[str, Any] = field(default_factory=dict)
    quality: Quality | None = None
    finite_only: bool = False

    @property
    def exact(self) -> bool:
        """True when its answers are the model's own."""
        return self.verdict != "out" and self.quality is None


@dataclass(frozen=True, slots=True)
class Plan:
    """The outcome of one tournament."""

    model: str
    version: str
    signature: Signature
    candidates: tuple[Candidate, ...]
    ranges: tuple[tuple[int, str], ...]
    reason: str
    tolerance: float
    example: Mapping[str, Any] = field(default_factory=dict)
    compile_ms: float = 0.0

    def candidate(self, form: str) -> Candidate:
        return next(c for c in self.candidates if c.form == form)

    @property
    def oracle(self) -> Candidate:
        """The model as it is."""
        return self.candidates[0]

    def fallbacks(self, nan: bool = False) -> tuple[str, ...]:
        """Exact forms, the fastest first, the oracle last: who answers when a form fails.

        nan: only those that also answer rows with NaN.
        """
        others = [c for c in self.candidates[1:] if c.exact and not (nan and c.finite_only)]
        ranked = sorted(others, key=lambda c: c.run_us[min(c.run_us)])
        return (*(c.form for c in ranked), self.oracle.form)

    @property
    def chosen(self) -> str:
        """The form that serves one row."""
        return self.ranges[0][1]

    def form_for(self, rows: int) -> str:
        """The form that serves this many rows."""
        return next(form for most_rows, form in self.ranges if rows <= most_rows)

    @property
    def served_us(self) -> dict[int, float]:
        """Microseconds by batch size, each of the form that serves it, where measured."""
        found = {rows: self.candidate(self.form_for(rows)).run_us.get(rows) for rows in BATCH_ROWS}
        return {rows: run_us for rows, run_us in found.items() if run_us is not None}

    @property
    def memory_bytes(self) -> int:
        """What the forms that serve take in memory together."""
        return sum(c.memory_bytes for c in self.candidates if c.verdict == "chosen")

    @property
    def speedup(self) -> float | None:
        """The oracle's time over the chosen form's at one row."""
        oracle, chosen = self.oracle, self.candidate(self.chosen)
        if 1 not in oracle.run_us or 1 not in chosen.run_us:
            return None
        return oracle.run_us[1] / chosen.run_us[1]

    def as_dict(self) -> dict[str, Any]:
        value = asdict(self)
        value["signature"] = self.signature.as_dict()
        value["chosen"] = self.chosen
        for candidate in value["candidates"]:
            candidate["run_us"] = {str(rows): us for rows, us in candidate["run_us"].items()}
            if candidate["parity"] and math.isinf(candidate["parity"]["max_difference"]):
                candidate["parity"]["max_difference"] = None
        return value


def plan_of_oracle(model: str, version: str, form: str, described: Description) -> Plan:
    """The plan of a model that is served as it is, without a tournament."""
    reason = "optimisation is off: the model as it is"
    only = Candidate(form, "chosen", reason, recipe=described.recipe)
    ranges = ((NO_LIMIT, form),)
    return Plan(
        model, version, described.signature, (only,), ranges, reason, 0.0, described.example
    )


def choose_ranges(candidates: tuple[Candidate, ...]) -> tuple[tuple[int, str], ...]:
    """The winning form per range of batch sizes, ascending.

    Two measured sizes with different winners meet at their geometric mean.
    """
    agreeing = [c for c in candidates if c.exact]
    if len(agreeing) == 1:
        return ((NO_LIMIT, agreeing[0].form),)
    sizes = sorted(agreeing[0].run_us)  # one alone, of a graph whose rows are fixed
    winners: list[Candidate] = []
    for rows in sizes:
        best = min(agreeing, key=lambda c: c.run_us[rows])
        current = winners[-1] if winners else best
        changes = sum(a is not b for a, b in itertools.pairwise(winners))
        worth = current.run_us[rows] >= MIN_GAIN * best.run_us[rows]
        winners.append(best if worth and changes < MAX_RANGES - 1 else current)
    ranges = [
        (int(math.sqrt(sizes[place] * sizes[place + 1])), winner.form)
        for place, (winner, following) in enumerate(itertools.pairwise(winners))
        if winner is not following
    ]
    return (*ranges, (NO_LIMIT, winners[-1].form))


def choose(
    candidates: tuple[Candidate, ...], budget: AccuracyBudget | None = None
) -> tuple[tuple[Candidate, ...], tuple[tuple[int, str], ...], str]:
    """Mark the winners. Returns (candidates, ranges, reason); the first is the oracle."""
    ranges = choose_ranges(candidates)
    smaller = None if budget is None else _smaller(candidates, ranges, budget)
    if smaller is not None:
        ranges = ((NO_LIMIT, smaller.form),)
    winning = {form for _, form in ranges}
    marked = tuple(
        replace(c, verdict="chosen", reason=_where(c, ranges)) if c.form in winning else c
        for c in candidates
    )
    return marked, ranges, _with_ranges(_reason(candidates, ranges), ranges)


def _smaller(
    candidates: tuple[Candidate, ...], ranges: tuple[tuple[int, str], ...], budget: AccuracyBudget
) -> Candidate | None:
    """The smaller form that takes over, or None."""
    held = [c for c in candidates if c.verdict != "out" and c.quality is not None]
    exact = [c for c in candidates if c.form in {form for _, form in ranges}]
    if budget.prefer == "speed":
        fastest = min(held, key=lambda c: c.run_us[1], default=None)
        bar = min(c.run_us[1] for c in exact)
        return fastest if fastest and fastest.run_us[1] * MIN_GAIN <= bar else None
    smallest = min(held, key=lambda c: c.file_bytes, default=None)
    bar = sum(c.file_bytes for c in exact)
    return smallest if smallest and smallest.file_bytes < bar else None


def _plain(value: float) -> str:
    """Three figures, or all before the point with thousands apart."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _took(us: float) -> str:
    return f"{_plain(us)} µs" if us < 1e4 else f"{_plain(us / 1e3)} ms"


def _reason(candidates: tuple[Candidate, ...], ranges: tuple[tuple[int, str], ...]) -> str:
    oracle = candidates[0]
    best = next(c for c in candidates if c.form == ranges[0][1])
    if best is oracle:
        out = [f"{c.form}: {c.reason}" for c in candidates[1:] if c.verdict == "out"]
        if all(c.reason.endswith(ABSENT) for c in candidates[1:]):
            return f"{oracle.form} is the only form of this kind of model"
        if any(c.exact for c in candidates[1:]):
            return f"{oracle.form} is the fastest exact form"
        return f"no other form gives the same answers ({'; '.join(out)})"
    least = min(oracle.run_us)
    best_us, oracle_us = best.run_us[least], oracle.run_us[least]
    reason = (
        f"{best.form} takes {_took(best_us)} at {least} row{'s' if least > 1 else ''}, "
        f"{oracle.form} {_took(oracle_us)}: {_plain(oracle_us / best_us)}x faster"
    )
    if best.quality is not None:
        q = best.quality
        return (
            f"{reason}; within the accuracy budget, {q.metric} {q.before:.4f} -> {q.after:.4f} "
            f"on {q.rows} held-out rows (at most {q.largest_loss:g} may be lost)"
        )
    if best.parity is not None:
        reason += (
            f"; same labels on all {best.parity.rows} calibration rows, "
            f"largest difference {best.parity.max_difference:.1e}"
        )
    if best.finite_only:
        others = [c for c in candidates[1:] if c.exact and not c.finite_only]
        stand_in = min(others, key=lambda c: c.run_us[1], default=oracle)
        reason += f"; rows with NaN are answered by {stand_in.form}"
    return reason


def _where(candidate: Candidate, ranges: tuple[tuple[int, str], ...]) -> str:
    """On which batch sizes a form serves, in words."""
    form = candidate.form
    if candidate.quality is not None:
        return "keeps the accuracy budget"
    if len(ranges) == 1:
        return "fastest of the forms that agree"
    parts, low = [], 1
    for high, name in ranges:
        if name == form:
            parts.append(f"{low} rows and more" if high == NO_LIMIT else f"{low} to {high} rows")
        low = high + 1
    return f"fastest for {' and '.join(parts)}"


def _with_ranges(reason: str, ranges: tuple[tuple[int, str], ...]) -> str:
    later = [f"{name} over {low} rows" for (low, _), (_, name) in itertools.pairwise(ranges)]
    return "; ".join([reason, *later])


def plan_from_dict(value: Mapping[str, Any]) -> Plan:
    """The inverse of `Plan.as_dict`. Raises KeyError, TypeError or ValueError for another shape."""
    return Plan(
        model=value["model"],
        version=value["version"],
        signature=signature_from_dict(value["signature"]),
        candidates=tuple(_candidate(item) for item in value["candidates"]),
        ranges=tuple((int(rows), str(form)) for rows, form in value["ranges"]),
        reason=value["reason"],
        tolerance=float(value["tolerance"]),
        example=dict(value["example"]),
        compile_ms=float(value["compile_ms"]),
    )


def _candidate(item: Mapping[str, Any]) -> Candidate:
    parity = item["parity"]
    if parity is not None:
        largest = math.inf if parity["max_difference"] is None else parity["max_difference"]
        parity = Parity(parity["rows"], parity["unequal_labels"], largest)
    return Candidate(
        form=item["form"],
        verdict=item["verdict"],
        reason=item["reason"],
        parity=parity,
        run_us={int(rows): us for rows, us in item["run_us"].items()},
        load_ms=item["load_ms"],
        memory_bytes=int(item["memory_bytes"]),
        file_bytes=int(item["file_bytes"]),
        files=dict(item["files"]),
        recipe=dict(item["recipe"]),
        quality=Quality(**item["quality"]) if item["quality"] else None,
        finite_only=bool(item["finite_only"]),
    )
