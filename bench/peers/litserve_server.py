"""LitServe: folder kind port batch."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import litserve
import numpy as np
from model import answer_of, predictor, rows_of

FOLDER, KIND, PORT, BATCH = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])


class Served(litserve.LitAPI):
    def setup(self, device: str) -> None:
        self.run = predictor(Path(FOLDER), KIND)

    def decode_request(self, request):  # LitServe reads annotations: none is any JSON
        return rows_of(request)

    def batch(self, inputs: list[np.ndarray]) -> np.ndarray:
        return np.concatenate(inputs)

    def predict(self, rows: np.ndarray) -> np.ndarray:
        return self.run(rows)

    def unbatch(self, output: np.ndarray) -> list[np.ndarray]:
        return [output[place : place + 1] for place in range(len(output))]

    def encode_response(self, output: np.ndarray) -> dict[str, Any]:
        return answer_of(output)


if __name__ == "__main__":
    batching = {"max_batch_size": BATCH, "batch_timeout": 0.002} if BATCH > 1 else {}
    server = litserve.LitServer(Served(api_path="/infer", **batching), accelerator="cpu")
    server.run(port=PORT, host="127.0.0.1", generate_client_file=False, log_level="warning")
