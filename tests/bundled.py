"""The bundled models with their plans, made once for all parts of the tests and all their workers.

    build/bundled/<digest>/models, /state/plans

The digest is of the sources that train and plan, and of what they run with.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import distributions
from pathlib import Path

from engine.models.plan_store import machine_fingerprint

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "build/bundled"
DEPENDS_ON = ("examples/**/*.py", "app/analysis/**/*.py", "app/models_cli.py", "engine/**/*.py")
OLD_S = 86_400.0


def copy_models(to: Path) -> Path:
    """A repository of one's own."""
    with _made() as folder:
        return Path(shutil.copytree(folder / "models", to))


def copy_plans(to: Path) -> Path:
    """Their plans, as a state folder has them below `plans`."""
    with _made() as folder:
        return Path(shutil.copytree(folder / "state/plans", to))


@contextmanager
def _made() -> Iterator[Path]:
    """The folder, which stays while the block runs; who comes while it is made waits."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        digest = _digest()
        wanted = FOLDER / digest
        if not wanted.exists():
            _remove_old()
            begun = FOLDER / "begun"
            _make(begun)
            if _digest() != digest:
                raise RuntimeError("the sources were changed while the models were made")
            begun.rename(wanted)
        yield wanted


def _remove_old() -> None:
    for other in FOLDER.iterdir():
        if other.is_dir() and (
            other.name == "begun" or time.time() - other.stat().st_mtime > OLD_S
        ):
            shutil.rmtree(other)


def _digest() -> str:
    packages = sorted(f"{one.name}=={one.version}" for one in distributions())
    digest = hashlib.sha256(repr((sys.version, machine_fingerprint(), packages)).encode())
    for pattern in DEPENDS_ON:
        for file in sorted(ROOT.glob(pattern)):
            content = file.read_bytes()
            digest.update(f"{file.relative_to(ROOT)} {len(content)}\n".encode())
            digest.update(content)
    return digest.hexdigest()[:16]


def _make(folder: Path) -> None:
    environ = {k: v for k, v in os.environ.items() if not k.startswith("PYROMETER_")}
    models, state = folder / "models", folder / "state"
    train = [sys.executable, "-m", "examples", "--models", str(models)]
    subprocess.run(train, cwd=ROOT, env=environ, check=True)
    for model in sorted(path.name for path in models.iterdir() if path.is_dir()):
        plan = [sys.executable, "-m", "app.cli", "models", "plan", model]
        plan += ["--models", str(models), "--state", str(state)]
        subprocess.run(plan, cwd=ROOT, env=environ, check=True, stdout=subprocess.DEVNULL)
