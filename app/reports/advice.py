"""What a recommendation is, and what rules look at. Pure; app.reports.rules has the rules.

    a recommendation
      id, title, why      in words
      evidence            figures: label, value, unit, and where each is from (run, key)
      saving              {ms_per_hour, text, kind}; kind: estimate | at most | unknown
      action              {verb, method, path, body} pressed in the console, or {setting, value}
                          that needs a restart, or None

Nothing is recommended without evidence, and what cannot be predicted says so. They are ranked by
the time that they would save in an hour of the window's traffic, told where the window is long
enough to speak of an hour.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from app.reports.targets import figure, of_window

LEAST_MS_PER_HOUR = 1000.0
"""What would save less is not worth a word."""
LEAST_WINDOW_S = 600.0
"""A shorter time does not tell of an hour."""
LEFT_OUT = (
    "Left out: loads at start, what was answered while a benchmark ran, "
    f"savings under {LEAST_MS_PER_HOUR / 1e3:g} s an hour."
)


class Look(NamedTuple):
    """What the rules look at. run: the newest optimization run or None."""

    facts: Mapping[str, Any]
    run: Mapping[str, Any] | None

    @property
    def hours(self) -> float:
        window = self.facts["window"]
        covered_s = self.facts.get("judged_s", window["covered_s"] if window else 0.0)
        return float(covered_s) / 3600

    def live(self, label: str, value: float, unit: str, key: str) -> dict[str, Any]:
        """Evidence from the window's record."""
        return {"label": label, **of_window(value, unit, self.facts["window"], key)}

    def measured(self, label: str, key: str) -> dict[str, Any]:
        """Evidence from the run."""
        return {"label": label, **figure(self.run, key)}

    def planned(self, model: Mapping[str, Any], label: str, value: float, unit: str) -> Any:
        """Evidence from a model's tournament."""
        return {
            "label": label,
            "value": value,
            "unit": unit,
            "n": None,
            "how": "the model's tournament, median of its timed runs",
            "window": "at planning",
            "run": plan_id(model),
            "key": "plan.candidates",
        }


Found = Iterator[dict[str, Any]]
Saving = tuple[float | None, str, str]


def plan_id(model: Mapping[str, Any]) -> str:
    """Names a model's plan among a report's sources."""
    return f"plan-{model['name']}-{model['version']}"


def made(
    order: int,
    name: str,
    title: str,
    why: str,
    evidence: Iterable[dict[str, Any]],
    saving: Saving,
    action: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """A recommendation. order: where it saves as much as another; 0 and less go first of all."""
    ms_per_hour, kind, text = saving
    told = {"ms_per_hour": ms_per_hour, "kind": kind, "text": text}
    return {
        "id": name,
        "order": order,
        "title": title,
        "why": why,
        "evidence": [one for one in evidence if one.get("value") is not None],
        "saving": told,
        "action": action,
    }


def post(verb: str, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
    return {"verb": verb, "method": "POST", "path": path, "body": dict(body)}


def setting(name: str, value: str) -> dict[str, Any]:
    return {
        "setting": name,
        "value": value,
        "variable": f"PYROMETER_{name.upper()}",
        "flag": f"--{name.replace('_', '-')} {value}",
        "restart": True,
    }


def per_hour(look: Look, ms: float) -> float | None:
    """The rate, also of a window that is too short to tell of; see `worthwhile`."""
    return ms / look.hours if look.hours > 0 else None


def worthwhile(look: Look, found: dict[str, Any]) -> dict[str, Any] | None:
    """A recommendation as it is told; None where it would save too little."""
    saving = found["saving"]
    if saving["ms_per_hour"] is None:
        return found
    if saving["ms_per_hour"] < LEAST_MS_PER_HOUR:
        return None
    if look.hours * 3600 >= LEAST_WINDOW_S:
        return found
    text = f"{saving['text']}; {look.hours * 60:,.1f} minutes do not tell of an hour"
    return found | {"saving": saving | {"ms_per_hour": None, "text": text}}


def models_of(look: Look) -> Iterator[Mapping[str, Any]]:
    return (model for model in look.facts["models"] if model["serving"])
