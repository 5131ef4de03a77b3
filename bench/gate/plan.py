"""What a gate is asked for, and whether that can be compared."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.gate import trees
from bench.gate.baseline import Baseline, differences, read_baseline
from bench.gate.cases import INSTRUMENTATION, Case, digest_of
from bench.gate.machine import machine, versions
from engine.errors import InvalidInput

ROOT = Path(__file__).parent.parent.parent
MOST_MINUTES = 60.0
MOST_NAME = 80
WEAKER = (
    "the weaker form: the baseline's code is not here to run beside this one, so its stored "
    "figures are compared; the machine's drift between the two times is not cancelled"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is asked for. baseline: a file; against: a commit; neither: this tree with itself.

    state: keeps models and plans from one gate to the next. Thresholds in percent, minutes for
    all of it. force: compare figures of another machine.
    """

    tree: Path = ROOT
    models: Path = Path("models")
    state: Path = Path(".pyrometer")
    baseline: Path | None = None
    against: str | None = None
    threshold: float = 3.0
    instrumentation_threshold: float = 10.0
    minutes: float = 3.0
    cases: str = ""
    name: str = ""
    force: bool = False
    seed: int = 1

    def __post_init__(self) -> None:
        bounds = {
            "threshold": (0.0, 1000.0),
            "instrumentation_threshold": (0.0, 1000.0),
            "minutes": (0.0, MOST_MINUTES),
        }
        for field, (low, high) in bounds.items():
            value = getattr(self, field)
            if not low <= value <= high or (field == "minutes" and not value):
                raise InvalidInput(f"{field} is {value:g}; it must be within {low:g}..{high:g}")
        if len(self.name) > MOST_NAME:
            raise InvalidInput(f"name has {len(self.name)} characters; the limit is {MOST_NAME}")


@dataclass(frozen=True, slots=True)
class Opponent:
    """What this tree is compared with. commit: to run beside; stored: figures to put beside.

    itself: a second copy of this tree. words: for the report.
    """

    words: str
    commit: str | None = None
    stored: Baseline | None = None
    itself: bool = False


def opponent_of(plan: Plan) -> Opponent:
    """Raises InvalidInput where the plan names nothing that is there."""
    if plan.baseline is not None:
        found = read_baseline(plan.baseline)
        words = f"baseline {found['name']!r}"
        commit = trees.resolved(plan.tree, found["commit"] or "") if found["clean"] else None
        if commit is not None:
            return Opponent(f"{words}, commit {commit[:12]}", commit)
        return Opponent(f"{words}, stored figures", stored=found)
    if plan.against is None:
        return Opponent("itself (A/A)", itself=True)
    if plan.against == "auto":
        commit = trees.usual_commit(plan.tree)
    else:
        found_commit = trees.resolved(plan.tree, plan.against)
        if found_commit is None:
            raise InvalidInput(f"against is {plan.against!r}: git has no such commit here")
        commit = found_commit
    return Opponent(f"commit {commit[:12]}", commit)


def notes_on(
    opponent: Opponent, cases: Sequence[Case], payload: Mapping[str, Any], force: bool
) -> Sequence[str]:
    """Notes about stored figures. Raises InvalidInput where they do not belong beside ours."""
    if opponent.stored is None:
        return ()
    for case in cases:
        if case.compares != INSTRUMENTATION and case.name not in opponent.stored["cases"]:
            raise InvalidInput(f"baseline.cases has no {case.name}; choose others with --cases")
    found = differences(opponent.stored, machine(), versions(), payload)
    if found and not force:
        raise InvalidInput(
            f"the baseline's commit is not here, and its figures are of another place: "
            f"{'; '.join(found)} (--force compares all the same)"
        )
    return (WEAKER, *found)


def payload_of(models: Path, requests: Mapping[str, Sequence[bytes]]) -> dict[str, Any]:
    """Digests of what is served and asked."""
    return {
        "models": {path.name: _digest_of(path) for path in sorted(models.iterdir())},
        "cases": {
            name: {"requests": len(bodies), "digest": digest_of(bodies)}
            for name, bodies in requests.items()
        },
    }


def _digest_of(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            digest.update(f"{path.relative_to(folder)}\0".encode() + path.read_bytes())
    return digest.hexdigest()
