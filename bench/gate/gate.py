"""One gate from its plan to its outcome."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from bench.gate import trees
from bench.gate.cases import INSTRUMENTATION, Case, chosen_cases, requests_of
from bench.gate.machine import machine, versions
from bench.gate.measure import BARE, BASELINE, CANDIDATE, Job, measured, rounds_in
from bench.gate.outcome import CaseOutcome, Outcome, outcome_of
from bench.gate.plan import Opponent, Plan, notes_on, opponent_of, payload_of
from bench.gate.prepare import prepared, share_plans
from bench.gate.report import form_notes
from bench.gate.samples import CPU, Samples
from bench.gate.server import INSTRUMENTS_OFF, Side
from bench.gate.statistics import interval_of
from engine.errors import InvalidInput

SERVED = ("app", "components", "engine", "assets")
TEARDOWN_S = 3.0
LEAST_MEASURED_S = 2.0
LIVE_DRAWS = 200


@dataclass(frozen=True, slots=True)
class Gated:
    """A gate that has run: what came of it, what was judged, digests of what it was asked."""

    outcome: Outcome
    revision: trees.Revision
    payload: dict[str, Any]


def gated(plan: Plan, command: str, show: bool = True) -> Gated:
    """Measure and judge. command: how to do it again. show: a progress bar.

    Raises InvalidInput for what cannot be compared, PyrometerError where a server fails.
    """
    started, began_s, load = time.time(), time.monotonic(), os.getloadavg()[0]
    cases, opponent = chosen_cases(plan.cases), opponent_of(plan)
    revision = trees.revision_of(plan.tree)
    with tempfile.TemporaryDirectory(prefix="gate-") as scratch:
        kept = prepared(plan.models, plan.state)
        requests = {case.name: requests_of(case, kept.rows) for case in cases}
        payload = payload_of(kept.models, requests)
        notes = list(notes_on(opponent, cases, payload, plan.force))
        sides = _sides(plan, opponent, cases, revision, Path(scratch))
        if BASELINE in sides:
            changed = trees.changed_libraries(sides[BASELINE].tree, sides[CANDIDATE].tree)
            notes += [f"{name} differs; both sides run on what is installed" for name in changed]
        share_plans(sides.values(), kept)
        end_s = began_s + 60 * plan.minutes - TEARDOWN_S
        left_s = end_s - time.monotonic()
        if left_s < LEAST_MEASURED_S:
            took_s = time.monotonic() - began_s
            raise InvalidInput(f"minutes is {plan.minutes:g}: to start took {took_s:.0f} s alone")
        rounds = rounds_in(left_s, len(cases))
        job = Job(sides, cases, requests, kept.models, end_s, rounds, plan.seed)
        found = _measured(job, left_s, show)
    if rounds == 1:
        notes.append("one start of each server: its own luck is not in the intervals")
    judged = tuple(_judged(plan, opponent, case, found[case.name]) for case in cases)
    outcome = Outcome(
        name=plan.name or "gate",
        baseline=opponent.words,
        candidate=str(revision),
        interleaved=opponent.stored is None,
        cases=judged,
        notes=(*notes, *form_notes(judged)),
        machine=machine(),
        versions=versions(),
        started=started,
        ended=time.time(),
        load=(load, os.getloadavg()[0]),
        command=command,
    )
    return Gated(outcome, revision, payload)


def _judged(plan: Plan, opponent: Opponent, case: Case, samples: Samples) -> CaseOutcome:
    if case.compares == INSTRUMENTATION:
        return outcome_of(case, samples, None, plan.instrumentation_threshold)
    stored = opponent.stored["cases"][case.name]["blocks"] if opponent.stored else None
    return outcome_of(case, samples, stored, plan.threshold)


def _sides(
    plan: Plan,
    opponent: Opponent,
    cases: Sequence[Case],
    revision: trees.Revision,
    folder: Path,
) -> dict[str, Side]:
    """Trees of the sides that are run. The first one makes the plans that all share."""
    ours, theirs = folder / CANDIDATE, folder / BASELINE
    if revision.commit is None:
        for name in SERVED:
            shutil.copytree(plan.tree / name, ours / "tree" / name)
    else:
        trees.write_work_tree(plan.tree, ours / "tree")
    sides = {}
    if opponent.commit is not None:
        trees.write_commit(plan.tree, opponent.commit, theirs / "tree")
    elif opponent.itself:
        shutil.copytree(ours / "tree", theirs / "tree")
    if opponent.stored is None:
        sides[BASELINE] = Side(BASELINE, theirs / "tree", theirs)
    sides[CANDIDATE] = Side(CANDIDATE, ours / "tree", ours)
    if any(case.compares == INSTRUMENTATION for case in cases):
        sides[BARE] = Side(BARE, ours / "tree", folder / BARE, INSTRUMENTS_OFF)
    return sides


def _measured(job: Job, seconds: float, show: bool) -> dict[str, Samples]:
    """`measured`, with a bar of the time and the interval of the case just looked at."""
    began_s = time.monotonic()
    shape = "{desc} {percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}"
    with tqdm(total=seconds, bar_format=shape, disable=None if show else True) as bar:

        def progress(name: str, samples: Samples) -> None:
            bar.update(min(time.monotonic() - began_s, seconds) - bar.n)
            if not bar.disable and samples.change[CPU][0]:
                bar.set_postfix_str(f"{name} {interval_of(samples.change[CPU], draws=LIVE_DRAWS)}")

        return measured(job, progress)
