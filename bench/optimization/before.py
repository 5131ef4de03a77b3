"""The "before": the handler that most people write first, scikit-learn loaded at each request.

    python -m bench.optimization.before MODELS PORT

Flask's own threaded server; POST /v2/models/NAME/infer reads the file with skops, predicts and
answers JSON. Nothing is kept between two requests but the modules that are imported.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import flask
import numpy as np
import skops.io
from werkzeug.serving import make_server


def load(path: Path) -> Any:
    """The estimator, read and trusted as the example models are."""
    return skops.io.load(path, trusted=skops.io.get_untrusted_types(file=path))


def build(models: Path) -> flask.Flask:
    """The application. It loads no model by itself."""
    server = flask.Flask("before")
    names = {path.parent.parent.name: path for path in sorted(models.glob("*/1/model.skops"))}

    @server.post("/v2/models/<name>/infer")
    def infer(name: str) -> Any:
        (tensor,) = flask.request.get_json(force=True)["inputs"]
        rows = np.array(tensor["data"]).reshape(tensor["shape"])
        estimator = load(names[name])
        given = rows if tensor["datatype"] != "BYTES" else rows.reshape(-1).tolist()
        answer = np.asarray(estimator.predict(given))
        output = {"name": "predict", "shape": list(answer.shape), "data": answer.tolist()}
        return {"model_name": name, "outputs": [output]}

    return server


def main() -> int:
    models, port = Path(sys.argv[1]), int(sys.argv[2])
    make_server("127.0.0.1", port, build(models), threaded=True).serve_forever()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
