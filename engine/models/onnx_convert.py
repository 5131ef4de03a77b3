"""scikit-learn to ONNX. Runs only in the tournament's child process."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from engine.models.columns import final_step, parts_of
from engine.models.signature import Signature

TARGET_OPSET = {"": 18, "ai.onnx.ml": 3}
NUMPY_OF = {"f32": "<f4", "f64": "<f8"}
DENSE = frozenset({"MatMul", "Gemm"})


def convert(
    estimator: Any,
    precision: str,
    signature: Signature,
    recipe: Mapping[str, Any],
    expected: Mapping[str, np.ndarray],
    path: Path,
) -> dict[str, Any]:
    """Write the estimator's graph to `path`; returns the recipe that serves it.

    precision: "f32" or "f64", of the numbers it reads; text stays text. recipe: the
    oracle's, which tells whether columns are fed one by one. Raises whatever the converter
    raises.
    """
    feeds, initial_types = _inputs(signature, recipe.get("frame"), precision)
    graph = _converted(estimator, initial_types)
    path.write_bytes(graph.SerializeToString())
    names = [output.name for output in graph.graph.output]
    wanted = {"predict" if "predict" in expected else "transform": names[0]}
    if "predict_proba" in expected and len(names) > 1:
        wanted["predict_proba"] = names[1]
    outputs = {
        output: {
            "graph": name,
            "dtype": expected[output].dtype.str,
            "rank": expected[output].ndim,
        }
        for output, name in wanted.items()
    }
    return {"inputs": feeds, "outputs": outputs}


def _inputs(
    signature: Signature, frame: list[str] | None, precision: str
) -> tuple[list[dict[str, Any]], list[tuple[str, Any]]]:
    """What feeds each of the graph's inputs, and the converter's type of each."""
    first = signature.inputs[0]
    matrix = len(signature.inputs) == 1 and first.datatype != "BYTES"
    if frame is not None and matrix:
        kind, dtype = _number_type(precision), NUMPY_OF[precision]
        return (
            [
                {"graph": name, "source": first.name, "column": place, "dtype": dtype, "rank": 2}
                for place, name in enumerate(frame)
            ],
            [(name, kind([None, 1])) for name in frame],
        )
    feeds, types = [], []
    for spec in signature.inputs:
        size = spec.shape[1] if len(spec.shape) > 1 else 1
        is_text = spec.datatype == "BYTES"
        dtype = "|O" if is_text else NUMPY_OF[precision]
        feeds.append({"graph": spec.name, "source": spec.name, "dtype": dtype, "rank": 2})
        kind = _text_type() if is_text else _number_type(precision)
        types.append((spec.name, kind([None, size])))
    return feeds, types


def _number_type(precision: str) -> Any:
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType

    return FloatTensorType if precision == "f32" else DoubleTensorType


def _text_type() -> Any:
    from skl2onnx.common.data_types import StringTensorType

    return StringTensorType


def _converted(estimator: Any, initial_types: list[tuple[str, Any]]) -> Any:
    from skl2onnx import to_onnx

    final = final_step(estimator)
    options: dict[int, dict[str, Any]]
    # The converter's own locale, en_US, is not on every machine; C.UTF-8 is.
    vectorisers = [part for part in parts_of(estimator) if hasattr(part, "build_analyzer")]
    options = {id(part): {"locale": "C.UTF-8"} for part in vectorisers}
    if hasattr(final, "predict_proba"):
        options |= {id(final): {"zipmap": False}}
    try:
        return to_onnx(
            estimator,
            initial_types=initial_types,
            options=options or None,
            target_opset=TARGET_OPSET,
        )
    except NameError:
        # Not every classifier's converter knows the option; those have no zipmap either.
        return to_onnx(estimator, initial_types=initial_types, target_opset=TARGET_OPSET)


def quantise(path: Path) -> None:
    """Replace a graph by one whose dense weights are 8-bit integers.

    Raises ValueError where there is nothing to gain.
    """
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    if not any(node.op_type in DENSE for node in onnx.load(path).graph.node):
        raise ValueError("it has no dense layer whose weights could be 8-bit integers")
    smaller = path.with_suffix(".small")
    quantize_dynamic(str(path), str(smaller), weight_type=QuantType.QInt8)
    before, after = path.stat().st_size, smaller.stat().st_size
    if after >= before:
        smaller.unlink()
        raise ValueError(f"8-bit weights take {after} bytes, no fewer than {before}")
    smaller.replace(path)
