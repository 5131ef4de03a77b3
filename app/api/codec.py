"""V2 tensors to arrays and back, JSON and the binary tensor extension.

Every malformed tensor raises InvalidInput naming it. Binary tensors follow the JSON part
in the order of the inputs; BYTES elements are each preceded by their length, uint32 LE.
"""

from __future__ import annotations

import re
from array import array as typed_array
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np
import orjson

from app.exchange import Response, parse_json
from engine.errors import InvalidInput
from engine.models.loaded import LoadedModel, Run
from engine.types import NUMPY_DTYPES, datatype_of

JSON_LENGTH_HEADER = "Inference-Header-Content-Length"
MAX_INTEGER = float(2**63)
LENGTH_DIGITS = 12
MAX_DIMENSIONS = 8
SMALL = 2.0**125
"""A sum of squares below this holds no NaN, no infinity and nothing beyond 64-bit integers."""
PLAIN = {name: NUMPY_DTYPES[name] for name in ("FP64", "FP32")}
"""Datatypes that hold every number whose square is below SMALL."""
_LONG_INTEGER = re.compile(rb"(?<![\d.eE+\-\"])-?\d{19,}(?![\d.eE])")
_NONE = type(None)
_TYPES: Mapping[str, frozenset[type]] = {
    "B": frozenset({bool}),
    "F": frozenset({bool, int, float, _NONE}),
    "I": frozenset({bool, int}),
    "U": frozenset({bool, int}),
}
"""What data may hold, by a datatype's first letter; booleans count as numbers beside numbers."""


@dataclass(slots=True)
class V2Request:
    """A decoded infer request. binary_outputs: names asked for as binary; None is all."""

    inputs: dict[str, np.ndarray]
    id: str | None = None
    outputs: tuple[str, ...] = ()
    binary_outputs: set[str] | None = field(default_factory=set)


def decode_request(content: bytes, json_length: str, max_elements: int, max_rows: int) -> V2Request:
    """An infer request from its body. Raises InvalidInput naming what is wrong."""
    binary = memoryview(b"")
    if json_length:
        digits = json_length.isascii() and json_length.isdigit()
        if not digits or len(json_length) > LENGTH_DIGITS or int(json_length) > len(content):
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
        name, tensor, binary = _decode_tensor(item, content, binary, (max_elements, max_rows))
        if name in inputs:
            raise InvalidInput(f"input {name[:80]!r} is given twice")
        inputs[name] = tensor
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
    names: dict[str, None] = {}
    binary: set[str] = set()
    parameters = body.get("parameters")
    all_binary = isinstance(parameters, dict) and parameters.get("binary_data_output") is True
    for item in items:
        if not isinstance(item, dict) or not isinstance(item.get("name"), str):
            raise InvalidInput("each of outputs must be an object with a name")
        if item["name"] in names:
            raise InvalidInput(f"output {item['name'][:80]!r} is asked for twice")
        names[item["name"]] = None
        own = item.get("parameters")
        if (own.get("binary_data", all_binary) if isinstance(own, dict) else all_binary) is True:
            binary.add(item["name"])
    return tuple(names), (None if all_binary and not names else binary)


def _decode_tensor(
    item: Any, content: bytes, binary: memoryview, limits: tuple[int, int]
) -> tuple[str, np.ndarray, memoryview]:
    if not isinstance(item, dict) or not isinstance(item.get("name"), str) or not item["name"]:
        raise InvalidInput("each of inputs must be an object with a name")
    name = item["name"]
    datatype, shape, parameters = item.get("datatype"), item.get("shape"), item.get("parameters")
    if not isinstance(datatype, str) or datatype not in NUMPY_DTYPES:
        raise InvalidInput(f"{_label(name)} has unknown datatype {str(datatype)[:40]!r}")
    elements = _elements(name, shape, *limits)
    if parameters is None or not isinstance(parameters, dict):
        size = None
    else:
        size = parameters.get("binary_data_size")
    if size is not None:
        tensor = _from_binary(name, item, datatype, elements, binary)
        return name, tensor.reshape(shape), binary[size:]
    data = item.get("data")
    if not isinstance(data, list):
        raise InvalidInput(f"{_label(name)} has no list 'data'")
    if data and type(data[0]) is list:
        data = _flat(_label(name), shape, data)
    if len(data) != elements:
        raise InvalidInput(
            f"{_label(name)} has {len(data)} elements; shape {shape} takes {elements}"
        )
    if datatype in PLAIN and (plain := plain_floats(data)) is not None:
        return name, plain.astype(PLAIN[datatype], copy=False).reshape(shape), binary
    return name, _from_json(_label(name), datatype, data, content).reshape(shape), binary


def _label(name: str) -> str:
    return f"input {name[:80]!r}"


def _elements(name: str, shape: Any, max_elements: int, max_rows: int) -> int:
    """The product of a shape. Raises InvalidInput for one that is none, or too large."""
    elements, is_shape = 1, isinstance(shape, list) and 1 <= len(shape) <= MAX_DIMENSIONS
    if is_shape:
        for size in shape:
            if type(size) is not int or size < 0:
                is_shape = False
                break
            elements *= size
    if not is_shape:
        raise InvalidInput(
            f"{_label(name)} has shape {str(shape)[:80]}; it must be a list of 1 to "
            f"{MAX_DIMENSIONS} sizes >= 0"
        )
    if elements > max_elements:
        raise InvalidInput(f"{_label(name)} has {elements} elements; the limit is {max_elements}")
    if elements == 0:
        raise InvalidInput(f"{_label(name)} has 0 rows or an empty dimension; at least 1 is needed")
    if shape[0] > max_rows:
        raise InvalidInput(f"{_label(name)} has {shape[0]} rows; the limit is {max_rows}")
    return elements


def plain_floats(data: list[Any]) -> np.ndarray | None:
    """A flat list of numbers as float64, the usual case; None where it needs a closer look.

    An integer beyond 64 bits would make the sum of squares large. Never `np.array(data)`: beside
    one long text it would make every element as long.
    """
    if not data or type(data[0]) is bool:
        return None
    try:
        plain = np.frombuffer(typed_array("d", data))
    except (TypeError, OverflowError):
        return None
    return plain if plain.dot(plain) < SMALL else None


def _flat(label: str, shape: Any, data: list[Any]) -> list[Any]:
    """Data without its nesting, which must be the shape's. Raises InvalidInput."""
    sizes = [len(data)]
    while data and type(data[0]) is list and len(sizes) <= len(shape):
        lengths = {len(part) if type(part) is list else -1 for part in data}
        if len(lengths) != 1:
            raise InvalidInput(f"{label} has ragged data; shape is {shape}")
        sizes += lengths
        data = list(chain.from_iterable(data))
    if sizes != shape:
        raise InvalidInput(f"{label} has data of shape {sizes}; shape says {shape}")
    return data


def _from_binary(
    name: str, item: dict[str, Any], datatype: str, elements: int, binary: memoryview
) -> np.ndarray:
    label, size = _label(name), item["parameters"]["binary_data_size"]
    if type(size) is not int or not 0 <= size <= len(binary):
        raise InvalidInput(
            f"{label} has binary_data_size {str(size)[:40]}; {len(binary)} bytes are left"
        )
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
        if datatype == "BOOL":
            return np.frombuffer(data, dtype=np.uint8).astype(dtype)
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


def _from_json(label: str, datatype: str, data: list[Any], content: bytes) -> np.ndarray:
    kinds = set(map(type, data))
    if datatype == "BYTES":
        if kinds != {str}:
            raise InvalidInput(f"{label} is BYTES and holds something that is no string")
        texts = np.empty(len(data), dtype=object)
        texts[:] = data
        return texts
    only_booleans = bool in kinds and kinds <= {bool, _NONE}
    if not kinds <= _TYPES[datatype[0]] or only_booleans != (datatype == "BOOL"):
        raise InvalidInput(f"{label} holds values that are not {datatype}")
    if datatype[0] == "F":
        return _floats(label, datatype, data, content)
    try:
        return np.array(data, dtype=NUMPY_DTYPES[datatype])
    except OverflowError:
        raise InvalidInput(f"{label} holds a value outside {datatype}") from None


def _floats(label: str, datatype: str, data: list[Any], content: bytes) -> np.ndarray:
    """Numbers as a floating-point tensor; null is NaN."""
    raw, dtype = np.array(data, dtype=np.float64), NUMPY_DTYPES[datatype]
    if not np.nanmax(np.abs(raw), initial=0) < MAX_INTEGER and _has_long_integer(content):
        raise InvalidInput(f"{label} holds an integer beyond 64 bits")
    with np.errstate(over="ignore"):
        tensor = raw.astype(dtype, copy=False)
    if dtype.itemsize < 8 and np.isinf(tensor).any():
        raise InvalidInput(f"{label} holds a value beyond {datatype}")
    return tensor


def _has_long_integer(content: bytes) -> bool:
    """True where JSON has an integer that no 64 bits hold; the parser made a float of it."""
    return any(
        len(digits) > 20 or not -(2**63) <= int(digits) < 2**64
        for digits in _LONG_INTEGER.findall(content)
    )


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
