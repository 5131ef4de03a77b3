"""Bodies of V2 requests from the models' own sample rows: distinct, new ones, and a mix.

MIX describes what `mix` sends: the requests that hit rates are measured with.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from engine.types import datatype_of

MIX_ROWS, MIX_POWER, MIX_NEW_PERCENT = 500, 1.1, 20
MIX = (
    f"{100 - MIX_NEW_PERCENT} % of the requests by Zipf({MIX_POWER}) over {MIX_ROWS} rows, "
    f"{MIX_NEW_PERCENT} % rows that were never sent before, one row a request, seed 0"
)


class Rows:
    """Rows of one model. numbers: False where the model takes text."""

    def __init__(self, models: Path, name: str) -> None:
        self.name = name
        with np.load(models / name / "1/samples.npz") as archive:
            (self.input,) = archive.files[:1]
            self._samples = archive[self.input]
        self.numbers = self._samples.dtype.kind == "f"
        self._new = 0

    def body(self, rows: np.ndarray, outputs: tuple[str, ...] = ()) -> bytes:
        """A V2 request of these rows."""
        tensor: dict[str, Any] = {
            "name": self.input,
            "datatype": datatype_of(rows) if self.numbers else "BYTES",
            "shape": list(rows.shape),
            "data": rows.reshape(-1).tolist(),
        }
        asked = {"outputs": [{"name": output} for output in outputs]} if outputs else {}
        return json.dumps({"inputs": [tensor], **asked}).encode()

    def first(self) -> bytes:
        return self.body(self._samples[:1])

    def distinct(self, count: int) -> list[bytes]:
        """Bodies of up to `count` of the samples, a row each."""
        return [self.body(self._samples[place : place + 1]) for place in self._places(count)]

    def block(self, count: int, outputs: tuple[str, ...]) -> bytes:
        """One body of `count` rows."""
        return self.body(np.resize(self._samples, (count, *self._samples.shape[1:])), outputs)

    def new(self) -> bytes:
        """A row that was never sent before: a sample, changed beyond what was sent."""
        self._new += 1
        place = self._new % len(self._samples)
        row = self._samples[place : place + 1]
        if self.numbers:
            return self.body(row + 1e-6 * self._new)
        return self.body(np.array([f"{row[0]} // {self._new}"]))

    def mix(self, count: int) -> list[bytes]:
        """`count` bodies as MIX says."""
        random = np.random.default_rng(0)
        weights = 1 / np.arange(1, MIX_ROWS + 1) ** MIX_POWER
        chosen = random.choice(MIX_ROWS, count, p=weights / weights.sum())
        news = random.random(count) < MIX_NEW_PERCENT / 100
        known: dict[int, bytes] = {}
        return list(self._mixed(chosen, news, known))

    def _mixed(
        self, chosen: np.ndarray, news: np.ndarray, known: dict[int, bytes]
    ) -> Iterator[bytes]:
        for number, is_new in zip(chosen.tolist(), news.tolist(), strict=True):
            if is_new:
                yield self.new()
                continue
            if number not in known:
                known[number] = self.new()
            yield known[number]

    def _places(self, count: int) -> range:
        return range(min(count, len(self._samples)))
