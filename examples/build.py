"""Train the bundled models that are missing, under one progress bar."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tqdm import tqdm

from examples.writer import BuiltModel, is_built, write_model

NAMES = ("breast_cancer", "contract_classifier", "digits", "fraud_detector", "risk_scorer")


def builders() -> dict[str, Callable[[], BuiltModel]]:
    """The builder of each bundled model; imported late, since they import scikit-learn."""
    from examples import tabular
    from examples.contracts import build_contract_classifier

    return {
        "breast_cancer": tabular.build_breast_cancer,
        "contract_classifier": build_contract_classifier,
        "digits": tabular.build_digits,
        "fraud_detector": tabular.build_fraud_detector,
        "risk_scorer": tabular.build_risk_scorer,
    }


def build(models: Path, force: bool = False) -> list[str]:
    """Train what is missing (or everything) into `models`; returns the names trained.

    The bar counts all bundled models, those already there from the start.
    """
    missing = [name for name in NAMES if force or not is_built(models, name)]
    if not missing:
        return []
    build_of = builders()
    with tqdm(
        total=len(NAMES),
        initial=len(NAMES) - len(missing),
        unit="model",
        bar_format="{desc:32} {bar} {n_fmt}/{total_fmt}",
    ) as bar:
        for name in missing:
            bar.set_description(f"{name}, training")
            built = build_of[name]()
            bar.set_description(f"{name}, writing")
            write_model(models, built)
            bar.update()
        bar.set_description("models ready")
    return missing
