"""Docs that must not fall behind the code."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from app.routes import ROUTES
from engine.config import Settings

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.parametrize("setting", [setting.name for setting in fields(Settings)])
def test_every_setting_is_documented(setting: str) -> None:
    assert f"PYROMETER_{setting.upper()}" in (ROOT / "docs/settings.md").read_text()


@pytest.mark.parametrize("path", sorted({path for _, path, _ in ROUTES}))
def test_every_route_is_documented(path: str) -> None:
    assert f"`{path}`" in (ROOT / "docs/api.md").read_text()
