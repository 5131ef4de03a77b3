"""ONNX Runtime on one thread per session."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

DTYPES: dict[str, np.dtype] = {
    "f32": np.dtype(np.float32),
    "f64": np.dtype(np.float64),
    "text": np.dtype(object),
}


@dataclass(frozen=True, slots=True)
class OnnxOutput:
    """Where an output comes from: the graph's name for it, and the dtype and rank to give."""

    graph_name: str
    dtype: str
    rank: int


def open_session(path: Path) -> Any:
    """An inference session that starts no threads of its own."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


class OnnxBackend:
    """Runs one session; input precision is fixed when the form is compiled."""

    def __init__(self, path: Path, precision: str, outputs: Mapping[str, OnnxOutput]) -> None:
        self.name = f"onnxruntime-{precision}"
        self.covers = frozenset(outputs)
        self._session = open_session(path)
        (graph_input,) = self._session.get_inputs()
        self._input_name = graph_input.name
        self._input_rank = len(graph_input.shape)
        self._dtype = DTYPES[precision]
        self._outputs = {
            name: (output.graph_name, np.dtype(output.dtype), output.rank)
            for name, output in outputs.items()
        }

    def run(
        self, inputs: Mapping[str, np.ndarray], outputs: tuple[str, ...]
    ) -> dict[str, np.ndarray]:
        (rows,) = inputs.values()
        feed = rows.astype(self._dtype, copy=False)
        if feed.ndim != self._input_rank:
            feed = feed.reshape(-1, 1)
        wanted = [self._outputs[name] for name in outputs]
        answers = self._session.run(
            [graph_name for graph_name, _, _ in wanted], {self._input_name: feed}
        )
        return {
            name: _shaped(answer, dtype, rank)
            for name, answer, (_, dtype, rank) in zip(outputs, answers, wanted, strict=True)
        }


def _shaped(answer: np.ndarray, dtype: np.dtype, rank: int) -> np.ndarray:
    if answer.ndim != rank:
        answer = answer.reshape(len(answer), *([-1] * (rank - 1)))
    return answer.astype(dtype, copy=False)
