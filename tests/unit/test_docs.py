"""Docs that must not fall behind the code."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from app.routes import ROUTES
from engine.config import Settings
from engine.telemetry.catalogue import FAMILIES, METRICS
from engine.telemetry.figures import FIGURES
from engine.telemetry.system import GAUGES

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.parametrize("setting", [setting.name for setting in fields(Settings)])
def test_every_setting_is_documented(setting: str) -> None:
    assert f"PYROMETER_{setting.upper()}" in (ROOT / "docs/settings.md").read_text()


@pytest.mark.parametrize("path", sorted({path for _, path, _ in ROUTES}))
def test_every_route_is_documented(path: str) -> None:
    assert f"`{path}`" in (ROOT / "docs/api.md").read_text()


@pytest.mark.parametrize("name", [metric.name for metric in METRICS])
def test_every_metric_is_documented_with_its_help(name: str) -> None:
    metric = next(metric for metric in METRICS if metric.name == name)
    shown = "core_N_percent" if name.startswith("core_") else name
    line = f"| `{shown}` | {metric.unit} | "
    assert line + ("" if shown != name else metric.help) in (ROOT / "docs/metrics.md").read_text()


@pytest.mark.parametrize("name", [family.name for family in FAMILIES])
def test_every_family_is_documented_with_its_help(name: str) -> None:
    family = next(family for family in FAMILIES if family.name == name)
    assert (
        f"{family.kind} | {', '.join(family.labels)} | {family.help} |"
        in (ROOT / "docs/metrics.md").read_text()
    )


def test_the_catalogue_is_complete() -> None:
    assert [metric.name for metric in METRICS] == list(dict.fromkeys(m.name for m in METRICS))
    assert {metric.name for metric in METRICS} == {*FIGURES, *GAUGES}
