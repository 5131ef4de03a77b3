"""What a run is asked to do: frozen, bounded, checked field by field.

`spec_from` reads the JSON form; a key that is unknown, missing or out of range raises
InvalidInput with its dotted path. `as_dict` gives the JSON form back.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from engine.errors import InvalidInput

LONGEST_S = 86_400.0
MOST_PER_S = 200_000.0


def _of(
    default: Any,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
    whole: bool = False,
    null: bool = False,
    longest: int = 0,
    above: bool = False,
) -> Any:
    """One field. above: the low end itself is out. longest: characters of a text."""
    about = {"low": low, "high": high, "choices": choices, "whole": whole, "null": null}
    return field(default=default, metadata=about | {"longest": longest, "above": above})


@dataclass(frozen=True, slots=True, kw_only=True)
class PayloadSpec:
    """What is sent.

    source: samples, the server's own rows of the model, else random ones of its shapes;
    file, `path` with V2 bodies or rows; traffic, `path` as `pyrometer bench record` wrote it.
    rows: different bodies, at most. speed: traffic is sent at its own times, so many times
    faster; None: in its order, at the run's rate. cache: cached answers are allowed.
    """

    source: str = _of("samples", choices=("samples", "file", "traffic"))
    path: str | None = _of(None, null=True, longest=4096)
    rows: int = _of(500, low=1, high=100_000, whole=True)
    speed: float | None = _of(None, low=0.01, high=1000.0, null=True)
    cache: bool = _of(False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SloSpec:
    """What the run must keep; None is no limit. least_per_s: of the achieved rate."""

    p99_ms: float | None = _of(None, low=0.0, high=600_000.0, null=True, above=True)
    error_percent: float | None = _of(None, low=0.0, high=100.0, null=True)
    least_per_s: float | None = _of(None, low=0.0, high=MOST_PER_S, null=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class RampSpec:
    """Rates from the first to the last in equal steps, each held for step_s."""

    from_per_s: float = _of(100.0, low=0.1, high=MOST_PER_S)
    to_per_s: float = _of(1000.0, low=0.1, high=MOST_PER_S)
    steps: int = _of(10, low=2, high=100, whole=True)
    step_s: float = _of(5.0, low=0.2, high=3600.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class LabSpec:
    """One run. model may be empty for traffic, which then keeps its own models.

    generator: wrk sends instead, closed loop only. seed: of arrivals and of made rows.
    """

    url: str = _of("", longest=2000)
    model: str = _of("", longest=200)
    name: str = _of("", longest=80)
    version: str | None = _of(None, null=True, longest=100)
    loop: str = _of("closed", choices=("closed", "open"))
    arrivals: str = _of("constant", choices=("constant", "poisson"))
    rate_per_s: float | None = _of(None, low=0.1, high=MOST_PER_S, null=True)
    connections: int = _of(50, low=1, high=1000, whole=True)
    seconds: float = _of(30.0, low=0.2, high=LONGEST_S)
    warmup_s: float = _of(0.0, low=0.0, high=3600.0)
    timeout_s: float = _of(10.0, low=0.05, high=600.0)
    payload: PayloadSpec = field(default_factory=PayloadSpec)
    slo: SloSpec = field(default_factory=SloSpec)
    ramp: RampSpec | None = None
    seed: int = _of(0, low=0, high=2**32 - 1, whole=True)
    generator: str = _of("lab", choices=("lab", "wrk"))

    def __post_init__(self) -> None:
        _check_target(self)
        _check_loop(self)
        _check_ramp(self)

    def as_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return dataclasses.asdict(self)


_PARTS: Mapping[str, type] = {"payload": PayloadSpec, "slo": SloSpec, "ramp": RampSpec}


def spec_from(given: Any) -> LabSpec:
    """A spec from its JSON form; keys left out have their defaults.

    Raises InvalidInput naming the field.
    """
    values = dict(_object(given, "spec"))
    _refuse_unknown(values, LabSpec, "")
    for name, kind in _PARTS.items():
        if values.get(name) is not None:
            part = dict(_object(values[name], name))
            _refuse_unknown(part, kind, f"{name}.")
            values[name] = kind(**_checked(part, kind, f"{name}."))
        elif name != "ramp":
            values[name] = kind()
    plain = {name: value for name, value in values.items() if name not in _PARTS}
    return LabSpec(
        **_checked(plain, LabSpec, ""), **{n: v for n, v in values.items() if n in _PARTS}
    )


def _object(given: Any, name: str) -> Mapping[str, Any]:
    if not isinstance(given, Mapping):
        raise InvalidInput(f"{name} is {str(given)[:80]!r}; it must be an object")
    return given


def _refuse_unknown(values: Mapping[str, Any], kind: Any, prefix: str) -> None:
    known = [item.name for item in dataclasses.fields(kind)]
    for name in values:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, 1)
            hint = f"; the nearest is {prefix}{near[0]}" if near else ""
            raise InvalidInput(f"{prefix}{str(name)[:80]}: there is no such field{hint}")


def _checked(values: Mapping[str, Any], kind: Any, prefix: str) -> dict[str, Any]:
    about = {item.name: item for item in dataclasses.fields(kind)}
    return {
        name: _check(value, about[name].metadata, about[name].default, f"{prefix}{name}")
        for name, value in values.items()
    }


def _check(value: Any, about: Mapping[str, Any], default: Any, name: str) -> Any:
    """The value, in the field's own type."""
    if value is None and about["null"]:
        return None
    if isinstance(default, bool):
        wanted, fits = "true or false", isinstance(value, bool)
    elif about["low"] is None:
        wanted, fits = "text", isinstance(value, str)
        if fits and about["choices"]:
            wanted, fits = f"one of {', '.join(about['choices'])}", value in about["choices"]
        elif fits and about["longest"]:
            wanted = f"at most {about['longest']} characters"
            fits = len(value) <= about["longest"]
    else:
        wanted, fits = _number_fits(value, about)
        if fits:
            return int(value) if about["whole"] else float(value)
    if not fits:
        raise InvalidInput(f"{name} is {str(value)[:80]!r}; it must be {wanted}")
    return value


def _number_fits(value: Any, about: Mapping[str, Any]) -> tuple[str, bool]:
    low, high = about["low"], about["high"]
    begin = f"above {low:g} and at most {high:g}" if about["above"] else f"{low:g} to {high:g}"
    wanted = f"{'a whole number' if about['whole'] else 'a number'}, {begin}"
    fits = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if fits and about["whole"]:
        fits = value == int(value)
    return wanted, fits and low <= value <= high and not (about["above"] and value == low)


def _check_target(spec: LabSpec) -> None:
    try:
        parts = urlsplit(spec.url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or any(ord(sign) <= 32 or ord(sign) > 126 for sign in spec.url):
        raise InvalidInput(f"url is {spec.url[:80]!r}; it must be http://host:port, or https")
    payload = spec.payload
    if not spec.model and payload.source != "traffic":
        raise InvalidInput("model is empty; only recorded traffic may go without one")
    if payload.source != "samples" and not payload.path:
        raise InvalidInput(f"payload.path is empty; payload.source {payload.source} needs a file")
    if payload.source == "samples" and payload.path:
        raise InvalidInput("payload.path is given; payload.source samples takes no file")
    if payload.path and not Path(payload.path).is_file():
        raise InvalidInput(f"payload.path is {payload.path[:200]!r}: there is no such file")


def _check_loop(spec: LabSpec) -> None:
    replays = spec.payload.speed is not None
    if replays and spec.payload.source != "traffic":
        raise InvalidInput("payload.speed is given; only traffic has times of its own")
    if replays and (spec.loop != "open" or spec.ramp or spec.rate_per_s is not None):
        raise InvalidInput("payload.speed is given; it needs loop open, no ramp and no rate_per_s")
    if spec.loop == "closed" and spec.rate_per_s is not None:
        raise InvalidInput(f"rate_per_s is {spec.rate_per_s:g}; a closed loop takes no rate")
    if spec.loop == "open" and spec.rate_per_s is None and not replays and not spec.ramp:
        raise InvalidInput("rate_per_s is empty; an open loop needs a rate")
    if spec.generator == "wrk" and (spec.loop != "closed" or spec.payload.source == "traffic"):
        raise InvalidInput("generator is wrk; it sends a closed loop of one model only")


def _check_ramp(spec: LabSpec) -> None:
    if spec.ramp is None:
        return
    if spec.loop != "open" or spec.rate_per_s is not None:
        raise InvalidInput("ramp is given; it needs loop open, and its own rates, no rate_per_s")
    if spec.ramp.to_per_s <= spec.ramp.from_per_s:
        raise InvalidInput(
            f"ramp.to_per_s is {spec.ramp.to_per_s:g}; it must be above ramp.from_per_s, "
            f"{spec.ramp.from_per_s:g}"
        )
    if spec.slo.p99_ms is None and spec.slo.error_percent is None:
        raise InvalidInput("slo is empty; a ramp needs slo.p99_ms or slo.error_percent")
