"""The tournament, run in a child process: `python -m engine.models.tournament`.

stdin: JSON {model, version, folder, tolerance, trust_file, also_trusted, onnx_providers}.
The child writes its compiled
forms and plan.json into `folder`; the parent verifies and publishes them. A crash, a hang
or a leak of a converter stays in the child.
"""

from __future__ import annotations

import itertools
import json
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from engine.errors import ProviderLost, without_folders
from engine.models import plan as plans
from engine.models import providers
from engine.models.backends import Backend
from engine.models.describe import Description
from engine.models.files import sha256_of
from engine.models.forms import (
    INT8,
    MadeForm,
    forms_for,
    is_tree_ensemble,
    make_form,
    open_any,
)
from engine.models.measure import memory_of, time_batches
from engine.models.oracle import Oracle, describe, open_oracle
from engine.models.parity import Parity, compare
from engine.models.repository import ModelEntry, read_version
from engine.models.signature import rows_with_nan
from engine.models.smaller import Quality, cuts_of, score
from engine.models.trust import TrustFile


def run_tournament(
    entry: ModelEntry, folder: Path, tolerance: float, trust: TrustFile, onnx_providers: str = ""
) -> plans.Plan:
    """Try every form of one model version; the files of those that may serve stay in `folder`.

    onnx_providers: as in the settings.
    Raises ArtefactError when the artefact itself cannot be loaded.
    """
    started_ns = time.perf_counter_ns()
    oracle, described = describe(entry, trust)
    load_ms = (time.perf_counter_ns() - started_ns) / 1e6
    contest = Contest(entry, folder, tolerance, trust, oracle, described)
    candidates = [contest.oracle_candidate(load_ms)]
    forms = forms_for(oracle.estimator, described.signature)
    candidates += [contest.try_form(form, oracle.estimator) for form in forms]
    if entry.declared.budget is not None:
        candidates += contest.smaller_candidates(candidates)
    candidates += contest.provider_candidates(candidates, onnx_providers)
    marked, ranges, reason = plans.choose(tuple(candidates), entry.declared.budget)
    kept = {file for c in marked if c.verdict != "out" for file in c.files}
    for path in folder.iterdir():
        if path.name not in kept:
            path.unlink()
    return plans.Plan(
        model=entry.name,
        version=entry.version,
        signature=described.signature,
        candidates=marked,
        ranges=ranges,
        reason=reason,
        tolerance=tolerance,
        example=described.example,
        compile_ms=(time.perf_counter_ns() - started_ns) / 1e6,
    )


class Contest:
    """One model's forms against its oracle: what every candidate is compared with."""

    def __init__(
        self,
        entry: ModelEntry,
        folder: Path,
        tolerance: float,
        trust: TrustFile,
        oracle: Oracle,
        described: Description,
    ) -> None:
        self._entry, self._folder, self._tolerance, self._trust = entry, folder, tolerance, trust
        self._oracle, self._described = oracle, described
        self._signature = described.signature
        self._outputs = tuple(spec.name for spec in self._signature.outputs)
        self._rows = self._signature.bind(described.rows)
        fixed = self._signature.fixed_rows
        self._sizes = (fixed,) if fixed else plans.BATCH_ROWS
        self._expected = oracle.backend.run(self._rows, self._outputs)
        self._finite = _finite_part(self._rows, self._expected)

    def oracle_candidate(self, load_ms: float) -> plans.Candidate:
        """The model as it is."""
        return plans.Candidate(
            form=self._oracle.backend.name,
            verdict="agrees",
            reason="the model as it is, the oracle",
            run_us=self._time(self._oracle.backend),
            load_ms=load_ms,
            memory_bytes=self._memory_of(lambda: self._reopened().backend, self._entry.artefact),
            file_bytes=self._entry.artefact.stat().st_size,
            recipe=self._described.recipe,
        )

    def try_form(
        self, form: str, estimator: Any, quality_of: Callable[[Backend], Quality] | None = None
    ) -> plans.Candidate:
        """Make, open, compare and time one form; whatever goes wrong puts it out.

        quality_of: judges an inexact form by its held-out quality in place of equality.
        """
        recipe = self._described.recipe
        given = (form, estimator, self._signature, recipe, self._expected, self._folder)
        return self._tried(form, lambda: make_form(*given), quality_of)

    def _tried(
        self,
        form: str,
        make: Callable[[], MadeForm],
        quality_of: Callable[[Backend], Quality] | None = None,
    ) -> plans.Candidate:
        try:
            made = make()
            path = self._folder / made.file if made.file else None
            files = {made.file: sha256_of(path)} if path else {}
            started_ns = time.perf_counter_ns()
            backend = open_any(form, files, made.recipe, self._folder, lambda: self._oracle)
            load_ms = (time.perf_counter_ns() - started_ns) / 1e6
            parity = self._compared(backend, self._rows, self._expected)
            quality = quality_of(backend) if quality_of else None
        except Exception as error:
            # A converter may fail in any way it likes; its words become the reason.
            words = without_folders(str(error))
            first_line = (words.strip().splitlines() or [""])[0]
            kind = "" if isinstance(error, ProviderLost) else f"{type(error).__name__}: "
            return plans.Candidate(form, "out", f"{kind}{first_line[:200]}")
        finite_only = False
        if quality is None and self._finite is not None and not parity.agrees(self._tolerance):
            # Perhaps only the rows with NaN differ: then another form answers those.
            finite = self._compared(backend, *self._finite)
            finite_only = finite.agrees(self._tolerance)
            parity = finite if finite_only else parity
        reason = _loss(quality) if quality else self._disagreement(backend, parity)
        if reason:
            return plans.Candidate(form, "out", reason, parity, quality=quality)

        def open_again() -> Backend:
            return open_any(form, files, made.recipe, self._folder, self._reopened)

        return plans.Candidate(
            form=form,
            verdict="agrees",
            reason="keeps the budget, but another is preferred" if quality else "slower",
            parity=parity,
            run_us=self._time(backend),
            load_ms=load_ms,
            memory_bytes=self._memory_of(open_again, path or self._entry.artefact),
            file_bytes=(path or self._entry.artefact).stat().st_size,
            files=files,
            recipe=made.recipe,
            quality=quality,
            finite_only=finite_only,
        )

    def smaller_candidates(self, exact: list[plans.Candidate]) -> list[plans.Candidate]:
        """The inexact forms that the declared budget lets in, judged on held-out rows."""
        budget, held_out = self._entry.declared.budget, self._entry.held_out()
        assert budget is not None
        estimator = self._oracle.estimator
        target = held_out.pop("target", None)
        if estimator is None or target is None:
            why = "the accuracy budget needs held_out.npz with the model's inputs and `target`"
            return [plans.Candidate(INT8, "out", why)]
        rows = self._signature.bind(held_out)
        before = score(budget.metric, self._oracle.backend, rows, target)

        def quality_of(backend: Backend) -> Quality:
            after = score(budget.metric, backend, rows, target)
            return Quality(budget.metric, before, after, len(target), budget.largest_loss)

        tried = [self.try_form(INT8, estimator, quality_of)]
        bases = [c.form for c in exact[1:] if c.exact and "onnxruntime" in c.form]
        if is_tree_ensemble(estimator):
            bases = bases or ["treelite"]
        for base in bases[:1]:
            tried += [
                self.try_form(f"{base}/{cut}", smaller, quality_of)
                for cut, smaller in cuts_of(estimator).items()
            ]
        return tried

    def provider_candidates(
        self, tried: list[plans.Candidate], onnx_providers: str
    ) -> list[plans.Candidate]:
        """The graphs among them on every other execution provider that takes part."""
        bases = providers.bases_of(tried)
        if not bases:
            return []
        others = providers.taking_part(onnx_providers, providers.available())
        few = {name: array[: self._sizes[0]] for name, array in self._rows.items()}
        found = providers.absentees(bases[0].form, others)
        for base, other in itertools.product(bases, [p for p in others if p.present]):
            make = partial(providers.graph_on, base, other, self._entry, few, self._folder)
            found.append(self._tried(f"{base.form}@{other.tag}", make))
        return found

    def _reopened(self) -> Oracle:
        return open_oracle(self._entry, self._trust, self._signature, self._described.recipe)

    def _memory_of(self, open_again: Callable[[], Backend], file: Path) -> int:
        return memory_of(open_again, self._rows, file, self._sizes[:3])

    def _time(self, backend: Backend) -> dict[int, float]:
        return time_batches(backend, self._rows, self._outputs[0], self._sizes)

    def _compared(
        self, backend: Backend, rows: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray]
    ) -> Parity:
        outputs = tuple(name for name in self._outputs if name in backend.covers)
        return compare(expected, backend.run(rows, outputs))

    def _disagreement(self, backend: Backend, parity: Parity) -> str:
        """Why an exact form is out, in words; "" when it agrees."""
        oracle = self._oracle.backend.name
        if parity.unequal_labels:
            return f"{parity.unequal_labels} of {parity.rows} labels differ from {oracle}'s"
        if not parity.agrees(self._tolerance):
            return f"differs by {parity.max_difference:.1e}; the tolerance is {self._tolerance:.0e}"
        for rows in self._described.refused:
            if _answers(backend, self._signature.bind(rows)):
                return f"answers rows that {oracle} refuses"
        return ""


def _finite_part(
    rows: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray]
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]] | None:
    """The rows without NaN and their answers; None where no row has one."""
    with_nan = rows_with_nan(rows)
    if not with_nan.any():
        return None
    keep = ~with_nan
    return (
        {name: array[keep] for name, array in rows.items()},
        {name: array[keep] for name, array in expected.items()},
    )


def _loss(quality: Quality) -> str:
    if quality.holds:
        return ""
    return (
        f"{quality.metric} falls from {quality.before:.4f} to {quality.after:.4f} on "
        f"{quality.rows} held-out rows; at most {quality.largest_loss:g} may be lost"
    )


def _answers(backend: Backend, rows: Mapping[str, np.ndarray]) -> bool:
    try:
        backend.run(rows, tuple(sorted(backend.covers))[:1])
    except Exception:
        # Refusing a row may take the form of any exception.
        return False
    return True


def main() -> int:
    """Entry of the child process; exit status 1 and a line on stderr when it cannot be done."""
    warnings.simplefilter("ignore")
    job = json.load(sys.stdin)
    folder = Path(job["folder"])
    try:
        entry = read_version(Path(job["model"]), job["version"])
        trust = TrustFile(Path(job["trust_file"]), job["also_trusted"])
        given = (float(job["tolerance"]), trust, job["onnx_providers"])
        plan = run_tournament(entry, folder, *given)
    except Exception as error:
        first_line = (str(error).strip().splitlines() or [""])[0]
        print(f"{type(error).__name__}: {first_line[:500]}", file=sys.stderr)
        return 1
    (folder / "plan.json").write_text(json.dumps(plan.as_dict(), allow_nan=False))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
