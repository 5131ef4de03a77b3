"""Families of estimators through the tournament: exact answers from whatever form wins."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io
from sklearn.datasets import make_classification, make_regression
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestRegressor,
)
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from engine.models.loaded import LoadedModel, open_planned
from engine.models.plan_store import PlanStore
from engine.models.plan_table import plan_table
from engine.models.repository import read_repository
from engine.models.tournament import run_tournament
from engine.models.trust import TrustFile

FEATURES = 8
CLASSIFIERS: dict[str, Callable[[], Any]] = {
    "decision_tree": lambda: DecisionTreeClassifier(max_depth=6, random_state=0),
    "extra_trees": lambda: ExtraTreesClassifier(20, random_state=0),
    "gaussian_nb": GaussianNB,
    "gradient_boosting": lambda: GradientBoostingClassifier(n_estimators=20, random_state=0),
    "hist_gradient_boosting": lambda: HistGradientBoostingClassifier(max_iter=20, random_state=0),
    "k_neighbors": KNeighborsClassifier,
    "logistic_pipeline": lambda: make_pipeline(StandardScaler(), LogisticRegression()),
    "svc": lambda: SVC(random_state=0),
}
REGRESSORS: dict[str, Callable[[], Any]] = {
    "hist_regressor": lambda: HistGradientBoostingRegressor(max_iter=20, random_state=0),
    "isolation_forest": lambda: IsolationForest(n_estimators=20, random_state=0),
    "random_forest_regressor": lambda: RandomForestRegressor(20, random_state=0),
    "ridge": Ridge,
}


def fitted(name: str) -> tuple[Any, np.ndarray]:
    if name in CLASSIFIERS:
        rows, labels = make_classification(
            400, FEATURES, n_classes=3, n_informative=5, random_state=0
        )
        names = np.array(["low", "mid", "high"])
        return CLASSIFIERS[name]().fit(rows, names[labels]), rows
    rows, target = make_regression(400, FEATURES, random_state=0)
    return REGRESSORS[name]().fit(rows, target), rows


def opened(tmp_path: Path, name: str, estimator: Any) -> LoadedModel:
    """The model as its plan serves it; the tournament runs in this process."""
    folder = tmp_path / "models" / name / "1"
    folder.mkdir(parents=True)
    skops.io.dump(estimator, folder / "model.skops")
    (entry,) = read_repository(tmp_path / "models").entries
    forms = tmp_path / "forms"
    forms.mkdir()
    trust = TrustFile(tmp_path / "trusted.sha256")
    return open_planned(entry, run_tournament(entry, forms, 1e-5, trust), forms, trust)


@pytest.mark.parametrize("name", sorted({**CLASSIFIERS, **REGRESSORS}))
def test_the_chosen_forms_answer_as_scikit_learn(tmp_path: Path, name: str) -> None:
    estimator, rows = fitted(name)
    model = opened(tmp_path, name, estimator)
    random = np.random.default_rng(5)
    unseen = np.concatenate([rows, random.normal(size=(600, FEATURES)) * 3])
    for output in (spec.name for spec in model.signature.outputs):
        expected = np.asarray(getattr(estimator, output)(unseen))
        for batch in (1, 20, 1000):
            given = model.run(model.signature.bind({"input": unseen[:batch]}), (output,)).outputs[
                output
            ]
            if expected.dtype.kind == "f":
                np.testing.assert_allclose(given, expected[:batch], rtol=1e-5, atol=1e-5)
            else:
                np.testing.assert_array_equal(given, expected[:batch])


def test_a_form_that_cannot_be_made_is_out_with_its_reason(tmp_path: Path) -> None:
    model = opened(tmp_path, "m", fitted("hist_gradient_boosting")[0])
    assert model.plan is not None
    out = [c for c in model.plan.candidates if c.verdict == "out"]
    assert out
    assert all(candidate.reason for candidate in out)
    assert model.form in {"treelite", "tl2cgen", "scikit-learn-trees"}  # whichever is fastest here
    table = plan_table(model.plan)
    assert "treelite" in table
    assert str(tmp_path) not in table


def test_a_damaged_form_or_plan_is_made_anew(tmp_path: Path) -> None:
    folder = tmp_path / "models/m/1"
    folder.mkdir(parents=True)
    skops.io.dump(fitted("logistic_pipeline")[0], folder / "model.skops")
    (entry,) = read_repository(tmp_path / "models").entries
    store = PlanStore(tmp_path / "state", 1e-5, 120, TrustFile(tmp_path / "none"))
    assert store.read(entry) is None
    plan = store.make(entry, lambda child: None)
    assert store.read(entry) == plan
    for path in store.folder(entry).iterdir():
        whole = path.read_bytes()
        for size in (0, len(whole) // 2, len(whole) - 1):
            path.write_bytes(whole[:size])
            assert store.read(entry) is None
        path.write_bytes(whole)
    assert store.read(entry) == plan


def test_another_artefact_or_tolerance_has_another_plan(tmp_path: Path) -> None:
    folder = tmp_path / "models/m/1"
    folder.mkdir(parents=True)
    (folder / "model.skops").write_bytes(b"one")
    (entry,) = read_repository(tmp_path / "models").entries
    (folder / "model.skops").write_bytes(b"two")
    (other,) = read_repository(tmp_path / "models").entries
    store = PlanStore(tmp_path / "state", 1e-5, 120, TrustFile(tmp_path / "none"))
    assert store.key(entry) != store.key(other)
    assert store.key(entry) != PlanStore(
        tmp_path / "state", 1e-4, 120, TrustFile(tmp_path / "none")
    ).key(entry)
