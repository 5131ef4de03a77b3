from __future__ import annotations

import json

import numpy as np
import pytest

from bench.gate.cases import BY_NAME, CACHED_ROWS, CASES, chosen_cases, digest_of, requests_of
from engine.errors import InvalidInput

ROWS = np.arange(500 * 30, dtype=float).reshape(500, 30)


def parts(request: bytes) -> tuple[list[str], bytes]:
    head, body = request.split(b"\r\n\r\n", 1)
    return head.decode().split("\r\n"), body


def test_all_cases_are_chosen_where_none_is_named() -> None:
    assert chosen_cases("") == list(CASES)


def test_cases_are_chosen_in_the_order_given_once() -> None:
    assert [case.name for case in chosen_cases("cached, forest,cached")] == ["cached", "forest"]


def test_an_unknown_case_is_named() -> None:
    with pytest.raises(InvalidInput, match=r"cases has 'forrest'; known are forest,"):
        chosen_cases("forest,forrest")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_request_declares_its_length(case: object) -> None:
    for request in requests_of(case, ROWS)[:3]:  # type: ignore[arg-type]
        lines, body = parts(request)
        assert f"content-length: {len(body)}" in lines


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_only_the_cached_case_allows_cached_answers(case: object) -> None:
    lines, _ = parts(requests_of(case, ROWS)[0])  # type: ignore[arg-type]
    assert ("cache-control: no-cache" in lines) == (case.name != "cached")  # type: ignore[attr-defined]


def test_rows_are_all_different_but_for_the_cached_case() -> None:
    assert len(set(requests_of(BY_NAME["forest"], ROWS))) == 500
    assert len(requests_of(BY_NAME["cached"], ROWS)) == CACHED_ROWS


def test_a_binary_request_holds_its_row() -> None:
    lines, body = parts(requests_of(BY_NAME["binary"], ROWS)[2])
    length = next(line for line in lines if line.startswith("inference-header-content-length"))
    split = int(length.split(": ")[1])
    (tensor,) = json.loads(body[:split])["inputs"]
    assert tensor["parameters"]["binary_data_size"] == len(body) - split
    assert np.frombuffer(body[split:], "<f8").tolist() == ROWS[2].tolist()


def test_a_digest_tells_other_requests_apart() -> None:
    first, second = (digest_of(requests_of(BY_NAME["forest"], ROWS + more)) for more in (0, 1))
    assert first != second
    assert first == digest_of(requests_of(BY_NAME["forest"], ROWS))
