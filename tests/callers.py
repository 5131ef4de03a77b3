"""Callers in a process of their own: `python -m tests.callers PORT PATH BODIES CONNECTIONS`.

BODIES holds one request body a line; each connection sends its share of them one after the
other. Prints what the callers saw, as JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from pathlib import Path


async def _caller(port: int, path: str, bodies: list[bytes], seen: Counter[str]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for body in bodies:
        head = (
            f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode() + body)
        answer = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(answer.split(b"content-length: ")[1].split(b"\r\n")[0])
        seen["bytes_out"] += len(await reader.readexactly(length))
        seen["bytes_in"] += len(body)
        seen[f"status_{answer.split()[1].decode()}"] += 1
        seen["hits"] += b"x-cache-hit: true" in answer
    writer.close()
    await writer.wait_closed()


async def _main(port: int, path: str, bodies: list[bytes], connections: int) -> None:
    seen: Counter[str] = Counter()
    began = time.perf_counter()
    shares = [bodies[first::connections] for first in range(connections)]
    await asyncio.gather(*(_caller(port, path, share, seen) for share in shares))
    print(json.dumps(seen | {"seconds": time.perf_counter() - began}))


if __name__ == "__main__":
    asyncio.run(
        _main(
            int(sys.argv[1]),
            sys.argv[2],
            Path(sys.argv[3]).read_bytes().splitlines(),
            int(sys.argv[4]),
        )
    )
