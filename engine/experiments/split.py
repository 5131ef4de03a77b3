"""Who gets which variant: pure, deterministic, the same for ever.

    caller's key --BLAKE2b, the experiment's salt--> 16 bytes
        first 8 bytes   a point of [0, 1): the variant, by weights
        last 8 bytes    the caller's number, for counting callers (units.py)

The two halves are independent, so that what is counted knows nothing of what was chosen.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from itertools import accumulate
from typing import NamedTuple

import numpy as np

_SCALE = 2.0**-64


class Place(NamedTuple):
    """Where a key falls. variant: its place among the weights. unit: 64 bits, the caller's own."""

    variant: int
    unit: int


class Split:
    """Variants by weight. salt: the experiment's own, so that no two split alike.

    weights: each > 0, in the order of the variants.
    """

    def __init__(self, salt: str, weights: Sequence[float]) -> None:
        # A key of BLAKE2b holds at most 64 bytes.
        self._salt = blake2b(salt.encode(), digest_size=32).digest()
        total = float(sum(weights))
        self.shares = tuple(weight / total for weight in weights)
        self._ends = tuple(accumulate(self.shares))[:-1]

    def place(self, key: bytes) -> Place:
        """The variant of a key, always the same one."""
        digest = blake2b(key, digest_size=16, key=self._salt).digest()
        point = int.from_bytes(digest[:8], "big") * _SCALE
        return Place(bisect_right(self._ends, point), int.from_bytes(digest[8:], "big"))


def digest_of(inputs: Mapping[str, np.ndarray]) -> bytes:
    """16 bytes over name, dtype, shape and content of each input; equal inputs, equal bytes."""
    digest = blake2b(digest_size=16)
    for name in sorted(inputs):
        array = inputs[name]
        digest.update(f"\0{name}\0{array.dtype.str}{array.shape}".encode())
        if array.dtype.kind == "O":
            for value in array.ravel():
                content = (
                    value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")
                )
                digest.update(len(content).to_bytes(8, "little"))
                digest.update(content)
        else:
            digest.update(np.ascontiguousarray(array).data)
    return digest.digest()
