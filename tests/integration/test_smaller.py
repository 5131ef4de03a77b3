"""Smaller forms: only under a declared budget, judged by held-out quality, explained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io
from sklearn.datasets import make_classification
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.neural_network import MLPClassifier

from engine.models.loaded import LoadedModel, open_planned
from engine.models.plan import Plan
from engine.models.repository import read_repository
from engine.models.tournament import run_tournament
from engine.models.trust import TrustFile

ROWS, LABELS = make_classification(1200, 12, n_informative=6, class_sep=1.5, random_state=1)
BUDGET = '[accuracy_budget]\nmetric = "{metric}"\nlargest_loss = {loss}\nprefer = "{prefer}"\n'


def planned(
    tmp_path: Path,
    estimator: Any,
    loss: float,
    *,
    prefer: str = "size",
    metric: str = "accuracy",
    held_out: bool = True,
) -> tuple[Plan, LoadedModel]:
    folder = tmp_path / "models/m/1"
    folder.mkdir(parents=True)
    toml = BUDGET.format(metric=metric, loss=loss, prefer=prefer) if loss >= 0 else ""
    (folder.parent / "model.toml").write_text(toml)
    skops.io.dump(estimator.fit(ROWS[:600], LABELS[:600]), folder / "model.skops")
    if held_out:
        np.savez(folder / "held_out.npz", input=ROWS[600:], target=LABELS[600:])
    (entry,) = read_repository(tmp_path / "models").entries
    forms, trust = tmp_path / "forms", TrustFile(tmp_path / "none")
    forms.mkdir()
    plan = run_tournament(entry, forms, 1e-5, trust)
    return plan, open_planned(entry, plan, forms, trust)


def test_without_a_budget_no_inexact_form_takes_part(tmp_path: Path) -> None:
    plan, _ = planned(tmp_path, RandomForestClassifier(40, random_state=0), -1)
    assert all(candidate.quality is None for candidate in plan.candidates)


@pytest.mark.parametrize(
    "make",
    [
        lambda: RandomForestClassifier(40, random_state=0),
        lambda: HistGradientBoostingClassifier(max_iter=40, random_state=0),
        lambda: MLPClassifier((128, 64), max_iter=80, random_state=0),
    ],
)
def test_a_smaller_form_serves_within_its_budget_and_says_what_it_costs(
    tmp_path: Path, make: Any
) -> None:
    plan, model = planned(tmp_path, make(), 0.05)
    chosen = plan.candidate(plan.chosen)
    assert chosen.quality is not None
    assert chosen.quality.before - chosen.quality.after <= 0.05
    assert chosen.quality.rows == 600
    exact = {c.form: c for c in plan.candidates[1:] if c.exact}
    whole = exact.get(chosen.form.partition("/")[0]) or exact["onnxruntime-f64"]
    assert chosen.file_bytes <= 0.55 * whole.file_bytes
    assert "within the accuracy budget" in plan.reason
    answers = model.run(model.signature.bind({"input": ROWS[600:]}), ("predict",)).outputs
    accuracy = float(np.mean(answers["predict"] == LABELS[600:]))
    assert accuracy == pytest.approx(chosen.quality.after)


def test_a_form_over_the_budget_is_out_with_both_figures(tmp_path: Path) -> None:
    plan, _ = planned(tmp_path, RandomForestClassifier(8, max_depth=12, random_state=3), 0.0)
    lost = [c for c in plan.candidates if c.quality is not None and not c.quality.holds]
    assert lost
    assert all(c.verdict == "out" and "may be lost" in c.reason for c in lost)
    assert plan.chosen not in {c.form for c in lost}


def test_a_budget_without_held_out_rows_says_what_is_missing(tmp_path: Path) -> None:
    plan, _ = planned(tmp_path, RandomForestClassifier(8, random_state=0), 0.05, held_out=False)
    assert "held_out.npz" in plan.candidate("onnxruntime-int8").reason
    assert plan.candidate(plan.chosen).quality is None


def test_a_smaller_form_that_fails_gives_way_to_an_exact_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, model = planned(tmp_path, RandomForestClassifier(40, random_state=0), 0.05)
    backend, _ = model._forms.open(plan.chosen)
    monkeypatch.setattr(backend, "run", None)
    bound = model.signature.bind({"input": ROWS[600:]})
    run = model.run(bound, ("predict",))
    assert plan.candidate(run.form).exact
    assert model.degraded
