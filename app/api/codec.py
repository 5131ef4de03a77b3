"""V2 tensors to arrays and back, JSON and the binary tensor extension.

Every malformed tensor raises InvalidInput naming it. Binary tensors follow the JSON part
in the order of the inputs; BYTES elements are each preceded by their length, uint32 LE.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import orjson

from app.exchange import Response, parse_json
from engine.errors import InvalidInput
from engine.models.loaded import LoadedModel, Run
from engine.types import NUMPY_DTYPES, datatype_of

JSON_LENGTH_HEADER = "Inference-Header-Content-Length"
MAX_INTEGER = float(2**63)
FLOAT64 = np.dtype(np.float64)
SMALL = 2.0**125
"""A sum of squares below this holds no NaN, no infinity and nothing beyond 64-bit integers."""
_LONG_INTEGER = re.compile(rb"(?<![\d.eE+\-\"])-?\d{19,}(?![\d.eE])")
_KINDS = {"B": "b", "F": "iuf", "I": "iu", "U": "iu"}


@dataclass(slots=True)
class V2Request:
    """A decoded infer request. binary_outputs: names asked for as binary; None is all."""

    inputs: dict[str, np.ndarray]
    id: str | None = None
    outputs: tuple[str, ...] = ()
    binary_outputs: set[str] | None = field(default_factory=set)


def decode_request(content: bytes, json_length: str, max_elements: int) -> V2Request:
    """An infer request from its body. Raises InvalidInput naming what is wrong."""
    binary = memoryview(b"")
    if json_length:
        if not json_length.isdigit() or int(json_length) > len(content):
            raise InvalidInput(
                f"{JSON_LENGTH_HEADER} is {json_length[:32]!r}; the body has {len(content)} bytes"
            )
        binary = memoryview(content)[int(json_length) :]
        content = content[: int(json_length)]
    body = parse_json(content)
    if not isinstance(body, dict) or not isinstance(body.get("inputs"), list):
        raise InvalidInput("body must be an object with a list 'inputs'")
    inputs: dict[str, np.ndarray] = {}
    for item in body["inputs"]:
        name, array, binary = _decode_tensor(item, content, binary, max_elements)
        if name in inputs:
            raise InvalidInput(f"input {name[:80]!r} is given twice")
        inputs[name] = array
    if len(binary):
        raise InvalidInput(f"{len(binary)} bytes follow the last binary input")
    request_id = body.get("id")
    if request_id is not None and not isinstance(request_id, str):
        raise InvalidInput("id must be a string")
    outputs, binary_outputs = _decode_outputs(body)
    return V2Request(inputs, request_id, outputs, binary_outputs)


def _decode_outputs(body: dict[str, Any]) -> tuple[tuple[str, ...], set[str] | None]:
    items = body.get("outputs", [])
    if not isinstance(items, list):
        raise InvalidInput("outputs must be a list")
    names: list[str] = []
    binary: set[str] = set()
    parameters = body.get("parameters")
    all_binary = isinstance(parameters, dict) and parameters.get("binary_data_output") is True
    for item in items:
        if not isinstance(item, dict) or not isinstance(item.get("name"), str):
            raise InvalidInput("each of outputs must be an object with a name")
        if item["name"] in names:
            raise InvalidInput(f"output {item['name'][:80]!r} is asked for twice")
        names.append(item["name"])
        own = item.get("parameters")
        if (own.get("binary_data", all_binary) if isinstance(own, dict) else all_binary) is True:
            binary.add(item["name"])
    return tuple(names), (None if all_binary and not names else binary)


def _decode_tensor(
    item: Any, content: bytes, binary: memoryview, max_elements: int
) -> tuple[str, np.ndarray, memoryview]:
    if not isinstance(item, dict) or not isinstance(item.get("name"), str) or not item["name"]:
        raise InvalidInput("each of inputs must be an object with a name")
    name = item["name"]
    datatype, shape, parameters = item.get("datatype"), item.get("shape"), item.get("parameters")
    if not isinstance(datatype, str) or datatype not in NUMPY_DTYPES:
        raise InvalidInput(f"{_label(name)} has unknown datatype {str(datatype)[:40]!r}")
    elements = _elements(name, shape, max_elements)
    if parameters is None or not isinstance(parameters, dict):
        size = None
    else:
        size = parameters.get("binary_data_size")
    if size is not None:
        array = _from_binary(name, item, datatype, elements, binary)
        return name, array.reshape(shape), binary[size:]
    data = item.get("data")
    if not isinstance(data, list):
        raise InvalidInput(f"{_label(name)} has no list 'data'")
    if datatype == "FP64" and (plain := _plain_floats(data, elements)) is not None:
        return name, plain.reshape(shape), binary
    array = _from_json(_label(name), datatype, cast("list[int]", shape), elements, data, content)
    return name, array.reshape(shape), binary


def _label(name: str) -> str:
    return f"input {name[:80]!r}"


def _elements(name: str, shape: Any, max_elements: int) -> int:
    """The product of a shape. Raises InvalidInput for one that is none, or too large."""
    elements, is_shape = 1, isinstance(shape, list) and 1 <= len(shape) <= 8
    if is_shape:
        for size in shape:
            if type(size) is not int or size < 0:
                is_shape = False
                break
            elements *= size
    if not is_shape:
        raise InvalidInput(
            f"{_label(name)} has shape {str(shape)[:80]}; it must be a list of sizes >= 0"
        )
    if elements > max_elements:
        raise InvalidInput(f"{_label(name)} has {elements} elements; the limit is {max_elements}")
    if elements == 0:
        raise InvalidInput(f"{_label(name)} has 0 rows or an empty dimension; at least 1 is needed")
    return elements


def _plain_floats(data: list[Any], elements: int) -> np.ndarray | None:
    """A flat list of floats as float64, the usual case; None where it needs a closer look.

    A float among them makes the array float64; an integer beyond 64 bits would make the sum
    of squares large.
    """
    try:
        raw = np.array(data)
    except (ValueError, OverflowError):
        return None
    if raw.dtype is FLOAT64 and raw.ndim == 1 and raw.size == elements and raw.dot(raw) < SMALL:
        return raw
    return None


def _from_binary(
    name: str, item: dict[str, Any], datatype: str, elements: int, binary: memoryview
) -> np.ndarray:
    label, size = _label(name), item["parameters"]["binary_data_size"]
    if type(size) is not int or not 0 <= size <= len(binary):
        raise InvalidInput(f"{label} has binary_data_size {size!r}; {len(binary)} bytes are left")
    if "data" in item:
        raise InvalidInput(f"{label} has both data and binary_data_size")
    data = binary[:size]
    dtype = NUMPY_DTYPES[datatype]
    if datatype != "BYTES":
        if len(data) != elements * dtype.itemsize:
            raise InvalidInput(
                f"{label} has {len(data)} bytes; {elements} of {datatype} take "
                f"{elements * dtype.itemsize}"
            )
        return np.frombuffer(data, dtype=dtype.newbyteorder("<")).astype(dtype)
    texts: list[str] = []
    place = 0
    while place + 4 <= len(data) and len(texts) < elements:
        size = int.from_bytes(data[place : place + 4], "little")
        place += 4
        if size > len(data) - place:
            break
        texts.append(_utf8(label, bytes(data[place : place + size])))
        place += size
    if len(texts) != elements or place != len(data):
        raise InvalidInput(f"{label} does not hold {elements} length-prefixed elements")
    return np.array(texts, dtype=object)


def _utf8(label: str, content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise InvalidInput(f"{label} holds bytes that are not UTF-8") from None


def _from_json(
    label: str, datatype: str, shape: list[int], elements: int, data: list[Any], content: bytes
) -> np.ndarray:
    if datatype == "BYTES":
        texts = np.array(data, dtype=object).ravel() if _nested(data) else data
        if not all(type(text) is str for text in texts):
            raise InvalidInput(f"{label} is BYTES and holds something that is no string")
        if len(texts) != elements:
            raise InvalidInput(f"{label} has {len(texts)} elements; shape {shape} takes {elements}")
        array = np.empty(elements, dtype=object)
        array[:] = texts
        return array
    raw = _numbers(label, datatype, shape, data)
    if raw.ndim != 1 and list(raw.shape) != shape:
        raise InvalidInput(f"{label} has data of shape {list(raw.shape)}; shape says {shape}")
    if raw.size != elements:
        raise InvalidInput(f"{label} has {raw.size} elements; shape {shape} takes {elements}")
    if raw.dtype.kind not in _KINDS[datatype[0]]:
        raise InvalidInput(f"{label} holds values that are not {datatype}")
    if datatype == "BOOL":
        return raw
    largest = np.nanmax(np.abs(raw), initial=0) if raw.dtype.kind != "u" else raw.max()
    if not largest < MAX_INTEGER and _LONG_INTEGER.search(content) and datatype[0] == "F":
        raise InvalidInput(f"{label} holds an integer beyond 64 bits")
    return _cast(label, raw, datatype)


def _numbers(label: str, datatype: str, shape: list[int], data: list[Any]) -> np.ndarray:
    """Data as numpy reads it; null in a floating-point tensor is NaN."""
    try:
        raw = np.array(data)
    except (ValueError, OverflowError):
        raise InvalidInput(f"{label} has ragged data; shape is {shape}") from None
    if raw.dtype.kind == "O" and datatype[0] == "F":
        holes = np.frompyfunc(lambda value: value is None, 1, 1)(raw).astype(bool)
        if all(type(value) in (int, float) for value in raw[~holes]):
            raw = np.where(holes, np.nan, raw).astype(np.float64)
    return raw


def _nested(data: list[Any]) -> bool:
    return bool(data) and isinstance(data[0], list)


def _cast(label: str, raw: np.ndarray, datatype: str) -> np.ndarray:
    dtype = NUMPY_DTYPES[datatype]
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            array = raw.astype(dtype)
        if dtype.itemsize < 8 and np.isinf(array).any():
            raise InvalidInput(f"{label} holds a value beyond {datatype}")
        return array
    bounds = np.iinfo(dtype)
    if int(raw.min()) < bounds.min or int(raw.max()) > bounds.max:
        raise InvalidInput(f"{label} holds a value outside {datatype}")
    return raw.astype(dtype)


def encode_answer(model: LoadedModel, run: Run, request: V2Request) -> Response:
    """The V2 answer; outputs asked for as binary follow the JSON part."""
    outputs: list[dict[str, Any]] = []
    chunks: list[bytes] = []
    for name, array in run.outputs.items():
        output: dict[str, Any] = {
            "name": name,
            "datatype": datatype_of(array),
            "shape": list(array.shape),
        }
        if request.binary_outputs is None or name in request.binary_outputs:
            chunk = _to_binary(array)
            output["parameters"] = {"binary_data_size": len(chunk)}
            chunks.append(chunk)
        else:
            flat = array.reshape(-1)
            output["data"] = flat.tolist() if array.dtype.kind in "OUS" else flat
        outputs.append(output)
    body: dict[str, Any] = {"model_name": model.name, "model_version": model.version}
    if request.id is not None:
        body["id"] = request.id
    if model.degraded is not None:
        body["parameters"] = {"degraded": model.degraded}
    body["outputs"] = outputs
    text = orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY)
    if not chunks:
        return Response(200, text)
    return Response(
        200,
        b"".join((text, *chunks)),
        [("content-type", "application/octet-stream"), (JSON_LENGTH_HEADER, str(len(text)))],
    )


def _to_binary(array: np.ndarray) -> bytes:
    if array.dtype.kind not in "OUS":
        return array.tobytes()
    encoded = [str(text).encode() for text in array.reshape(-1)]
    return b"".join(len(text).to_bytes(4, "little") + text for text in encoded)
