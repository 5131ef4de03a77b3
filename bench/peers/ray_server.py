"""Ray Serve: folder kind port batch."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from model import answer_of, predictor, rows_of
from ray import serve
from starlette.requests import Request

FOLDER, KIND, PORT, BATCH = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])


@serve.deployment(max_ongoing_requests=200, ray_actor_options={"num_cpus": 1})
class Served:
    def __init__(self) -> None:
        self.run = predictor(Path(FOLDER), KIND)

    @serve.batch(max_batch_size=max(BATCH, 1), batch_wait_timeout_s=0.002)
    async def together(self, rows: list[np.ndarray]) -> list[np.ndarray]:
        labels = self.run(np.concatenate(rows))
        return [labels[place : place + 1] for place in range(len(labels))]

    async def __call__(self, request: Request) -> dict[str, Any]:
        rows = rows_of(await request.json())
        labels = await self.together(rows) if BATCH > 1 else self.run(rows)
        return answer_of(labels)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    import os

    import ray

    here = str(Path(__file__).parent)
    ray.init(
        include_dashboard=False,
        log_to_driver=False,
        runtime_env={"env_vars": {"PYTHONPATH": here}},
        num_cpus=max(2, os.cpu_count() or 2),
    )
    serve.start(http_options={"host": "127.0.0.1", "port": PORT})
    serve.run(Served.bind(), route_prefix="/infer")
    while True:
        time.sleep(3600)
