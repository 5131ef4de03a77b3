"""ONNX Runtime on one thread per session: graphs we compiled, and graphs people bring.

A session runs on the CPU, or on one other execution provider with the CPU behind it.

recipe   "inputs": [{"graph", "source", "column"?, "dtype", "rank"}]: what feeds each of the
         graph's inputs; column takes one column of a matrix
         "outputs": output -> {"graph", "dtype", "rank"}
         "provider"?: ONNX Runtime's name of what runs it; left out: the CPU
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from engine.errors import ArtefactError, ProviderLost
from engine.types import NUMPY_DTYPES

NAME = "onnxruntime"
TEXT = "tensor(string)"
GRAPH_DATATYPES = {
    "tensor(bool)": "BOOL",
    "tensor(uint8)": "UINT8",
    "tensor(uint16)": "UINT16",
    "tensor(uint32)": "UINT32",
    "tensor(uint64)": "UINT64",
    "tensor(int8)": "INT8",
    "tensor(int16)": "INT16",
    "tensor(int32)": "INT32",
    "tensor(int64)": "INT64",
    "tensor(float16)": "FP16",
    "tensor(float)": "FP32",
    "tensor(double)": "FP64",
    TEXT: "BYTES",
}


CPU = "CPUExecutionProvider"
PROVIDER_OPTIONS: Mapping[str, Mapping[str, str]] = {
    # Both compute in fewer bits than the graph says where nobody tells them not to.
    "CUDAExecutionProvider": {"use_tf32": "0"},
    "OpenVINOExecutionProvider": {"num_of_threads": "1", "precision": "ACCURACY"},
}


def open_session(graph: Path | bytes, provider: str = "", trace: Path | None = None) -> Any:
    """An inference session, of a file or of a graph's bytes, that starts no threads.

    provider: ONNX Runtime's own name; "" is the CPU. trace: beginning of the file that tells
    where its nodes ran. Raises ProviderLost where the provider could not be opened.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    if trace is not None:
        options.enable_profiling = True
        options.profile_file_prefix = str(trace)
    source = graph if isinstance(graph, bytes) else str(graph)
    asked: list[Any] = [CPU]
    if provider:
        if provider not in onnxruntime.get_available_providers():
            raise ProviderLost(f"{provider} is not part of this ONNX Runtime")
        asked = [(provider, dict(PROVIDER_OPTIONS.get(provider, {}))), CPU]
        # It says itself on stderr why a provider could not be opened; the plan says it too.
        options.log_severity_level = 4
    session = onnxruntime.InferenceSession(source, options, providers=asked)
    if provider and provider not in session.get_providers():
        raise ProviderLost(f"{provider} could not be opened; ONNX Runtime fell back to the CPU")
    # It keeps the bytes, a second copy of the model, only to fall back from another provider.
    session._model_bytes = None
    return session


def refuse_external_data(content: bytes, name: str) -> None:
    """Raises ArtefactError for a graph that reads other files, or that is no ONNX model.

    Tensors may name any file of the machine as their data; only self-contained graphs are
    served.
    """
    import onnx
    from onnx.external_data_helper import uses_external_data

    try:
        model = onnx.load_from_string(content)
    except Exception as error:
        # protobuf's own exceptions; a damaged file is one kind for us.
        raise ArtefactError(f"{name} is no ONNX model: {str(error)[:200]}") from error
    if any(uses_external_data(tensor) for tensor in _tensors(model)):
        raise ArtefactError(f"{name} keeps data in other files; export it as one file")


def _tensors(model: Any) -> Any:
    """Every tensor anywhere in a model, whatever part of the format holds it."""
    pending = [model]
    while pending:
        message = pending.pop()
        if message.DESCRIPTOR.name == "TensorProto":
            yield message
            continue
        for field, value in message.ListFields():
            if field.message_type is not None:
                pending.extend([value] if hasattr(value, "DESCRIPTOR") else value)


class OnnxBackend:
    """Runs one session. What feeds it and what is read off it is decided by its recipe."""

    def __init__(
        self,
        name: str,
        graph: Path | bytes,
        recipe: Mapping[str, Any],
        trace: Path | None = None,
    ) -> None:
        self.name = name
        self._session = open_session(graph, recipe.get("provider", ""), trace)
        self._feeds = [
            (i["graph"], i["source"], i.get("column"), np.dtype(i["dtype"]), int(i["rank"]))
            for i in recipe["inputs"]
        ]
        self._outputs = {
            name: (o["graph"], np.dtype(o["dtype"]), int(o["rank"]))
            for name, o in recipe["outputs"].items()
        }
        self.covers = frozenset(self._outputs)
        # The session's own `run` only checks names that are right by construction here.
        self._run = getattr(self._session, "_sess", self._session).run
        self._wanted: dict[tuple[str, ...], list[str]] = {}

    def run(
        self, inputs: Mapping[str, np.ndarray], outputs: tuple[str, ...]
    ) -> dict[str, np.ndarray]:
        fed = {}
        for graph, source, column, dtype, rank in self._feeds:
            rows = inputs[source]
            if column is not None:
                rows = rows[:, column]
            if rows.dtype is not dtype:
                rows = rows.astype(dtype, copy=False)
            fed[graph] = rows if rows.ndim == rank else rows.reshape(-1, *(1,) * (rank - 1))
        wanted = self._wanted.get(outputs)
        if wanted is None:
            wanted = self._wanted[outputs] = [self._outputs[name][0] for name in outputs]
        answers = self._run(wanted, fed, None)
        known = self._outputs
        return {
            name: _shaped(answer, known[name][1], known[name][2])
            for name, answer in zip(outputs, answers, strict=True)
        }

    def end_trace(self) -> Path:
        """The file that tells where nodes ran; only of a backend that was given `trace`."""
        return Path(self._session.end_profiling())


def _shaped(answer: np.ndarray, dtype: np.dtype, rank: int) -> np.ndarray:
    if rank and answer.ndim != rank:  # 0: the graph does not say, so it comes as it is
        answer = answer.reshape(len(answer), *([-1] * (rank - 1)))
    return answer if answer.dtype is dtype else answer.astype(dtype, copy=False)


def graph_recipe(
    content: bytes, name: str
) -> tuple[list[tuple[str, str, tuple[int, ...]]], dict[str, Any]]:
    """(name, datatype, shape) of each input of a graph, and the recipe that serves it.

    Outputs that are no tensors (scikit-learn converters' lists of dictionaries) are left
    out. Raises ArtefactError for an input that no V2 datatype can carry.
    """
    session = open_session(content)
    inputs, specs = [], []
    for node in session.get_inputs():
        if node.type not in GRAPH_DATATYPES or not node.shape:
            raise ArtefactError(
                f"{name}: input {node.name!r} is {node.type} of rank {len(node.shape)}; "
                "a tensor with rows first is needed"
            )
        datatype = GRAPH_DATATYPES[node.type]
        shape = tuple(s if isinstance(s, int) and s > 0 else -1 for s in node.shape)
        specs.append((node.name, datatype, shape))
        inputs.append(
            {
                "graph": node.name,
                "source": node.name,
                "dtype": NUMPY_DTYPES[datatype].str,
                "rank": len(shape),
            }
        )
    outputs = {
        node.name: {
            "graph": node.name,
            "dtype": NUMPY_DTYPES[GRAPH_DATATYPES[node.type]].str,
            "rank": len(node.shape),
        }
        for node in session.get_outputs()
        if node.type in GRAPH_DATATYPES
    }
    if not outputs:
        raise ArtefactError(f"{name} has no output that is a tensor")
    return specs, {"inputs": inputs, "outputs": outputs}
