"""ONNX Runtime's execution providers in tournaments: `make providers`.

Runs in an environment whose ONNX Runtime has one (build/providers has OpenVINO, which computes
on processors). The bundled models and two graphs made here, a dense and a convolutional net,
are planned as a server would plan them, and the nets then run through each form on another
provider that may serve. The table is written into docs/proofs.md.
"""

from __future__ import annotations

import argparse
import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from bench.__main__ import ROOT
from engine.models.backends.onnx_backend import open_session
from engine.models.loaded import open_planned
from engine.models.plan import BATCH_ROWS, Candidate, Plan
from engine.models.plan_store import PlanStore
from engine.models.repository import ModelEntry, read_repository
from engine.models.treatment import Treatment
from engine.models.trust import TrustFile

TOLERANCE = 1e-5
ASKED_ROWS = 64
MOST_WORDS = 110
PAGE = ROOT / "docs/proofs.md"
BEGIN, END = "<!-- providers: make providers -->", "<!-- end of providers -->"
DENSE = (64, 512, 256, 10)
CHANNELS = (1, 16, 32)
SIDE = 28


def dense_net(random: np.random.Generator) -> Any:
    """(rows, 64) -> 10 scores, two hidden layers."""
    from onnx import helper, numpy_helper

    nodes, weights, last = [], [], "input"
    for number, (inputs, outputs) in enumerate(itertools.pairwise(DENSE)):
        matrix = random.normal(size=(inputs, outputs)) / np.sqrt(inputs)
        weights.append(numpy_helper.from_array(matrix.astype(np.float32), f"w{number}"))
        nodes.append(helper.make_node("MatMul", [last, f"w{number}"], [f"sum{number}"]))
        nodes.append(helper.make_node("Relu", [f"sum{number}"], [f"hidden{number}"]))
        last = f"hidden{number}"
    nodes.append(helper.make_node("Softmax", [last], ["scores"], axis=1))
    return _model(nodes, weights, (DENSE[0],))


def convolutional_net(random: np.random.Generator) -> Any:
    """(rows, 1, 28, 28) -> 10 scores, two convolutions of 3 by 3."""
    from onnx import helper, numpy_helper

    nodes, weights, last = [], [], "input"
    for number, (inputs, outputs) in enumerate(itertools.pairwise(CHANNELS)):
        kernel = random.normal(size=(outputs, inputs, 3, 3)) / np.sqrt(9 * inputs)
        weights.append(numpy_helper.from_array(kernel.astype(np.float32), f"k{number}"))
        nodes.append(
            helper.make_node("Conv", [last, f"k{number}"], [f"sum{number}"], pads=[1, 1, 1, 1])
        )
        nodes.append(helper.make_node("Relu", [f"sum{number}"], [f"hidden{number}"]))
        last = f"hidden{number}"
    nodes.append(helper.make_node("GlobalAveragePool", [last], ["pooled"]))
    nodes.append(helper.make_node("Flatten", ["pooled"], ["flat"]))
    matrix = random.normal(size=(CHANNELS[-1], 10)).astype(np.float32)
    weights.append(numpy_helper.from_array(matrix, "w"))
    nodes.append(helper.make_node("MatMul", ["flat", "w"], ["logits"]))
    nodes.append(helper.make_node("Softmax", ["logits"], ["scores"], axis=1))
    return _model(nodes, weights, (1, SIDE, SIDE))


def _model(nodes: list[Any], weights: list[Any], shape: tuple[int, ...]) -> Any:
    from onnx import TensorProto, helper

    kind = TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("input", kind, ["rows", *shape])],
        [helper.make_tensor_value_info("scores", kind, ["rows", 10])],
        weights,
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    made.ir_version = 9  # what every ONNX Runtime of these two years reads
    return made


def fill(repository: Path, models: Path) -> dict[str, tuple[int, ...]]:
    """The bundled models and the two nets; the nets' names and the shapes of one row."""
    import onnx

    shutil.copytree(models, repository)
    random = np.random.default_rng(0)
    nets = {"dense_net": dense_net(random), "convolutional_net": convolutional_net(random)}
    for name, net in nets.items():
        (repository / name / "1").mkdir(parents=True)
        onnx.save(net, repository / name / "1/model.onnx")
    return {"dense_net": DENSE[:1], "convolutional_net": (1, SIDE, SIDE)}


def rows_of(plan: Plan) -> list[str]:
    """Lines of the table: the oracle, each graph and each form on another provider."""
    shown = [c for c in plan.candidates if "onnxruntime" in c.form and "int8" not in c.form]
    if plan.oracle not in shown:
        shown.insert(0, plan.oracle)
    return [_row(plan.model, candidate) for candidate in shown]


def _row(model: str, candidate: Candidate) -> str:
    times = [f"{candidate.run_us[n]:,.1f}" if n in candidate.run_us else "-" for n in BATCH_ROWS]
    parity = candidate.parity
    difference = "-" if parity is None else f"{parity.max_difference:.1e}"
    why = candidate.reason[:MOST_WORDS] if candidate.verdict == "out" else ""
    cells = [model, candidate.form, candidate.verdict, *times, difference, why.replace("|", "/")]
    return f"| {' | '.join(cells)} |"


def furthest(entry: ModelEntry, plan: Plan, store: PlanStore, shape: tuple[int, ...]) -> list[str]:
    """Rows through each form on another provider, as an experiment would serve it, beside the
    CPU's answers, in words."""
    rows = np.random.default_rng(1).normal(size=(ASKED_ROWS, *shape)).astype(np.float32)
    expected = open_session(entry.artefact).run(None, {"input": rows})[0]
    words = []
    for form in [c.form for c in plan.candidates if "@" in c.form and c.exact]:
        folder, treatment = store.folder(entry), Treatment(form=form)
        run = open_planned(entry, plan, folder, store.trust, treatment).run(
            {"input": rows}, ("scores",)
        )
        apart = float(np.abs(run.outputs["scores"] - expected).max())
        words.append(
            f"- {entry.name}: {ASKED_ROWS} rows answered by {run.form}, {apart:.1e} from the CPU's."
        )
    return words


def tournaments(folder: Path, models: Path) -> Iterator[str]:
    """Lines of the table, then of what the nets answered, as they come."""
    nets = fill(folder / "models", models)
    store = PlanStore(folder / "state", TOLERANCE, 300.0, TrustFile(folder / "trusted.sha256"))
    heads = ["model", "form", "verdict", *(f"{n} rows, µs" for n in BATCH_ROWS)]
    yield f"| {' | '.join([*heads, 'largest difference', 'why it is out'])} |"
    yield "|---|---|---|---:|---:|---:|---:|---:|---|"
    said = [""]
    for entry in read_repository(folder / "models").entries:
        plan = store.make(entry, lambda child: None)
        yield from rows_of(plan)
        if entry.name in nets:
            said += furthest(entry, plan, store, nets[entry.name])
    yield from said


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.providers", description=__doc__)
    parser.add_argument("--models", type=Path, default=Path("models"))
    given = parser.parse_args()
    import onnxruntime

    found = ", ".join(onnxruntime.get_available_providers())
    lines = [f"ONNX Runtime {onnxruntime.__version__} with {found}.", ""]
    print("\n".join(lines))
    with tempfile.TemporaryDirectory(prefix="providers-") as folder:
        for line in tournaments(Path(folder), given.models):
            print(line, flush=True)
            lines.append(line)
    lines += ["", f"Load average of the machine meanwhile: {os.getloadavg()[0]:.1f}."]
    before, _, rest = PAGE.read_text().partition(BEGIN)
    PAGE.write_text(
        f"{before}{BEGIN}\n\n" + "\n".join(lines) + f"\n\n{END}{rest.partition(END)[2]}"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
