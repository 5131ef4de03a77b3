"""What encodings cost and save: `make encodings`.

In process, medians: the same answer as JSON, with 4 decimals, packed, and as binary tensors;
requests as JSON, packed and binary. Every one is read back and compared.
"""

from __future__ import annotations

import gzip
import json
import statistics
import time
from collections.abc import Callable

import numpy as np

from app.api.codec import decode_request
from app.encoding import Compressor, sample_body
from app.gunzip import gunzip
from app.rounding import rounded, without_none

REPEATS = 200


def median_us(action: Callable[[], object]) -> float:
    """Median microseconds of an action."""
    times = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        action()
        times.append(1e6 * (time.perf_counter() - began))
    return statistics.median(times)


def request_rows(rows: int, columns: int = 30) -> list[str]:
    """Lines of the request table for one size."""
    matrix = np.random.default_rng(rows).normal(size=(rows, columns))
    tensor = {"name": "input", "datatype": "FP64", "shape": [rows, columns]}
    plain = json.dumps({"inputs": [tensor | {"data": matrix.reshape(-1).tolist()}]}).encode()
    binary = {"parameters": {"binary_data_size": matrix.nbytes}}
    head = json.dumps({"inputs": [tensor | binary]}).encode()
    packed = gzip.compress(plain, 6)

    def unpack() -> object:
        content = gunzip(packed, 1 << 24)
        assert content is not None
        return decode_request(content, "", 1 << 24, 1 << 24)

    forms: tuple[tuple[str, int, Callable[[], object]], ...] = (
        ("JSON", len(plain), lambda: decode_request(plain, "", 1 << 24, 1 << 24)),
        ("JSON, gzip", len(packed), unpack),
        (
            "binary",
            len(head) + matrix.nbytes,
            lambda: decode_request(head + matrix.tobytes(), str(len(head)), 1 << 24, 1 << 24),
        ),
    )
    lines = []
    for name, size, decode in forms:
        read = decode()
        np.testing.assert_array_equal(read.inputs["input"], matrix)  # type: ignore[attr-defined]
        lines.append(f"| {rows} x {columns} | {name} | {size:,} | {median_us(decode):,.1f} |")
    return lines


def main() -> int:
    print("| request | form | bytes | decode, us |\n|---|---|---:|---:|")
    for rows in (1, 64, 1024):
        print("\n".join(request_rows(rows)))
    compressor = Compressor()
    compressor.calibrate()
    sample = sample_body()
    packed = compressor.compress(sample)
    assert packed is not None
    assert gzip.decompress(packed) == sample
    costs = ", ".join(f"level {level}: {ms:.2f}" for level, ms in compressor.costs_ms.items())
    print(f"\ngzip, ms for 100 KB of unrelated figures: {costs}; chosen: {compressor.level}")
    print(f"{len(sample):,} bytes become {len(packed):,}")
    values = np.random.default_rng(0).random(1000)
    tree = {"a": [{"b": None, "c": [1.5] * 20}] * 50}
    print(f"4 decimals of 1,000 values: {median_us(lambda: rounded(values, 4)):.1f} us")
    print(f"nulls out of 1,100 values: {median_us(lambda: without_none(tree)):.1f} us")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
