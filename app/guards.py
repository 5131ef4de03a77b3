"""Which requests may come in at all: by Host, and by Origin where something would change.

A page of another site must not reach a server on loopback through somebody's browser.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from app.exchange import Request, Response, error_response

SAFE_METHODS = frozenset({b"GET", b"HEAD", b"OPTIONS"})
HEALTH_PREFIX = b"/v2/health/"
MAX_HOSTS = 64


class Guard:
    """hosts: names accepted beside every loopback address."""

    def __init__(self, hosts: set[str]) -> None:
        self._hosts = hosts
        self._ours: set[bytes] = set()

    def refusal(self, request: Request) -> Response | None:
        """A refusal (403), or None for a request that may go on."""
        headers = request.headers
        host = headers.get(b"host", b"")
        if host not in self._ours and not self._is_ours(host):
            if request.target.startswith(HEALTH_PREFIX):
                return None
            return error_response(403, f"Host {host[:100].decode('latin-1')!r} is not served here")
        if request.method in SAFE_METHODS:
            return None
        origin = headers.get(b"origin")
        if origin is not None and _authority(origin) != host.lower():
            named = origin[:100].decode("latin-1")
            return error_response(403, f"Origin {named!r} may not change anything here")
        if headers.get(b"sec-fetch-site", b"none") not in (b"none", b"same-origin"):
            return error_response(403, "a request from another site may not change anything here")
        return None

    def _is_ours(self, host: bytes) -> bool:
        name = _host_name(host.decode("latin-1"))
        if name not in self._hosts:
            try:
                if not ipaddress.ip_address(name).is_loopback:
                    return False
            except ValueError:
                return False
        if len(self._ours) < MAX_HOSTS:
            self._ours.add(host)
        return True


def _authority(origin: bytes) -> bytes:
    """Host and port of an Origin, lower case; b"" for one that is malformed or opaque."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return b""


def _host_name(host: str) -> str:
    """The name or address in a Host header, its port dropped, lower case."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower()
