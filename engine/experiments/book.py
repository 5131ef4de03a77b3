"""All experiments and promotions of one engine, and their files.

    <state>/experiments/<id>.json        definition, state, counts, figures at the end
    <state>/experiments/<id>.npz         durations by block, callers
    <state>/experiments/promotions.json  model -> what serves it since, and what did before

Each file is replaced whole. What cannot be read is left where it is and named in `problems`.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import threading
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engine.errors import Busy, InvalidInput, UnknownExperiment, without_folders
from engine.experiments.definition import Definition, Variant
from engine.experiments.experiment import Experiment
from engine.experiments.stored import as_arrays, as_stored, restored
from engine.files import write_atomically

log = logging.getLogger(__name__)
MOST_KEPT = 20
PROMOTIONS = "promotions"
_UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError, InvalidInput)


@dataclass(frozen=True, slots=True)
class Promotion:
    """What serves a model since. before: what did until then; None: as model.toml says."""

    model: str
    variant: Variant
    experiment: str
    name: str
    at: float
    before: Variant | None

    def as_dict(self) -> dict[str, Any]:
        """The public form."""
        own = asdict(self.variant)
        return {
            "model": self.model,
            "variant": own.pop("name"),
            **{name: value for name, value in own.items() if name != "weight"},
            "text": self.variant.text,
            "experiment": self.experiment,
            "name": self.name,
            "at": self.at,
            "before": None if self.before is None else self.before.text,
        }


class Book:
    """Experiments by id, at most MOST_KEPT. Safe for several threads."""

    def __init__(self, state: Path) -> None:
        self.folder = state / "experiments"
        self.problems: dict[str, str] = {}
        self._lock = threading.Lock()
        self._experiments: dict[str, Experiment] = {}
        self.promotions: Mapping[str, Promotion] = {}
        if self.folder.is_dir():
            self._read_all()

    def _read_all(self) -> None:
        found = []
        for path in sorted(self.folder.glob("*.json")):
            try:
                stored = json.loads(path.read_bytes())
                if path.stem == PROMOTIONS:
                    kept = [_promotion(item) for item in stored]
                    self.promotions = {promotion.model: promotion for promotion in kept}
                else:
                    found.append(restored(stored, self._arrays(path)))
            except _UNREADABLE as error:
                words = without_folders(str(error))
                self.problems[path.name] = f"{type(error).__name__}: {words}"
                log.warning("%s cannot be read: %s", path, error)
        found.sort(key=lambda experiment: experiment.created_s)
        self._experiments = {experiment.id: experiment for experiment in found[-MOST_KEPT:]}

    @staticmethod
    def _arrays(path: Path) -> dict[str, np.ndarray] | None:
        file = path.with_suffix(".npz")
        if not file.is_file():
            return None
        with np.load(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}

    def all(self) -> list[Experiment]:
        """Newest first."""
        with self._lock:
            return list(reversed(self._experiments.values()))

    def one(self, number: str) -> Experiment:
        """Raises UnknownExperiment."""
        found = self._experiments.get(number)
        if found is None:
            raise UnknownExperiment(f"unknown experiment {number[:40]!r}")
        return found

    def add(self, definition: Definition, created_s: float) -> Experiment:
        """A new draft. Raises Busy when MOST_KEPT are kept."""
        with self._lock:
            if len(self._experiments) >= MOST_KEPT:
                raise Busy(f"{MOST_KEPT} experiments are kept, the limit; delete one")
            number = uuid.uuid4().hex[:12]
            made = self._experiments[number] = Experiment(number, definition, created_s)
        self.save(made)
        return made

    def delete(self, experiment: Experiment) -> None:
        """Forget it, and its files."""
        with self._lock:
            self._experiments.pop(experiment.id, None)
            for suffix in ("json", "npz"):
                with contextlib.suppress(FileNotFoundError):
                    (self.folder / f"{experiment.id}.{suffix}").unlink()

    def save(self, experiment: Experiment, arrays: bool = False) -> None:
        """Write what may be lost at any time; a disk that refuses is logged. arrays: those too."""
        stored = json.dumps(as_stored(experiment), allow_nan=False).encode()
        packed = _packed(as_arrays(experiment)) if arrays else None
        with self._lock:
            if experiment.id not in self._experiments:
                return
            if packed is not None:
                self._write(f"{experiment.id}.npz", packed)
            self._write(f"{experiment.id}.json", stored)

    def promote(self, promotion: Promotion | None, model: str) -> None:
        """What serves a model from now on; None: as model.toml says."""
        with self._lock:
            kept = {name: one for name, one in self.promotions.items() if name != model}
            self.promotions = kept if promotion is None else kept | {model: promotion}
            stored = [asdict(one) for one in self.promotions.values()]
            self._write(f"{PROMOTIONS}.json", json.dumps(stored).encode())

    def _write(self, name: str, content: bytes) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_atomically(self.folder / name, content)
        except OSError as error:
            log.warning("%s was not written: %s", self.folder / name, error)


def _packed(arrays: Mapping[str, np.ndarray]) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def _promotion(item: Mapping[str, Any]) -> Promotion:
    before = item["before"]
    return Promotion(
        model=str(item["model"]),
        variant=Variant(**item["variant"]),
        experiment=str(item["experiment"]),
        name=str(item["name"]),
        at=float(item["at"]),
        before=None if before is None else Variant(**before),
    )
