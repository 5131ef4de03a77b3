"""Colours of flame graphs as plain data: by module, and by difference when two are compared.

    PALETTE[theme]   modules  12 fills, one per hue, alternating in lightness
                     neutral  fill of frames without a module
                     diff     11 fills: blue (less than before), grey, orange (more)
                     ink      the text that is readable on every one of them
    DIFF_BOUNDS      where the steps of `diff` begin, in shares (0.003 is 0.3 points)

    module fill   modules[fnv1a_32(utf8(package)) % 12], package: the module up to its first dot
    diff fill     diff[5 + sign(delta) * number of bounds <= |delta|]

assets/flame.js computes the same from `flame_palette()`. Blue and orange differ for
deuteranopes and protanopes too, and the ends of the scale differ in lightness from its middle.
"""

from __future__ import annotations

import math
import re
from typing import Any, TypedDict

from components.theme import Theme


class Palette(TypedDict):
    """Fills and ink of one theme, "#rrggbb"."""

    modules: tuple[str, ...]
    neutral: str
    diff: tuple[str, ...]
    ink: str


HUES = 12
DIFF_BOUNDS = (0.003, 0.01, 0.03, 0.1, 0.25)
FNV_OFFSET = 0x811C9DC5
FNV_PRIME = 0x01000193
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")

PALETTE: dict[Theme, Palette] = {
    "dark": {
        "modules": (
            *("#6c343a", "#834f37", "#5f4104", "#646027", "#355123", "#2b6d53"),
            *("#0b5455", "#216981", "#2a4a71", "#5b598a", "#583a65", "#7f4c69"),
        ),
        "neutral": "#44413d",
        "diff": (
            *("#2463ae", "#2c5b95", "#31537d", "#354a66", "#37414f", "#393836"),
            *("#4b3d34", "#5d422f", "#704628", "#834a1d", "#964d05"),
        ),
        "ink": "#edeae6",
    },
    "light": {
        "modules": (
            *("#e4adb1", "#f6c5ae", "#d7b88d", "#d7d4a0", "#accb9d", "#a6e0c5"),
            *("#88cecd", "#9ddcf5", "#a1c2eb", "#cac9f8", "#cfb3dc", "#f3c1dc"),
        ),
        "neutral": "#d8d3cc",
        "diff": (
            *("#65a7fa", "#7eb3f6", "#97bef1", "#afc9eb", "#c6d4e5", "#e0dddb"),
            *("#e0cec3", "#e1bfa8", "#e2af8d", "#e29f71", "#e18e52"),
        ),
        "ink": "#1f1c19",
    },
}


def fnv1a_32(text: str) -> int:
    """The 32-bit FNV-1a hash of the UTF-8 bytes; a lone surrogate counts as U+FFFD, as in JS."""
    value = FNV_OFFSET
    for byte in _LONE_SURROGATE.sub("\ufffd", text).encode():
        value = (value ^ byte) * FNV_PRIME & 0xFFFFFFFF
    return value


def module_colour(module: str, theme: Theme) -> str:
    """The fill of a frame: the same for all modules of a top-level package, in every view."""
    package = module.partition(".")[0]
    palette = PALETTE[theme]
    return palette["modules"][fnv1a_32(package) % HUES] if package else palette["neutral"]


def diff_colour(delta: float, theme: Theme) -> str:
    """The fill of a frame whose share grew by delta, in [-1, 1]; grey where unknown."""
    steps = sum(bound <= abs(delta) for bound in DIFF_BOUNDS)
    middle = len(DIFF_BOUNDS)
    return PALETTE[theme]["diff"][middle + int(math.copysign(steps, delta))]


def flame_palette() -> dict[str, Any]:
    """PALETTE and DIFF_BOUNDS for the browser: {"dark": {...}, "light": {...}, "diff_bounds"}."""
    themes: dict[str, Any] = {
        theme: {name: list(v) if isinstance(v, tuple) else v for name, v in palette.items()}
        for theme, palette in PALETTE.items()
    }
    return themes | {"diff_bounds": list(DIFF_BOUNDS)}
