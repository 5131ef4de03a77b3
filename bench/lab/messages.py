"""HTTP/1.1 messages read whole from a stream, for the recording proxy."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

MOST_HEAD_BYTES = 65_536
MOST_BODY_BYTES = 64 * 2**20
HOP_HEADERS = frozenset(
    (b"connection", b"content-length", b"expect", b"host", b"keep-alive", b"transfer-encoding")
)
READ_BYTES = 65_536
_SIZE = re.compile(rb"[0-9a-fA-F]{1,15}")


class BadMessage(Exception):
    """It cannot be read as HTTP/1.1; `status` is what a proxy answers."""

    def __init__(self, text: str, status: int = 400) -> None:
        super().__init__(text)
        self.status = status


@dataclass(slots=True)
class Message:
    """start: the first line's three words. body: whole, without chunks."""

    start: tuple[bytes, bytes, bytes]
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""
    until_close: bool = False

    def header(self, name: bytes) -> bytes | None:
        """The first value of a header, by its name in small letters."""
        return next((value for key, value in self.headers if key.lower() == name), None)

    @property
    def keeps(self) -> bool:
        """Another message may follow on the same connection."""
        said = (self.header(b"connection") or b"").lower()
        version = self.start[2] if self.start[2].startswith(b"HTTP/") else self.start[0]
        return not self.until_close and (
            b"keep-alive" in said if version == b"HTTP/1.0" else b"close" not in said
        )

    def rendered(self, start: bytes, added: Iterable[bytes], length: int | None) -> bytes:
        """Bytes with another first line, without the headers of one hop.

        length: of the body as announced; None announces nothing.
        """
        lines = [start, *added]
        lines += [n + b": " + v for n, v in self.headers if n.lower() not in HOP_HEADERS]
        if length is not None:
            lines.append(b"content-length: %d" % length)
        return b"\r\n".join(lines) + b"\r\n\r\n" + self.body


async def read_head(reader: asyncio.StreamReader) -> Message | None:
    """The next message's first line and headers; None where the stream has ended.

    Raises BadMessage, OSError.
    """
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial.strip():
            raise BadMessage("the head is cut off") from None
        return None
    except asyncio.LimitOverrunError:
        raise BadMessage(f"the head has over {MOST_HEAD_BYTES} bytes", 431) from None
    first, *lines = head.lstrip(b"\r\n")[:-4].split(b"\r\n")
    words = first.split(b" ", 2)
    if len(words) < 2:
        raise BadMessage("the first line is not HTTP/1.1")
    message = Message((words[0], words[1], words[2] if len(words) > 2 else b""))
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or not name or name != name.strip():
            raise BadMessage("a header has no name")
        message.headers.append((name, value.strip()))
    return message


async def read_body(reader: asyncio.StreamReader, message: Message, *, answer: bool) -> None:
    """Read what follows the head into it. answer: without a length it ends with the stream.

    Raises BadMessage, OSError.
    """
    length, coding = message.header(b"content-length"), message.header(b"transfer-encoding")
    try:
        if coding is not None:
            if coding.lower() != b"chunked" or length is not None:
                raise BadMessage("its transfer-encoding cannot be read", 501)
            message.body = await _chunks(reader)
        elif length is not None:
            if not length.isdigit():
                raise BadMessage("content-length is no number")
            message.body = await reader.readexactly(_bounded(int(length)))
        elif answer:
            message.until_close = True
            message.body = await _rest(reader)
    except asyncio.IncompleteReadError:
        raise BadMessage("the body is cut off") from None
    except asyncio.LimitOverrunError:
        raise BadMessage("a chunk's line is too long") from None


def _bounded(size: int) -> int:
    if size > MOST_BODY_BYTES:
        raise BadMessage(f"the body has {size} bytes; at most {MOST_BODY_BYTES} pass", 413)
    return size


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    body = bytearray()
    while True:
        line = await reader.readuntil(b"\r\n")
        said = line.split(b";", 1)[0].strip()
        if not _SIZE.fullmatch(said):
            raise BadMessage("a chunk has no size")
        size = int(said, 16)
        _bounded(len(body) + size)
        if not size:
            while (await reader.readuntil(b"\r\n")) != b"\r\n":
                continue  # trailers
            return bytes(body)
        body += (await reader.readexactly(size + 2))[:-2]


async def _rest(reader: asyncio.StreamReader) -> bytes:
    body = bytearray()
    while data := await reader.read(READ_BYTES):
        body += data
        _bounded(len(body))
    return bytes(body)
