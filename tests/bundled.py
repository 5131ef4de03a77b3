"""The bundled models with their plans, made once for all parts of the tests and all their workers.

    build/bundled/<digest>/models, /state/plans

The digest is of everything that they depend on: what trains, what plans, and with which packages.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "build/bundled"
DEPENDS_ON = ("examples/**/*.py", "engine/models/**/*.py", "requirements.lock", "pyproject.toml")


def made() -> Path:
    """The folder; whoever comes while another makes it waits."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    wanted = FOLDER / _digest()
    with (FOLDER / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not wanted.exists():
            for older in FOLDER.iterdir():
                if older.is_dir():
                    shutil.rmtree(older)
            begun = FOLDER / "begun"
            _make(begun)
            begun.rename(wanted)
    return wanted


def _digest() -> str:
    digest = hashlib.sha256(sys.version.encode())
    for pattern in DEPENDS_ON:
        for file in sorted(ROOT.glob(pattern)):
            digest.update(file.read_bytes())
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
