"""What commands ask a running server with: its URL, and a key where it wants one."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import urlsplit

from engine.errors import ConfigurationError, PyrometerError

MOST_ANSWER_BYTES = 256 * 2**20
KEY_HELP = "a server that asks for a key gets what the variable BENCH_API_KEY holds"


def check_url(url: str) -> str:
    """The URL without a slash at its end. Raises ConfigurationError for one that is not http."""
    if urlsplit(url).scheme not in ("http", "https"):
        raise ConfigurationError(f"url is {url!r}; it must begin with http:// or https://")
    return url.rstrip("/")


def ask(base: str, path: str, timeout_s: float, body: dict[str, Any] | None = None) -> bytes:
    """A GET, or a POST of JSON. Raises PyrometerError in the server's own words."""
    from bench.lab.target import KEY_VARIABLE, OPENER, api_key

    headers = {"Content-Type": "application/json"}
    if key := api_key():
        headers["Authorization"] = f"Bearer {key}"
    content = None if body is None else json.dumps(body).encode()
    try:
        request = urllib.request.Request(f"{base}{path}", content, headers)
        with OPENER.open(request, timeout=timeout_s) as answer:
            return bytes(answer.read(MOST_ANSWER_BYTES))
    except urllib.error.HTTPError as error:
        try:
            said = str(json.loads(error.read())["error"])
        except (ValueError, KeyError, TypeError):
            said = f"HTTP {error.code}"
        hint = f"; put one into {KEY_VARIABLE}" if error.code == 401 else ""
        raise PyrometerError(f"{urlsplit(path).path}: {said}{hint}") from None
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise PyrometerError(f"no server answers at {base}: {reason}") from None
