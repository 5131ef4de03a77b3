"""With every optimisation off the server is plain scikit-learn, and the answers are the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine.config import Settings
from engine.engine import Engine
from engine.types import InferRequest
from tests.integration.test_parity_over_http import MODELS, rows_of


@pytest.mark.parametrize("model", MODELS)
def test_optimised_answers_equal_plain_ones(
    bundled_models: Path, shared_state: Path, model: str
) -> None:
    name, rows = rows_of(bundled_models / model)
    answers = []
    for optimise in (True, False):
        engine = Engine(Settings(models=bundled_models, state=shared_state, optimise=optimise))
        try:
            result = engine.infer(InferRequest(model, {name: rows}))
            again = engine.infer(InferRequest(model, {name: rows}))
        finally:
            engine.close()
        assert again.cache_hit == optimise
        assert (result.backend == "scikit-learn") == (not optimise)
        assert result.cold_start
        answers.append(result.outputs["predict"])
    np.testing.assert_allclose(answers[0], answers[1], rtol=0, atol=1e-5)


def test_results_cannot_be_changed_by_their_receiver(
    bundled_models: Path, shared_state: Path
) -> None:
    name, rows = rows_of(bundled_models / "breast_cancer")
    engine = Engine(Settings(models=bundled_models, state=shared_state))
    try:
        result = engine.infer(InferRequest("breast_cancer", {name: rows[:1]}))
    finally:
        engine.close()
    with pytest.raises(ValueError, match="read-only"):
        result.outputs["predict"][0] = 7
