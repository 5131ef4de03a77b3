"""What an experiment is, as given: checked field by field, then frozen.

Definition
  variants   control first, then 1..MOST_CANDIDATES candidates
  guards     limits that stop it
  requests   planned number of each variant; None: looked at at any time
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from engine.errors import InvalidInput

MOST_CANDIDATES = 4
MOST_REQUESTS = 100_000_000
CONTROL = "control"
GUARDS = ("errors", "p99", "disagreement")
MEASURES: Mapping[str, tuple[str, ...]] = {
    "split": ("request", "inference"),
    "shadow": ("cpu", "inference"),
}
"""What is timed, by mode, the first by default: the whole request at the server, the model's run
by the clock, or the processor time of the run's thread. Beside callers a run often waits for
them, which is no fault of its own: hence processor time in shadow mode."""
_NAME = re.compile(r"[A-Za-z0-9._\-]{1,40}")
_HEADER = re.compile(r"[a-z0-9\-]{1,64}")
_FIELDS = (
    *("name", "model", "mode", "control", "candidates", "header", "fraction", "measure"),
    *("analysis", "alpha", "guards", "start"),
)
_VARIANT_FIELDS = (*("name", "version", "backend", "batching", "max_wait_us", "caches", "weight"),)


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to answer. None: as it is without an experiment.

    version: always a number once the experiment is made. batching, caches: on or off.
    """

    name: str
    version: str
    backend: str | None = None
    batching: str | None = None
    max_wait_us: float | None = None
    caches: str | None = None
    weight: float = 1.0

    @property
    def text(self) -> str:
        """In words."""
        waits = "" if self.max_wait_us is None else f" up to {self.max_wait_us:g} µs"
        parts = [
            f"version {self.version}",
            "" if self.backend is None else f"as {self.backend}",
            "" if self.batching is None else f"batching {self.batching}{waits}",
            "" if self.caches is None else f"caches {self.caches}",
        ]
        return ", ".join(filter(None, parts)).replace(", as ", " as ", 1)

    @property
    def is_plain(self) -> bool:
        """A version as it is served anyway."""
        return self.backend is None and self.batching is None and self.caches is None


@dataclass(frozen=True, slots=True)
class Guard:
    """limit: what may not be passed. least: requests of the candidate before it judges.

    tolerance: of the answers' disagreement, the largest difference of numbers that counts as
    equal.
    """

    limit: float
    least: int
    tolerance: float | None = None


DEFAULT_GUARDS: Mapping[str, Guard] = {
    "errors": Guard(0.01, 100),
    "p99": Guard(1.5, 500),
    "disagreement": Guard(0.001, 200, 0.001),
}
_LIMITS: Mapping[str, tuple[float, float]] = {
    "errors": (0.0, 1.0),
    "p99": (1.0, 1000.0),
    "disagreement": (0.0, 1.0),
}


@dataclass(frozen=True, slots=True)
class Definition:
    """A whole experiment. variants[0] is control.

    fraction: of the requests, those whose answers are compared off the callers' time.
    """

    name: str
    model: str
    mode: str
    variants: tuple[Variant, ...]
    header: str | None = None
    fraction: float = 1.0
    measure: str = "request"
    requests: int | None = 1000
    alpha: float = 0.05
    guards: Mapping[str, Guard | None] = field(default_factory=lambda: dict(DEFAULT_GUARDS))

    @property
    def is_shadow(self) -> bool:
        return self.mode == "shadow"

    @property
    def warning(self) -> str:
        """What is odd about it and may be meant; "" for nothing."""
        control, *others = self.variants
        same = [one.name for one in others if replace(one, name=control.name) == control]
        if not same:
            return ""
        return (
            f"{', '.join(same)}: the same version, form, batching and caches as {control.name}; "
            "this tests the split alone and finds no difference"
        )

    @property
    def tolerance(self) -> float:
        """What counts as the same number."""
        guard = self.guards["disagreement"] or DEFAULT_GUARDS["disagreement"]
        return guard.tolerance or 0.0

    def as_dict(self) -> dict[str, Any]:
        """The public form, which `definition_of` reads too."""
        planned = self.requests is not None
        return {
            "name": self.name,
            "model": self.model,
            "mode": self.mode,
            "header": self.header,
            "fraction": self.fraction,
            "measure": self.measure,
            "analysis": {"kind": "planned", "requests": self.requests}
            if planned
            else {"kind": "always-valid"},
            "alpha": self.alpha,
            "guards": {name: self._guard(name) for name in GUARDS},
        }

    def _guard(self, name: str) -> dict[str, Any] | None:
        guard = self.guards[name]
        if guard is None:
            return None
        return {key: value for key, value in asdict(guard).items() if value is not None}

    def as_given(self) -> dict[str, Any]:
        """What `definition_of` makes this from again."""
        variants = [asdict(variant) for variant in self.variants]
        return self.as_dict() | {"control": variants[0], "candidates": variants[1:]}


def definition_of(body: Mapping[str, Any], serving: str) -> Definition:
    """A definition from its JSON. serving: the version of variants that name none.

    Raises InvalidInput naming the field.
    """
    _known("", body, _FIELDS)
    mode = _one_of("mode", body.get("mode", "split"), ("split", "shadow"))
    shadow = mode == "shadow"
    header = body.get("header")
    if header is not None:
        if not isinstance(header, str) or not _HEADER.fullmatch(header.lower()):
            raise InvalidInput(f"header is {str(header)[:80]!r}; it must name an HTTP header")
        if shadow:
            raise InvalidInput("header: in shadow mode control answers everybody; leave it out")
    measures = MEASURES[mode]
    measure = _one_of("measure", body.get("measure", measures[0]), measures)
    return Definition(
        name=_text("name", body.get("name"), 80),
        model=_text("model", body.get("model"), 128),
        mode=mode,
        variants=_variants(body, serving),
        header=header.lower() if header else None,
        fraction=_number("fraction", body.get("fraction", 1.0 if shadow else 0.1), 0.0, 1.0),
        measure=measure,
        requests=_requests(body.get("analysis", {"kind": "planned"})),
        alpha=_number("alpha", body.get("alpha", 0.05), 1e-4, 0.2),
        guards=_guards(body.get("guards", {})),
    )


def _variants(body: Mapping[str, Any], serving: str) -> tuple[Variant, ...]:
    candidates = body.get("candidates")
    if not isinstance(candidates, list) or not 1 <= len(candidates) <= MOST_CANDIDATES:
        raise InvalidInput(f"candidates must be a list of 1 to {MOST_CANDIDATES} variants")
    control = body.get("control", {})
    if isinstance(control, dict):
        control = {"name": CONTROL} | control
    given = [("control", control)]
    given += [(f"candidates[{at}]", item) for at, item in enumerate(candidates)]
    found: list[Variant] = []
    for where, item in given:
        variant = _variant(where, item, serving)
        if variant.name in {other.name for other in found}:
            raise InvalidInput(f"{where}.name: {variant.name!r} is another variant's name")
        found.append(variant)
    return tuple(found)


def _variant(where: str, item: Any, serving: str) -> Variant:
    if not isinstance(item, dict):
        raise InvalidInput(f"{where} must be an object with a name")
    _known(f"{where}.", item, _VARIANT_FIELDS)
    name = item.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InvalidInput(f"{where}.name must be 1 to 40 letters, digits, '.', '_' or '-'")
    batching, caches = item.get("batching"), item.get("caches")
    for key, value in (("batching", batching), ("caches", caches)):
        if value is not None:
            _one_of(f"{where}.{key}", value, ("on", "off"))
    wait_us = item.get("max_wait_us")
    if wait_us is not None:
        wait_us = _number(f"{where}.max_wait_us", wait_us, 0.0, 1e6)
        if batching != "on":
            raise InvalidInput(f'{where}.max_wait_us: it needs batching "on"')
    return Variant(
        name,
        _text(f"{where}.version", item["version"], 9) if item.get("version") else serving,
        _text(f"{where}.backend", item["backend"], 80) if item.get("backend") else None,
        batching,
        wait_us,
        caches,
        _number(f"{where}.weight", item.get("weight", 1), 1e-3, 1e3),
    )


def _requests(analysis: Any) -> int | None:
    if not isinstance(analysis, dict):
        raise InvalidInput('analysis must be an object such as {"kind": "planned"}')
    _known("analysis.", analysis, ("kind", "requests"))
    kind = _one_of("analysis.kind", analysis.get("kind"), ("planned", "always-valid"))
    if kind == "always-valid":
        if analysis.get("requests") is not None:
            raise InvalidInput("analysis.requests: always-valid has no planned end; leave it out")
        return None
    requests = analysis.get("requests", 1000)
    if type(requests) is not int or not 100 <= requests <= MOST_REQUESTS:
        raise InvalidInput(
            f"analysis.requests is {str(requests)[:40]}; it must be 100 to {MOST_REQUESTS}"
        )
    return requests


def _guards(given: Any) -> dict[str, Guard | None]:
    if not isinstance(given, dict):
        raise InvalidInput("guards must be an object")
    _known("guards.", given, GUARDS)
    guards: dict[str, Guard | None] = dict(DEFAULT_GUARDS)
    for name, item in given.items():
        if item is None:
            guards[name] = None
            continue
        where, default = f"guards.{name}", DEFAULT_GUARDS[name]
        if not isinstance(item, dict):
            raise InvalidInput(f"{where} must be an object or null")
        own = ("tolerance",) if default.tolerance is not None else ()
        _known(f"{where}.", item, ("limit", "least", *own))
        least = item.get("least", default.least)
        if type(least) is not int or not 10 <= least <= MOST_REQUESTS:
            raise InvalidInput(f"{where}.least must be a whole number from 10")
        tolerance = item.get("tolerance", default.tolerance)
        guards[name] = Guard(
            _number(f"{where}.limit", item.get("limit", default.limit), *_LIMITS[name]),
            least,
            None if tolerance is None else _number(f"{where}.tolerance", tolerance, 0.0, 1e12),
        )
    return guards


def _known(where: str, given: Mapping[str, Any], known: tuple[str, ...]) -> None:
    if unknown := sorted(str(key) for key in given if key not in known):
        raise InvalidInput(
            f"unknown field {f'{where}{unknown[0]}'[:80]!r}; known: {', '.join(known)}"
        )


def _one_of(name: str, value: Any, words: tuple[str, ...]) -> str:
    if not isinstance(value, str) or value not in words:
        raise InvalidInput(f"{name} is {str(value)[:40]!r}; it must be {' or '.join(words)}")
    return value


def _text(name: str, value: Any, most: int) -> str:
    if not isinstance(value, str) or not value.strip() or len(value) > most:
        raise InvalidInput(f"{name} must be a text of 1 to {most} characters")
    return value.strip()


def _number(name: str, value: Any, low: float, high: float) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or not low <= value <= high:
        raise InvalidInput(f"{name} is {str(value)[:40]}; it must be {low:g} to {high:g}")
    return float(value)
