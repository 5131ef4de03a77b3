"""The two limits, as bare WSGI callables: PEER_KIND is constant, or onnx."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import orjson

CONSTANT = b'{"model_name":"bench","outputs":[]}'
_run: Any = None
if os.environ["PEER_KIND"] == "onnx":
    from model import predictor

    _run = predictor(Path(os.environ["PEER_FOLDER"]), "onnx")


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer with constant bytes, or with one run of the session and nothing else."""
    body = CONSTANT if _run is None else _answer(environ["wsgi.input"].read())
    start_response(
        "200 OK", [("content-type", "application/json"), ("content-length", str(len(body)))]
    )
    return [body]


def _answer(content: bytes) -> bytes:
    tensor = orjson.loads(content)["inputs"][0]
    labels = _run(np.array(tensor["data"], dtype=np.float64).reshape(tensor["shape"]))
    output = {"name": "predict", "datatype": "INT64", "shape": labels.shape, "data": labels}
    return orjson.dumps(
        {"model_name": "bench", "model_version": "1", "outputs": [output]},
        option=orjson.OPT_SERIALIZE_NUMPY,
    )
