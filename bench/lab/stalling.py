"""A V2 server of known speed that stops at known times: `python -m bench.lab.stalling`.

It answers any model after `service_ms`, and nothing in the last `stall_s` of every `every_s`:
what arrives then is answered when the stall is over, after the service time. Any path before
/v2 is taken, so that it is a target with a base path too. Prints its port, then serves until a
signal.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from dataclasses import dataclass
from typing import Any

import httptools
import uvloop

from bench.lab.clocks import now_ns

METADATA = {
    "name": "constant",
    "platform": "none",
    "inputs": [{"name": "input", "datatype": "FP64", "shape": [-1, 4]}],
    "outputs": [{"name": "predict", "datatype": "FP64", "shape": [-1]}],
}
ANSWER = {"outputs": [{"name": "predict", "datatype": "FP64", "shape": [1], "data": [0.5]}]}


@dataclass(frozen=True, slots=True)
class Stalls:
    """When it answers. began_ns: of `now_ns`."""

    began_ns: int
    service_s: float
    stall_s: float
    every_s: float

    def wait_s(self, at_ns: int) -> float:
        """From a request's arrival to its answer."""
        if not self.stall_s:
            return self.service_s
        into_s = (at_ns - self.began_ns) / 1e9 % self.every_s
        stalled = into_s >= self.every_s - self.stall_s
        return self.service_s + (self.every_s - into_s if stalled else 0.0)


class Stalling(asyncio.Protocol):
    """One client, who sends one request at a time."""

    def __init__(self, stalls: Stalls) -> None:
        self._stalls = stalls
        self._parser: Any = httptools.HttpRequestParser(self)
        self._transport: Any = None
        self._url = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.close()

    def on_message_begin(self) -> None:
        self._url = b""

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_message_complete(self) -> None:
        path = self._url.split(b"?")[0]
        if path.endswith(b"/infer") and b"/v2/models/" in path:
            wait_s = self._stalls.wait_s(now_ns())
            asyncio.get_running_loop().call_later(wait_s, self._answer, 200, ANSWER)
        elif b"/v2/models/" in path:
            self._answer(200, METADATA)
        else:
            self._answer(404, {"error": "there is no such thing"})

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        content = json.dumps(body).encode()
        if not self._transport.is_closing():
            self._transport.write(
                b"HTTP/1.1 %d .\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
                % (status, len(content))
                + content
            )


async def _serve(port: int, stalls: Stalls) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Stalling(stalls), "127.0.0.1", port, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.lab.stalling", description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--service-ms", type=float, default=2.0)
    parser.add_argument("--stall-s", type=float, default=1.0)
    parser.add_argument("--every-s", type=float, default=10.0)
    given = parser.parse_args()
    stalls = Stalls(now_ns(), given.service_ms / 1e3, given.stall_s, given.every_s)
    uvloop.run(_serve(given.port, stalls))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
