"""Who can reach this server, and what a proxy in front of it says of those it lets through.

A server that only this machine can reach asks nobody for a key, until there are keys. One that
others can reach does not start without a key: an address that is not loopback, a Host beside the
loopback ones, or a proxy.
"""

from __future__ import annotations

import ipaddress
import re

from app.access.ring import KeyRing
from engine.config import Settings
from engine.errors import ConfigurationError

MODES = ("auto", "always")
_PREFIX = re.compile(r"(/(?!\.)[A-Za-z0-9._~-]+)+")
OURS = (
    *("v2", "performance", "analyze", "metrics", "openapi.json", "assets", "login", "logout"),
    *("models", "requests", "flame-graph", "alerts", "system", "caches", "benchmarks"),
    *("experiments", "reports", "settings", "fleet"),
)
"""First parts of our own paths, which no prefix may have."""


def others_reach(settings: Settings) -> str:
    """Why others than this machine can reach a server with these settings; "" where they cannot."""
    if not is_loopback(settings.host):
        return f"host is {settings.host!r}"
    names = [name for name in names_in(settings.allowed_hosts) if not is_loopback(name)]
    if names:
        return f"allowed_hosts is {settings.allowed_hosts!r}"
    if settings.trusted_hops:
        return f"trusted_hops is {settings.trusted_hops}, so a proxy is in front"
    return ""


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def names_in(listed: str) -> list[str]:
    """The parts of a comma-separated setting."""
    return [name for name in map(str.strip, listed.split(",")) if name]


def check_settings(settings: Settings) -> None:
    """Raises ConfigurationError naming the setting."""
    if settings.auth not in MODES:
        raise ConfigurationError(f"auth is {settings.auth!r}; it must be {' or '.join(MODES)}")
    prefix = settings.path_prefix
    if prefix and (not _PREFIX.fullmatch(prefix) or prefix.split("/")[1] in OURS):
        raise ConfigurationError(
            f"path_prefix is {prefix!r}; it must be like /pyrometer, without a slash at its end, "
            "and not begin like a path of this server"
        )
    for origin in names_in(settings.cors_origins):
        if not re.fullmatch(r"https?://[A-Za-z0-9.\[\]:-]+", origin):
            raise ConfigurationError(
                f"cors_origins has {origin!r}; each must be an origin like https://app.example.org"
            )
    if bool(settings.tls_cert) != bool(settings.tls_key):
        raise ConfigurationError("tls_cert and tls_key belong together; one of them is missing")
    oidc = (settings.oidc_issuer, settings.oidc_client_id)
    if any(oidc) and not all(oidc):
        raise ConfigurationError("oidc_issuer and oidc_client_id belong together")


def check_reach(settings: Settings, ring: KeyRing) -> str:
    """A warning to print, or "". Raises ConfigurationError where anybody could come in, naming
    the way out, or where nobody could."""
    why = others_reach(settings)
    if ring.usable or settings.oidc_issuer:
        return ""
    ways = (
        "set PYROMETER_API_KEY (for example: export PYROMETER_API_KEY=$(openssl rand -base64 32)) "
        "or make a key with: pyrometer keys create --name NAME --scope infer,view,operate"
        f" --state {settings.state}"
    )
    if ring.required:
        raise ConfigurationError(f"a key is asked for, and there is none that counts: {ways}")
    if not why:
        return ""
    if settings.insecure:
        return (
            f"WARNING, insecure: {why} and no key is asked for. Everybody who reaches this server "
            "can run, load, flush and unload its models, and see all that it measures."
        )
    raise ConfigurationError(
        f"{why}: anybody who reaches it could load, flush and run models, and there is no API key; "
        f"{ways}; or use a loopback address; --insecure goes without a key"
    )


def ring_of(settings: Settings) -> KeyRing:
    """The keys of these settings. Raises ConfigurationError."""
    always = settings.auth == "always" or bool(settings.oidc_issuer)
    return KeyRing(settings.state, settings.api_key, always=always)
