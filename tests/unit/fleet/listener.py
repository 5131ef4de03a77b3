"""A server of bytes, on a socket of its own."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import closing

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
Script = Callable[[socket.socket, bytes], bool]


class Listener:
    """A server of bytes: each request's head is kept, `script` answers; False ends a connection."""

    def __init__(self, script: Script) -> None:
        self.heads: list[bytes] = []
        self.accepted = 0
        self._script = script
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.accepted += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with closing(connection):
            while head := connection.recv(65_536):
                self.heads.append(head)
                if not self._script(connection, head):
                    return

    def close(self) -> None:
        self._socket.close()


def say(content: bytes, goes_on: bool = True) -> Script:
    def script(connection: socket.socket, head: bytes) -> bool:
        connection.sendall(content)
        return goes_on

    return script
