"""API keys: made, kept as digests, found again, revoked.

    pyro_1f2e3d4c_<43 characters>     32 random bytes, and an id to find them by
    <state>/keys.json                 mode 0600: id, name, scopes, digest, created, expires

One SHA-256 is enough of a hash here: a slow one makes guessing passwords dear, and 256 random
bits cannot be guessed however fast the hash is.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson

from app.access.scopes import SCOPES, in_order, scopes_of
from engine.errors import ConfigurationError, InvalidInput
from engine.files import write_atomically

FILE = "keys.json"
MARK = "pyro_"
MOST_KEYS = 1000
MOST_BYTES = 1024 * 1024
MOST_NAME = 80
BOOTSTRAP = "environment"
LEAST_BOOTSTRAP = 24
"""Characters of PYROMETER_API_KEY, which nobody has made at random for sure."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key without itself. digest: SHA-256, hexadecimal. Times in seconds UTC."""

    id: str
    name: str
    scopes: frozenset[str]
    digest: str
    created_s: float
    expires_s: float | None = None

    @property
    def generation(self) -> str:
        """Differs for another key under the same id."""
        return self.digest[:16]

    def is_over(self, now_s: float) -> bool:
        return self.expires_s is not None and self.expires_s <= now_s

    def as_dict(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "name": self.name,
            "scopes": in_order(self.scopes),
            "sha256": self.digest,
            "created": self.created_s,
            "expires": self.expires_s,
        }


def digest_of(token: str) -> str:
    return sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


def id_of(token: str) -> str:
    """The id in a key of ours; "" where it is none."""
    return token[len(MARK) :].partition("_")[0] if token.startswith(MARK) else ""


def new_key(
    name: str, scopes: frozenset[str], now_s: float, expires_s: float | None = None
) -> tuple[str, Key]:
    """A token, to be shown once, and what is kept of it."""
    key_id = secrets.token_hex(4)
    token = f"{MARK}{key_id}_{secrets.token_urlsafe(32)}"
    return token, Key(key_id, name, scopes, digest_of(token), now_s, expires_s)


def bootstrap_key(token: str) -> Key:
    """The key of the environment, with all scopes. Raises ConfigurationError for a short one."""
    if len(token) < LEAST_BOOTSTRAP:
        raise ConfigurationError(
            f"api_key has {len(token)} characters; it must have at least {LEAST_BOOTSTRAP}, "
            "for example from: openssl rand -base64 32"
        )
    return Key(BOOTSTRAP, "PYROMETER_API_KEY", frozenset(SCOPES), digest_of(token), 0.0)


class KeyFile:
    """The file of keys, read whole and written whole."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def mark(self) -> tuple[int, int, int] | None:
        """What changes with the file; None where there is none. Raises OSError."""
        try:
            about = self.path.stat()
        except FileNotFoundError:
            return None
        return about.st_mtime_ns, about.st_ino, about.st_size

    def read(self) -> dict[str, Key]:
        """Keys by id; none where there is no file. Raises ConfigurationError, OSError."""
        try:
            with self.path.open("rb") as file:
                mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
                content = file.read(MOST_BYTES + 1)
        except FileNotFoundError:
            return {}
        if mode & 0o077:
            raise ConfigurationError(
                f"{self.path} has mode {mode:04o}; others must not read or write it: chmod 600"
            )
        return parsed(content, self.path)

    def add(self, key: Key) -> None:
        """Raises InvalidInput where a key has that name, or there are too many."""
        with self._changing() as keys:
            if any(held.name == key.name for held in keys.values()):
                raise InvalidInput(f"name is {key.name!r}; a key of that name exists")
            if len(keys) >= MOST_KEYS:
                raise InvalidInput(f"there are {MOST_KEYS} keys, the limit; revoke some")
            keys[key.id] = key

    def remove(self, name_or_id: str) -> Key:
        """Raises InvalidInput where there is none."""
        with self._changing() as keys:
            for key in keys.values():
                if name_or_id in (key.id, key.name):
                    return keys.pop(key.id)
            raise InvalidInput(f"no key has the name or id {name_or_id[:80]!r}")

    @contextmanager
    def _changing(self) -> Iterator[dict[str, Key]]:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self.path.parent / f".{self.path.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            keys = self.read()
            yield keys
            held = [key.as_dict() for key in keys.values()]
            content = orjson.dumps({"keys": held}, option=orjson.OPT_INDENT_2)
            write_atomically(self.path, content)


def parsed(content: bytes, path: Path) -> dict[str, Key]:
    """Keys of a file's content. Raises ConfigurationError naming the file."""
    try:
        listed = orjson.loads(content)["keys"]
        keys = [_key(one) for one in listed]
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, InvalidInput) as error:
        raise ConfigurationError(f"{path} is no file of keys: {error}") from None
    if len(content) > MOST_BYTES or len(keys) > MOST_KEYS:
        raise ConfigurationError(f"{path} is over {MOST_KEYS} keys or {MOST_BYTES} bytes")
    return {key.id: key for key in keys}


def _key(held: Mapping[str, Any]) -> Key:
    digest, expires_s = held["sha256"], held["expires"]
    if not isinstance(held["id"], str) or not held["id"] or held["id"] == BOOTSTRAP:
        raise ValueError(f"id is {held['id']!r}")
    if not isinstance(digest, str) or len(bytes.fromhex(digest)) != 32:
        raise ValueError("sha256 must be 64 hexadecimal digits")
    until = None if expires_s is None else float(expires_s)
    name, scopes = str(held["name"])[:MOST_NAME], scopes_of(held["scopes"])
    return Key(held["id"], name, scopes, digest.lower(), float(held["created"]), until)
