"""The tokens: one set of values on both sides, readable in both themes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from components.theme import FONT, HEAT, TOKENS, Theme, browser_themes, heat_scale, template

CSS = (Path(__file__).parents[3] / "assets" / "tokens.css").read_text(encoding="utf-8")
SURFACES = ("bg", "surface", "raised")


def declared(selector: str) -> dict[str, str]:
    """The custom properties of the first rule whose selector ends so."""
    body = CSS.split(selector + " {", 1)[1].split("}", 1)[0]
    return dict(re.findall(r"--([\w-]+):\s*([^;]+);", body))


def luminance(colour: str) -> float:
    channels = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_stylesheet_and_python_hold_the_same_tokens(theme: Theme) -> None:
    assert declared(f':root[data-theme="{theme}"]') == TOKENS[theme]


def test_stylesheet_and_python_hold_the_same_heat_scale_and_font() -> None:
    common = declared(":root")
    assert tuple(common[f"heat-{step}"] for step in range(1, len(HEAT) + 1)) == HEAT
    assert common["font"] == FONT


def test_both_themes_have_the_same_names() -> None:
    assert TOKENS["dark"].keys() == TOKENS["light"].keys()


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize(("name", "least"), [("ink", 7.0), ("ink-2", 4.5), ("ink-3", 3.0)])
def test_ink_is_readable_on_every_surface(theme: Theme, name: str, least: float) -> None:
    token = TOKENS[theme]
    assert min(contrast(token[name], token[surface]) for surface in SURFACES) >= least


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("name", ["accent-ink", "ok", "warning", "critical", "unknown"])
def test_what_can_be_pressed_and_each_status_is_readable(theme: Theme, name: str) -> None:
    assert contrast(TOKENS[theme][name], TOKENS[theme]["surface"]) >= 4.5


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_every_line_of_a_chart_is_seen_on_its_surface(theme: Theme) -> None:
    token = TOKENS[theme]
    lines = [f"latency-{n}" for n in (1, 2, 3)] + [f"series-{n}" for n in range(1, 7)]
    assert min(contrast(token[name], token["surface"]) for name in lines) >= 3.0


def test_the_heat_scale_grows_lighter_from_end_to_end() -> None:
    light = [luminance(colour) for colour in HEAT]
    assert light == sorted(light)
    assert [stop for stop, _ in heat_scale()][::6] == [0.0, 1.0]


def test_a_template_takes_its_colours_from_the_tokens() -> None:
    layout = template("light")["layout"]
    assert layout["font"]["color"] == TOKENS["light"]["ink-2"]
    assert layout["colorway"][0] == TOKENS["light"]["series-1"]
    assert layout["xaxis"]["gridcolor"] == TOKENS["light"]["line"]


def test_the_browser_gets_both_themes() -> None:
    themes = browser_themes()
    assert set(themes) == {"dark", "light"}
    assert themes["dark"]["tokens"] == TOKENS["dark"]
    assert themes["dark"]["template"] == template("dark")
