"""BentoML: PEER_FOLDER, PEER_KIND, PEER_BATCH in the environment."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import bentoml
import numpy as np
from model import answer_of, predictor

BATCH = int(os.environ["PEER_BATCH"])


def _rows(tensor: dict[str, Any]) -> np.ndarray:
    return np.array(tensor["data"], dtype=np.float64).reshape(tensor["shape"])


@bentoml.service(workers=1, http={"port": int(os.environ["PEER_PORT"])}, traffic={"timeout": 30})
class Served:
    def __init__(self) -> None:
        self.run = predictor(Path(os.environ["PEER_FOLDER"]), os.environ["PEER_KIND"])

    if BATCH > 1:

        @bentoml.api(route="/infer", batchable=True, max_batch_size=BATCH, max_latency_ms=1000)
        def infer(self, inputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
            labels = self.run(np.concatenate([_rows(tensor) for tensor in inputs]))
            return [answer_of(labels[place : place + 1]) for place in range(len(labels))]

    else:

        @bentoml.api(route="/infer")
        def infer(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
            return answer_of(self.run(_rows(inputs[0])))
