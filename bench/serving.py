"""A real server as a child process, and a connection that speaks V2 to it."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from bench.__main__ import ROOT
from engine.types import NUMPY_DTYPES, datatype_of

START_DEADLINE_S = 1800


class Client:
    """One connection. Not for several threads."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)

    def exchange(
        self, method: str, path: str, body: bytes | None = None, headers: Any = None
    ) -> tuple[int, http.client.HTTPMessage, Any]:
        """Status, headers and parsed body."""
        self._connection.request(method, path, body, headers or {})
        answer = self._connection.getresponse()
        return answer.status, answer.headers, json.loads(answer.read() or b"null")

    def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Status and parsed body."""
        status, _, parsed = self.exchange(
            method, path, None if body is None else json.dumps(body).encode()
        )
        return status, parsed

    def infer(
        self, model: str, inputs: Mapping[str, np.ndarray], output: str, *, binary: bool
    ) -> np.ndarray:
        """One output for these rows, never from a cache. Raises RuntimeError for an error."""
        tensors, chunks = [], []
        for name, array in inputs.items():
            tensor: dict[str, Any] = {
                "name": name,
                "datatype": datatype_of(array),
                "shape": list(array.shape),
            }
            if binary and array.dtype.kind != "O":
                chunks.append(np.ascontiguousarray(array).tobytes())
                tensor["parameters"] = {"binary_data_size": len(chunks[-1])}
            else:
                holes = array.dtype.kind == "f" and bool(np.isnan(array).any())
                flat = array.reshape(-1).tolist()
                tensor["data"] = [None if x != x else x for x in flat] if holes else flat
            tensors.append(tensor)
        head = json.dumps({"inputs": tensors, "outputs": [{"name": output}]}).encode()
        headers = {"Cache-Control": "no-cache"}
        if chunks:
            headers["Inference-Header-Content-Length"] = str(len(head))
        path = f"/v2/models/{model}/infer"
        status, _, body = self.exchange("POST", path, b"".join((head, *chunks)), headers)
        if status != 200:
            raise RuntimeError(f"{output}: {status} {body.get('error')}")
        (given,) = body["outputs"]
        dtype = NUMPY_DTYPES[given["datatype"]]
        values = [np.nan if x is None else x for x in given["data"]]
        return np.array(values, dtype=dtype).reshape(given["shape"])


@contextmanager
def serving(folder: Path, *flags: str, module: str = "app.cli") -> Iterator[tuple[int, int]]:
    """A server over `folder`/models, its state beside; yields (port, process id).

    module: what is run, with the arguments of `pyrometer`.
    """
    command = [sys.executable, "-m", module, "serve", "--port", "0", *flags]
    command += ["--models", str(folder / "models"), "--state", str(folder / "state")]
    command += ["--trust-file", str(folder / "trusted.sha256")]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        yield _port_of(process), process.pid
    finally:
        process.terminate()
        process.wait(60)


def _port_of(process: subprocess.Popen[str]) -> int:
    assert process.stdout is not None
    for line in process.stdout:
        if "http://" in line:
            return int(line.split("http://")[1].split("/")[0].rsplit(":", 1)[1])
    raise RuntimeError("the server did not start")


def thread_ns(pid: int) -> dict[int, int]:
    """Processor time of each thread of a process, nanoseconds."""
    found = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            found[int(task.name)] = int((task / "schedstat").read_text().split()[0])
        except (OSError, ValueError, IndexError):
            continue  # it has ended meanwhile
    return found


def wait_settled(client: Client, count: int, *, idle_too: bool = False) -> None:
    """Return once every model is warm or has failed, or, with idle_too, cold after a load."""
    end = time.monotonic() + START_DEADLINE_S
    with tqdm(total=count, desc="planning", unit="model") as bar:
        while time.monotonic() < end:
            models = client.call("GET", "/performance/models")[1]["models"]
            settled = sum(
                m["state"] in ("warm", "failed")
                or (idle_too and m["state"] == "cold" and bool(m["error"] or m["load_ms"]))
                for m in models
            )
            bar.update(settled - bar.n)
            if settled >= count:
                return
            time.sleep(0.5)
    raise RuntimeError("the models did not load in time")


def tier(client: Client, name: str) -> dict[str, Any]:
    """One cache tier's row."""
    tiers = client.call("GET", "/performance/cache")[1]["tiers"]
    return next(row for row in tiers if row["tier"] == name)


def percentile(values: list[float], share: float) -> float:
    """A percentile of all values measured; NaN where there are none."""
    return float(np.percentile(values, 100 * share)) if values else float("nan")
