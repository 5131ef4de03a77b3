"""The key of a result: a 128-bit digest of everything the answer depends on."""

from __future__ import annotations

from hashlib import blake2b

import numpy as np

from engine.types import Tensors


def result_key(model_digest: bytes, inputs: Tensors, outputs: tuple[str, ...]) -> bytes:
    """16 bytes over model version, outputs, and name, dtype, shape and bytes of each input.

    inputs: bound tensors, C-contiguous; text is length-prefixed, so that ["ab"] and
    ["a", "b"] differ. BLAKE2b at 128 bits: a collision among 10^12 results has a
    probability below 10^-14.
    """
    digest = blake2b(model_digest, digest_size=16)
    digest.update("\0".join(outputs).encode())
    for name in sorted(inputs):
        array = inputs[name]
        digest.update(f"\0{name}\0{array.dtype.str}{array.shape}".encode())
        if array.dtype.kind == "O":
            for text in array.ravel():
                content = _encoded(text)
                digest.update(len(content).to_bytes(8, "little"))
                digest.update(content)
        else:
            digest.update(np.ascontiguousarray(array).data)
    return digest.digest()


def _encoded(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
