"""https: the server's certificate, TLS 1.2 at least."""

from __future__ import annotations

import ssl

from engine.config import Settings
from engine.errors import ConfigurationError


def tls_of(settings: Settings) -> ssl.SSLContext | None:
    """The context of tls_cert and tls_key; None without them. Raises ConfigurationError."""
    if not settings.tls_cert:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(settings.tls_cert, settings.tls_key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(
            f"tls_cert {settings.tls_cert!r} and tls_key {settings.tls_key!r} cannot be used: "
            f"{error}"
        ) from None
    return context
