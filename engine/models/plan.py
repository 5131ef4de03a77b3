"""The plan: which form of a model serves it, and why.

    Plan
      signature     inputs and outputs of the model
      candidates    one row per form that was tried
        form        "scikit-learn", "onnxruntime-f32", ...
        verdict     "chosen" | "agrees" | "out"
        reason      in words
        parity      rows, unequal labels, largest difference
        run_us      median time by batch size, microseconds
        load_ms     time to open the form
        files       file name -> SHA-256, relative to the plan's folder
      chosen        the form that serves
      reason        in words

Among the forms that agree with scikit-learn on every calibration row, the one with the
lowest geometric mean over the batch sizes wins.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from engine.models.parity import Parity
from engine.models.signature import Signature, signature_from_dict

BATCH_ROWS = (1, 8, 32, 128)
FORMAT = 1
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
    files: Mapping[str, str] = field(default_factory=dict)
    outputs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Plan:
    """The outcome of one tournament."""

    model: str
    version: str
    signature: Signature
    candidates: tuple[Candidate, ...]
    chosen: str
    reason: str
    tolerance: float
    compile_ms: float = 0.0

    def candidate(self, form: str) -> Candidate:
        return next(c for c in self.candidates if c.form == form)

    @property
    def speedup(self) -> float | None:
        """scikit-learn's time over the chosen form's at one row."""
        oracle, chosen = self.candidates[0], self.candidate(self.chosen)
        if 1 not in oracle.run_us or 1 not in chosen.run_us:
            return None
        return oracle.run_us[1] / chosen.run_us[1]

    def as_dict(self) -> dict[str, Any]:
        value = asdict(self)
        value["signature"] = self.signature.as_dict()
        for candidate in value["candidates"]:
            candidate["run_us"] = {str(rows): us for rows, us in candidate["run_us"].items()}
            if candidate["parity"] and math.isinf(candidate["parity"]["max_difference"]):
                candidate["parity"]["max_difference"] = None
        return value


def choose(candidates: tuple[Candidate, ...]) -> tuple[tuple[Candidate, ...], str, str]:
    """Mark the winner. Returns (candidates, chosen form, reason); the first is the oracle."""
    oracle = candidates[0]
    agreeing = [c for c in candidates if c.verdict != "out"]
    best = min(agreeing, key=_mean_us)
    marked = tuple(
        replace(c, verdict="chosen", reason="fastest of the forms that agree") if c is best else c
        for c in candidates
    )
    if best is oracle:
        others = [f"{c.form}: {c.reason}" for c in candidates[1:] if c.verdict == "out"]
        reason = (
            "scikit-learn is the fastest exact form"
            if len(agreeing) > 1
            else (
                "no other form gives the same answers"
                + (f" ({'; '.join(others)})" if others else "")
            )
        )
        return marked, best.form, reason
    parity = best.parity
    reason = (
        f"{best.form} takes {best.run_us[1]:.3g} us at 1 row, scikit-learn "
        f"{oracle.run_us[1]:.4g} us: {oracle.run_us[1] / best.run_us[1]:.3g}x faster"
    )
    if parity is not None:
        reason += (
            f"; same labels on all {parity.rows} calibration rows, "
            f"largest difference {parity.max_difference:.1e}"
        )
    return marked, best.form, reason


def _mean_us(candidate: Candidate) -> float:
    return math.exp(
        sum(math.log(us) for us in candidate.run_us.values()) / max(1, len(candidate.run_us))
    )


def plan_from_dict(value: Mapping[str, Any]) -> Plan:
    """The inverse of `Plan.as_dict`. Raises KeyError, TypeError or ValueError for another shape."""
    return Plan(
        model=value["model"],
        version=value["version"],
        signature=signature_from_dict(value["signature"]),
        candidates=tuple(_candidate(item) for item in value["candidates"]),
        chosen=value["chosen"],
        reason=value["reason"],
        tolerance=float(value["tolerance"]),
        compile_ms=float(value["compile_ms"]),
    )


def _candidate(item: Mapping[str, Any]) -> Candidate:
    parity = item["parity"]
    if parity is not None:
        largest = parity["max_difference"]
        parity = Parity(
            parity["rows"], parity["unequal_labels"], math.inf if largest is None else largest
        )
    return Candidate(
        form=item["form"],
        verdict=item["verdict"],
        reason=item["reason"],
        parity=parity,
        run_us={int(rows): us for rows, us in item["run_us"].items()},
        load_ms=item["load_ms"],
        files=dict(item["files"]),
        outputs=dict(item["outputs"]),
    )
