"""What proxies in front of this server say of those they let through."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping


class Proxies:
    """What X-Forwarded-* say, from as many proxies as are trusted; of the rest nothing counts.

    Each proxy adds to the right: with n trusted, the n-th value from the right was written by
    the outermost of them, and what is left of it by whoever called it.
    """

    def __init__(self, hops: int, is_tls: bool) -> None:
        self.hops, self._is_tls = hops, is_tls

    def _said(self, headers: Mapping[bytes, bytes], name: bytes) -> str:
        if not self.hops:
            return ""
        values = headers.get(name, b"").decode("latin-1").split(",")
        return values[-self.hops].strip() if len(values) >= self.hops else ""

    def address(self, headers: Mapping[bytes, bytes], peer: str) -> str:
        """The caller's address: what a proxy said, where it is one."""
        said = self._said(headers, b"x-forwarded-for")
        try:
            return str(ipaddress.ip_address(said)) if said else peer
        except ValueError:
            return peer

    def is_https(self, headers: Mapping[bytes, bytes]) -> bool:
        return self._is_tls or self._said(headers, b"x-forwarded-proto").lower() == "https"

    def host(self, headers: Mapping[bytes, bytes]) -> bytes:
        """The Host that the caller asked for."""
        said = self._said(headers, b"x-forwarded-host")
        return said.encode("latin-1") if said else headers.get(b"host", b"")


def counted_as(address: str) -> str:
    """An address as limits count it: of IPv6 the network of 64 bits, which one caller may have."""
    if ":" not in address:
        return address
    try:
        return str(ipaddress.ip_network((address.partition("%")[0], 64), strict=False))
    except ValueError:
        return address
