"""Wrong infer requests: each is 400 and says what is wrong; by both doors and the lane."""

from __future__ import annotations

import http.client
import json
import struct
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from tests.conftest import RunningServer
from tests.contract.http import call
from tests.contract.refusals import GOOD, INFER, LONG, MISSING, ROW, content_of, nested, said, with_

TENSORS: dict[str, tuple[dict[str, Any], str]] = {
    "0 rows": (with_(shape=[0, 30], data=[]), "'input' has 0 rows"),
    "an empty dimension": (with_(shape=[1, 0], data=[]), "'input' has 0 rows or an empty"),
    "fewer values than the shape": (with_(data=ROW[:29]), "'input' has 29 elements"),
    "more values than the shape": (with_(data=[*ROW, 1.0]), "'input' has 31 elements"),
    "nested otherwise than the shape": (
        with_(data=[ROW[:15], ROW[15:]]),
        "'input' has data of shape [2, 15]",
    ),
    "nested deeper than the shape": (with_(data=[[[value] for value in ROW]]), "'input' has data"),
    "ragged": (with_(shape=[2, 30], data=[ROW, ROW[:3]]), "'input' has ragged data"),
    "a list among values": (with_(data=[*ROW[:29], [1.0]]), "'input' holds values"),
    "another width": (with_(shape=[1, 29], data=ROW[:29]), "'input' has shape [1, 29]"),
    "another number of dimensions": (with_(shape=[30]), "'input' has shape [30]"),
    "a negative size": (with_(shape=[-1, 30]), "'input' has shape [-1, 30]"),
    "two negative sizes": (with_(shape=[-1, -30]), "'input' has shape"),
    "sizes whose product overflows": (with_(shape=[2**33, 2**33]), "'input' has 7378697"),
    "sizes that wrap to 30": (with_(shape=[2**32, 2**32, 30]), "'input' has"),
    "a size beyond 64 bits": (with_(shape=[2**70, 30]), "'input' has shape"),
    "too many rows": (with_(shape=[1_000_001, 1], data=[]), "'input' has 1000001 rows; the limit"),
    "too many elements": (with_(shape=[200_000, 30], data=[]), "'input' has 6000000 elements"),
    "too many dimensions": (with_(shape=[1] * 8 + [30]), "'input' has shape"),
    "no dimensions": (with_(shape=[]), "'input' has shape []"),
    "a shape that is a number": (with_(shape=30), "'input' has shape 30"),
    "a float size": (with_(shape=[1.0, 30]), "'input' has shape [1.0, 30]"),
    "a true size": (with_(shape=[True, 30]), "'input' has shape [True, 30]"),
    "a text size": (with_(shape=["1", 30]), "'input' has shape"),
    "an unknown datatype": (with_(datatype="FP128"), "'input' has unknown datatype 'FP128'"),
    "a datatype in lower case": (with_(datatype="fp64"), "unknown datatype 'fp64'"),
    "a datatype that is a number": (with_(datatype=64), "unknown datatype '64'"),
    "no datatype": (with_(datatype=MISSING), "unknown datatype 'None'"),
    "BYTES for numbers": (with_(datatype="BYTES", data=["a"] * 30), "'input' is BYTES"),
    "numbers as BYTES": (with_(datatype="BYTES"), "holds something that is no string"),
    "text for numbers": (with_(data=["1.5"] * 30), "'input' holds values that are not FP64"),
    "one text among numbers": (with_(data=[*ROW[:29], "1.5"]), "'input' holds values"),
    "booleans for numbers": (with_(data=[True] * 30), "'input' holds values that are not FP64"),
    "numbers for booleans": (with_(datatype="BOOL"), "'input' holds values that are not BOOL"),
    "floats for integers": (with_(datatype="INT64"), "holds values that are not INT64"),
    "null among integers": (with_(datatype="INT32", data=[None] * 30), "are not INT32"),
    "an object among numbers": (with_(data=[*ROW[:29], {}]), "'input' holds values"),
    "beyond INT8": (with_(datatype="INT8", data=[128] * 30), "holds a value outside INT8"),
    "below UINT8": (with_(datatype="UINT8", data=[-1] * 30), "holds a value outside UINT8"),
    "beyond FP16": (with_(datatype="FP16", data=[70_000.0] * 30), "holds a value beyond FP16"),
    "beyond what the model takes": (with_(data=[1e300, *ROW[1:]]), "'input' holds"),
    "an integer beyond 64 bits": (with_(data=[10**30, *ROW[1:]]), "an integer beyond 64 bits"),
    "no data": (with_(data=MISSING), "'input' has no list 'data'"),
    "data that is a number": (with_(data=1.0), "'input' has no list 'data'"),
    "data that is text": (with_(data="1" * 30), "'input' has no list 'data'"),
    "another name": (with_(name="other"), "unexpected input 'other'"),
    "a name with NUL": (with_(name="input\0"), "unexpected input 'input\\x00'"),
    "a name that is a path": (with_(name="../../etc/passwd"), "unexpected input '../../etc"),
    "a name in other letters": (with_(name="ïnput"), "unexpected input 'ïnput'"),
    "a long name": (with_(name="n" * 100_000), "unexpected input 'nnn"),
    "no name": (with_(name=MISSING), "inputs must be an object with a name"),
    "a name that is a number": (with_(name=1), "inputs must be an object with a name"),
    "a text as long as the data": (with_(shape=[1000, 30], data=[0.5] * 29_999 + ["x" * 30_000]),
        "'input' holds values"),
    "binary data that is not there": (
        with_(data=MISSING, parameters={"binary_data_size": 240}),
        "'input' has binary_data_size 240; 0 bytes are left",
    ),
    "a size of binary data that is a list": (
        with_(data=MISSING, parameters={"binary_data_size": nested(900)}),
        "'input' has binary_data_size [[[",
    ),
    "deep data": (with_(data=nested(900)), "'input'"),
    "a deep shape": (with_(shape=nested(900)), "'input' has shape"),
    "a deep datatype": (with_(datatype=nested(900)), "unknown datatype"),
}  # fmt: skip
BODIES_OF_INFER: dict[str, tuple[Any, str]] = {
    "nothing": (b"", "no valid JSON"),
    "cut": (b'{"inputs": [', "no valid JSON"),
    "no UTF-8": (b'{"inputs": ["\xff"]}', "no valid JSON"),
    "half a surrogate pair": (rb'{"inputs": ["\ud800"]}', "no valid JSON"),
    "NaN": (json.dumps({"inputs": [with_(data=[float("nan")] * 30)]}).encode(), "no valid JSON"),
    "Infinity": (json.dumps({"inputs": [with_(data=[float("inf")] * 30)]}).encode(), "no valid"),
    "a float beyond all": (b'{"inputs": [1e999]}', "no valid JSON"),
    "nested past the parser's limit": (b"[" * 2000 + b"]" * 2000, "no valid JSON"),
    "nested without end": (b'{"a":' * 300_000, "no valid JSON"),
    "a list": (b"[]", "must be an object"),
    "a text": (b'"inputs"', "must be an object"),
    "no inputs": ({}, "must be an object with a list 'inputs'"),
    "inputs that are an object": ({"inputs": {"input": GOOD}}, "a list 'inputs'"),
    "an empty list": ({"inputs": []}, "missing input 'mean radius'"),
    "an input that is text": ({"inputs": ["input"]}, "each of inputs must be an object"),
    "a missing input": ({"inputs": [with_(name="mean radius", shape=[1], data=[1.0])]}, "missing"),
    "an extra input": ({"inputs": [GOOD, with_(name="more")]}, "unexpected input 'more'"),
    "a duplicate input": ({"inputs": [GOOD, GOOD]}, "input 'input' is given twice"),
    "an id that is a number": ({"inputs": [GOOD], "id": 1}, "id must be a string"),
    "outputs that are an object": ({"inputs": [GOOD], "outputs": {}}, "outputs must be a list"),
    "an output without a name": ({"inputs": [GOOD], "outputs": [{}]}, "each of outputs"),
    "an unknown output": ({"inputs": [GOOD], "outputs": [{"name": "no\0"}]}, "'no\\x00' is"),
    "a duplicate output": (
        {"inputs": [GOOD], "outputs": [{"name": "predict"}, {"name": "predict"}]},
        "output 'predict' is asked for twice",
    ),
    "a long unknown output": ({"inputs": [GOOD], "outputs": [{"name": "o" * 99_999}]}, "'ooo"),
}
CASES: dict[str, tuple[Any, str]] = BODIES_OF_INFER | {
    name: ({"inputs": [tensor]}, words) for name, (tensor, words) in TENSORS.items()
}


@pytest.mark.parametrize("case", CASES)
def test_a_wrong_request_is_400_and_names_what_is_wrong(port: int, case: str) -> None:
    body, words = CASES[case]
    status, headers, answer = call(port, "POST", INFER, content_of(body))
    assert words in said(status, answer)
    assert status == 400
    assert headers["x-request-id"]


def test_the_fast_lane_refuses_the_same_with_the_same_words(server: RunningServer) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)

    def ask(content: bytes) -> tuple[int, bytes]:
        connection.request("POST", INFER, content, {"Cache-Control": "no-cache"})
        answer = connection.getresponse()
        return answer.status, answer.read()

    answered_together = _together(server)
    for body, _ in CASES.values():
        # The same length as the good one's makes the same head: both go to the lane.
        content = content_of(body)
        good = content_of({"inputs": [GOOD]}).ljust(len(content))
        if len(content) < len(good):
            content = content.ljust(len(good))
        for _ in range(2):
            assert ask(good)[0] == 200
        fast = ask(content)
        usual = call(server.port, "POST", INFER, content, {"X-Request-ID": "usual"})
        assert fast[0] == usual[0] == 400
        assert json.loads(fast[1]) == usual[2]
    assert _together(server) > answered_together + len(CASES)
    connection.close()


def test_a_wrong_request_is_as_wrong_in_company(server: RunningServer) -> None:
    """Booleans alone are no numbers; numpy would make numbers of them beside those of others."""
    good = content_of({"inputs": [GOOD]})
    wrong = content_of({"inputs": [with_(data=[True] * 30)]}).ljust(len(good))
    good = good.ljust(len(wrong))

    def ask(content: bytes) -> set[int]:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        statuses = set()
        for _ in range(200):
            connection.request("POST", INFER, content, {"Cache-Control": "no-cache"})
            answer = connection.getresponse()
            answer.read()
            statuses.add(answer.status)
        connection.close()
        return statuses

    with ThreadPoolExecutor(8) as pool:
        answered = list(pool.map(ask, [good, wrong] * 4))
    assert answered == [{200}, {400}] * 4


def _together(server: RunningServer) -> int:
    figures = call(server.port, "GET", "/performance/system")[2]["http"]["fast_lane"]
    return int(figures["answered_together"])


def test_duplicate_keys_count_as_in_json_the_last_one_wins(port: int) -> None:
    good = json.dumps(GOOD)
    twice = good[:-1] + f', "datatype": "FP999", "datatype": "FP64", "data": {ROW}}}'
    body = f'{{"inputs": 5, "inputs": [{twice}]}}'
    status, _, answer = call(port, "POST", INFER, body.encode())
    assert status == 200
    assert answer["outputs"] == call(port, "POST", INFER, {"inputs": [GOOD]})[2]["outputs"]
    wrong = f'{{"inputs": [{good}], "inputs": 5}}'
    assert call(port, "POST", INFER, wrong.encode())[0] == 400


def test_a_hundred_thousand_outputs_are_refused_at_once(port: int) -> None:
    outputs = [{"name": f"o{place}"} for place in range(100_000)]
    began_s = time.monotonic()
    status, _, answer = call(port, "POST", INFER, {"inputs": [GOOD], "outputs": outputs})
    assert "output 'o0' is unknown" in said(status, answer)
    assert time.monotonic() - began_s < 20  # minutes where each is compared with each


# binary tensors


def binary(tensor: dict[str, Any], data: bytes, length: str | None = None) -> dict[str, Any]:
    head = json.dumps({"inputs": [tensor]}).encode()
    headers = {"Inference-Header-Content-Length": str(len(head)) if length is None else length}
    return {"body": head + data, "headers": headers}


def of_size(size: Any, **changes: Any) -> dict[str, Any]:
    return with_(data=MISSING, parameters={"binary_data_size": size}, **changes)


RAW = np.array(ROW).tobytes()
BINARY: dict[str, tuple[dict[str, Any], str]] = {
    "fewer bytes than the shape": (binary(of_size(232), RAW[:232]), "'input' has 232 bytes"),
    "bytes after the last": (binary(of_size(240), RAW + b"x"), "1 bytes follow the last"),
    "fewer bytes than said": (binary(of_size(240), RAW[:239]), "binary_data_size 240; 239 bytes"),
    "a negative size": (binary(of_size(-1), RAW), "'input' has binary_data_size -1"),
    "a size beyond 64 bits": (binary(of_size(2**70), RAW), "'input' has binary_data_size"),
    "a true size": (binary(of_size(True), RAW), "'input' has binary_data_size True"),
    "a text size": (binary(of_size("240"), RAW), "'input' has binary_data_size"),
    "data as well": (
        binary(with_(parameters={"binary_data_size": 240}), RAW),
        "'input' has both data and binary_data_size",
    ),
    "infinity": (binary(of_size(240), struct.pack("<30d", *[float("inf")] * 30)), "'input' holds"),
    "a JSON part longer than the body": (binary(GOOD, b"", "99999"), "is '99999'; the body has"),
    "a JSON part of no length": (binary(GOOD, b"", "-1"), "Inference-Header-Content-Length is"),
    "a length that is no number": (binary(GOOD, b"", "1e2"), "Inference-Header-Content-Length is"),
    "a length in other digits": (binary(GOOD, b"", "\xb2\xb3"), "Inference-Header-Content-Length"),
    "a length beyond all": (binary(GOOD, b"", LONG), "Inference-Header-Content-Length is"),
    "a length that cuts the JSON": (binary(GOOD, b"", "20"), "no valid JSON"),
    "text shorter than its length": (
        binary(of_size(8, datatype="BYTES", shape=[1]), struct.pack("<I", 99) + b"abcd"),
        "'input' does not hold 1 length-prefixed elements",
    ),
    "text with a cut length": (
        binary(of_size(3, datatype="BYTES", shape=[1]), b"\x01\x00\x00"),
        "'input' does not hold 1 length-prefixed elements",
    ),
    "text that is no UTF-8": (
        binary(of_size(5, datatype="BYTES", shape=[1]), struct.pack("<I", 1) + b"\xff"),
        "'input' holds bytes that are not UTF-8",
    ),
}


@pytest.mark.parametrize("case", BINARY)
def test_a_wrong_binary_tensor_is_400_and_names_what_is_wrong(port: int, case: str) -> None:
    request, words = BINARY[case]
    status, _, answer = call(port, "POST", INFER, request["body"], request["headers"])
    assert words in said(status, answer)
    assert status == 400


@pytest.mark.parametrize(
    ("model", "width", "takes"), [("breast_cancer", 30, True), ("digits", 64, False)]
)
def test_nan_in_a_binary_tensor_passes_only_where_the_model_takes_it(
    port: int, model: str, width: int, takes: bool
) -> None:
    data = np.full(width, np.nan).tobytes()
    request = binary(of_size(len(data), shape=[1, width]), data)
    path = f"/v2/models/{model}/infer"
    status, _, answer = call(port, "POST", path, request["body"], request["headers"])
    assert status == (200 if takes else 400)
    assert takes or "'input' holds NaN" in said(status, answer)
