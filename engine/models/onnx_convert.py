"""scikit-learn to ONNX. Runs only in the tournament's child process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

TARGET_OPSET = {"": 18, "ai.onnx.ml": 3}


def convert(estimator: Any, precision: str, path: Path) -> dict[str, str]:
    """Write the estimator's graph to `path`; returns output name -> the graph's name for it.

    precision: "f32", "f64" or "text". Raises whatever the converter raises.
    """
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType, StringTensorType

    if precision == "text":
        initial_types = [("input", StringTensorType([None, 1]))]
    else:
        kind = FloatTensorType if precision == "f32" else DoubleTensorType
        initial_types = [("input", kind([None, int(estimator.n_features_in_)]))]
    graph = to_onnx(
        estimator,
        initial_types=initial_types,
        options=_options(estimator),
        target_opset=TARGET_OPSET,
    )
    path.write_bytes(graph.SerializeToString())
    names = [output.name for output in graph.graph.output]
    if hasattr(estimator, "predict_proba"):
        return {"predict": names[0], "predict_proba": names[1]}
    return {"predict" if hasattr(estimator, "predict") else "transform": names[0]}


def _options(estimator: Any) -> dict[int, dict[str, Any]] | None:
    final = estimator.steps[-1][1] if hasattr(estimator, "steps") else estimator
    return {id(final): {"zipmap": False}} if hasattr(final, "predict_proba") else None
