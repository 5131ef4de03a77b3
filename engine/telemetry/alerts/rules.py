"""Alert rules as data: read from TOML, checked field by field.

    [[rule]]                            [[slo]]
    name = "response_time"              name = "availability"
    metric = "p95_ms"                   kind = "availability"
    warning = 100                       objective_percent = 99.9
    critical = 500

A rule gives up to two alerts, one a severity. Durations are texts: "30s", "5m", "1h", "3d".
"""

from __future__ import annotations

import difflib
import re
import tomllib
from dataclasses import MISSING, dataclass, fields
from typing import Any

from engine.errors import InvalidInput
from engine.telemetry.figures import FIGURES
from engine.telemetry.system import GAUGES

SEVERITIES = ("critical", "warning")
REDUCERS = ("mean", "max", "min", "last")
ACTIONS = ("", "trim")
SLO_KINDS = ("availability", "latency")
METRICS = (*FIGURES, *GAUGES)
MAX_RULES = 100
MAX_BYTES = 65_536
MAX_WINDOW_S = 3600.0
_NAME = re.compile(r"[a-z0-9_\-]{1,60}")
_DURATION = re.compile(r"(\d{1,12}(?:\.\d{1,12})?)(ms|s|m|h|d)?", re.ASCII)
_UNITS = {"ms": 0.001, "s": 1, None: 1, "m": 60, "h": 3600, "d": 86_400}


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. Times in seconds; limits in the metric's unit, None where there is none.

    unless_below: below that there is nothing to judge, neither a floor crossed nor well.
    """

    name: str
    metric: str
    warning: float | None = None
    critical: float | None = None
    below: bool = False
    reduce: str = "mean"
    window: float = 60.0
    for_: float = 0.0
    keep_firing: float = 0.0
    min_requests: int = 1
    unless_below: float | None = None
    action: str = ""
    description: str = ""

    @property
    def is_figure(self) -> bool:
        """Computed from requests, not read from a gauge."""
        return self.metric in FIGURES

    def limit(self, severity: str) -> float | None:
        value: float | None = getattr(self, severity)
        return value

    def crossed(self, severity: str, value: float) -> bool | None:
        """Whether the value is past the limit of a severity; None where it is no data."""
        limit = self.limit(severity)
        if limit is None:
            return False
        if not self.below:
            return value > limit
        if self.unless_below is not None and value < self.unless_below:
            return None
        return value < limit


@dataclass(frozen=True, slots=True)
class Slo:
    """A share of requests that are to be good. threshold_ms: good answers take at most this."""

    name: str
    kind: str
    objective_percent: float
    threshold_ms: float = 0.0
    window: float = 30 * 86_400.0
    min_requests: int = 100


@dataclass(frozen=True, slots=True)
class Rules:
    """All of a file."""

    rules: tuple[Rule, ...]
    slos: tuple[Slo, ...]


def parse_rules(text: str) -> Rules:
    """Rules from TOML. Raises InvalidInput naming the rule and the field."""
    if len(text.encode()) > MAX_BYTES:
        raise InvalidInput(f"rules have {len(text.encode())} bytes; the limit is {MAX_BYTES}")
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidInput(f"rules are no TOML: {error}") from None
    if unknown := sorted(found.keys() - {"rule", "slo"}):
        raise InvalidInput(f"unknown table {unknown[0]!r}; known: rule, slo")
    tables = {name: found.get(name, []) for name in ("rule", "slo")}
    for name, given in tables.items():
        if not isinstance(given, list) or not all(isinstance(one, dict) for one in given):
            raise InvalidInput(f"{name} must be written as [[{name}]]")
    if sum(map(len, tables.values())) > MAX_RULES:
        raise InvalidInput(f"there are more than {MAX_RULES} rules, the limit")
    rules = tuple(_rule(at, given) for at, given in enumerate(tables["rule"], 1))
    slos = tuple(_slo(at, given) for at, given in enumerate(tables["slo"], 1))
    names = [*(rule.name for rule in rules), *(slo.name for slo in slos)]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InvalidInput(f"there are two rules with the name {twice[0]!r}")
    return Rules(rules, slos)


def _rule(at: int, given: dict[str, Any]) -> Rule:
    where, values = _checked(f"rule {at}", given, Rule)
    rule = Rule(**values)
    if rule.metric not in METRICS:
        near = difflib.get_close_matches(rule.metric, METRICS, n=1, cutoff=0.0)[0]
        raise InvalidInput(f"{where}: unknown metric {rule.metric!r}; the nearest is {near}")
    if rule.warning is None and rule.critical is None:
        raise InvalidInput(f"{where}: it needs a limit, warning or critical")
    if rule.warning is not None and rule.critical is not None:
        right = rule.critical < rule.warning if rule.below else rule.critical > rule.warning
        if not right:
            raise InvalidInput(f"{where}: critical {rule.critical:g} is not past {rule.warning:g}")
    _check_unless_below(where, rule)
    for name, known in (("reduce", REDUCERS), ("action", ACTIONS)):
        if getattr(rule, name) not in known:
            listed = ", ".join(filter(None, known))
            raise InvalidInput(f"{where}: {name} is {getattr(rule, name)!r}; it must be {listed}")
    if not 1 <= rule.window <= MAX_WINDOW_S:
        raise InvalidInput(f"{where}: window is {rule.window:g} s; it must be 1 s to 1 h")
    return rule


def _check_unless_below(where: str, rule: Rule) -> None:
    least = rule.unless_below
    if least is None:
        return
    if not rule.below:
        raise InvalidInput(f"{where}: unless_below is of floors only; it needs below = true")
    for severity in SEVERITIES:
        limit = rule.limit(severity)
        if limit is not None and least >= limit:
            words = f"unless_below is {least:g}; it must be under {severity}, which is {limit:g}"
            raise InvalidInput(f"{where}: {words}, or that is never crossed")


def _slo(at: int, given: dict[str, Any]) -> Slo:
    where, values = _checked(f"slo {at}", given, Slo)
    slo = Slo(**values)
    if slo.kind not in SLO_KINDS:
        raise InvalidInput(f"{where}: kind is {slo.kind!r}; it must be availability or latency")
    if not 0 < slo.objective_percent < 100:
        shown = f"{slo.objective_percent:g}"
        raise InvalidInput(f"{where}: objective_percent is {shown}; it must be between 0 and 100")
    if slo.kind == "latency" and slo.threshold_ms <= 0:
        raise InvalidInput(f"{where}: a latency objective needs threshold_ms")
    if not 3600 <= slo.window <= 90 * 86_400:
        raise InvalidInput(f"{where}: window is {slo.window:g} s; it must be 1 h to 90 d")
    return slo


_DURATIONS = {"window", "for_", "keep_firing"}


def _checked(where: str, given: dict[str, Any], kind: type) -> tuple[str, dict[str, Any]]:
    """Values by field name, each of its type. Raises InvalidInput."""
    given = {"for_" if field == "for" else field: value for field, value in given.items()}
    title = given.get("name")
    if not isinstance(title, str) or not _NAME.fullmatch(title):
        raise InvalidInput(f"{where}: name is {str(title)[:80]!r}; it must be of a-z, 0-9, _ and -")
    where = f"{where.split()[0]} {title!r}"
    known = {field.name: field for field in fields(kind)}
    values: dict[str, Any] = {}
    for field, value in given.items():
        if field not in known:
            raise InvalidInput(f"{where}: unknown field {field.rstrip('_')!r}")
        shown = f"{where}: {field.rstrip('_')}"
        values[field] = _value(shown, field, str(known[field].type), value)
    for name, described in known.items():
        if described.default is MISSING and name not in values:
            raise InvalidInput(f"{where}: {name} is missing")
    return where, values


def _value(where: str, field: str, kind: str, value: Any) -> Any:
    if field in _DURATIONS:
        return parse_duration(where, value)
    if kind == "bool":
        if isinstance(value, bool):
            return value
        raise InvalidInput(f"{where} is {value!r}; it must be true or false")
    if kind == "str":
        if isinstance(value, str) and len(value) <= 500:
            return value
        raise InvalidInput(f"{where} must be a text of at most 500 characters")
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        raise InvalidInput(f"{where} is {str(value)[:80]!r}; it must be a number")
    return int(value) if kind == "int" else float(value)


def parse_duration(where: str, value: Any) -> float:
    """Seconds of "90", "90s", "5m", "1h" or "3d", or of a number. Raises InvalidInput."""
    match = _DURATION.fullmatch(str(value).strip()) if not isinstance(value, bool) else None
    if match is None:
        raise InvalidInput(f"{where} is {str(value)[:40]!r}; it must be like 30s, 5m, 1h or 3d")
    return float(match[1]) * _UNITS[match[2]]
