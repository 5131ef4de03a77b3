"""The zoo's inhabitants: estimators of every family, each with rows it has never seen."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.models.calibration import thresholds_of

FEATURES = 6
TRAINED_ON = 400
FRESH = 1000
MAX_EDGES = 120
WORDS = [
    "open",
    "close",
    "transfer",
    "owner",
    "pay",
    "risk",
    "safe",
    "block",
    "mint",
    "burn",
    "call",
    "send",
]


@dataclass(frozen=True)
class Animal:
    """A fitted model, its file's format, and rows to ask it about.

    inputs: the rows as tensors. rows: the same rows as the estimator takes them. samples:
    ship the training rows along. renamed: output -> the estimator's method behind it.
    """

    estimator: Any
    inputs: Mapping[str, np.ndarray]
    rows: Any
    format: str = "skops"
    toml: str = ""
    samples: Mapping[str, np.ndarray] | None = None
    renamed: Mapping[str, str] | None = None

    def expected(self, output: str) -> np.ndarray:
        """The estimator's own answer."""
        method = (self.renamed or {}).get(output, output)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if hasattr(self.estimator, method):
                answer = getattr(self.estimator, method)(self.rows)
            else:
                method, _, place = method.rpartition("_")
                answer = getattr(self.estimator, method)(self.rows)[int(place)]
        return np.asarray(answer.toarray() if hasattr(answer, "toarray") else answer)


def numbers(classes: int = 2, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Training rows and labels."""
    from sklearn.datasets import make_classification

    rows, labels = make_classification(
        TRAINED_ON, FEATURES, n_informative=4, n_classes=classes, random_state=seed
    )
    return rows, labels


def fresh_rows(estimator: Any, nan: bool = False) -> np.ndarray:
    """Rows like the training data, rows far away, and rows on and beside thresholds."""
    random = np.random.default_rng(99)
    rows = random.normal(size=(FRESH, FEATURES)) * random.choice([0.3, 2.0, 50.0], (FRESH, 1))
    pairs = list(thresholds_of(estimator))
    edges = []
    for place in random.choice(len(pairs), min(MAX_EDGES, len(pairs)), replace=False):
        feature, threshold = pairs[place]
        block = rows[random.integers(FRESH, size=4)].copy()
        block[:, feature] = (
            threshold,
            np.nextafter(threshold, np.inf),
            np.nextafter(threshold, -np.inf),
            np.nextafter(np.float32(threshold), np.float32(np.inf)),
        )
        edges.append(block)
    rows = np.concatenate([rows, *edges])
    if nan:
        rows[random.random(rows.shape) < 0.05] = np.nan
    return rows


def of_numbers(
    make: Callable[[], Any],
    *,
    classes: int = 2,
    target: str = "labels",
    nan: bool = False,
    file: str = "skops",
    samples: bool = False,
) -> Animal:
    """An estimator of number rows. target: labels, texts, number, two numbers, two labels."""
    rows, labels = numbers(classes)
    targets = {
        "labels": labels,
        "texts": np.array(["low", "mid", "high"])[labels],
        "number": rows[:, 0] * 3 + np.sin(rows[:, 1]) + labels,
        "numbers": np.column_stack([rows[:, 0], rows[:, 1] * 2]),
        "two labels": np.column_stack([labels, (rows[:, 2] > 0).astype(int)]),
    }
    if nan:
        rows = rows.copy()
        rows[np.random.default_rng(5).random(rows.shape) < 0.1] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        estimator = make().fit(rows, targets[target])
    fresh = fresh_rows(estimator, nan)
    shipped = {"input": rows} if samples else None
    return Animal(estimator, {"input": fresh}, fresh, file, samples=shipped)


def of_texts(make: Callable[[], Any]) -> Animal:
    """A pipeline that takes raw text."""
    random = np.random.default_rng(8)
    texts = [" ".join(random.choice(WORDS, random.integers(1, 12))) for _ in range(1300)]
    labels = np.array(["pay" in text for text in texts[:300]]).astype(int)
    fresh = np.array([*texts[300:], "", "ünïcode 漢字", "x" * 2000], dtype=object)
    return Animal(make().fit(texts[:300], labels), {"input": fresh}, fresh)


def of_table(make: Callable[[], Any], count: int = 1000) -> Animal:
    """A pipeline over a DataFrame with named columns, two of them strings."""
    import pandas as pd

    random = np.random.default_rng(12)

    def table(rows: int) -> Any:
        return pd.DataFrame(
            {
                "age": np.where(random.random(rows) < 0.1, np.nan, random.normal(40, 10, rows)),
                "city": random.choice(np.array(["Oslo", "Rome", "Bern"], dtype=object), rows),
                "income": random.lognormal(10, 1, rows),
                "kind": random.choice(np.array(["a", "b"], dtype=object), rows),
            }
        )

    trained = table(TRAINED_ON)
    labels = np.where((trained["city"] == "Rome") ^ (trained["income"] > 20000), "yes", "no")
    fresh = table(count)
    inputs = {
        name: fresh[name].to_numpy(dtype=object if name in ("city", "kind") else np.float64)
        for name in fresh.columns
    }
    return Animal(make().fit(trained, labels), inputs, fresh)


def of_strings(make: Callable[[], Any]) -> Animal:
    """An encoder of a matrix of strings."""
    random = np.random.default_rng(3)
    values = np.array(["red", "green", "blue"], dtype=object)
    fresh = random.choice(values, (FRESH, 2))
    return Animal(make().fit(random.choice(values, (200, 2))), {"input": fresh}, fresh)


def of_graph() -> Animal:
    """A graph somebody else exported: the file is ONNX, the answers a pipeline's."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rows, labels = numbers()
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(rows, labels)
    fresh = fresh_rows(model).astype(np.float32)
    names = {"label": "predict", "probabilities": "predict_proba"}
    return Animal(model, {"X": fresh}, fresh.astype(np.float64), "onnx", renamed=names)


class Doubler:
    """What the zoo's Python file does, for comparison."""

    def predict(self, rows: np.ndarray) -> np.ndarray:
        return np.asarray(rows * 2)


PYTHON_FILE = """
class Doubler:
    def load(self, folder):
        pass

    def predict(self, inputs):
        return inputs["x"] * 2
"""


def of_python() -> Animal:
    """A Python file, trusted by digest."""
    toml = f'[[inputs]]\nname = "x"\ndatatype = "FP64"\nshape = [-1, {FEATURES}]\n'
    rows = fresh_rows(object())
    return Animal(Doubler(), {"x": rows}, rows, "python", toml)


def animals() -> dict[str, Callable[[], Animal]]:
    """Every inhabitant by name. scikit-learn and the others are imported here only."""
    from lightgbm import LGBMClassifier, LGBMRegressor
    from sklearn import (
        cluster,
        compose,
        decomposition,
        discriminant_analysis,
        ensemble,
        impute,
        linear_model,
        multioutput,
        naive_bayes,
        neighbors,
        neural_network,
        preprocessing,
        svm,
        tree,
    )
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.covariance import EllipticEnvelope
    from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.pipeline import make_pipeline
    from xgboost import XGBClassifier, XGBRegressor

    scaler, logistic = preprocessing.StandardScaler, linear_model.LogisticRegression
    seeded = {"random_state": 0}

    def table_pipeline(final: Any) -> Any:
        columns = compose.ColumnTransformer(
            [
                ("text", preprocessing.OneHotEncoder(), ["city", "kind"]),
                ("numbers", make_pipeline(impute.SimpleImputer(), scaler()), ["age", "income"]),
            ]
        )
        return make_pipeline(columns, final)

    def n(make: Callable[[], Any], **options: Any) -> Callable[[], Animal]:
        return lambda: of_numbers(make, **options)

    forest, gbc = ensemble.RandomForestClassifier, ensemble.GradientBoostingClassifier
    hist, mlp = ensemble.HistGradientBoostingClassifier, neural_network.MLPClassifier
    voters = [("l", logistic()), ("t", tree.DecisionTreeClassifier(max_depth=4, **seeded))]
    return {
        "logistic_pipeline": n(lambda: make_pipeline(scaler(), logistic()), samples=True),
        "logistic_text_labels": n(logistic, classes=3, target="texts"),
        "sgd_classifier": n(lambda: linear_model.SGDClassifier(loss="log_loss", **seeded)),
        "linear_svc": n(svm.LinearSVC),
        "svc": n(svm.SVC),
        "decision_tree": n(lambda: tree.DecisionTreeClassifier(**seeded), samples=True),
        "random_forest": n(lambda: forest(100, **seeded), classes=3, target="texts"),
        "scaled_forest": n(lambda: make_pipeline(scaler(), forest(30, **seeded))),
        "extra_trees": n(lambda: ensemble.ExtraTreesClassifier(50, **seeded)),
        "gradient_boosting": n(lambda: gbc(**seeded), samples=True),
        "gradient_boosting_3": n(lambda: gbc(n_estimators=40, **seeded), classes=3),
        "hist_gradient_boosting": n(lambda: hist(max_iter=60, **seeded)),
        "hist_with_missing": n(lambda: hist(max_iter=40, **seeded), classes=3, nan=True),
        "ada_boost": n(lambda: ensemble.AdaBoostClassifier(n_estimators=20, **seeded)),
        "bagging": n(lambda: ensemble.BaggingClassifier(n_estimators=10, **seeded)),
        "voting": n(lambda: ensemble.VotingClassifier(voters, voting="soft")),
        "stacking": n(lambda: ensemble.StackingClassifier(voters, logistic())),
        "calibrated": n(lambda: CalibratedClassifierCV(logistic(), cv=3)),
        "k_neighbors": n(neighbors.KNeighborsClassifier),
        "gaussian_nb": n(naive_bayes.GaussianNB),
        "bernoulli_nb": n(naive_bayes.BernoulliNB),
        "lda": n(discriminant_analysis.LinearDiscriminantAnalysis),
        "qda": n(lambda: discriminant_analysis.QuadraticDiscriminantAnalysis(reg_param=0.1)),
        "mlp": n(lambda: make_pipeline(scaler(), mlp((32, 16), max_iter=300, **seeded))),
        "ridge": n(linear_model.Ridge, target="number"),
        "lasso": n(lambda: linear_model.Lasso(0.1), target="number"),
        "svr": n(svm.SVR, target="number"),
        "k_neighbors_regressor": n(neighbors.KNeighborsRegressor, target="number"),
        "forest_regressor": n(
            lambda: ensemble.RandomForestRegressor(50, **seeded), target="number"
        ),
        "boosting_regressor": n(
            lambda: ensemble.GradientBoostingRegressor(loss="huber", **seeded), target="number"
        ),
        "hist_regressor": n(
            lambda: ensemble.HistGradientBoostingRegressor(max_iter=60), target="number"
        ),
        "mlp_regressor": n(
            lambda: make_pipeline(
                scaler(), neural_network.MLPRegressor(hidden_layer_sizes=(32,), **seeded)
            ),
            target="number",
        ),
        "gaussian_process": n(GaussianProcessRegressor, target="number"),
        "multi_output_regressor": n(
            lambda: multioutput.MultiOutputRegressor(linear_model.Ridge()), target="numbers"
        ),
        "multi_output_forest": n(lambda: forest(20, **seeded), target="two labels"),
        "standard_scaler": n(scaler),
        "pca": n(lambda: decomposition.PCA(3, **seeded)),
        "polynomial_features": n(preprocessing.PolynomialFeatures),
        "quantile_transformer": n(lambda: preprocessing.QuantileTransformer(n_quantiles=50)),
        "knn_imputer": n(impute.KNNImputer, nan=True),
        "one_hot_strings": lambda: of_strings(preprocessing.OneHotEncoder),
        "k_means": n(lambda: cluster.KMeans(4, n_init=2, **seeded)),
        "isolation_forest": n(lambda: ensemble.IsolationForest(n_estimators=50, **seeded)),
        "one_class_svm": n(svm.OneClassSVM),
        "elliptic_envelope": n(lambda: EllipticEnvelope(**seeded)),
        "local_outlier_factor": n(lambda: neighbors.LocalOutlierFactor(novelty=True)),
        "tfidf_logistic": lambda: of_texts(lambda: make_pipeline(TfidfVectorizer(), logistic())),
        "count_nb": lambda: of_texts(
            lambda: make_pipeline(CountVectorizer(ngram_range=(1, 2)), naive_bayes.MultinomialNB())
        ),
        "table_logistic": lambda: of_table(lambda: table_pipeline(logistic(max_iter=500))),
        "table_forest": lambda: of_table(lambda: table_pipeline(forest(30, **seeded))),
        "xgboost": n(lambda: XGBClassifier(n_estimators=40), nan=True, file="joblib"),
        "xgboost_regressor": n(
            lambda: XGBRegressor(n_estimators=40), target="number", file="joblib"
        ),
        "lightgbm": n(lambda: LGBMClassifier(n_estimators=40, verbose=-1), file="joblib"),
        "lightgbm_regressor": n(
            lambda: LGBMRegressor(n_estimators=40, verbose=-1), target="number", file="joblib"
        ),
        "onnx_file": of_graph,
        "python_file": of_python,
    }
