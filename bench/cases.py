"""Who is measured beside Pyrometer, and how each is started."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench.peers.environments import python_of

PEERS = Path(__file__).parent / "peers"
BATCH = 64
V2 = "/v2/models/bench/infer"


@dataclass(frozen=True, slots=True)
class Case:
    """A server to start. group: cases of one are configurations of the same peer.

    kind: sklearn as the peer usually serves, onnx the same session as Pyrometer's, limit what no
    server can pass. environment: of the peers' environments.
    """

    name: str
    group: str
    kind: str
    environment: str
    command: tuple[str, ...]
    path: str = "/infer"
    variables: Mapping[str, str] = field(default_factory=dict)

    def started(self, folder: Path, port: int) -> tuple[list[str], dict[str, str]]:
        """The command, and the variables, for a model folder and a port."""
        places = {"folder": str(folder), "port": str(port), "peers": str(PEERS)}
        command = [part.format(**places) for part in self.command]
        own = {name: value.format(**places) for name, value in self.variables.items()}
        # Its environment's own programs first, its own modules importable.
        path = f"{python_of(self.environment).parent}:{os.environ['PATH']}"
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("PYROMETER_")}
        return command, inherited | own | {"PATH": path, "PYTHONPATH": str(PEERS)}


def _script(environment: str, file: str, kind: str, batch: int) -> tuple[str, ...]:
    python = str(python_of(environment))
    return (python, f"{{peers}}/{file}", "{folder}", kind, "{port}", str(batch))


def _scripted(
    title: str, group: str, environment: str, file: str, kind: str, batch: int, path: str = "/infer"
) -> Case:
    suffix = (", batching" if batch > 1 else "") + (" + ONNX Runtime" if kind == "onnx" else "")
    command = _script(environment, file, kind, batch)
    return Case(f"{title}{suffix}", group, kind, environment, command, path)


def _bentoml(kind: str, batch: int) -> Case:
    suffix = (", batching" if batch > 1 else "") + (" + ONNX Runtime" if kind == "onnx" else "")
    variables = {
        "PEER_FOLDER": "{folder}",
        "PEER_KIND": kind,
        "PEER_BATCH": str(batch),
        "PEER_PORT": "{port}",
        "BENTOML_DO_NOT_TRACK": "1",
    }
    command: tuple[str, ...] = ("bentoml", "serve", "bentoml_service:Served")
    command += ("--working-dir", "{peers}", "--port", "{port}", "--host", "127.0.0.1")
    return Case(f"BentoML{suffix}", "BentoML", kind, "bentoml", command, "/infer", variables)


def _mlserver(kind: str, batch: int) -> Case:
    suffix = (", batching" if batch > 1 else "") + (" + ONNX Runtime" if kind == "onnx" else "")
    variables = {"PEER_FOLDER": "{folder}", "PEER_BATCH": str(batch), "PEER_KIND": kind}
    command = ("mlserver", "start", "{folder}/mlserver-" + f"{kind}-{batch}")
    return Case(f"MLServer{suffix}", "MLServer", kind, "mlserver", command, V2, variables)


def write_mlserver_settings(folder: Path, kind: str, batch: int, port: int) -> None:
    """MLServer is configured by files."""
    settings = folder / f"mlserver-{kind}-{batch}"
    settings.mkdir(exist_ok=True)
    own = {"host": "127.0.0.1", "http_port": port, "grpc_port": port + 1, "metrics_port": port + 2}
    own |= {"parallel_workers": 0, "debug": False, "metrics_endpoint": None}
    (settings / "settings.json").write_text(json.dumps(own))
    runtime = {
        "sklearn": "mlserver_sklearn.SKLearnModel",
        "onnx": "mlserver_runtime.OnnxRuntimeModel",
    }
    model: dict[str, object] = {
        "name": "bench",
        "implementation": runtime[kind],
        "parameters": {"uri": str(folder / "model.joblib")},
    }
    if batch > 1:
        model |= {"max_batch_size": batch, "max_batch_time": 0.002}
    (settings / "model-settings.json").write_text(json.dumps(model))


def _granian(name: str, kind: str) -> Case:
    variables = {"PEER_FOLDER": "{folder}", "PEER_KIND": kind}
    command: tuple[str, ...] = ("granian", "--interface", "wsgi", "--workers", "1")
    command += ("--blocking-threads", "1", "--host", "127.0.0.1", "--port", "{port}")
    command += ("--log-level", "error", "--no-ws", "granian_app:app")
    return Case(name, name, "limit", "granian", command, "/infer", variables)


CONSTANT, BARE = "granian, constant bytes", "granian, bare callable + ONNX Runtime"
CASES: tuple[Case, ...] = (
    _granian(CONSTANT, "constant"),
    _granian(BARE, "onnx"),
    _scripted("FastAPI", "FastAPI", "fastapi", "fastapi_server.py", "sklearn", 1),
    _scripted("FastAPI", "FastAPI", "fastapi", "fastapi_server.py", "onnx", 1),
    _scripted("LitServe", "LitServe", "litserve", "litserve_server.py", "sklearn", 1),
    _scripted("LitServe", "LitServe", "litserve", "litserve_server.py", "sklearn", BATCH),
    _scripted("LitServe", "LitServe", "litserve", "litserve_server.py", "onnx", 1),
    _bentoml("sklearn", 1),
    _bentoml("sklearn", BATCH),
    _bentoml("onnx", 1),
    _mlserver("sklearn", 1),
    _mlserver("sklearn", BATCH),
    _mlserver("onnx", 1),
    _scripted("Ray Serve", "Ray Serve", "ray", "ray_server.py", "sklearn", 1),
    _scripted("Ray Serve", "Ray Serve", "ray", "ray_server.py", "sklearn", BATCH),
    _scripted("Triton (PyTriton)", "Triton", "triton", "triton_server.py", "sklearn", 1, V2),
    _scripted("Triton (PyTriton)", "Triton", "triton", "triton_server.py", "sklearn", BATCH, V2),
)
