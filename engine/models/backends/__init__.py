"""Backends run a model. Each is opened from files and answers arrays for arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np


class Backend(Protocol):
    """One executable form of a model.

    name: as shown to users, for example ``onnxruntime-f32``.
    covers: the outputs this form can give.
    """

    name: str
    covers: frozenset[str]

    def run(
        self, inputs: Mapping[str, np.ndarray], outputs: tuple[str, ...]
    ) -> dict[str, np.ndarray]:
        """Outputs for bound inputs, each with the inputs' rows first.

        outputs: a subset of `covers`. Raises whatever the model library raises.
        Safe to call from several threads at once.
        """
        ...
