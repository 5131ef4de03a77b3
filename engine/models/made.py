"""Models that the caller's own code makes: written as an artefact, then like any other."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

from engine.errors import ArtefactError
from engine.models.backends.estimator_backend import TRUSTED_TYPES
from engine.models.files import private_folder
from engine.models.model_toml import NAME_PATTERN
from engine.models.repository import VERSION_PATTERN, ModelEntry, read_version
from engine.models.trust import TrustFile


def write_made(root: Path, name: str, version: str, estimator: Any, trust: TrustFile) -> ModelEntry:
    """Write an estimator as version `version` below the private folder `root`.

    As skops where its types allow, else as a pickle, which this process trusts because it
    wrote it. Raises ArtefactError for a bad name or version, and what pickling raises.
    """
    if not NAME_PATTERN.fullmatch(name) or not VERSION_PATTERN.fullmatch(version):
        raise ArtefactError(f"{name[:80]!r}, version {version[:20]!r}: not a name and a number")
    folder = private_folder(private_folder(private_folder(root) / name) / version)
    file, content = _serialised(estimator)
    for other in folder.iterdir():
        if other.name != file:
            other.unlink()
    scratch = folder / f".{file}"
    scratch.write_bytes(content)
    os.replace(scratch, folder / file)
    entry = read_version(folder.parent, version)
    trust.also.add(entry.sha256)
    return entry


def _serialised(estimator: Any) -> tuple[str, bytes]:
    import joblib
    import skops.io

    try:
        content: bytes = skops.io.dumps(estimator)
        if set(skops.io.get_untrusted_types(data=content)) <= set(TRUSTED_TYPES):
            return "model.skops", content
    except Exception:
        # skops refuses what it does not know in many ways; a pickle takes it.
        pass
    pickled = io.BytesIO()
    joblib.dump(estimator, pickled)
    return "model.joblib", pickled.getvalue()
