"""What is kept of a recorded request: its form, not what it says.

Texts become other texts of the same length: equal ones stay equal within a recording (so that a
cache hits as it did), and nothing leads back, since the key is random and never written. That
covers tensor data, ids and parameters, but not names of tensors and datatypes, which are the
model's. Numbers are kept, or moved by up to `jitter_percent` of themselves: equal ones alike.
Booleans are kept.
"""

from __future__ import annotations

import hashlib
import secrets
import struct
from typing import Any

import numpy as np

from engine.errors import InvalidInput
from engine.types import NUMPY_DTYPES

SCHEMA = frozenset({"name", "datatype", "content_type"})
"""Keys whose text says what the model takes."""
MOST_DEPTH = 32
LETTERS = bytes(ord("a") + byte % 26 for byte in range(256))


class Redactor:
    """Redacts the requests of one recording. keep_texts: they are left as they are."""

    def __init__(
        self, *, keep_texts: bool = False, jitter_percent: float = 0.0, key: bytes | None = None
    ) -> None:
        self._keep_texts = keep_texts
        self._jitter = jitter_percent / 100
        self._key = key or secrets.token_bytes(32)
        self._seed = int.from_bytes(hashlib.blake2b(self._key, digest_size=8).digest(), "little")

    def text(self, text: str) -> str:
        """Other letters, as many."""
        if self._keep_texts or not text:
            return text
        made = hashlib.shake_256(self._key + text.encode("utf-8", "surrogatepass"))
        return made.digest(len(text)).translate(LETTERS).decode()

    def numbers(self, values: np.ndarray) -> np.ndarray:
        """The same, or moved; dtype and shape stay."""
        if not self._jitter or values.dtype.kind not in "fiu":
            return values
        moved = values * (1 + self._jitter * self._moves(values))
        if values.dtype.kind == "f":
            return moved.astype(values.dtype)
        limits = np.iinfo(values.dtype)
        # float64 does not hold the ends of 64 bits; the nearest below is the end
        high = np.nextafter(float(limits.max), 0) if values.dtype.itemsize == 8 else limits.max
        return np.clip(np.rint(moved), limits.min, high).astype(values.dtype)

    def _moves(self, values: np.ndarray) -> np.ndarray:
        """-1 to 1 for each value, the same for the same value (splitmix64 of its bits)."""
        mixed = values.astype(np.float64).view(np.uint64) ^ np.uint64(self._seed)
        with np.errstate(over="ignore"):
            for factor, shift in ((0xBF58476D1CE4E5B9, 30), (0x94D049BB133111EB, 27)):
                mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
        mixed ^= mixed >> np.uint64(31)
        return mixed.astype(np.float64) / 2**63 - 1

    def request(self, body: dict[str, Any], binary: bytes) -> tuple[dict[str, Any], bytes]:
        """The JSON and the binary tensors that follow it, redacted.

        Raises InvalidInput where they do not fit each other.
        """
        clean = self._value(body, "", 0)
        if not binary:
            return clean, b""
        parts, place = [], 0
        for tensor in body.get("inputs", ()):
            size = (tensor.get("parameters") or {}).get("binary_data_size")
            if size is None:
                continue
            if not isinstance(size, int) or not 0 <= size <= len(binary) - place:
                raise InvalidInput(f"binary_data_size is {size!r}; {len(binary) - place} are left")
            parts.append(self._binary(binary[place : place + size], str(tensor.get("datatype"))))
            place += size
        if place != len(binary):
            raise InvalidInput(f"{len(binary) - place} bytes belong to no tensor")
        return clean, b"".join(parts)

    def _value(self, value: Any, key: str, depth: int) -> Any:
        if depth > MOST_DEPTH:
            raise InvalidInput(f"the body is nested deeper than {MOST_DEPTH}")
        if isinstance(value, dict):
            return {name: self._value(item, name, depth + 1) for name, item in value.items()}
        if isinstance(value, list):
            return self._list(value, key, depth)
        if isinstance(value, str):
            return value if key in SCHEMA else self.text(value)
        return value

    def _list(self, values: list[Any], key: str, depth: int) -> list[Any]:
        clean = [self._value(value, key, depth + 1) for value in values]
        if key != "data" or not self._jitter:
            return clean
        places = [at for at, value in enumerate(clean) if type(value) in (int, float)]
        held = np.array([float(clean[at]) for at in places])
        for at, moved in zip(places, self.numbers(held).tolist(), strict=True):
            clean[at] = round(moved) if isinstance(clean[at], int) else moved
        return clean

    def _binary(self, content: bytes, datatype: str) -> bytes:
        if datatype == "BYTES":
            return self._texts(content)
        dtype = NUMPY_DTYPES.get(datatype)
        if dtype is None or len(content) % dtype.itemsize:
            raise InvalidInput(f"{len(content)} bytes are no whole {datatype} values")
        return self.numbers(np.frombuffer(content, dtype=dtype)).tobytes()

    def _texts(self, content: bytes) -> bytes:
        """Elements of a BYTES tensor: each a little-endian uint32 length and so many bytes."""
        parts, place = [], 0
        while place < len(content):
            if place + 4 > len(content):
                raise InvalidInput("a BYTES tensor ends within a length")
            (size,) = struct.unpack_from("<I", content, place)
            if place + 4 + size > len(content):
                raise InvalidInput("a BYTES tensor ends within a text")
            text = content[place + 4 : place + 4 + size].decode("latin-1")
            parts.append(content[place : place + 4] + self.text(text).encode("latin-1"))
            place += 4 + size
        return b"".join(parts)
