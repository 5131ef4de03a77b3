"""Messages between the server and its bridge to Ray: a JSON head and a payload, no pickle.

uint32 LE   length of the head, at most MOST_HEAD_BYTES
uint32 LE   length of the payload, at most MOST_PAYLOAD_BYTES
head        JSON object
payload     bytes: tensors as engine/caching/payload.py writes them, or files one after another
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Mapping
from typing import IO, Any

import orjson

LENGTHS = struct.Struct("<II")
MOST_HEAD_BYTES = 16 * 1024 * 1024
MOST_PAYLOAD_BYTES = 512 * 1024 * 1024

Message = tuple[dict[str, Any], bytes]


class BadFrame(ValueError):
    """Bytes that are no frame."""


def frame_of(head: Mapping[str, Any], payload: bytes = b"") -> bytes:
    """A message as bytes. Raises BadFrame for one that is too large."""
    text = orjson.dumps(head)
    _check(len(text), len(payload))
    return b"".join((LENGTHS.pack(len(text), len(payload)), text, payload))


def read_frame(stream: IO[bytes]) -> Message | None:
    """The next message; None at the stream's end. Raises BadFrame."""
    lengths = _read(stream, LENGTHS.size)
    if not lengths:
        return None
    head_bytes, payload_bytes = _lengths(lengths)
    head, payload = _read(stream, head_bytes), _read(stream, payload_bytes)
    if len(head) < head_bytes or len(payload) < payload_bytes:
        raise BadFrame("the stream ended within a frame")
    return _head(head), payload


def _read(stream: IO[bytes], size: int) -> bytes:
    """So many bytes, fewer only at the stream's end; a raw stream gives them in parts."""
    parts, missing = [], size
    while missing and (part := stream.read(missing)):
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)


async def read_frame_async(stream: asyncio.StreamReader) -> Message | None:
    """As `read_frame`."""
    try:
        head_bytes, payload_bytes = _lengths(await stream.readexactly(LENGTHS.size))
        head = await stream.readexactly(head_bytes)
        payload = await stream.readexactly(payload_bytes)
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise BadFrame("the stream ended within a frame") from None
        return None
    return _head(head), payload


def _lengths(data: bytes) -> tuple[int, int]:
    if len(data) < LENGTHS.size:
        raise BadFrame("the stream ended within a frame")
    head_bytes, payload_bytes = LENGTHS.unpack(data)
    _check(head_bytes, payload_bytes)
    return head_bytes, payload_bytes


def _check(head_bytes: int, payload_bytes: int) -> None:
    if head_bytes > MOST_HEAD_BYTES or payload_bytes > MOST_PAYLOAD_BYTES:
        raise BadFrame(
            f"a frame of {head_bytes} and {payload_bytes} bytes; at most {MOST_HEAD_BYTES} "
            f"and {MOST_PAYLOAD_BYTES}"
        )


def _head(text: bytes) -> dict[str, Any]:
    try:
        head = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise BadFrame(f"a frame's head is no JSON: {error}") from None
    if not isinstance(head, dict):
        raise BadFrame("a frame's head is no object")
    return head
