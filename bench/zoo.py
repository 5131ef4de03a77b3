"""Estimators of every family served over HTTP, against their own answers: `python -m bench.zoo`.

Each is written into a repository, served by a real server, and asked for every output on
offer, in batches of 1, 7, 100 and all the rest, as JSON and as binary tensors. Labels must be
equal, real values within the tolerance. The table is printed and kept in docs/zoo.md.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import pickle
import platform
import statistics
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from bench.__main__ import ROOT
from bench.serving import Client, serving, wait_settled
from bench.zoo_models import PYTHON_FILE, Animal, animals
from engine.models.parity import compare
from engine.models.plan import NO_LIMIT
from engine.models.trust import TrustFile

TOLERANCE = 1e-5
SINGLES, SEVENS, HUNDREDS = 20, 10, 3
PAGE = ROOT / "docs/zoo.md"


@dataclass
class Result:
    """One model's row of the table. failure: why it was not served; "" when it was."""

    name: str
    rows: int = 0
    outputs: tuple[str, ...] = ()
    unequal_labels: int = 0
    max_difference: float = 0.0
    failure: str = ""
    plan: Mapping[str, Any] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        return not self.failure and self.unequal_labels == 0 and self.max_difference <= TOLERANCE

    @property
    def speedup(self) -> float | None:
        """The time of the model as it is over the chosen form's, at one row."""
        by_form = {c["form"]: c["run_us"] for c in self.plan.get("candidates", ())}
        if not by_form:
            return None
        oracle = next(iter(by_form.values()))
        return float(oracle["1"] / by_form[self.plan["chosen"]]["1"])


def write(models: Path, trust: TrustFile, name: str, animal: Animal) -> None:
    """One model's folder."""
    import joblib
    import skops.io

    folder = models / name / "1"
    folder.mkdir(parents=True)
    (folder.parent / "model.toml").write_text(animal.toml)
    if animal.format == "skops":
        skops.io.dump(animal.estimator, folder / "model.skops")
    elif animal.format == "onnx":
        from skl2onnx import to_onnx

        final = animal.estimator[-1]
        graph = to_onnx(
            animal.estimator, animal.inputs["X"][:1], options={id(final): {"zipmap": False}}
        )
        (folder / "model.onnx").write_bytes(graph.SerializeToString())
    elif animal.format == "python":
        (folder / "model.py").write_text(PYTHON_FILE)
        trust.add(folder / "model.py")
    else:
        joblib.dump(animal.estimator, folder / "model.joblib", protocol=pickle.HIGHEST_PROTOCOL)
        trust.add(folder / "model.joblib")
    if animal.samples is not None:
        arrays: Any = dict(animal.samples)
        np.savez_compressed(folder / "samples.npz", **arrays)


def batches(total: int) -> Iterator[tuple[slice, bool]]:
    """Slices of 1, 7, 100 and all the rest, and whether to send each as binary."""
    place = 0
    for size, times in ((1, SINGLES), (7, SEVENS), (100, HUNDREDS)):
        for turn in range(times):
            yield slice(place, place + size), turn % 2 == 0
            place += size
    yield slice(place, total), True


def ask(client: Client, name: str, animal: Animal) -> Result:
    """Every output of one model against the estimator's own."""
    result = Result(name, rows=len(next(iter(animal.inputs.values()))))
    status, metadata = client.call("GET", f"/v2/models/{name}")
    if status != 200:
        result.failure = str(metadata.get("error"))
        return result
    result.outputs = tuple(output["name"] for output in metadata["outputs"])
    for output in result.outputs:
        try:
            parts = [
                client.infer(
                    name, {n: a[part] for n, a in animal.inputs.items()}, output, binary=binary
                )
                for part, binary in batches(result.rows)
            ]
        except RuntimeError as error:
            result.failure = str(error)
            return result
        expected = animal.expected(output)
        parity = compare({output: expected}, {output: np.concatenate(parts)})
        result.unequal_labels += parity.unequal_labels
        result.max_difference = max(result.max_difference, parity.max_difference)
    return result


def run_zoo(folder: Path, names: Iterable[str] = ()) -> list[Result]:
    """Train, serve and ask; `folder` holds the repository and the state."""
    chosen = {n: make for n, make in animals().items() if not names or n in set(names)}
    trust = TrustFile(folder / "trusted.sha256")
    fitted: dict[str, Animal] = {}
    for name, make in tqdm(chosen.items(), desc="training", unit="model"):
        fitted[name] = make()
        write(folder / "models", trust, name, fitted[name])
    with serving(folder) as (port, _):
        client = Client(port)
        wait_settled(client, len(fitted))
        results = [ask(client, n, a) for n, a in tqdm(fitted.items(), desc="asking", unit="model")]
        held = client.call("GET", "/performance/models")[1]["models"]
    plans = {model["name"]: model["tournament"] or {} for model in held}
    for result in results:
        result.plan = plans.get(result.name, {})
    return results


def table(results: list[Result]) -> str:
    """The results as markdown."""
    head = "| model | rows | served by | x faster, 1 row | labels unequal | largest difference |"
    lines = [f"{head} outputs | out, and why |", "|---|---|---|---|---|---|---|---|"]
    for r in results:
        if r.failure:
            lines.append(f"| {r.name} | {r.rows} | **failed**: {r.failure} | | | | | |")
            continue
        out = [f"{c['form']}: {c['reason']}" for c in r.plan["candidates"] if c["verdict"] == "out"]
        speedup = f"{r.speedup:.3g}" if r.speedup else "-"
        lines.append(
            f"| {r.name} | {r.rows} | {_served(r.plan)} | {speedup} | {r.unequal_labels} | "
            f"{r.max_difference:.1e} | {', '.join(r.outputs)} | "
            f"{'; '.join(out).replace('|', '/')} |"
        )
    return "\n".join(lines)


def _served(plan: Mapping[str, Any]) -> str:
    parts, low = [], 1
    for high, form in plan["ranges"]:
        parts.append(form if low == 1 and high == NO_LIMIT else f"{form} from {low}")
        low = high + 1
    return ", ".join(parts)


def summary(results: list[Result]) -> str:
    """The table in two sentences."""
    served = [r for r in results if not r.failure]
    forms = Counter(r.plan["chosen"] for r in served)
    speedups = [r.speedup for r in served if r.speedup]
    by_form = ", ".join(f"{form} {count}" for form, count in forms.most_common())
    equal = sum(r.passed for r in results)
    return (
        f"{equal} of {len(results)} models answer as themselves. At one row the chosen form is "
        f"{statistics.median(speedups):.3g} times faster in the median (up to "
        f"{max(speedups):.3g}). Served at one row by: {by_form}."
    )


def page(results: list[Result]) -> str:
    """docs/zoo.md."""
    libraries = ("scikit-learn", "onnxruntime", "skl2onnx", "treelite", "xgboost-cpu", "lightgbm")
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in libraries)
    return (
        "# The zoo\n\n"
        "Made by `make zoo`: every model below is served by a real server and asked over HTTP, "
        "in batches of 1, 7, 100 and all the rest, as JSON and as binary tensors, caches off, "
        "for every output it offers, on rows it has never seen and rows on and beside its own "
        f"tree thresholds. Labels must be equal, real values within {TOLERANCE:g} of max(1, "
        f"size). {os.cpu_count()} cores, Python {platform.python_version()}, {versions}.\n\n"
        f"{summary(results)}\n\n{table(results)}\n"
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.zoo", description=__doc__)
    parser.add_argument("--only", default="", help="comma-separated names; writes no page")
    names = [name for name in parser.parse_args().only.split(",") if name]
    with tempfile.TemporaryDirectory(prefix="zoo-") as folder:
        results = run_zoo(Path(folder), names)
    print(table(results))
    print(summary(results))
    if not names:
        PAGE.write_text(page(results))
    return 0 if all(result.passed for result in results) else 1


if __name__ == "__main__":
    raise SystemExit(main())
