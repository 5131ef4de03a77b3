"""Names and values in a shared store.

    pyrometer:1:epochs                         hash, see shared_epochs.py
    pyrometer:1:<all>.<own>:<model>:<made by>:<result>
                                               a value: BLAKE2b-128(key + payload) + payload
    pyrometer:1:claim:<its key>                whose run is under way, see shared_claims.py

`<all>` and `<own>` are the epochs of everything and of the model; `<made by>` digests what
computes it: versions, tolerance, providers, forms. `<result>` is the result's key, which digests
the model's bytes. A value copied under another key is refused with the rest.
"""

from __future__ import annotations

from hashlib import blake2b

FORMAT = 1
NAMES = b"pyrometer:%d:" % FORMAT
EPOCHS = NAMES + b"epochs"
DIGEST_BYTES = 16


def prefix_of(epochs: tuple[int, int], group: str, made_by: bytes = b"") -> bytes:
    """What keys of a model's values begin with. made_by: see the module; b"" says nothing."""
    begun = b"%b%d.%d:%b:" % (NAMES, *epochs, group.encode())
    return b"%b%b:" % (begun, made_by) if made_by else begun


def claim_of(key: bytes) -> bytes:
    """The key of the claim on a value."""
    return NAMES + b"claim:" + key


def sealed(key: bytes, payload: bytes) -> bytes:
    """A value as it is stored."""
    return _digest(key, payload) + payload


def opened(key: bytes, value: bytes) -> bytes | None:
    """The payload of a value; None where it is not what was stored under this key."""
    payload = value[DIGEST_BYTES:]
    return payload if _digest(key, payload) == value[:DIGEST_BYTES] else None


def _digest(key: bytes, payload: bytes) -> bytes:
    digest = blake2b(key, digest_size=DIGEST_BYTES)
    digest.update(payload)
    return digest.digest()
