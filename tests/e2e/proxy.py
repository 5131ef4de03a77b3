"""A small reverse proxy on loopback, over real HTTP, that has a server under a path."""

from __future__ import annotations

import http.client
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "date", "server"}


class Proxy:
    """Forwards what is below `prefix`, with the prefix or without it; 404 for the rest."""

    def __init__(self, port: int, prefix: str, *, strips: bool) -> None:
        self.outside: list[str] = []
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def forward(self) -> None:
                if not self.path.startswith(prefix):
                    proxy.outside.append(self.path)
                    self.send_error(404)
                    return
                path = (self.path[len(prefix) :] or "/") if strips else self.path
                headers = {k: v for k, v in self.headers.items() if k.lower() not in HOP}
                headers["X-Forwarded-For"] = self.client_address[0]
                headers["X-Forwarded-Host"] = headers.pop("Host")
                headers["X-Forwarded-Proto"] = "http"
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
                try:
                    connection.request(self.command, path, body, headers)
                    answer = connection.getresponse()
                    content = answer.read()
                finally:
                    connection.close()
                self.send_response_only(answer.status)
                for name, value in answer.getheaders():
                    if name.lower() not in HOP:
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_HEAD = forward

            def log_message(self, *_: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}{prefix}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
