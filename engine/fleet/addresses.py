"""Where peers are: the setting `peers`, read once.

    http://a:8050,https://b:8443/pyrometer   these
    dns://name:8050                          every address that the name has, A and AAAA
    ray                                      every living node of the Ray cluster, at our own port

They may be mixed, separated by commas.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from engine.errors import ConfigurationError

MAX_PEERS = 64
RAY = "ray"
EXAMPLE = "http://10.0.0.2:8050,http://10.0.0.3:8050, dns://pyrometer:8050 or ray"


@dataclass(frozen=True, slots=True)
class Peers:
    """fixed: URLs, without a slash at the end. names: (name, port) to resolve. ray: its nodes."""

    fixed: tuple[str, ...] = ()
    names: tuple[tuple[str, int], ...] = ()
    ray: bool = False

    def __bool__(self) -> bool:
        return bool(self.fixed or self.names or self.ray)


def read_peers(text: str) -> Peers:
    """The setting as data. Raises ConfigurationError naming the part that is wrong."""
    fixed: list[str] = []
    names: list[tuple[str, int]] = []
    parts = [part.strip() for part in text.split(",") if part.strip()]
    for part in parts:
        if part == RAY:
            continue
        try:
            url = urlsplit(part)
            port = url.port
        except ValueError:
            raise _wrong(part, "its port is none") from None
        if url.scheme not in ("http", "https", "dns"):
            raise _wrong(part, "its kind is unknown")
        if not url.hostname or url.query or url.fragment or url.username is not None:
            raise _wrong(part, "it must be a host and a port, and nothing that is secret")
        if url.scheme == "dns":
            if port is None or url.path.strip("/"):
                raise _wrong(part, "a name to resolve needs a port, and no path")
            names.append((url.hostname, port))
        else:
            fixed.append(part.rstrip("/"))
    return Peers(tuple(dict.fromkeys(fixed)), tuple(dict.fromkeys(names)), RAY in parts)


def _wrong(part: str, why: str) -> ConfigurationError:
    shown = part.rpartition("@")[2][:80]  # what stands before an @ may be secret
    return ConfigurationError(f"peers has {shown!r}: {why}; for example {EXAMPLE}")


def url_of(host: str, port: int) -> str:
    """The URL of a resolved address."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def ray_addresses(figures: Mapping[str, Any] | None, port: int) -> list[str]:
    """URLs of living nodes, of what an executor tells of them."""
    nodes: Iterable[Any] = (figures or {}).get("nodes") or ()
    alive = (node["address"] for node in nodes if node.get("alive") and node.get("address"))
    return list(dict.fromkeys(url_of(str(address), port) for address in alive))
