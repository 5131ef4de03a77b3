"""Triton by PyTriton's wheel: folder kind port batch."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from model import predictor
from pytriton.decorators import batch
from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

FOLDER, KIND, PORT, BATCH = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
predict = predictor(Path(FOLDER), KIND)
WIDTH = 30


@batch
def infer(input: np.ndarray) -> dict[str, np.ndarray]:
    return {"predict": predict(input).astype(np.int64).reshape(-1, 1)}


if __name__ == "__main__":
    ports = {"http_port": PORT, "grpc_port": PORT + 1, "metrics_port": PORT + 2}
    with Triton(config=TritonConfig(http_address="127.0.0.1", log_verbose=0, **ports)) as triton:
        triton.bind(
            model_name="bench",
            infer_func=infer,
            inputs=[Tensor(name="input", dtype=np.float64, shape=(WIDTH,))],
            outputs=[Tensor(name="predict", dtype=np.int64, shape=(1,))],
            config=ModelConfig(
                max_batch_size=max(BATCH, 1),
                batcher=DynamicBatcher(max_queue_delay_microseconds=0),
            ),
        )
        triton.serve()
