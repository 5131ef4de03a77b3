"""A server of its own for one run: fresh state, its models planned and warm."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.serving import Client, serving, wait_settled
from engine.errors import ConfigurationError


@contextmanager
def fresh_server(models: Path, *flags: str, module: str = "app.cli") -> Iterator[tuple[str, int]]:
    """A Pyrometer over a copy of `models`; (url, process id). flags: of `pyrometer serve`.

    module: see `serving`.

    Raises ConfigurationError where the folder has no models.
    """
    names = sorted(
        path.name for path in models.glob("*") if path.is_dir() and any(path.glob("*/*"))
    )
    if not names:
        raise ConfigurationError(f"serve is {str(models)!r}: there are no models in it")
    with tempfile.TemporaryDirectory(prefix="lab-") as folder:
        shutil.copytree(models, Path(folder) / "models")
        preload = ("--preload", ",".join(names))
        with serving(Path(folder), *preload, *flags, module=module) as (port, process_id):
            wait_settled(Client(port), len(names))
            yield f"http://127.0.0.1:{port}", process_id
