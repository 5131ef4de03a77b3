"""What a run needs before it measures: models, and plans that both sides share.

    <state>/gate/<key>/models/   the two models that are served
                       plans/    their plans, made once by the first server that needed them

A tournament decides by times: two of them may choose different forms for the same code. So all
sides, and all later runs on this machine, are given the same plans. Where a tree keys its
plans otherwise, its server makes them anew, and the report says which forms answered.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.gate.cases import CASES, requests_of
from bench.gate.machine import machine, versions
from bench.gate.sender import Sender
from bench.gate.server import Side, started
from bench.models import rows_of
from engine.errors import InvalidInput, PyrometerError

FOREST, LOGISTIC = "breast_cancer", "logistic"
ARTEFACT = "1/model.skops"


@dataclass(frozen=True, slots=True)
class Kept:
    """A folder that keeps models, plans, or neither yet. rows: float64 (500, 30)."""

    folder: Path
    rows: np.ndarray

    @property
    def models(self) -> Path:
        return self.folder / "models"

    @property
    def plans(self) -> Path:
        return self.folder / "plans"


def prepared(bundled: Path, state: Path) -> Kept:
    """The models' folder for these artefacts, libraries and this machine, made where it is not.

    Raises InvalidInput where the bundled forest is not there, PyrometerError where nothing can
    be written.
    """
    if not (bundled / FOREST / "1/samples.npz").is_file():
        raise InvalidInput(f"models is {str(bundled)!r}: no {FOREST} in it; `make examples` first")
    rows = rows_of(bundled)
    about = json.dumps([machine(), versions()], sort_keys=True).encode()
    key = hashlib.sha256((bundled / FOREST / ARTEFACT).read_bytes() + about).hexdigest()[:16]
    kept = Kept(state / "gate" / key, rows)
    if not kept.models.is_dir():
        try:
            _make(bundled, kept)
        except OSError as error:
            raise PyrometerError(f"{kept.folder} cannot be written: {error.strerror}") from None
    return kept


def _make(bundled: Path, kept: Kept) -> None:
    """Write the models whole or not at all; what other keys have kept goes."""
    import skops.io

    from bench.models import logistic

    parent = kept.folder.parent
    if parent.is_dir():
        shutil.rmtree(parent)
    parent.mkdir(parents=True)
    with tempfile.TemporaryDirectory(dir=parent) as scratch:
        models = Path(scratch) / "made/models"
        shutil.copytree(bundled / FOREST, models / FOREST)
        path = bundled / FOREST / ARTEFACT
        forest = skops.io.load(path, trusted=skops.io.get_untrusted_types(file=path))
        fitted = logistic(kept.rows, forest.predict(kept.rows))
        (models / LOGISTIC / "1").mkdir(parents=True)
        skops.io.dump(fitted, models / LOGISTIC / ARTEFACT)
        models.parent.rename(kept.folder)


def share_plans(sides: Iterable[Side], kept: Kept) -> None:
    """Give every side the kept plans; where there are none, the first side's server makes them."""
    sides = list(sides)
    if not kept.plans.is_dir():
        _plan(sides[0], kept)
    for side in sides:
        shutil.copytree(kept.plans, side.folder / "state/plans", dirs_exist_ok=True)


def _plan(side: Side, kept: Kept) -> None:
    with started(side, kept.models) as (process_id, port):
        sender = Sender(process_id, port, 1)
        for case in CASES:
            sender.answers(requests_of(case, kept.rows[:1]))
        sender.close()
    with tempfile.TemporaryDirectory(dir=kept.folder) as scratch:
        copied = Path(scratch) / "plans"
        shutil.copytree(side.folder / "state/plans", copied)
        copied.rename(kept.plans)
