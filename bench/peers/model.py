"""What every peer serves: the same fitted model, as it is or as the same ONNX graph.

Runs in each peer's own environment, so it imports nothing of Pyrometer.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Predict = Callable[[np.ndarray], np.ndarray]


def predictor(folder: Path, kind: str) -> Predict:
    """Labels (rows,) for float64 rows (rows, n). kind: sklearn or onnx."""
    if kind == "sklearn":
        import joblib

        predict: Predict = joblib.load(folder / "model.joblib").predict
        return predict
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options)
    (given,) = session.get_inputs()
    label = session.get_outputs()[0].name

    def run(rows: np.ndarray) -> np.ndarray:
        (labels,) = session.run([label], {given.name: rows.astype(np.float32)})
        return np.asarray(labels)

    return run


def rows_of(body: dict[str, Any]) -> np.ndarray:
    """The one tensor of a V2 request."""
    tensor = body["inputs"][0]
    return np.array(tensor["data"], dtype=np.float64).reshape(tensor["shape"])


def answer_of(labels: np.ndarray) -> dict[str, Any]:
    """A V2 response."""
    output = {"name": "predict", "datatype": "INT64", "shape": [len(labels)]}
    return {"model_name": "bench", "outputs": [output | {"data": labels.tolist()}]}
