"""gzip in, within the cap."""

from __future__ import annotations

import zlib

GZIP_BITS = 31


def gunzip(body: bytes, most_bytes: int) -> bytes | None:
    """What was compressed, or None when it is more than most_bytes.

    Raises ValueError for bytes that are not gzip, or stop too early.
    """
    unpacker = zlib.decompressobj(GZIP_BITS)
    try:
        content = unpacker.decompress(body, most_bytes + 1)
    except zlib.error as error:
        raise ValueError(str(error)) from None
    if len(content) > most_bytes:
        return None
    if not unpacker.eof or unpacker.unused_data:
        raise ValueError("incomplete, or followed by something else")
    return content
