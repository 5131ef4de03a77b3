"""gzip in, within the cap."""

from __future__ import annotations

import zlib

GZIP_BITS = 31
PIECE_BYTES = 65_536


def gunzip(body: bytes, most_bytes: int) -> bytes | None:
    """What was compressed, or None when it is more than most_bytes.

    A body says at its end how much it holds, modulo 2**32. Where that is over the cap or not
    true, what it really holds is counted piece by piece, so that a bomb takes no memory.
    Raises ValueError for bytes that are not gzip, or stop too early.
    """
    unpacker = zlib.decompressobj(GZIP_BITS)
    said_bytes = int.from_bytes(body[-4:], "little")
    try:
        if said_bytes <= most_bytes:
            content = unpacker.decompress(body, said_bytes + 1)
            if len(content) <= said_bytes and unpacker.eof and not unpacker.unused_data:
                return content
            del content
            unpacker = zlib.decompressobj(GZIP_BITS)
        if _holds_more(unpacker, body, most_bytes):
            return None
    except zlib.error as error:
        raise ValueError(str(error)) from None
    raise ValueError("incomplete, or followed by something else")


def _holds_more(unpacker: zlib._Decompress, body: bytes, most_bytes: int) -> bool:
    # In slices: each call copies what it has not consumed yet.
    counted_bytes, rest = 0, b""
    for place in range(0, len(body) + 1, PIECE_BYTES):
        rest += body[place : place + PIECE_BYTES]
        while piece := unpacker.decompress(rest, PIECE_BYTES):
            counted_bytes += len(piece)
            if counted_bytes > most_bytes:
                return True
            rest = unpacker.unconsumed_tail
        rest = unpacker.unconsumed_tail
        if unpacker.eof:
            break
    return False
