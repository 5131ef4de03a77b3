"""What a recording keeps of a request."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest

from bench.lab.redact import Redactor
from engine.errors import InvalidInput

BODY = {
    "id": "customer 4711",
    "inputs": [
        {"name": "text", "datatype": "BYTES", "shape": [2], "data": ["secret", "secret"]},
        {"name": "x", "datatype": "FP64", "shape": [3], "data": [1.5, None, -2.0]},
        {"name": "n", "datatype": "INT64", "shape": [2], "data": [100, 100]},
        {"name": "b", "datatype": "BOOL", "shape": [2], "data": [True, False]},
    ],
    "parameters": {"content_type": "np", "note": "from Ada"},
}


def texts_of(elements: list[bytes]) -> bytes:
    return b"".join(struct.pack("<I", len(one)) + one for one in elements)


def test_texts_are_replaced_by_others_of_the_same_length() -> None:
    clean, _ = Redactor().request(BODY, b"")
    said = json.dumps(clean)
    assert "secret" not in said
    assert "Ada" not in said
    assert "4711" not in said
    assert [len(text) for text in clean["inputs"][0]["data"]] == [6, 6]
    assert len(clean["id"]) == len(BODY["id"])


def test_equal_texts_stay_equal_and_different_ones_different() -> None:
    redactor = Redactor()
    assert redactor.text("secret") == redactor.text("secret")
    assert redactor.text("secret") != redactor.text("secreT")


def test_two_recordings_replace_differently() -> None:
    assert Redactor().text("a long enough secret") != Redactor().text("a long enough secret")


def test_the_schema_and_numbers_are_kept() -> None:
    clean, _ = Redactor().request(BODY, b"")
    assert [tensor["name"] for tensor in clean["inputs"]] == ["text", "x", "n", "b"]
    assert clean["inputs"][1] == BODY["inputs"][1]
    assert clean["parameters"]["content_type"] == "np"
    assert clean["inputs"][3]["data"] == [True, False]


def test_numbers_move_by_at_most_the_jitter_and_equal_ones_alike() -> None:
    values = [float(v) for v in range(1, 2001)]
    body = {"inputs": [{"name": "x", "datatype": "FP64", "shape": [2000], "data": values}]}
    clean, _ = Redactor(jitter_percent=5).request(body, b"")
    ratios = np.array(clean["inputs"][0]["data"]) / np.array(values)
    assert 0.95 <= ratios.min() < 0.96
    assert 1.04 < ratios.max() <= 1.05
    assert abs(ratios.mean() - 1) < 0.005
    (same,) = Redactor(jitter_percent=5).request(
        {"inputs": [{"name": "n", "datatype": "INT64", "data": [1000, 1000]}]}, b""
    )[0]["inputs"]
    assert same["data"][0] == same["data"][1]
    assert isinstance(same["data"][0], int)


def test_binary_tensors_are_redacted_in_place() -> None:
    numbers = np.array([1.0, 2.0], dtype=np.float32)
    binary = texts_of([b"secret", b""]) + numbers.tobytes()
    body = {
        "inputs": [
            {"name": "t", "datatype": "BYTES", "parameters": {"binary_data_size": 14}},
            {"name": "x", "datatype": "FP32", "parameters": {"binary_data_size": 8}},
        ]
    }
    clean, redacted = Redactor().request(body, binary)
    assert b"secret" not in redacted
    assert redacted[:4] == struct.pack("<I", 6)
    assert redacted[10:] == struct.pack("<I", 0) + numbers.tobytes()
    assert clean["inputs"][0]["parameters"] == {"binary_data_size": 14}


@pytest.mark.parametrize("size", [-1, 9, "8", None])
def test_binary_sizes_that_do_not_fit_are_refused(size: object) -> None:
    body = {"inputs": [{"datatype": "FP64", "parameters": {"binary_data_size": size}}]}
    with pytest.raises(InvalidInput):
        Redactor().request(body, b"12345678")


def test_nothing_is_replaced_where_texts_are_to_be_kept() -> None:
    assert Redactor(keep_texts=True).request(BODY, b"")[0] == BODY


def test_the_ends_of_integers_do_not_overflow() -> None:
    ends = np.array([-(2**63), 2**63 - 1, 0], dtype=np.int64)
    moved = Redactor(jitter_percent=100).numbers(ends)
    assert moved.dtype == np.int64
    assert moved[0] < 0 < moved[1]


def test_deep_nesting_is_refused() -> None:
    body: dict[str, object] = {}
    for _ in range(100):
        body = {"a": body}
    with pytest.raises(InvalidInput, match="nested"):
        Redactor().request(body, b"")
