"""The usual first server: Flask's own threaded server, a warm scikit-learn model, JSON."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import flask
import numpy as np

from engine.models.backends.estimator_backend import load_skops


def build(models: Path) -> flask.Flask:
    """An application with the V2 infer route of one model and nothing else."""
    model = load_skops((models / "breast_cancer/1/model.skops").read_bytes())
    server = flask.Flask("naive")

    @server.get("/v2/health/ready")
    def ready() -> dict[str, bool]:
        return {"ready": True}

    @server.post("/v2/models/breast_cancer/infer")
    def infer() -> dict[str, object]:
        tensor = flask.request.get_json()["inputs"][0]
        answer = model.predict(np.array(tensor["data"]).reshape(tensor["shape"]))
        output = {"name": "predict", "datatype": "INT64", "shape": [len(answer)]}
        return {"model_name": "breast_cancer", "outputs": [output | {"data": answer.tolist()}]}

    return server


if __name__ == "__main__":
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    build(Path(sys.argv[1])).run("127.0.0.1", int(sys.argv[2]), threaded=True)
