"""The text example compiled to ONNX gives scikit-learn's answers, on nasty texts too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.models.backends.onnx_backend import OnnxBackend
from engine.models.onnx_convert import convert
from engine.models.parity import compare
from engine.models.signature import Signature
from engine.types import TensorSpec
from examples.contracts import build_contract_classifier
from examples.writer import BuiltModel

OUTPUTS = ("predict", "predict_proba")
TOLERANCE = 1e-5
PIECES = (
    *"aZ_09. \n\r\t;({}\x00\x01\x0b\x1c\x7f",
    *("é", "e\u0301", "漢", "🙂", "\u0085", "\u00a0", "\u2028", "\ufeff", "\u017f", "\u212a"),
    *("tx.origin", "msg.sender", "unchecked", "selfdestruct", "//", "\r\n", "1e5"),
)
"""What tokenisers may disagree on: spaces, controls, letters that fold into ASCII."""


@pytest.fixture(scope="module")
def built() -> BuiltModel:
    return build_contract_classifier()


@pytest.fixture(scope="module")
def graph(built: BuiltModel, tmp_path_factory: pytest.TempPathFactory) -> OnnxBackend:
    path = tmp_path_factory.mktemp("onnx") / "model-f32.onnx"
    signature = Signature((TensorSpec("contract_code", "BYTES", (-1,)),), ())
    expected = oracle(built.estimator, built.samples[:2])
    recipe = convert(built.estimator, "f32", signature, {}, expected, path)
    return OnnxBackend("onnxruntime-f32", path, recipe)


def oracle(estimator: Any, rows: np.ndarray) -> dict[str, np.ndarray]:
    return {output: getattr(estimator, output)(rows) for output in OUTPUTS}


def texts_to_compare(samples: list[str]) -> list[str]:
    random = np.random.default_rng(17)
    mixed = ["".join(random.choice(PIECES, random.integers(1, 80))) for _ in range(400)]
    spliced = []
    for text in samples[:300]:
        place = int(random.integers(len(text)))
        spliced.append(text[:place] + str(random.choice(PIECES)) + text[place:])
    whole = "".join(samples)
    return [
        *samples,
        *mixed,
        *spliced,
        *(text.replace("\n", "\r\n") for text in samples[:50]),
        *(text.strip() for text in samples[:20]),
        *("", " ", "\n", "\r\n\t", "\u3000", "_", ".", "..tx", "tx.", "tx..origin"),
        *("9tx.origin", "tx.origin", "tx.origin\n", "a\rb", "tx.origin\x00", "\x00tx.origin"),
        *(whole[:50_000], "x" * 50_000, " " * 50_000, "é" * 50_000, "tx.origin\n" * 5_000),
    ]


def test_the_graph_gives_the_answers_of_scikit_learn(built: BuiltModel, graph: OnnxBackend) -> None:
    rows = np.array(texts_to_compare([str(text) for text in built.samples]), dtype=object)
    assert len(rows) >= 1000
    parity = compare(oracle(built.estimator, rows), graph.run({"contract_code": rows}, OUTPUTS))
    assert parity.agrees(TOLERANCE), parity


@pytest.mark.parametrize("text", ["", " \n", "é漢🙂", "\x00", "tx.origin"])
def test_one_text_alone_is_answered_too(built: BuiltModel, graph: OnnxBackend, text: str) -> None:
    rows = np.array([text], dtype=object)
    parity = compare(oracle(built.estimator, rows), graph.run({"contract_code": rows}, OUTPUTS))
    assert parity.agrees(TOLERANCE), parity


def test_the_artefact_needs_no_trusted_types(built: BuiltModel, tmp_path: Path) -> None:
    import skops.io

    skops.io.dump(built.estimator, tmp_path / "model.skops")
    loaded = skops.io.load(tmp_path / "model.skops", trusted=[])
    rows = np.array([str(text) for text in built.samples[:20]], dtype=object)
    np.testing.assert_array_equal(loaded.predict_proba(rows), built.estimator.predict_proba(rows))
