"""Where requests go: any server that speaks V2, below any base path."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from engine.errors import InvalidInput, PyrometerError

KEY_VARIABLE = "BENCH_API_KEY"
ASK_TIMEOUT_S = 30.0
MOST_ANSWER_BYTES = 64 * 2**20


def api_key() -> str:
    """The key to send, from BENCH_API_KEY; empty: none.

    Only from a variable of its own: specs are stored, and the server's own key must not go to
    whatever --url names. Raises InvalidInput for one that cannot be in a header.
    """
    key = os.environ.get(KEY_VARIABLE, "")
    if not all(32 < ord(sign) < 127 for sign in key):
        raise InvalidInput(f"{KEY_VARIABLE} holds a sign that no header may have")
    return key


class _Stays(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: a key must not go where another server points."""

    def redirect_request(self, *_: Any) -> None:
        return None


OPENER = urllib.request.build_opener(_Stays)


@dataclass(frozen=True, slots=True)
class Target:
    """A server. base: the path before /v2, without a slash at its end."""

    scheme: str
    host: str
    port: int
    base: str

    @classmethod
    def of(cls, url: str) -> Target:
        """The server at a URL that `LabSpec` has let pass."""
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        return cls(parts.scheme, parts.hostname or "", port, parts.path.rstrip("/"))

    @property
    def authority(self) -> str:
        """host:port as a Host header has it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.authority}{self.base}"

    def model_path(self, model: str, version: str | None) -> str:
        """/v2/models/..., below the base."""
        path = f"/v2/models/{quote(model, safe='')}"
        return f"{path}/versions/{quote(version, safe='')}" if version else path

    def ask(self, path: str, *, post: bool = False) -> Any:
        """The JSON of a GET, or POST of {}, below the base; None for a 4xx or no JSON.

        Raises PyrometerError where nobody answers, or with a 5xx.
        """
        headers = {"Content-Type": "application/json"}
        if api_key():
            headers["Authorization"] = f"Bearer {api_key()}"
        request = urllib.request.Request(f"{self.url}{path}", b"{}" if post else None, headers)
        try:
            with OPENER.open(request, timeout=ASK_TIMEOUT_S) as answer:
                return json.loads(answer.read(MOST_ANSWER_BYTES))
        except urllib.error.HTTPError as error:
            if error.code >= 500:
                raise PyrometerError(f"{self.url}{path} answers {error.code}") from None
            if error.code in (401, 403):
                raise PyrometerError(
                    f"{self.url}{path} answers {error.code}: put its key into {KEY_VARIABLE}"
                ) from None
            return None
        except ValueError:
            return None
        except OSError as error:  # URLError and every timeout among them
            reason = getattr(error, "reason", error)
            raise PyrometerError(f"no server answers at {self.url}: {reason}") from None

    def request_bytes(
        self, path: str, body: bytes, *, cache: bool, header_bytes: int | None = None
    ) -> bytes:
        """A whole POST. header_bytes: length of the JSON before binary tensors, if any."""
        kind = "application/json" if header_bytes is None else "application/octet-stream"
        head = (
            f"POST {self.base}{path} HTTP/1.1\r\nhost: {self.authority}\r\n"
            f"content-type: {kind}\r\ncontent-length: {len(body)}\r\n"
        )
        if not cache:
            head += "cache-control: no-cache\r\n"
        if api_key():
            head += f"authorization: Bearer {api_key()}\r\n"
        if header_bytes is not None:
            head += f"inference-header-content-length: {header_bytes}\r\n"
        return f"{head}\r\n".encode("latin-1") + body
