"""The tournament, run in a child process: `python -m engine.models.tournament`.

stdin: JSON {model, version, folder, tolerance}. The child writes its compiled
forms and plan.json into `folder`; the parent verifies and publishes them. A crash, a
hang or a leak of a converter stays in the child.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from engine.models import plan as plans
from engine.models.backends import Backend
from engine.models.backends.sklearn_backend import OUTPUT_METHODS, SklearnBackend, open_sklearn
from engine.models.calibration import number_rows, text_rows
from engine.models.files import private_bytes, sha256_of
from engine.models.forms import forms_for, make_form, open_form
from engine.models.parity import compare
from engine.models.repository import ModelEntry, read_model
from engine.models.signature import Signature
from engine.types import TensorSpec, datatype_of

TIMING_BUDGET_S = 0.15
MAX_RUNS = 200
MIN_RUNS = 5


def run_tournament(entry: ModelEntry, folder: Path, tolerance: float) -> plans.Plan:
    """Try every form of one model version; compiled forms are left in `folder`.

    Raises ArtefactError when the artefact itself cannot be loaded.
    """
    started_ns = time.perf_counter_ns()
    oracle = open_sklearn(entry.artefact)
    load_ms = (time.perf_counter_ns() - started_ns) / 1e6
    signature, rows = describe(entry, oracle)
    name = signature.inputs[0].name
    expected = oracle.run({name: rows}, tuple(spec.name for spec in signature.outputs))
    candidates = [
        plans.Candidate(
            form=oracle.name,
            verdict="agrees",
            reason="the oracle itself",
            run_us=time_batches(oracle, {name: rows}, signature.outputs[0].name),
            load_ms=load_ms,
            memory_bytes=memory_of(
                lambda: open_sklearn(entry.artefact), name, rows, entry.artefact
            ),
        )
    ]
    candidates += [
        _compete(form, oracle.estimator, signature, rows, expected, folder, tolerance)
        for form in forms_for(oracle.estimator, rows)
    ]
    marked, ranges, reason = plans.choose(tuple(candidates))
    kept = {file for c in marked if c.verdict == "chosen" for file in c.files}
    for path in folder.iterdir():
        if path.name not in kept:
            path.unlink()
    return plans.Plan(
        model=entry.name,
        version=entry.version,
        signature=signature,
        candidates=marked,
        ranges=ranges,
        reason=reason,
        tolerance=tolerance,
        compile_ms=(time.perf_counter_ns() - started_ns) / 1e6,
    )


def _compete(
    form: str,
    estimator: Any,
    signature: Signature,
    rows: np.ndarray,
    expected: Mapping[str, np.ndarray],
    folder: Path,
    tolerance: float,
) -> plans.Candidate:
    name = signature.inputs[0].name
    try:
        made = make_form(form, estimator, expected, folder)
        path = folder / made.file
        started_ns = time.perf_counter_ns()
        backend = open_form(form, path, made.outputs)
        load_ms = (time.perf_counter_ns() - started_ns) / 1e6
        parity = compare(expected, backend.run({name: rows}, tuple(made.outputs)))
    except Exception as error:
        # A converter may fail in any way it likes; its words become the reason.
        words = str(error).replace(f"{folder}/", "")
        first_line = (words.strip().splitlines() or [""])[0]
        return plans.Candidate(form, "out", f"{type(error).__name__}: {first_line[:200]}")
    if not parity.agrees(tolerance):
        return plans.Candidate(form, "out", _disagreement(parity, tolerance), parity)
    return plans.Candidate(
        form=form,
        verdict="agrees",
        reason="agrees, but is slower",
        parity=parity,
        run_us=time_batches(backend, {name: rows}, signature.outputs[0].name),
        load_ms=load_ms,
        memory_bytes=memory_of(lambda: open_form(form, path, made.outputs), name, rows, path),
        files={path.name: sha256_of(path)},
        outputs=made.outputs,
    )


def _disagreement(parity: Any, tolerance: float) -> str:
    if parity.unequal_labels:
        return f"{parity.unequal_labels} of {parity.rows} labels differ from scikit-learn's"
    return f"differs by {parity.max_difference:.1e}; the tolerance is {tolerance:.0e}"


def describe(entry: ModelEntry, oracle: SklearnBackend) -> tuple[Signature, np.ndarray]:
    """The signature, from model.toml and the estimator itself, and the calibration rows."""
    estimator = oracle.estimator
    samples = entry.samples()
    declared = entry.inputs[0] if entry.inputs else None
    spec = (
        declared.spec
        if declared
        else TensorSpec("input", "FP64", (-1, int(estimator.n_features_in_)))
    )
    given = samples.get(spec.name)
    limited = False
    if spec.datatype == "BYTES":
        rows = text_rows(given)
    else:
        features = spec.shape[1] if spec.shape[1] > 0 else int(estimator.n_features_in_)
        spec = TensorSpec(spec.name, spec.datatype, (-1, features))
        limited = _refuses_beyond_float32(oracle, spec.name, features)
        rows = number_rows(estimator, features, given, beyond_float32=not limited)
    trained_names = tuple(str(n) for n in getattr(estimator, "feature_names_in_", ()))
    answers = oracle.run(
        {spec.name: rows[:2]}, tuple(m for m in OUTPUT_METHODS if m in oracle.covers)
    )
    return Signature(
        inputs=(spec,),
        outputs=tuple(
            TensorSpec(name, datatype_of(answer), (-1, *answer.shape[1:]))
            for name, answer in answers.items()
        ),
        columns=declared.columns if declared and declared.columns else trained_names,
        classes=tuple(
            str(c) for c in np.ravel(np.asarray(getattr(estimator, "classes_", ()), object))
        ),
        finite_float32=limited,
    ), rows


def _refuses_beyond_float32(oracle: SklearnBackend, name: str, features: int) -> bool:
    row = np.zeros((1, features))
    row[0, 0] = 1e300
    try:
        oracle.run({name: row}, ("predict",) if "predict" in oracle.covers else ("transform",))
    except ValueError:
        return True
    return False


def time_batches(
    backend: Backend, inputs: Mapping[str, np.ndarray], output: str
) -> dict[int, float]:
    """Median microseconds of a run by batch size, the rows taken in turn from `inputs`."""
    medians = {}
    for rows in plans.BATCH_ROWS:
        batches = _batches(inputs, rows)
        backend.run(batches[0], (output,))
        times: list[int] = []
        budget_ns = int(TIMING_BUDGET_S * 1e9)
        while len(times) < MIN_RUNS or (sum(times) < budget_ns and len(times) < MAX_RUNS):
            batch = batches[len(times) % len(batches)]
            started_ns = time.perf_counter_ns()
            backend.run(batch, (output,))
            times.append(time.perf_counter_ns() - started_ns)
        medians[rows] = statistics.median(times) / 1e3
    return medians


def memory_of(open_again: Callable[[], Backend], name: str, rows: np.ndarray, file: Path) -> int:
    """Private bytes that opening a form and running it adds, at least its file's size.

    The libraries are loaded already, so only the model itself is counted.
    """
    before = private_bytes()
    backend = open_again()
    for batch in (rows[:1], rows[:32]):
        backend.run({name: batch}, tuple(sorted(backend.covers))[:1])
    return max(private_bytes() - before, file.stat().st_size)


def _batches(inputs: Mapping[str, np.ndarray], rows: int) -> list[dict[str, np.ndarray]]:
    total = len(next(iter(inputs.values())))
    picks = [np.arange(start, start + rows) % total for start in range(0, 16 * rows, rows)]
    return [{name: array[pick] for name, array in inputs.items()} for pick in picks]


def main() -> int:
    """Entry of the child process; exit status 1 and a line on stderr when it cannot be done."""
    warnings.simplefilter("ignore")
    job = json.load(sys.stdin)
    folder = Path(job["folder"])
    try:
        entry = next(e for e in read_model(Path(job["model"])) if e.version == job["version"])
        plan = run_tournament(entry, folder, float(job["tolerance"]))
    except Exception as error:
        first_line = (str(error).strip().splitlines() or [""])[0]
        print(f"{type(error).__name__}: {first_line[:500]}", file=sys.stderr)
        return 1
    (folder / "plan.json").write_text(json.dumps(plan.as_dict(), allow_nan=False))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
