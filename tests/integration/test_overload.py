"""Slow models, full queues, deadlines, callers that leave, and the end: a real server."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from app.models_cli import run_action
from tests.conftest import RunningServer, StartServer
from tests.contract.http import call
from tests.waiting import until

SLOW_MODEL = """
import time
import numpy as np

class Slow:
    def load(self, folder):
        self.log = folder.parent.parent.parent / "ran.log"

    def predict(self, inputs):
        x = inputs["x"]
        if len(x) == 1 and x[0, 0] >= 0:
            time.sleep({seconds})
        with self.log.open("a") as log:
            print(*x[:, 0].tolist(), file=log)
        if (x[:, 1] == 13).any():
            raise ValueError("unlucky")
        return {{"doubled": x * 2}}
"""
TOML = '[[inputs]]\nname = "x"\ndatatype = "FP64"\nshape = [-1, 2]\n'
Make = Callable[..., RunningServer]


def trusted_model(folder: Path, name: str, seconds: float) -> None:
    import hashlib

    version = folder / "models" / name / "1"
    version.mkdir(parents=True)
    (version.parent / "model.toml").write_text(TOML)
    source = SLOW_MODEL.format(seconds=seconds)
    (version / "model.py").write_text(source)
    digest = hashlib.sha256(source.encode()).hexdigest()
    with (folder / "trusted.sha256").open("a") as trust:
        trust.write(f"{digest}  model.py\n")
