"""Each peer's own environment: `python -m bench.peers.environments` builds them all."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

from tqdm import tqdm

ROOT = Path(__file__).parent.parent.parent
ENVIRONMENTS = ROOT / ".bench/environments"
COMMON = ("scikit-learn", "onnxruntime", "skops")
PEERS: dict[str, tuple[str, ...]] = {
    "fastapi": ("fastapi", "uvicorn[standard]"),
    "litserve": ("litserve",),
    "bentoml": ("bentoml",),
    # With workers, uvloop 0.22 and later break MLServer 1.7.
    "mlserver": ("mlserver", "mlserver-sklearn", "uvloop<0.22"),
    "ray": ("ray[serve]",),
    "triton": ("nvidia-pytriton", "numpy<2"),
    "granian": ("granian", "orjson"),
}
TRITON_PYTHON = "/usr/bin/python3.11"
"""PyTriton's wheel wants a Python built as Debian builds it."""


def python_of(peer: str) -> Path:
    return ENVIRONMENTS / peer / "bin/python"


def built() -> list[str]:
    """The peers whose environments are there."""
    return [peer for peer in PEERS if (ENVIRONMENTS / peer / ".built").exists()]


def build(peers: Iterable[str]) -> dict[str, str]:
    """Make the missing environments; returns what failed, by peer, with its last words."""
    failed = {}
    pins = [f"{package}=={version(package)}" for package in COMMON]
    for peer in tqdm([p for p in peers if p not in built()], unit="environment"):
        folder = ENVIRONMENTS / peer
        shutil.rmtree(folder, ignore_errors=True)
        system = peer == "triton" and Path(TRITON_PYTHON).exists()
        python = TRITON_PYTHON if system else sys.executable
        commands = (
            [python, "-m", "venv", str(folder)],
            [str(python_of(peer)), "-m", "pip", "install", "-q", *PEERS[peer], *pins],
        )
        for command in commands:
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                failed[peer] = (done.stderr.strip().splitlines() or ["no reason given"])[-1][:200]
                break
        else:
            (folder / ".built").touch()
    return failed


if __name__ == "__main__":
    for name, reason in build(PEERS).items():
        print(f"{name}: {reason}", file=sys.stderr)
    print("built:", ", ".join(built()))
