"""contract_classifier: TF-IDF and SVD encode the text, a linear head finds the flaws."""

from __future__ import annotations

import numpy as np

from app.analysis.contracts import FLAWS, MAX_RUN, TOKEN_PATTERN
from examples.contracts_data import generate
from examples.writer import BuiltModel

SEED = 11
CONTRACTS = 2500
HELD_OUT = 500


def build_contract_classifier() -> BuiltModel:
    """Train on generated contracts, measure on contracts held out."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import f1_score, roc_auc_score
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.pipeline import make_pipeline

    texts, flaws = generate(CONTRACTS, SEED)
    train, held_out = texts[HELD_OUT:], texts[:HELD_OUT]
    pipeline = make_pipeline(
        TfidfVectorizer(
            lowercase=False, token_pattern=TOKEN_PATTERN, ngram_range=(1, MAX_RUN), min_df=5
        ),
        TruncatedSVD(128, random_state=SEED),
        OneVsRestClassifier(LogisticRegression(C=20.0, max_iter=500)),
    )
    pipeline.fit(train, flaws[HELD_OUT:])
    truth, answer = flaws[:HELD_OUT], pipeline.predict(held_out)
    scores = pipeline.predict_proba(held_out)
    return BuiltModel(
        name="contract_classifier",
        description="Flaws in Solidity-like contracts: TF-IDF, SVD and a linear head",
        task="classifier",
        input_name="contract_code",
        datatype="BYTES",
        shape=(-1,),
        estimator=pipeline,
        samples=np.array(held_out),
        metadata={
            "quality": [
                _quality("macro_f1", f1_score(truth, answer, average="macro")),
                _quality("macro_roc_auc", roc_auc_score(truth, scores, average="macro")),
            ],
            "trained_rows": len(train),
            "seed": SEED,
            "data": "generated contracts with known flaws, see examples/contracts_data.py",
            "classes": list(FLAWS),
        },
        extra={"explain.npz": _explanation(pipeline)},
    )


def _quality(name: str, value: float) -> dict[str, object]:
    return {"name": name, "value": float(value), "rows": HELD_OUT, "split": "held-out"}


def _explanation(pipeline: object) -> dict[str, np.ndarray]:
    """The pipeline as one linear map over tf-idf terms, see app.analysis.contracts.Explainer."""
    vectoriser, svd, head = (step for _, step in pipeline.steps)  # type: ignore[attr-defined]
    coefficients = np.vstack([member.coef_ for member in head.estimators_])
    return {
        "tokens": np.array(vectoriser.get_feature_names_out(), dtype=str),
        "idf": vectoriser.idf_,
        "weights": svd.components_.T @ coefficients.T,
        "intercept": np.concatenate([member.intercept_ for member in head.estimators_]),
    }
