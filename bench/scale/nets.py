"""A graph whose run takes some milliseconds on one core and lets other threads run meanwhile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

FEATURES, SIDE, CHANNELS, LAYERS = 16, 28, 32, 60


def slow_net(layers: int = LAYERS) -> Any:
    """(rows, 16) -> one score: spread over a picture, then `layers` convolutions of 3 by 3."""
    from onnx import TensorProto, helper, numpy_helper

    random = np.random.default_rng(0)

    def weights(name: str, *shape: int) -> Any:
        values = random.normal(size=shape) / np.sqrt(np.prod(shape[1:]))
        return numpy_helper.from_array(values.astype(np.float32), name)

    pixels = np.array([-1, 1, SIDE, SIDE], dtype=np.int64)
    kept = [weights("spread", FEATURES, SIDE * SIDE), numpy_helper.from_array(pixels, "picture")]
    nodes = [
        helper.make_node("MatMul", ["input", "spread"], ["pixels"]),
        helper.make_node("Reshape", ["pixels", "picture"], ["layer0"]),
    ]
    for number in range(layers):
        kept.append(weights(f"k{number}", CHANNELS, CHANNELS if number else 1, 3, 3))
        nodes.append(
            helper.make_node(
                "Conv", [f"layer{number}", f"k{number}"], [f"sum{number}"], pads=[1, 1, 1, 1]
            )
        )
        nodes.append(helper.make_node("Relu", [f"sum{number}"], [f"layer{number + 1}"]))
    nodes.append(helper.make_node("GlobalAveragePool", [f"layer{layers}"], ["pooled"]))
    nodes.append(helper.make_node("Flatten", ["pooled"], ["flat"]))
    nodes.append(helper.make_node("ReduceMean", ["flat"], ["score"], axes=[1], keepdims=1))
    kind = TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "slow",
        [helper.make_tensor_value_info("input", kind, ["rows", FEATURES])],
        [helper.make_tensor_value_info("score", kind, ["rows", 1])],
        kept,
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    made.ir_version = 9
    return made


def write(folder: Path) -> None:
    """As version 1 of the model `slow` in a repository."""
    import onnx

    (folder / "slow/1").mkdir(parents=True)
    onnx.save(slow_net(), folder / "slow/1/model.onnx")
