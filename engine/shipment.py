"""What is shipped of a model to a replica: its plan and its compiled files, never a pickle."""

from __future__ import annotations

import importlib.metadata
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from engine.caching.payload import dump_run
from engine.models.backends import onnx_backend
from engine.models.loaded import LoadedModel
from engine.models.plan_store import LIBRARIES, OPTIONAL_LIBRARIES, verify_files
from engine.models.signature import holds_nan
from engine.version import VERSION

ARTEFACT = "artefact.onnx"
MOST_BYTES = 64 * 1024 * 1024
"""Ray keeps what a deployment was made from in the memory of its head."""


class Shipment(NamedTuple):
    """head: see engine/replica.py. content: files, then the check's row and answer."""

    head: dict[str, Any]
    content: bytes


def obstacle(model: LoadedModel) -> str | None:
    """Why a model cannot be shipped, in words; None where it can."""
    if _sample_is_anothers(model):
        return "its sample row holds NaN, which its shipped forms do not answer"
    size_bytes = 0
    for form in {form for _, form in model.plan.ranges}:
        candidate = model.plan.candidate(form)
        if candidate.files:
            size_bytes += candidate.file_bytes
        elif form == onnx_backend.NAME and model.entry.format == "onnx":
            size_bytes += model.entry.artefact.stat().st_size
        else:
            return f"{form} has no file that can be shipped: it would have to be unpickled"
    if size_bytes > MOST_BYTES:
        return f"its files take {size_bytes:,} bytes; at most {MOST_BYTES:,} are shipped"
    return None


def _sample_is_anothers(model: LoadedModel) -> bool:
    """Whether replicas could not answer the sample row that tells whether they are healthy."""
    plan, signature = model.plan, model.signature
    if not any(plan.candidate(form).finite_only for _, form in plan.ranges):
        return False
    row = signature.bind(model.sample_rows(signature.fixed_rows or 1))
    return any(holds_nan(row[name]) for name in signature.nan_inputs)


def pack(model: LoadedModel) -> Shipment:
    """A model's shipment, with a sample row and its answer here.

    Raises ArtefactError or OSError for files that are not its plan's, and as `LoadedModel.run`.
    """
    files: dict[str, bytes] = {}
    artefact = ""
    for form in {form for _, form in model.plan.ranges}:
        candidate = model.plan.candidate(form)
        if not candidate.files:
            files[ARTEFACT], artefact = model.entry.content(), model.entry.sha256
            continue
        verify_files(model.folder, candidate)
        files |= {name: (Path(model.folder) / name).read_bytes() for name in candidate.files}
    rows = model.signature.fixed_rows or 1
    inputs = model.signature.bind(model.sample_rows(rows))
    outputs = (model.signature.outputs[0].name,)
    answer = model.run(inputs, outputs)
    check = [dump_run(inputs, ""), dump_run(answer.outputs, answer.form)]
    head = {
        "plan": model.plan.as_dict(),
        "artefact": artefact,
        "libraries": libraries(),
        "files": [[name, len(content)] for name, content in files.items()],
        "outputs": list(outputs),
        "check": [len(part) for part in check],
    }
    return Shipment(head, b"".join((*files.values(), *check)))


@cache
def libraries() -> dict[str, str]:
    """Versions, by name, of what computes answers; a replica must have the same."""
    found = {"pyrometer": VERSION}
    for name in (*LIBRARIES, *OPTIONAL_LIBRARIES):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
