"""Which large bodies the event loop decodes itself: binary numbers alone."""

from __future__ import annotations

import json

import pytest

from app.api.v2 import LOOP_BINARY_BYTES, LOOP_BYTES, is_binary_numbers
from app.exchange import Request


def request(head: bytes, data_bytes: int, length: bytes | None = None) -> Request:
    given = str(len(head)).encode() if length is None else length
    headers = {b"inference-header-content-length": given} if given else {}
    return Request(b"POST", b"/v2/models/m/infer", headers, head + bytes(data_bytes))


def head(datatype: str) -> bytes:
    tensor = {"name": "a", "datatype": datatype, "shape": [1], "parameters": {}}
    return json.dumps({"inputs": [tensor]}).encode()


@pytest.mark.parametrize(
    ("asked", "is_numbers"),
    [
        (request(head("FP64"), 500_000), True),
        (request(head("FP64"), LOOP_BINARY_BYTES), False),
        (request(head("BYTES"), 500_000), False),
        (request(head("\N{GREEK SMALL LETTER ALPHA}BYT"), 500_000), False),
        (request(head("FP64").ljust(LOOP_BYTES + 1), 500_000), False),
        (request(head("FP64"), 500_000, b""), False),
        (request(head("FP64"), 500_000, b"x"), False),
        (request(head("FP64"), 500_000, b"9" * 5000), False),
    ],
    ids=["numbers", "large", "texts", "escaped", "long JSON", "JSON alone", "no length", "beyond"],
)
def test_only_binary_numbers_are_read_on_the_loop(asked: Request, is_numbers: bool) -> None:
    assert is_binary_numbers(asked) is is_numbers
