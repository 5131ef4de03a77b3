"""The codec against anything: it takes what plain json and numpy read alike, or says why not.

Whatever once mattered is in `corpus/codec` and is replayed first: a JSON body as it is, a body with
binary tensors after a line that holds the length of its JSON part, a packed body as .gz.
FUZZ_EXAMPLES says how many inputs each test makes (`make fuzz`).
"""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.api.codec import V2Request, decode_request, plain_floats
from app.gunzip import gunzip
from engine.errors import InvalidInput
from engine.types import NUMPY_DTYPES
from tests.fuzz.chance import FUZZ
from tests.fuzz.codec_model import tensors_of

CORPUS = Path(__file__).parent / "corpus/codec"
MAX_ELEMENTS, MAX_ROWS, CAP = 10_000, 1000, 1 << 20
MOST_WORDS = 1000


def decoded(content: bytes, json_length: str = "", keeps: bool = True) -> V2Request | None:
    """The request, checked against plain json and numpy; None where it is refused as documented.

    keeps: what crashes becomes part of the corpus.
    """
    try:
        request = decode_request(content, json_length, MAX_ELEMENTS, MAX_ROWS)
    except InvalidInput as error:
        if not 0 < len(str(error)) < MOST_WORDS:
            pytest.fail(f"not a message: {str(error)[:MOST_WORDS]}")
        return None
    except RecursionError:
        return None  # the front answers 400
    except Exception:
        if keeps:
            _keep(content, json_length)
        raise
    wanted = tensors_of(content, int(json_length) if json_length else None)
    assert list(request.inputs) == list(wanted)
    for name, tensor in request.inputs.items():
        assert tensor.dtype == wanted[name].dtype
        assert tensor.shape == wanted[name].shape
        assert 0 < tensor.size <= MAX_ELEMENTS
        np.testing.assert_array_equal(tensor, wanted[name])
    return request


def _keep(content: bytes, json_length: str) -> None:
    kept = b"%b\n%b" % (json_length.encode(), content) if json_length else content
    suffix = "binary" if json_length else "json"
    (CORPUS / f"crash-{hashlib.sha256(kept).hexdigest()[:12]}.{suffix}").write_bytes(kept)


@pytest.mark.parametrize("path", sorted(CORPUS.iterdir()), ids=lambda path: path.name)
def test_what_once_mattered_is_no_crash(path: Path) -> None:
    content, length = path.read_bytes(), ""
    if path.suffix == ".gz":
        unpacked = _unpacked(content)
        content = b"" if unpacked is None else unpacked
    elif path.suffix == ".binary":
        first, _, content = content.partition(b"\n")
        length = first.decode("latin-1")
    request = decoded(content, length, keeps=False)
    assert (request is not None) == path.name.startswith("good-")


def _unpacked(body: bytes) -> bytes | None:
    try:
        return gunzip(body, CAP)
    except ValueError:
        return None


# from the grammar, and from good requests with something wrong

ODD = st.sampled_from(
    [
        *(None, True, False, 0, -1, 1, 30, 255, 256, -129, 2**31, 2**53 + 1, 2**63, 2**64 - 1),
        *(2**64, -(2**63), 10**30, 0.0, -0.0, 2.5, 1e308, 1e39, 70_000.0, 5e-324, 1e-8),
        *("", "a", "1.5", "\0", "nan", "FP64", "../..", "x" * 5000, "\N{GRINNING FACE}"),
        *([], {}, [1], [[1]], {"": 1}),
    ]
)
SCALARS = ODD | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
ANY = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=5), max_leaves=20)
DATATYPES = st.sampled_from([*NUMPY_DTYPES, "FP64", "FP64"])
NAMES = st.text(min_size=1, max_size=3)
SHAPES = st.lists(st.integers(-1, 6), min_size=0, max_size=4) | st.lists(ANY, max_size=9) | ANY
FIELDS = {
    "name": st.sampled_from(["", "../..", "a\0"]) | ANY,
    "datatype": st.sampled_from(["FP128", "fp64", "", *NUMPY_DTYPES]) | ANY,
    "shape": SHAPES,
    "data": ANY,
    "parameters": st.dictionaries(st.just("binary_data_size"), ANY) | ANY,
}
LENGTHS = st.sampled_from(["-1", "+5", "1_0", " 5", "\xb2", "5\xb3", "9" * 13, "9" * 5000, "0"])

TEXTS = st.text(max_size=4).map(str.encode)


def values_of(datatype: str) -> st.SearchStrategy[Any]:
    dtype = NUMPY_DTYPES.get(datatype, np.dtype(float))
    if dtype.kind == "O":
        return st.text(max_size=8)
    if dtype.kind == "b":
        return st.booleans()
    if dtype.kind in "iu":
        bounds = np.iinfo(dtype)
        return st.integers(int(bounds.min), int(bounds.max))
    return st.floats(width=dtype.itemsize * 8, allow_nan=False, allow_infinity=False)  # type: ignore[call-overload,no-any-return]


@st.composite
def tensors(draw: st.DrawFn) -> dict[str, Any]:
    """Mostly what fits; sometimes one value, one size or one field is something else."""
    datatype = draw(DATATYPES)
    shape = draw(st.lists(st.integers(1, 4), min_size=1, max_size=3))
    elements = int(np.prod(shape))
    data: Any = draw(st.lists(values_of(datatype), min_size=elements, max_size=elements))
    if draw(st.integers(0, 9)) == 0:
        data[draw(st.integers(0, elements - 1))] = draw(ANY)
    if draw(st.booleans()):
        nested = np.empty(elements, dtype=object)
        nested[:] = data
        data = nested.reshape(shape).tolist()
    item = {"name": draw(NAMES), "datatype": datatype, "shape": shape, "data": data}
    if draw(st.integers(0, 9)) == 0:
        field = draw(st.sampled_from(sorted(FIELDS)))
        item[field] = draw(FIELDS[field])
    return item


@st.composite
def bodies(draw: st.DrawFn) -> dict[str, Any]:
    body: dict[str, Any] = {"inputs": draw(st.lists(tensors(), max_size=3))}
    for field in ("id", "outputs", "parameters", "inputs"):
        if draw(st.integers(0, 19)) == 0:
            body[field] = draw(ANY)
    return body


def content_of(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")


@FUZZ
@given(bodies())
def test_json_requests(body: dict[str, Any]) -> None:
    decoded(content_of(body))


@FUZZ
@given(bodies(), st.data())
def test_json_requests_with_bytes_changed(body: dict[str, Any], data: st.DataObject) -> None:
    content = bytearray(content_of(body))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place : place + data.draw(st.integers(0, 2))] = data.draw(
            st.sampled_from([b"", b"[", b"]", b",", b'"', b"\\", b"e9", b"0", b"-", b"null"])
            | st.binary(max_size=2)
        )
    decoded(bytes(content))


@FUZZ
@given(st.lists(tensors(), min_size=1, max_size=3), st.data())
def test_binary_requests(items: list[dict[str, Any]], data: st.DataObject) -> None:
    rest = b""
    for item in items:
        if data.draw(st.booleans()):
            raw = _raw_of(item, data)
            size: Any = len(raw)
            if data.draw(st.integers(0, 9)) == 0:
                size = data.draw(ANY)
            item.pop("data", None)
            item["parameters"] = {"binary_data_size": size}
            rest += raw
    head = content_of({"inputs": items})
    length = str(len(head))
    if data.draw(st.integers(0, 9)) == 0:
        length = data.draw(LENGTHS | st.text(st.characters(max_codepoint=255), max_size=6))
    decoded(head + rest, length)


def _raw_of(item: dict[str, Any], data: st.DataObject) -> bytes:
    """Bytes that may fit the item, or not."""
    if data.draw(st.integers(0, 9)) == 0:
        return data.draw(st.binary(max_size=40))
    dtype = NUMPY_DTYPES.get(str(item.get("datatype")), np.dtype(np.float64))
    try:
        elements = int(np.prod(item["shape"]))
    except (TypeError, ValueError, OverflowError):
        elements = 1
    elements = min(max(elements, 0), 64)
    if dtype.kind != "O":
        return data.draw(
            st.binary(min_size=elements * dtype.itemsize, max_size=elements * dtype.itemsize)
        )
    some = st.binary(max_size=5) if data.draw(st.integers(0, 3)) == 0 else TEXTS
    texts = data.draw(st.lists(some, min_size=elements, max_size=elements))
    return b"".join(len(text).to_bytes(4, "little") + text for text in texts)


@FUZZ
@given(st.binary(max_size=200), st.data())
def test_packed_bodies(content: bytes, data: st.DataObject) -> None:
    packed = bytearray(gzip.compress(content, mtime=0))
    changes = data.draw(st.integers(0, 2))
    for _ in range(changes):
        place = data.draw(st.integers(0, len(packed) - 1))
        packed[place : place + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=4))
    cap = data.draw(st.integers(0, 300))
    try:
        found = gunzip(bytes(packed), cap)
    except ValueError:
        assert changes or not content
        return
    if found is not None:
        assert len(found) <= cap
        assert found == gzip.decompress(bytes(packed))
    elif not changes:
        assert len(content) > cap


@FUZZ
@given(st.lists(SCALARS | ANY, max_size=8))
def test_plain_floats_is_what_numpy_reads_or_nothing(data: list[Any]) -> None:
    found = plain_floats(data)
    if found is not None:
        np.testing.assert_array_equal(found, np.array(data, dtype=np.float64))
        assert not any(isinstance(value, str | list | dict) or value is None for value in data)
