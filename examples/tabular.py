"""The four bundled models that take numbers."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from app.analysis.transactions import FEATURES
from examples.transactions_data import Simulated, simulate
from examples.writer import BuiltModel

SEED = 7
TRANSACTIONS = 6000
SIMULATED = "simulated chain transactions, see examples/transactions_data.py"


def build_breast_cancer() -> BuiltModel:
    """A random forest of 100 trees on the data set of that name."""
    from sklearn.datasets import load_breast_cancer
    from sklearn.ensemble import RandomForestClassifier

    data = load_breast_cancer()
    train, test, y_train, y_test = _split(data.data, data.target, data.target)
    forest = RandomForestClassifier(100, random_state=SEED).fit(train, y_train)
    return BuiltModel(
        name="breast_cancer",
        description="Malignant (0) or benign (1) by cell measurements: random forest",
        task="classifier",
        input_name="input",
        datatype="FP64",
        shape=(-1, train.shape[1]),
        columns=tuple(str(name) for name in data.feature_names),
        estimator=forest,
        samples=np.concatenate([test, train])[:400],
        metadata=_metadata(_classifier_quality(forest, test, y_test), train, "scikit-learn's set")
        | {"classes": [str(name) for name in data.target_names]},
        extra={"held_out.npz": {"input": test, "target": y_test}},
    )


def build_digits() -> BuiltModel:
    """A neural network on scikit-learn's 8 x 8 digits; loaded on demand."""
    from sklearn.datasets import load_digits
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import MinMaxScaler

    data = load_digits()
    train, test, y_train, y_test = _split(data.data, data.target, data.target)
    network = make_pipeline(
        MinMaxScaler(), MLPClassifier((64, 32), random_state=SEED, early_stopping=True)
    ).fit(train, y_train)
    accuracy = _quality("accuracy", network.score(test, y_test), len(test))
    return BuiltModel(
        name="digits",
        description="Handwritten digits, 8 x 8 pixels from 0 to 16: neural network",
        task="classifier",
        input_name="input",
        datatype="FP64",
        shape=(-1, train.shape[1]),
        preload=False,
        estimator=network,
        samples=test,
        metadata=_metadata([accuracy], train, "scikit-learn's set")
        | {"classes": [str(name) for name in data.target_names]},
        extra={"held_out.npz": {"input": test, "target": y_test}},
    )


@cache
def _transactions() -> Simulated:
    return simulate(TRANSACTIONS, SEED)


def build_fraud_detector() -> BuiltModel:
    """Gradient boosting on simulated transactions."""
    from sklearn.ensemble import GradientBoostingClassifier

    simulated = _transactions()
    train, test, y_train, y_test = _split(simulated.rows, simulated.fraud, simulated.fraud)
    model = GradientBoostingClassifier(n_estimators=120, random_state=SEED).fit(train, y_train)
    quality = _classifier_quality(model, test, y_test)
    return _transaction_model(
        "fraud_detector",
        "Is a chain transaction fraud (1): gradient boosting",
        "classifier",
        model,
        test,
        _metadata(quality, train, SIMULATED) | {"classes": ["honest", "fraud"]},
    )


def build_risk_scorer() -> BuiltModel:
    """A gradient boosting regressor of risk, 0 to 1."""
    from sklearn.ensemble import GradientBoostingRegressor
    from sklearn.metrics import mean_absolute_error, r2_score

    simulated = _transactions()
    train, test, y_train, y_test = _split(simulated.rows, simulated.risk, simulated.fraud)
    model = GradientBoostingRegressor(n_estimators=120, random_state=SEED).fit(train, y_train)
    answers = model.predict(test)
    quality = [
        _quality("mean_absolute_error", mean_absolute_error(y_test, answers), len(test)),
        _quality("r2", r2_score(y_test, answers), len(test)),
    ]
    return _transaction_model(
        "risk_scorer",
        "Risk of a chain transaction, 0 to 1: gradient boosting",
        "regressor",
        model,
        test,
        _metadata(quality, train, SIMULATED),
    )


def _transaction_model(
    name: str,
    description: str,
    task: str,
    estimator: Any,
    samples: np.ndarray,
    metadata: dict[str, Any],
) -> BuiltModel:
    medians = metadata.pop("column_medians")
    return BuiltModel(
        name=name,
        description=description,
        task=task,
        input_name="input",
        datatype="FP64",
        shape=(-1, len(FEATURES)),
        columns=FEATURES,
        estimator=estimator,
        samples=samples,
        metadata=metadata | {"medians": dict(zip(FEATURES, medians, strict=True))},
    )


def _split(rows: np.ndarray, target: np.ndarray, strata: np.ndarray) -> tuple[np.ndarray, ...]:
    from sklearn.model_selection import train_test_split

    parts: list[np.ndarray] = train_test_split(
        rows, target, test_size=0.25, random_state=SEED, stratify=strata
    )
    return tuple(parts)


def _classifier_quality(model: Any, test: np.ndarray, truth: np.ndarray) -> list[dict[str, Any]]:
    from sklearn.metrics import accuracy_score, roc_auc_score

    scores = model.predict_proba(test)[:, 1]
    return [
        _quality("roc_auc", roc_auc_score(truth, scores), len(test)),
        _quality("accuracy", accuracy_score(truth, model.predict(test)), len(test)),
    ]


def _quality(name: str, value: float, rows: int) -> dict[str, Any]:
    return {"name": name, "value": float(value), "rows": rows, "split": "held-out"}


def _metadata(quality: list[dict[str, Any]], train: np.ndarray, data: str) -> dict[str, Any]:
    return {
        "quality": quality,
        "trained_rows": len(train),
        "seed": SEED,
        "data": data,
        "column_medians": [float(median) for median in np.median(train, axis=0)],
    }
