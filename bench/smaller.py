"""Smaller forms under an accuracy budget: `python -m bench.smaller`.

Bundled and larger models get an `[accuracy_budget]` and held-out rows; the tables below are
their tournaments. Printed and kept in docs/smaller_forms.md.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from bench.__main__ import ROOT
from engine.models.plan import Plan
from engine.models.plan_store import PlanStore
from engine.models.repository import read_version
from engine.models.trust import TrustFile
from examples import tabular

PAGE = ROOT / "docs/smaller_forms.md"
BUDGET = '[accuracy_budget]\nmetric = "accuracy"\nlargest_loss = {loss}\nprefer = "size"\n'
Fitted = tuple[Any, np.ndarray, np.ndarray]


def bundled(build: Callable[[], Any]) -> Fitted:
    """A bundled model with its own held-out rows."""
    built = build()
    held_out = built.extra["held_out.npz"]
    return built.estimator, held_out[built.input_name], held_out["target"]


def larger(estimator: Any, rows: int = 4000) -> Fitted:
    """A model of a more usual size, on half of some made-up data, and the other half."""
    from sklearn.datasets import make_classification

    data, labels = make_classification(
        rows, 40, n_informative=15, n_classes=3, class_sep=1.2, random_state=0
    )
    half = rows // 2
    return estimator.fit(data[:half], labels[:half]), data[half:], labels[half:]


def subjects() -> dict[str, Callable[[], Fitted]]:
    """Every model of the page by name."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    def mlp() -> Any:
        return make_pipeline(
            StandardScaler(), MLPClassifier((256, 128), max_iter=60, random_state=0)
        )

    return {
        "breast_cancer (bundled forest)": lambda: bundled(tabular.build_breast_cancer),
        "digits (bundled MLP)": lambda: bundled(tabular.build_digits),
        "forest of 300 trees": lambda: larger(RandomForestClassifier(300, random_state=0)),
        "MLP of 256 and 128": lambda: larger(mlp()),
    }


def planned(folder: Path, name: str, fitted: Fitted, largest_loss: float) -> Plan:
    """The plan of a model under a budget."""
    import skops.io

    estimator, rows, target = fitted
    version = folder / name / "1"
    version.mkdir(parents=True)
    (folder / name / "model.toml").write_text(BUDGET.format(loss=largest_loss))
    skops.io.dump(estimator, version / "model.skops")
    np.savez_compressed(version / "held_out.npz", allow_pickle=False, input=rows, target=target)
    trust = TrustFile(folder / "trusted.sha256")
    store = PlanStore(folder / ".state", 1e-5, 600, trust)
    return store.make(read_version(folder / name, "1"), lambda child: None)


def table(plan: Plan) -> str:
    """One line per form: bytes and quality before and after, speed, verdict."""
    exact = [c for c in plan.candidates[1:] if c.exact and c.files]
    best = min(exact, key=lambda c: c.run_us[1])
    lines = [
        "| form | bytes | saved | quality before | after | us, 1 row | us, 32 rows | verdict |",
        "|---|---|---|---|---|---|---|---|",
        f"| {best.form} (fastest exact) | {best.file_bytes:,} | - | - | - | "
        f"{best.run_us[1]:.1f} | {best.run_us[32]:.1f} | exact |",
    ]
    for c in plan.candidates:
        if c.quality is None:
            continue
        if c.verdict == "out":
            figures = f"- | - | {c.quality.before:.4f} | {c.quality.after:.4f} | - | -"
        else:
            saved = 100 * (1 - c.file_bytes / best.file_bytes)
            figures = (
                f"{c.file_bytes:,} | {saved:.0f} % | {c.quality.before:.4f} | "
                f"{c.quality.after:.4f} | {c.run_us[1]:.1f} | {c.run_us[32]:.1f}"
            )
        lines.append(f"| {c.form} | {figures} | {c.verdict}: {c.reason} |")
    failed = [c for c in plan.candidates if c.verdict == "out" and c.quality is None]
    notes = [f"- {c.form}: {c.reason}" for c in failed if "int8" in c.form or "/" in c.form]
    return "\n".join([*lines, *(["", *notes] if notes else [])])


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.smaller", description=__doc__)
    parser.add_argument("--largest-loss", type=float, default=0.01)
    largest_loss = parser.parse_args().largest_loss
    parts = [
        "# Smaller forms\n\nMade by `make smaller`: each model declares an accuracy budget, "
        f"accuracy on held-out rows, at most {largest_loss:g} to be lost, the smallest file that "
        "keeps it preferred. `saved` is against the file of the fastest exact form. "
        f"{os.cpu_count()} cores, Python {platform.python_version()}."
    ]
    with tempfile.TemporaryDirectory(prefix="smaller-") as folder:
        for place, (title, fit) in enumerate(tqdm(subjects().items(), unit="model")):
            fitted = fit()
            plan = planned(Path(folder), f"m{place}", fitted, largest_loss)
            held_out = f"{len(fitted[2])} held-out rows"
            parts.append(f"## {title}\n\n{held_out}. {plan.reason}.\n\n{table(plan)}")
    text = "\n\n".join(parts) + "\n"
    print(text)
    PAGE.write_text(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
