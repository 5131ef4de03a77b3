"""Which requests may come in at all: by Host, and by Origin where something would change.

A page of another site must not reach a server on loopback through somebody's browser.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from app.access.proxies import Proxies
from app.exchange import Request, Response, error_response

SAFE_METHODS = frozenset({b"GET", b"HEAD", b"OPTIONS"})
MAX_HOSTS = 64


class Guard:
    """hosts: names accepted beside every loopback address. origins: other sites that may ask."""

    def __init__(
        self, hosts: set[str], proxies: Proxies, origins: frozenset[bytes] = frozenset()
    ) -> None:
        self._hosts, self._proxies, self._origins = hosts, proxies, origins
        self._ours: set[bytes] = set()

    def refusal(self, request: Request) -> Response | None:
        """A refusal (403), or None for a request that may go on."""
        headers = request.headers
        host = self._proxies.host(headers) if self._proxies.hops else headers.get(b"host", b"")
        if host not in self._ours and not self._is_ours(host):
            return error_response(403, f"Host {host[:100].decode('latin-1')!r} is not served here")
        if request.method in SAFE_METHODS:
            return None
        origin = headers.get(b"origin")
        if origin is not None:
            if origin.lower() in self._origins:
                return None
            is_https = self._proxies.is_https(headers)
            if not is_same(origin, host, is_https=is_https):
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


def is_same(origin: bytes, host: bytes, *, is_https: bool) -> bool:
    """True for the Origin of a page that was asked for under this Host.

    is_https: this request is known to be; a page that was not is another site then.
    """
    try:
        parts = urlsplit(origin.lower())
    except ValueError:
        return False
    if is_https and parts.scheme != b"https":
        return False
    return bool(parts.netloc) and parts.netloc == host.lower()


def _host_name(host: str) -> str:
    """The name or address in a Host header, its port dropped, lower case."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower()
