"""`python -m examples --models DIR`: train the bundled models that are missing."""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable
from pathlib import Path

from tqdm import tqdm

from examples.writer import BuiltModel, is_built, write_model

NAMES = ("breast_cancer", "contract_classifier", "digits", "fraud_detector", "risk_scorer")


def builders() -> dict[str, Callable[[], BuiltModel]]:
    """The builder of each bundled model."""
    from examples import contracts, tabular

    return {
        "breast_cancer": tabular.build_breast_cancer,
        "contract_classifier": contracts.build_contract_classifier,
        "digits": tabular.build_digits,
        "fraud_detector": tabular.build_fraud_detector,
        "risk_scorer": tabular.build_risk_scorer,
    }


def build(models: Path, force: bool = False) -> list[str]:
    """Train what is missing (or everything) into `models`; returns the names trained."""
    missing = [name for name in NAMES if force or not is_built(models, name)]
    if not missing:
        return []
    with tqdm(missing, unit="model", bar_format="{desc:32} {bar} {n_fmt}/{total_fmt}") as bar:
        for name in bar:
            bar.set_description(f"training {name}")
            write_model(models, builders()[name]())
    return missing


def main() -> None:
    parser = argparse.ArgumentParser(prog="examples", description=__doc__)
    parser.add_argument("--models", type=Path, default=Path("models"), help="default: models")
    parser.add_argument("--force", action="store_true", help="train all anew")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    build(arguments.models, arguments.force)


if __name__ == "__main__":
    main()
