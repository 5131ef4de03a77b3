"""Baselines on disk: what was measured, of which commit, where.

{"format": 1, "name", "created" (UTC s), "commit", "clean",
 "machine": {cpus, cpu, memory_bytes, system, python}, "versions": {library: version},
 "payload": {"models": {name: SHA-256 of its files}, "cases": {case: {"requests", "digest"}}},
 "settings": [flags of the server],
 "cases": {case: {"requests_per_window", "forms", "noise": {percent, low, high},
                  "blocks": {figure: [[a value a block] a round]}}}}
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.gate.sender import FIGURES
from engine.errors import InvalidInput, PyrometerError
from engine.files import write_atomically

FORMAT = 1
MOST_BYTES = 16 * 1024 * 1024
SAME_MACHINE = ("cpus", "cpu", "system", "python")
KINDS: Mapping[str, type | tuple[type, ...]] = {
    "format": int,
    "name": str,
    "created": (int, float),
    "commit": (str, type(None)),
    "clean": bool,
    "machine": dict,
    "versions": dict,
    "payload": dict,
    "settings": list,
    "cases": dict,
}
Baseline = dict[str, Any]


def read_baseline(path: Path) -> Baseline:
    """A baseline, checked. Raises InvalidInput naming the field that is wrong."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise InvalidInput(f"baseline is {str(path)!r}: over the limit of {MOST_BYTES} bytes")
        found = json.loads(path.read_bytes())
    except OSError as error:
        raise InvalidInput(f"baseline is {str(path)!r}: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise InvalidInput(f"baseline is {str(path)!r}: not JSON") from None
    return checked(found)


def checked(found: Any) -> Baseline:
    """The same, when it is a baseline. Raises InvalidInput naming the field that is wrong."""
    _need(found, dict, "baseline")
    for name, kind in KINDS.items():
        _need(found.get(name), kind, f"baseline.{name}")
    if found["format"] != FORMAT:
        raise InvalidInput(f"baseline.format is {found['format']}; this gate reads {FORMAT}")
    for name in SAME_MACHINE:
        _need(found["machine"].get(name), (str, int), f"baseline.machine.{name}")
    for part in ("models", "cases"):
        _need(found["payload"].get(part), dict, f"baseline.payload.{part}")
    for name, case in found["cases"].items():
        place = f"baseline.cases.{name}"
        _need(case, dict, place)
        _need(case.get("blocks"), dict, f"{place}.blocks")
        for figure in FIGURES:
            _check_blocks(case["blocks"].get(figure), f"{place}.blocks.{figure}")
    return dict(found)


def _check_blocks(rounds: Any, place: str) -> None:
    _need(rounds, list, place)
    for number, blocks in enumerate(rounds):
        _need(blocks, list, f"{place}[{number}]")
        for value in blocks:
            usual = isinstance(value, int | float) and not isinstance(value, bool)
            if not usual or not math.isfinite(value) or value <= 0:
                raise InvalidInput(f"{place}[{number}] has {value!r}; values are over 0")
    if not any(rounds):
        raise InvalidInput(f"{place} is empty: nothing was measured")


def _need(value: Any, kind: type | tuple[type, ...], place: str) -> None:
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        shown = "missing" if value is None else f"{str(value)[:60]!r}"
        kinds = kind if isinstance(kind, tuple) else (kind,)
        wanted = " or ".join("null" if one is type(None) else one.__name__ for one in kinds)
        raise InvalidInput(f"{place} is {shown}; it must be {wanted}")


def write_baseline(path: Path, baseline: Baseline) -> None:
    """Raises PyrometerError where it cannot be written."""
    try:
        write_atomically(path, json.dumps(checked(baseline), indent=1).encode() + b"\n")
    except OSError as error:
        raise PyrometerError(f"{path} cannot be written: {error.strerror}") from None


def differences(
    baseline: Baseline,
    machine: Mapping[str, Any],
    versions: Mapping[str, str],
    payload: Mapping[str, Any],
) -> list[str]:
    """Why figures of the file cannot be put beside figures of here; empty when they can."""
    was = baseline["machine"]
    found = [
        f"machine.{name}: {was[name]} then, {machine[name]} now"
        for name in SAME_MACHINE
        if was[name] != machine[name]
    ]
    then = baseline["versions"]
    found += [
        f"versions.{name}: {then.get(name, 'none')} then, {versions.get(name, 'none')} now"
        for name in sorted({*then, *versions})
        if then.get(name) != versions.get(name)
    ]
    for part in ("models", "cases"):
        asked = baseline["payload"][part]
        found += [
            f"payload.{part}.{name}: another than then"
            for name, about in payload[part].items()
            if name in asked and asked[name] != about
        ]
    return found
